"""How far the stored data has come, and waiting for it to reach a command.

Owns the wait that makes one's own writes readable, and reading several things at one point of it. Leaves moving the offset to ``trading/projection``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

from brokerage.kernel.clock import NS_PER_MS, SYSTEM_CLOCK, Clock
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.health import health_of
from brokerage.platform.remembered import AWAY, database_failed
from trading.models import ProjectionState

WAIT_MS = 2_000
POLL_MS = 10


@dataclass(frozen=True, slots=True)
class ProjectionView:
    """The projection's offset."""

    journal_id: str
    epoch: int
    cmd_seq: int
    event_seq: int
    halted_reason: str


def projection_get() -> ProjectionView:
    """The stored offset; zeros before the first event."""
    row = (
        ProjectionState.objects.filter(pk=1)
        .values_list("journal_id", "epoch", "cmd_seq", "event_seq", "halted_reason")
        .first()
    )
    return ProjectionView(*row) if row else ProjectionView("", 0, 0, 0, "")


def projection_if_there() -> ProjectionView | None:
    """How far the stored data has come; None while the database does not answer."""
    try:
        return projection_get()
    except AWAY as error:
        database_failed(error)
        return None


def projector_late() -> bool:
    """True while the projector says that it cannot store: its database is away, or it has halted."""
    beat = health_of(("projector",))["projector"]
    return beat is not None and beat["state"] != "running"


@contextmanager
def projection_snapshot() -> Iterator[int]:
    """Everything read inside is of one point of the projection: its event sequence, which is given. Nothing can be written inside."""
    with transaction.atomic():
        if not connection.savepoint_ids:  # inside another transaction its own snapshot rule stands
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield projection_get().event_seq


def projection_reaches(
    cmd_seq: int,
    *,
    wait_ms: int = WAIT_MS,
    clock: Clock = SYSTEM_CLOCK,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait until the projection holds a command; False when it does not within ``wait_ms``, has halted before it or cannot be asked."""
    until_ns = clock.monotonic_ns() + wait_ms * NS_PER_MS
    while True:
        try:
            state = projection_get()
        except AWAY as error:
            database_failed(error)
            return False
        if state.cmd_seq >= cmd_seq:
            return True
        if state.halted_reason or clock.monotonic_ns() >= until_ns:
            return False
        sleep(POLL_MS / 1000)


def projection_demand(cmd_seq: int, *, wait_ms: int = WAIT_MS) -> None:
    """Wait as above; RejectedError 9012 when it does not come."""
    if not projection_reaches(cmd_seq, wait_ms=wait_ms):
        raise RejectedError(RejectCode.PROJECTION_STALE)
