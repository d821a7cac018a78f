"""Django app: Evidence: who clients are, what was screened, what was decided and why."""

from django.apps import AppConfig


class ComplianceConfig(AppConfig):
    """The compliance app."""

    name = "compliance"
    verbose_name = "Compliance"
