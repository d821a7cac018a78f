"""What a process remembers of the database: how long, whose, and what it believes while there is nobody to ask. No database here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError

from brokerage.kernel.clock import NS_PER_S, ManualClock
from brokerage.platform import remembered
from brokerage.platform.remembered import LAST_KNOWN_NS, PAUSE_NS, Remembered, database_paused, write_if_there


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    remembered.pause_end()
    yield ManualClock(10**15)
    remembered.pause_end()


class Rows:
    """A database of one answer; counts how often it is asked."""

    def __init__(self) -> None:
        self.answer: Any = "first"
        self.asked = 0

    def __call__(self) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def memory(clock: ManualClock, age_s: int = 2, **options: Any) -> Remembered[str, Any]:
    return Remembered(age_s * NS_PER_S, clock=clock, **options)


def test_an_answer_is_asked_again_when_it_is_older_than_its_age(clock: ManualClock) -> None:
    rows, known = Rows(), memory(clock)
    assert [known.get("k", rows) for _ in range(3)] == ["first"] * 3
    assert rows.asked == 1
    clock.advance(2 * NS_PER_S + 1)
    rows.answer = "second"
    assert (known.get("k", rows), rows.asked) == ("second", 2)


def test_with_no_age_every_get_asks(clock: ManualClock) -> None:
    rows, known = Rows(), memory(clock, 0)
    for turn in range(3):
        clock.advance(1)
        known.get("k", rows)
        assert rows.asked == turn + 1


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("the connection is closed")])
@pytest.mark.parametrize("last", ["first", None, False])
def test_the_last_answer_is_believed_while_there_is_none(clock: ManualClock, error: Exception, last: Any) -> None:
    rows, known = Rows(), memory(clock)
    rows.answer = last
    known.get("k", rows)
    clock.advance(3 * NS_PER_S)
    rows.answer = error
    assert known.get("k", rows) is last
    with pytest.raises(type(error)):
        known.get("never asked", rows)
    rows.answer = "back"
    clock.advance(PAUSE_NS)
    assert known.get("k", rows) == "back"


def test_an_outage_does_not_cost_every_get_a_try(clock: ManualClock) -> None:
    rows, known = Rows(), memory(clock, 0)
    known.get("k", rows)
    rows.answer = OperationalError("gone")
    for _ in range(50):
        clock.advance(PAUSE_NS // 25)
        known.get("k", rows)
    assert rows.asked <= 4, "50 gets in two pauses"


def test_a_last_answer_is_not_believed_for_ever(clock: ManualClock) -> None:
    rows, known = Rows(), memory(clock)
    known.get("k", rows)
    rows.answer = OperationalError("gone")
    clock.advance(LAST_KNOWN_NS)
    assert known.get("k", rows) == "first"
    clock.advance(1)
    with pytest.raises(OperationalError):
        known.get("k", rows)


def test_what_was_forgotten_or_must_be_fresh_is_not_believed(clock: ManualClock) -> None:
    rows, known = Rows(), memory(clock)
    for key in ("a", "b", "c"):
        known.get(key, rows, owner=lambda _, key=key: "ann" if key != "c" else "bob")
    rows.answer = OperationalError("gone")
    with pytest.raises(OperationalError):
        known.get("a", rows, fresh=True)
    known.forget_owner("ann")
    for key in ("a", "b"):
        with pytest.raises(OperationalError):
            known.get(key, rows)
    assert known.get("c", rows) == "first"
    known.forget("c")
    with pytest.raises(OperationalError):
        known.get("c", rows)


def test_an_answer_from_before_something_was_forgotten_is_not_kept(clock: ManualClock) -> None:
    rows, known = Rows(), memory(clock)

    def ended_meanwhile() -> str:
        known.forget_owner("ann")
        return "alive"

    assert known.get("k", ended_meanwhile, owner=lambda _: "ann") == "alive"
    rows.answer = "ended"
    assert known.get("k", rows) == "ended"


def test_an_outage_is_said_once(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    rows, known = Rows(), memory(clock, 0)
    known.get("k", rows)
    rows.answer = OperationalError("gone")
    for _ in range(20):
        clock.advance(PAUSE_NS)
        known.get("k", rows)
    assert len(caplog.records) == 1
    clock.advance(remembered.QUIET_NS + PAUSE_NS + 1)
    known.get("k", rows)
    assert len(caplog.records) == 2


def test_another_fault_than_an_absent_database_is_told(clock: ManualClock) -> None:
    rows, known = Rows(), memory(clock, 0)
    known.get("k", rows)
    clock.advance(1)
    rows.answer = ProgrammingError("no such column")
    with pytest.raises(ProgrammingError):
        known.get("k", rows)
    assert not database_paused(clock)


def test_the_oldest_goes_when_there_are_too_many(clock: ManualClock) -> None:
    rows, known = Rows(), memory(clock, size_max=2)
    known.get("a", rows)
    known.get("b", rows)
    clock.advance(3 * NS_PER_S)
    known.get("a", rows)
    known.get("c", rows)
    rows.answer = OperationalError("gone")
    assert (known.get("a", rows), known.get("c", rows)) == ("first", "first")
    with pytest.raises(OperationalError):
        known.get("b", rows)


def test_a_write_that_may_be_lost_is_tried_once_an_outage_pause(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows()
    rows.answer = OperationalError("gone")
    write_if_there(rows)
    write_if_there(rows)
    assert rows.asked == 1
    remembered.pause_end()
    rows.answer = ProgrammingError("no such column")
    with pytest.raises(ProgrammingError):
        write_if_there(rows)
