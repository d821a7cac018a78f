"""Rebuild the projection from the journal, in tables of its own, and compare it with the live one or put it in its place.

The projector's own code does the work, fed from command 1. Comparing: the live tables are digested in one snapshot at command L, the rebuilt
ones are brought to exactly L and digested the same way; every column of every row counts. Replacing needs the live projector stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection, transaction

from trading.engine.gateway import EngineClient
from trading.models import ProjectionState
from trading.projection.projector import ADVISORY_LOCK, Projector
from trading.projection.scratch import MODELS, TABLES, scratch

SCHEMA = "rebuild"
LOCK = 0x52454255
#: The offset row carries the time of its last change, which no rebuild can have.
COMPARED = tuple(model for model in MODELS if model is not ProjectionState)


class RebuildError(Exception):
    """The projection cannot be rebuilt now; the text says why and what to do."""


@dataclass(frozen=True)
class TableDigest:
    """Rows of a table and an order-independent digest over all their columns."""

    table: str
    rows: int
    digest: str


def _digests() -> list[TableDigest]:
    """Digest the tables the connection sees. Surrogate keys of state rows depend on the order of insertion and are left out."""
    result = []
    with connection.cursor() as cursor:
        for model in COMPARED:
            fields = (field for field in model._meta.concrete_fields if field.get_internal_type() != "BigAutoField")
            columns = [field.column for field in fields]
            row = "ROW(" + ", ".join(f'"{column}"' for column in columns) + ")::text"
            cursor.execute(
                f'SELECT count(*), COALESCE(sum(hashtextextended({row}, 0)::numeric), 0)::text FROM "{model._meta.db_table}"'  # noqa: S608
            )
            rows, digest = cursor.fetchone()
            result.append(TableDigest(model._meta.db_table, rows, digest))
    return result


def _live() -> tuple[int, list[TableDigest]]:
    """(command, digests) of the live tables, all as of one moment."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        state = ProjectionState.objects.filter(pk=1).first()
        return (state.cmd_seq if state else 0), _digests()


def _project(client: EngineClient, up_to: int, stopping: Callable[[], bool]) -> None:
    Projector(client, stopping=stopping, name="rebuild", lock=LOCK, up_to=up_to).run()
    reached = ProjectionState.objects.get(pk=1)
    if reached.cmd_seq != up_to:
        raise RebuildError(
            f"the rebuild stopped at command {reached.cmd_seq} of {up_to}: {reached.halted_reason or 'interrupted'}"
        )


def rebuild_compare(
    client: EngineClient, stopping: Callable[[], bool] = lambda: False
) -> tuple[int, list[tuple[TableDigest, TableDigest]]]:
    """Rebuild beside the live tables; returns (command compared at, pairs that differ as (live, rebuilt))."""
    command, live = _live()
    with scratch(SCHEMA):
        if command:
            _project(client, command, stopping)
        rebuilt = _digests()
    return command, [pair for pair in zip(live, rebuilt, strict=True) if pair[0] != pair[1]]


def rebuild_replace(client: EngineClient, stopping: Callable[[], bool] = lambda: False) -> int:
    """Rebuild up to the engine's present command and put the result in place of the live tables, in one transaction."""
    target = client.status().cmd_seq
    with scratch(SCHEMA):
        if target:
            _project(client, target, stopping)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
            if not cursor.fetchone()[0]:
                raise RebuildError(
                    "the projector is running: stop it first (the rebuilt rows would fall behind at once)"
                )
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("TRUNCATE " + ", ".join(f'public."{table}"' for table in TABLES))
            for table in TABLES:
                cursor.execute(f'INSERT INTO public."{table}" SELECT * FROM "{SCHEMA}"."{table}"')  # noqa: S608
    return target
