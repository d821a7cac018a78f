"""Pages of market data."""

from django.urls import path

from marketdata.views import markets

urlpatterns = [
    path("markets", markets.markets, name="markets"),
    path("about", markets.about, name="about"),
    path("embed/<slug:partner>/markets", markets.embedded, name="embed-markets"),
    path("trade/<str:symbol>/candles", markets.candles, name="candles"),
]
