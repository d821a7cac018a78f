"""Django app: Evidence: who clients are, what was screened and decided, and the audit trail of everything."""

from django.apps import AppConfig


class ComplianceConfig(AppConfig):
    """The compliance app."""

    name = "compliance"
    verbose_name = "Compliance"

    def ready(self) -> None:
        """Hang the sequencer and the engine's anchors into the runners; a file of exchange rates that is none stops the process here."""
        from django.conf import settings

        from brokerage.platform.loops import loop_register
        from compliance import handlers  # noqa: F401 - registers what the app listens to
        from compliance.audit import anchors, recorder
        from compliance.tax.rates import rates_read

        rates_read(settings.TAX_RATES_FILE)
        loop_register("audit", recorder.recorder_turn, every_s=0.25)
        loop_register("audit-anchor", anchors.journal_anchor, every_s=anchors.EVERY_S)
