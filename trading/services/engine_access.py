"""The process's client of the engine, for Django code. Owns its one instance; leaves the protocol to ``trading/engine/gateway.py``."""

from __future__ import annotations

import threading

from brokerage.config import get_config
from trading.engine.gateway import EngineClient

_lock = threading.Lock()
_client: EngineClient | None = None


def get_engine_client() -> EngineClient:
    """Return the shared client; it connects on first use and is safe to use from threads."""
    global _client
    with _lock:
        if _client is None:
            _client = EngineClient(get_config().engine_socket)
        return _client


def set_engine_client(client: EngineClient | None) -> None:
    """Replace the shared client (tests, other socket); the old one is closed."""
    global _client
    with _lock:
        if _client is not None and _client is not client:
            _client.close()
        _client = client
