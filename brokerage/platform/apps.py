"""Django app of the plumbing: outbox, jobs, realtime, health."""

from django.apps import AppConfig


class PlatformConfig(AppConfig):
    """The platform app."""

    name = "brokerage.platform"
    label = "platform"
    verbose_name = "Platform"

    def ready(self) -> None:
        """Make our Celery application the current one in every process: else jobs go to a broker nobody runs."""
        import brokerage.celery
        import brokerage.platform.handlers  # noqa: F401
