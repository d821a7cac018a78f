"""``manage.py rotate_jwt_key``: a new key signs tokens from now on; the old ones verify until their tokens have run out."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from brokerage.platform.jwt_keys import jwt_key_rotate, jwt_keys, jwt_keys_path


class Command(BaseCommand):
    """Rotate the key that signs tokens."""

    help = "Make a new signing key. --at-once drops all older keys: every access and refresh token ends within seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        """The one option."""
        parser.add_argument("--at-once", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate and say what there is now."""
        kid = jwt_key_rotate(at_once=options["at_once"])
        self.stdout.write(f"{jwt_keys_path()}: {kid} signs, {len(jwt_keys().verifying) - 1} older keys verify.")
