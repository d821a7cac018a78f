"""Django app of the plumbing: outbox, jobs, realtime, health."""

from django.apps import AppConfig


class PlatformConfig(AppConfig):
    """The platform app."""

    name = "brokerage.platform"
    label = "platform"
    verbose_name = "Platform"
