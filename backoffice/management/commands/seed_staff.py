"""``manage.py seed_staff``: after seed_reference: the register of roles and, in the demo, a desk for the dealer. Idempotent."""

from django.core.management.base import BaseCommand

from backoffice.services.desks import staff_seed
from brokerage.config import get_config


class Command(BaseCommand):
    """Seed the back office."""

    help = __doc__
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        """Make what is missing."""
        staff_seed(demo=get_config().demo)
