"""Django app: Price data: instruments, candles, prints, quotes."""

from django.apps import AppConfig


class MarketDataConfig(AppConfig):
    """The marketdata app."""

    name = "marketdata"
    verbose_name = "Market data"
