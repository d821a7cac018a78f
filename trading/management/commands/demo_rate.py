"""``manage.py demo_rate N``: change how many commands per second the running demo market sends (0 pauses it)."""

from django.core.cache import cache
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.management.commands.run_demo_market import RATE_KEY

RATE_MAX = 5000


class Command(BaseCommand):
    """Set the demo market's rate."""

    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the rate."""
        parser.add_argument("rate", type=int)

    def handle(self, *args: object, **options: object) -> None:
        """Store the rate; the market reads it within two seconds."""
        rate = options["rate"]
        if not isinstance(rate, int) or not 0 <= rate <= RATE_MAX:
            raise CommandError(f"The rate must be a whole number from 0 to {RATE_MAX}.")
        cache.set(RATE_KEY, rate, None)
        self.stdout.write(f"The demo market now sends about {rate} commands per second.")
