"""Loopback ports for servers that tests start."""

from __future__ import annotations

import contextlib
import os
import socket

#: Below the ephemeral range: a client that reconnects to a dead server can never reach itself.
LOW, PORTS = 18_000, 12_000
#: Each process begins elsewhere: between looking and binding, another run could take the same port, and answer in our server's place.
_next = os.getpid() * 61


def free_port() -> int:
    """A free port, another one at each call."""
    global _next
    for _ in range(PORTS):
        port = LOW + _next % PORTS
        _next += 1
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit(f"no free port from {LOW}")
