"""``manage.py field_table > docs/fields.md``: who may read and write which field."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from backoffice.fields import as_markdown


class Command(BaseCommand):
    """Print the table of fields by role."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        """Print."""
        self.stdout.write(as_markdown(), ending="")
