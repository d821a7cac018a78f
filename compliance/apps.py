"""Django app: Evidence. Empty until the audit trail and KYC arrive; it is here so that the layer rule already covers it."""

from django.apps import AppConfig


class ComplianceConfig(AppConfig):
    """The compliance app."""

    name = "compliance"
    verbose_name = "Compliance"
