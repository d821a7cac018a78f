"""``manage.py load_history``: give every instrument of the demo its history, once. Safe to run again and beside live trading."""

from django.core.management.base import BaseCommand

from brokerage.config import get_config
from brokerage.kernel.clock import SystemClock
from marketdata.models import Instrument
from marketdata.services.history import history_load


class Command(BaseCommand):
    """Load recorded and simulated candles."""

    help = __doc__
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        """Load each instrument that has no history yet; prints one line for each."""
        config = get_config()
        now_s = SystemClock().now_ns() // 1_000_000_000
        for instrument in Instrument.objects.order_by("core_instrument"):
            result = history_load(instrument, seed=config.demo_seed, end_s=now_s, end_ticks=instrument.reference_price)
            self.stdout.write(
                f"{result.symbol}: there already"
                if result.skipped
                else f"{result.symbol}: {result.recorded} recorded, {result.simulated} simulated"
            )
