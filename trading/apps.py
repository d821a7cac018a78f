"""Django app: Intent to trade: orders, executions, the engine process, the projection."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    """The trading app."""

    name = "trading"
    verbose_name = "Trading"

    def ready(self) -> None:
        """Register what the app listens to."""
        from trading import handlers  # noqa: F401
