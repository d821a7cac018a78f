"""``manage.py rebuild_projection``: make the projection anew from the journal; ``--compare`` only proves it equal to the live one."""

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.config import get_config
from trading.engine.gateway import EngineClient, EngineUnavailable
from trading.projection.rebuild import RebuildError, rebuild_compare, rebuild_replace


class Command(BaseCommand):
    """Rebuild or compare."""

    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--compare``."""
        parser.add_argument("--compare", action="store_true", help="change nothing; exit 1 when the live tables differ")

    def handle(self, *args: object, **options: object) -> None:
        """Run."""
        try:
            with EngineClient(get_config().engine_socket) as client:
                if not options["compare"]:
                    command = rebuild_replace(client)
                    self.stdout.write(f"rebuilt up to command {command}")
                    return
                command, different = rebuild_compare(client)
        except (EngineUnavailable, RebuildError) as error:
            raise CommandError(str(error)) from error
        for live, rebuilt in different:
            self.stdout.write(
                f"{live.table}: live {live.rows} rows {live.digest}, rebuilt {rebuilt.rows} rows {rebuilt.digest}"
            )
        if different:
            raise CommandError(f"{len(different)} tables differ at command {command}")
        self.stdout.write(f"equal at command {command}: 0 breaks")
