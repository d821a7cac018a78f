"""``manage.py reconcile``: engine, ledger, balances, positions and orders against each other; prints 0 breaks or each break."""

import sys

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.config import get_config
from trading.engine.gateway import EngineClient, EngineUnavailable
from trading.projection.reconcile import reconcile, report


class Command(BaseCommand):
    """Reconcile; exit code 1 when something is broken or could not be compared."""

    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--patience``."""
        parser.add_argument(
            "--patience", type=int, default=20, help="seconds to wait for a busy account to stand still"
        )

    def handle(self, *args: object, **options: int) -> None:
        """Run."""
        try:
            with EngineClient(get_config().engine_socket) as client:
                found = reconcile(client, patience_s=options["patience"])
        except EngineUnavailable as error:
            raise CommandError(f"The engine cannot be asked: {error}") from error
        if not report(found, self.stdout.write):
            sys.exit(1)
