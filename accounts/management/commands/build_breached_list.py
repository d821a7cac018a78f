"""Build the file of breached passwords from word lists: ``manage.py build_breached_list FILE …``."""

from __future__ import annotations

import itertools
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from accounts.breached import PREFIX, file_build


class Command(BaseCommand):
    """Reads lists, writes the sorted file the validator searches."""

    help = "Build the file of breached passwords from lists of passwords or of SHA-1 sums, one a line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The lists."""
        parser.add_argument("lists", nargs="+", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Build it."""
        target = Path(settings.BREACHED_FILE)
        with ExitStack() as stack:
            files = [
                stack.enter_context(path.open(encoding="utf-8", errors="surrogateescape")) for path in options["lists"]
            ]
            count = file_build(itertools.chain.from_iterable(files), target)
        self.stdout.write(f"{count} passwords in {target} ({count * PREFIX} bytes)")
