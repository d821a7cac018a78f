"""Asking a virus scanner about bytes, in clamd's INSTREAM protocol over TCP or a Unix socket. Fails closed.

``CLAMD`` names the scanner (``host:port`` or a path). Without one the demo and tests know the EICAR test string only, and production
answers ``UNKNOWN`` to everything, which keeps files in quarantine. Leaves what quarantine means to ``services/documents.py``.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import StrEnum

from brokerage.config import get_config

TIMEOUT_S = 10.0
CHUNK = 64 * 1024
#: The standard test string, cut in two so that this file itself is not taken for it.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class Verdict(StrEnum):
    """What the scanner says; UNKNOWN when it said nothing that can be relied on."""

    CLEAN = "clean"
    INFECTED = "infected"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Scan:
    """A verdict and the scanner's words."""

    verdict: Verdict
    text: str = ""


def scan(data: bytes) -> Scan:
    """Ask the configured scanner."""
    config = get_config()
    if config.clamd:
        return clamd_scan(data, config.clamd)
    if EICAR in data:
        return Scan(Verdict.INFECTED, "Eicar-Test-Signature")
    if config.production:
        return Scan(Verdict.UNKNOWN, "no scanner is configured")
    return Scan(Verdict.CLEAN, "no scanner is configured")


def clamd_scan(data: bytes, address: str) -> Scan:
    """Send bytes to clamd; anything but a clear answer is UNKNOWN."""
    try:
        with _connect(address) as line:
            line.sendall(b"zINSTREAM\0")
            for start in range(0, len(data), CHUNK):
                part = data[start : start + CHUNK]
                line.sendall(len(part).to_bytes(4, "big") + part)
            line.sendall(b"\0\0\0\0")
            answer = _read(line)
    except (OSError, ValueError) as error:
        return Scan(Verdict.UNKNOWN, f"the scanner cannot be reached ({type(error).__name__})")
    if answer == "stream: OK":
        return Scan(Verdict.CLEAN)
    if answer.startswith("stream: ") and answer.endswith(" FOUND"):
        return Scan(Verdict.INFECTED, answer[8:-6][:120])
    return Scan(Verdict.UNKNOWN, answer[:120])


def _connect(address: str) -> socket.socket:
    if address.startswith("/"):
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(TIMEOUT_S)
        try:
            line.connect(address)
        except OSError:
            line.close()
            raise
        return line
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), TIMEOUT_S)


def _read(line: socket.socket) -> str:
    answer = b""
    while not answer.endswith(b"\0") and len(answer) < 4096:
        part = line.recv(4096)
        if not part:
            break
        answer += part
    return answer.rstrip(b"\0\n").decode("utf-8", "replace")
