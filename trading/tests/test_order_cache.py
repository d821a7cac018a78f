"""A remembered order is used only while the engine's event proves it unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from native.layout import Event, EventType
from trading.services import order_cache
from trading.services.order_cache import order_recall, order_remember

ROW = {"order_id": 7, "core_account": 1, "version": 1, "cum_qty": 2, "leaves_qty": 3}


def event(kind: EventType, **changes: int) -> Event:
    values: dict[str, Any] = dict.fromkeys(Event._fields, 0)
    values |= {"type": kind, "order_id": 7, "account": 1, "cum_qty": 2, **changes}
    return Event(**values)


CANCELED = {"version": 1, "qty": 3, "leaves": 0}
REPLACED = {"version": 2, "amount": 3, "qty": 9, "leaves": 7}


@pytest.fixture(autouse=True)
def _remembered() -> Any:
    order_cache._rows.clear()
    order_remember(ROW)
    yield
    order_cache._rows.clear()


def test_an_unchanged_order_is_recalled() -> None:
    assert order_recall(1, event(EventType.ORDER_CANCELED, **CANCELED)) == ROW
    assert order_recall(1, event(EventType.ORDER_REPLACED, **REPLACED)) == ROW


@pytest.mark.parametrize(
    ("_case", "kind", "changes"),
    [
        ("filled since", EventType.ORDER_CANCELED, {**CANCELED, "cum_qty": 3}),
        ("replaced since", EventType.ORDER_CANCELED, {**CANCELED, "version": 2}),
        ("smaller since", EventType.ORDER_CANCELED, {**CANCELED, "qty": 2}),
        ("replaced twice", EventType.ORDER_REPLACED, {**REPLACED, "version": 3}),
        ("another remainder", EventType.ORDER_REPLACED, {**REPLACED, "amount": 2}),
        ("another event", EventType.ORDER_FILLED, {}),
        ("another order", EventType.ORDER_CANCELED, {**CANCELED, "order_id": 8}),
    ],
)
def test_a_changed_order_is_not(_case: str, kind: EventType, changes: dict[str, int]) -> None:
    assert order_recall(1, event(kind, **changes)) is None


def test_a_strangers_order_is_not() -> None:
    assert order_recall(2, event(EventType.ORDER_CANCELED, **CANCELED)) is None


def test_versions_begin_again_after_255() -> None:
    order_remember({**ROW, "version": 255})
    assert order_recall(1, event(EventType.ORDER_REPLACED, **{**REPLACED, "version": 1})) is not None


def test_the_oldest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_cache, "SIZE_MAX", 2)
    order_remember({**ROW, "order_id": 8})
    order_remember(ROW)
    order_remember({**ROW, "order_id": 9})
    assert list(order_cache._rows) == [7, 9]


def test_what_is_recalled_is_a_copy() -> None:
    row = order_recall(1, event(EventType.ORDER_CANCELED, **CANCELED))
    assert row is not None
    row["version"] = 99
    assert order_recall(1, event(EventType.ORDER_CANCELED, **CANCELED)) == ROW
