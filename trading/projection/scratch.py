"""A second, empty set of projection tables in a schema of its own, beside the live ones: for rebuilding and for measuring.

Owns which tables the projection consists of. While ``scratch`` is open every new connection of this process sees the scratch tables first, so
the projection's own code works on them unchanged; a process that does this must do nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from accounts.models import Balance, LedgerEntry
from risk.models import Position
from trading.models import Execution, Order, OrderEvent, ProjectedListing, ProjectionState

MODELS = (Order, Execution, OrderEvent, LedgerEntry, Balance, Position, ProjectedListing, ProjectionState)
TABLES = tuple(model._meta.db_table for model in MODELS)


@contextmanager
def scratch(schema: str, *, keep: bool = False) -> Iterator[None]:
    """Make the schema with empty tables (a left-over one is dropped first), and drop it at the end unless ``keep``."""
    with connection.cursor() as cursor:
        cursor.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        cursor.execute(f'CREATE SCHEMA "{schema}"')
        for table in TABLES:
            cursor.execute(f'CREATE TABLE "{schema}"."{table}" (LIKE public."{table}" INCLUDING ALL)')
    options = connection.settings_dict["OPTIONS"]
    before = options.get("options")
    options["options"] = f"-c search_path={schema},public"
    connection.close()
    try:
        yield
    finally:
        if before is None:
            options.pop("options")
        else:
            options["options"] = before
        connection.close()
        if not keep:
            with connection.cursor() as cursor:
                cursor.execute(f'DROP SCHEMA "{schema}" CASCADE')
