"""``manage.py retention``: what is past its time of keeping, by class; ``--apply`` lets it go; ``--hold`` and ``--release`` for one client.

Without a word it changes nothing. The times are in ``compliance/retention.py``. Beat applies them each night.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform.audit import Actor
from compliance.services.retention import (
    BATCH,
    Outcome,
    RetentionRunningError,
    hold_release,
    hold_set,
    retention_look,
    retention_run,
)


class Command(BaseCommand):
    """Show or apply the times of keeping."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Options."""
        parser.add_argument("--apply", action="store_true", help="let go of what is over")
        parser.add_argument("--only", action="append", default=[], metavar="CLASS", help="this class; may be repeated")
        parser.add_argument("--batch", type=int, default=BATCH, help="rows of one transaction")
        parser.add_argument("--seconds", type=int, default=3600, help="stop after about so long")
        parser.add_argument("--hold", metavar="EMAIL", help="keep everything about this client")
        parser.add_argument("--release", metavar="EMAIL", help="end such a hold")
        parser.add_argument("--reason", default="", help="why; needed for a hold and its end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, apply or hold."""
        if options["hold"] or options["release"]:
            self._hold(options)
            return
        now, only = utc_now(), options["only"]
        try:
            if options["apply"]:
                found = retention_run(now=now, seconds=options["seconds"], batch=max(1, options["batch"]), only=only)
            else:
                found = retention_look(now=now, only=only)
        except (RetentionRunningError, ValueError) as error:
            raise CommandError(str(error)) from error
        self._print(found, "gone" if options["apply"] else "would go")

    def _print(self, found: list[Outcome], word: str) -> None:
        for row in found:
            more = "" if row.finished else ", more is left"
            self.stdout.write(f"{row.count:>9} {word}  {row.name} (until {row.until:%Y-%m-%d %H:%M} UTC){more}")

    def _hold(self, options: dict[str, Any]) -> None:
        if len(options["reason"].strip()) < 5:
            raise CommandError("Give a --reason in your own words.")
        user = User.objects.filter(email__iexact=options["hold"] or options["release"]).first()
        if user is None:
            raise CommandError("There is no such client.")
        actor = Actor("system", "manage.py")
        try:
            if options["hold"]:
                hold_set(user=user, reason=options["reason"], actor=actor, now=utc_now())
            else:
                hold_release(user=user, reason=options["reason"], actor=actor)
        except RejectedError as error:
            raise CommandError(error.detail) from error
        self.stdout.write("Held." if options["hold"] else "Released.")
