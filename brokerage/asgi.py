"""ASGI entry point: HTTP to Django, WebSockets to the consumers of ``brokerage/routing.py``."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
django.setup(set_prefix=False)  # first: everything below needs Django set up

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from brokerage.platform.http import ThreadedHandler  # noqa: E402
from brokerage.platform.transport import sockets_over_tls  # noqa: E402
from brokerage.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {"http": ThreadedHandler(), "websocket": sockets_over_tls(URLRouter(websocket_urlpatterns))}
)
