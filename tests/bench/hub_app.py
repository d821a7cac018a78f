"""The ASGI application the hub bench runs under daphne: the real market consumer and hub, one made-up instrument, caps opened."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")

import django

django.setup()

from brokerage.platform.sockets import SocketLimits  # noqa: E402 - after django.setup()
from marketdata.consumers import MarketConsumer  # noqa: E402 - after django.setup()
from marketdata.hub import Hub  # noqa: E402 - after django.setup()

LIMITS = SocketLimits(per_process=10**6, per_ip=10**6)
_hub: Hub | None = None


class BenchHub(Hub):
    """A hub that knows one symbol and asks no database."""

    async def symbols(self) -> frozenset[str]:
        """The instrument of the bench."""
        return frozenset({"BENCH"})


def _the_hub() -> Hub:
    global _hub
    if _hub is None:
        _hub = BenchHub()
    return _hub


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve a WebSocket with the market consumer, anything else with 200."""
    if scope["type"] == "websocket":
        await MarketConsumer(scope, receive, send, LIMITS, hub=_the_hub()).run()
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
