"""Calls to addresses that others chose (webhooks): only https to public addresses on the allow-list, never inwards.

The name is resolved once, every address it has is checked, and the connection goes to a checked address: a name that answers differently
the second time (DNS rebinding) gains nothing. TLS is verified for the name. Redirects are not followed; size and time are bounded.
Owns the checks and the one call. Leaves what is sent, signing and retries to the callers.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode

PORTS = (443, 8443)
TIMEOUT_S = 5.0
BODY_MAX = 256 * 1024
ANSWER_MAX = 64 * 1024
URL_MAX = 2048
_HOST = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Resolver = Callable[[str, int], Sequence[str]]
AddressCheck = Callable[[str], bool]


@dataclass(frozen=True)
class Target:
    """A checked destination: the name for TLS and Host, the address that is connected to."""

    host: str
    port: int
    path: str
    address: str


@dataclass(frozen=True)
class OutboundAnswer:
    """What came back; ``body`` is cut at ANSWER_MAX."""

    status: int
    body: bytes


def _refuse(why: str) -> RejectedError:
    return RejectedError(RejectCode.OUTBOUND_REFUSED, needed=why, field="url")


def address_is_public(text: str) -> bool:
    """Tell whether an address is one of the public internet, also when an IPv4 address is wrapped in an IPv6 one."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return address_is_public(str(inner))
    return address.is_global and not address.is_multicast


def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def host_is_listed(host: str, allowed: Sequence[str]) -> bool:
    """Tell whether a name is on the list: ``hooks.example`` itself, ``*.example`` everything below. An empty list allows none."""
    return any(host == entry or (entry.startswith("*.") and host.endswith(entry[1:])) for entry in allowed)


def target_check(
    url: str, allowed: Sequence[str], *, resolver: Resolver = resolve, address_check: AddressCheck = address_is_public,
    ports: Sequence[int] = PORTS,
) -> Target:  # fmt: skip
    """The checked destination of a URL; RejectedError 7057 for anything that is not plainly allowed."""
    if len(url) > URL_MAX or not url.isascii() or any(ord(letter) <= 32 or letter in '\\"<>^`{|}' for letter in url):
        raise _refuse("A plain address without blanks is needed")
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise _refuse("The address must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise _refuse("The address must not carry a name or password")
    try:
        port = parts.port or 443
    except ValueError as error:
        raise _refuse("The port is not a number") from error
    host = (parts.hostname or "").rstrip(".")
    # Names only: numbers in any notation (decimal, octal, hexadecimal) are no names with a top-level domain.
    if not _HOST.fullmatch(host) or host.endswith((".local", ".internal", ".localhost", ".localdomain")):
        raise _refuse("A public host name is needed")
    if port not in ports:
        raise _refuse(f"The port must be one of {', '.join(str(one) for one in ports)}")
    if not host_is_listed(host, allowed):
        raise _refuse(f"{host} is not on the allow-list")
    try:
        addresses = list(resolver(host, port))
    except OSError as error:
        raise _refuse(f"{host} has no address") from error
    # One bad address spoils the name: it would be used sooner or later.
    if not addresses or not all(address_check(address) for address in addresses):
        raise _refuse(f"{host} does not lead to the public internet")
    return Target(host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), addresses[0])


class _PinnedConnection(http.client.HTTPSConnection):
    """Connects to the checked address and nowhere else; the certificate must be the name's."""

    def __init__(self, target: Target, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout, context=context)
        self._target, self._tls = target, context

    def connect(self) -> None:
        """Open the socket."""
        raw = socket.create_connection((self._target.address, self._target.port), self.timeout)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self._target.host)


def outbound_post(
    target: Target, *, body: bytes, headers: Mapping[str, str], timeout_s: float = TIMEOUT_S, context: ssl.SSLContext | None = None
) -> OutboundAnswer:  # fmt: skip
    """POST to a checked target; OSError (TLS and time-outs included) when it cannot be reached. A redirect is an answer like any other."""
    if len(body) > BODY_MAX:
        raise RejectedError(RejectCode.PAYLOAD_TOO_LARGE)
    connection = _PinnedConnection(target, context or ssl.create_default_context(), timeout_s)
    try:
        connection.request("POST", target.path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return OutboundAnswer(answer.status, answer.read(ANSWER_MAX))
    except http.client.HTTPException as error:
        raise OSError(f"no proper answer: {error!r}") from error
    finally:
        connection.close()
