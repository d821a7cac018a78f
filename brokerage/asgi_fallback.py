"""ASGI entry point of the fallback app (process ``web-fallback``): HTTP to the few routes of ``brokerage/urls_fallback.py``, nothing else."""

import os
from typing import Any

import django

# Set, not defaulted: the launcher names the portal's settings for every process.
os.environ["DJANGO_SETTINGS_MODULE"] = "brokerage.settings.fallback"
django.setup(set_prefix=False)  # first: everything below needs Django set up

from brokerage.platform.http import ThreadedHandler  # noqa: E402

_pages = ThreadedHandler()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Pages; a WebSocket is refused without a word, because there are none here."""
    if scope["type"] != "websocket":
        await _pages(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.close"})
