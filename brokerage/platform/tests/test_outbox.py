"""The outbox tells at least once, in order, and keeps what could not be told."""

import pytest
from django.db import transaction

from brokerage.platform import outbox
from brokerage.platform.models import OutboxEvent
from brokerage.platform.outbox import ATTEMPTS_MAX, OutboxRelay, RetryLater, emit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(outbox, "_handlers", {"t.happened": [lambda event: told.append(event.key)]})
    return told


def test_events_are_told_once_and_in_order(heard: list[str]) -> None:
    for key in ("a", "b", "c"):
        emit("t.happened", key)
    OutboxRelay().run_once()
    OutboxRelay().run_once()
    assert heard == ["a", "b", "c"]
    assert not OutboxEvent.objects.filter(published_at__isnull=True).exists()


def test_a_rolled_back_event_was_never_there(heard: list[str]) -> None:
    def fails_after_emitting() -> None:
        with transaction.atomic():
            emit("t.happened", "gone")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails_after_emitting()
    OutboxRelay().run_once()
    assert heard == []


def test_a_failing_handler_leaves_no_trace_and_is_tried_again_until_it_is_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(event: OutboxEvent) -> None:
        OutboxEvent.objects.create(topic="trace", key="left behind")
        raise ValueError("no")

    monkeypatch.setattr(outbox, "_handlers", {"t.happened": [fails]})
    emit("t.happened", "x")
    for attempt in range(1, ATTEMPTS_MAX + 1):
        OutboxEvent.objects.filter(key="x").update(next_attempt_at=None)
        OutboxRelay().run_once()
        assert OutboxEvent.objects.get(key="x").attempts == attempt
    assert "no" in OutboxEvent.objects.get(key="x").failed_reason
    assert not OutboxEvent.objects.filter(topic="trace").exists()
    assert outbox.outbox_backlog() == {"pending": 0, "dead": 1}


def test_retry_later_is_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(event: OutboxEvent) -> None:
        raise RetryLater("the engine is away")

    monkeypatch.setattr(outbox, "_handlers", {"t.happened": [waits]})
    emit("t.happened", "x")
    OutboxRelay().run_once()
    event = OutboxEvent.objects.get()
    assert (event.attempts, event.failed_reason, event.published_at) == (0, "", None)
    assert event.next_attempt_at is not None
