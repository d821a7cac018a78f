"""Loopback ports for servers that tests start."""

from __future__ import annotations

import contextlib
import os
import socket

#: Below the ephemeral range: a client that reconnects to a dead server can never reach itself.
LOW, EACH, WORKERS = 18700, 75, 4
_next = 0


def free_port() -> int:
    """A free port, another one at each call; workers of one run look in places of their own, as two could find the same one free."""
    global _next
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    for _ in range(EACH):
        port = LOW + worker * EACH + _next % EACH
        _next += 1
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit(f"no free port among {EACH} from {LOW + worker * EACH}")
