"""WebSocket routes. Consumers check the origin and authenticate by themselves (``docs/streams.md``)."""

from django.urls import path

from marketdata.consumers import MarketConsumer
from trading.consumers import PrivateConsumer

websocket_urlpatterns = [
    path("ws/v1/market", MarketConsumer.as_asgi()),
    path("ws/v1/private", PrivateConsumer.as_asgi()),
]
