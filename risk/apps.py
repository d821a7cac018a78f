"""Django app: Exposure: positions; limits and margin rules join them here."""

from django.apps import AppConfig


class RiskConfig(AppConfig):
    """The risk app."""

    name = "risk"
    verbose_name = "Risk"
