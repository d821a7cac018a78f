"""``manage.py audit_key make|rotate|show``: the key that signs the audit trail's checkpoints."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from compliance.audit.signing import signer, signing_ensure, signing_path, signing_rotate


class Command(BaseCommand):
    """Make, rotate or show the signing key."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do."""
        parser.add_argument("what", choices=("make", "rotate", "show"))

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and print the public keys, never the private one."""
        if options["what"] == "make":
            signing_ensure(signing_path())
        elif options["what"] == "rotate":
            signing_rotate()
        found = signer()
        self.stdout.write(f"current  {found.public_text}")
        for text in found.previous:
            self.stdout.write(f"previous {text}")
