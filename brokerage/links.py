"""Links of a production installation to servers of its own: over the network encrypted and with the other end proved. Pure.

Within one machine a link may be plain: a Unix socket, or a loopback address (where a tunnel may end). Owns the rules; leaves reading the
addresses to ``config.py``, which refuses to start on the first sentence given here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit


def _inside(host: str) -> bool:
    """The host is this machine: nothing, a socket's folder, or a loopback address."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def database_fault(url: str) -> str:
    """What is wrong with the link to PostgreSQL; empty for nothing."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    hosts = (query.get("host") or unquote(parts.hostname or "")).split(",")
    if all(_inside(host) for host in hosts) or query.get("sslmode") == "verify-full":
        return ""
    return "DATABASE_URL goes over the network: add sslmode=verify-full (and sslrootcert), or use a Unix socket (?host=/run/postgresql)."


def valkey_fault(url: str) -> str:
    """What is wrong with the link to Valkey; empty for nothing."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return ""
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme != "rediss" and not _inside(parts.hostname or ""):
        return (
            "REDIS_URL goes over the network in the clear: use rediss://, or a Unix socket (unix:///run/valkey.sock)."
        )
    if (
        query.get("ssl_cert_reqs", "required") not in {"required", "CERT_REQUIRED"}
        or query.get("ssl_check_hostname", "true").lower() == "false"
    ):
        return "REDIS_URL does not check who answers: leave ssl_cert_reqs and ssl_check_hostname as they are."
    if not parts.password:
        return "REDIS_URL has no password: over TCP every user of the machine or the network could talk to Valkey."
    return ""


def scanner_fault(address: str) -> str:
    """What is wrong with the link to the virus scanner; empty for nothing. clamd's protocol knows no encryption."""
    host = address.rpartition(":")[0].strip("[]")
    if not address or address.startswith("/") or (host and _inside(host)):
        return ""
    return "CLAMD is on another machine, and its protocol is not encrypted: use a Unix socket or the local end of a tunnel."


def vendor_fault(url: str) -> str:
    """What is wrong with the link to the KYC vendor; empty for nothing."""
    parts = urlsplit(url)
    if parts.scheme == "https" or _inside(parts.hostname or ""):
        return ""
    return "KYC_URL must begin with https://."


def faults(*, database_url: str, redis_url: str, clamd: str, kyc_url: str) -> Iterator[str]:
    """A sentence for each link that is not safe, with what to do."""
    for fault in (database_fault(database_url), valkey_fault(redis_url), scanner_fault(clamd), vendor_fault(kyc_url)):
        if fault:
            yield fault
