"""The outbox: what must be told after a transaction is a row in it, and is told at least once.

``emit`` inside the transaction; ``OutboxRelay`` (in ``run_runners``) hands each event to the handlers of its topic, in order of id, wakes by
NOTIFY, retries with growing pauses and keeps a dead letter after ATTEMPTS_MAX. Handlers must bear being called twice. Only ``handlers.py``
of an app listens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from brokerage.kernel.clock import utc_now
from brokerage.platform.models import OutboxEvent

log = logging.getLogger(__name__)

CHANNEL = "outbox"
ATTEMPTS_MAX = 12
BATCH = 100
Handler = Callable[[OutboxEvent], None]
_handlers: dict[str, list[Handler]] = {}


def on(topic: str) -> Callable[[Handler], Handler]:
    """Register a handler of a topic (decorator)."""

    def register(handler: Handler) -> Handler:
        _handlers.setdefault(topic, []).append(handler)
        return handler

    return register


def emit(topic: str, key: str, payload: dict[str, Any] | None = None) -> OutboxEvent:
    """Record that something happened, in the caller's transaction; the relay is woken when it commits."""
    event = OutboxEvent.objects.create(topic=topic, key=key, payload=payload or {})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
    return event


class RetryLater(Exception):
    """A handler cannot work now (the engine is away): try again soon, without counting it as a failure."""


class OutboxRelay:
    """Deliver pending events. One relay at a time does the work; others find the rows locked."""

    def run_once(self) -> int:
        """Deliver one batch; returns how many events were looked at."""
        now = utc_now()
        due = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now)
        ids = list(
            OutboxEvent.objects.filter(due, published_at__isnull=True, failed_reason="")
            .order_by("id")
            .values_list("id", flat=True)[:BATCH]
        )
        for event_id in ids:
            self._deliver(event_id)
        return len(ids)

    def _deliver(self, event_id: int) -> None:
        with transaction.atomic():
            event = (
                OutboxEvent.objects.select_for_update(skip_locked=True)
                .filter(pk=event_id, published_at__isnull=True)
                .first()
            )
            if event is None:
                return
            try:
                # A savepoint: what a failing handler wrote is undone, what is noted about its failure is not.
                with transaction.atomic():
                    for handler in _handlers.get(event.topic, ()):
                        handler(event)
            except RetryLater as error:
                log.info("outbox %s %s waits: %s", event.topic, event.key, error)
                event.next_attempt_at = utc_now() + timedelta(seconds=1)
            except Exception as error:
                event.attempts += 1
                log.exception("outbox %s %s failed (attempt %d)", event.topic, event.key, event.attempts)
                event.next_attempt_at = utc_now() + timedelta(seconds=min(300, 2**event.attempts))
                if event.attempts >= ATTEMPTS_MAX:
                    event.failed_reason = repr(error)[:2000]
            else:
                event.published_at = utc_now()
            event.save()


def outbox_backlog() -> dict[str, int]:
    """Counts for the status page: pending and dead."""
    pending = OutboxEvent.objects.filter(published_at__isnull=True)
    return {"pending": pending.filter(failed_reason="").count(), "dead": pending.exclude(failed_reason="").count()}
