"""What traded and what happened to orders on whole days, for the reports to authorities: over all accounts, each thing once.

Sequence numbers and times grow together (``trading/engine/sequencer.py``), so a day is a run of primary keys and is found by halving; nothing is
scanned for it. Owns these reads. Leaves who is whose client and what is reportable to ``compliance``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Count, Max, Min, Model, QuerySet

from native.layout import EventType
from trading.models import Execution, Order, OrderEvent

Row = dict[str, Any]
#: A step as reports name it.
KINDS = {
    EventType.ORDER_ACCEPTED: "accepted",
    EventType.ORDER_FILLED: "filled",
    EventType.ORDER_CANCELED: "canceled",
    EventType.ORDER_EXPIRED: "expired",
    EventType.ORDER_REPLACED: "replaced",
    EventType.ORDER_RESTED: "rested",
    EventType.ORDER_REJECTED: "refused",
    EventType.CANCEL_REJECTED: "refused",
    EventType.REPLACE_REJECTED: "refused",
}
BATCH = 2_000


def _first_at(model: type[Model], key: str, time_ns: int) -> int:
    """The lowest primary key whose time is at or after ``time_ns``; one above all there are when none is."""
    bounds = model._default_manager.aggregate(low=Min(key), high=Max(key))
    if bounds["high"] is None:
        return 0
    low, high = bounds["low"], bounds["high"] + 1
    while low < high:
        middle = (low + high) // 2
        row = model._default_manager.filter(**{f"{key}__gte": middle}).order_by(key).values_list(key, "time_ns").first()
        if row is None or row[1] >= time_ns:
            high = middle
        else:
            low = row[0] + 1
    return int(low)


def executions_between(from_ns: int, to_ns: int) -> QuerySet[Execution]:
    """Every execution of [from, to), of whomever, without an order."""
    low, high = _first_at(Execution, "exec_id", from_ns), _first_at(Execution, "exec_id", to_ns)
    return Execution.objects.filter(exec_id__gte=low, exec_id__lt=high).order_by()


def order_events_between(from_ns: int, to_ns: int) -> QuerySet[OrderEvent]:
    """Every step of every order in [from, to), without an order."""
    low, high = _first_at(OrderEvent, "seq", from_ns), _first_at(OrderEvent, "seq", to_ns)
    return OrderEvent.objects.filter(seq__gte=low, seq__lt=high).order_by()


def executions_by_account(rows: QuerySet[Execution]) -> dict[tuple[int, int], int]:
    """(account, instrument) -> how many."""
    found = rows.values_list("core_account", "core_instrument").annotate(n=Count("exec_id"))
    return {(account, instrument): number for account, instrument, number in found}


def order_events_by_account(rows: QuerySet[OrderEvent]) -> dict[int, int]:
    """Account -> how many."""
    return dict(rows.values_list("core_account").annotate(n=Count("seq")))


def order_events_of(
    rows: QuerySet[OrderEvent], accounts: Iterable[int], instruments: Iterable[int]
) -> QuerySet[OrderEvent]:
    """Those of the steps that are of some accounts' orders in some instruments."""
    orders = Order.objects.filter(core_account__in=set(accounts), core_instrument__in=set(instruments)).order_by()
    return rows.filter(core_account__in=set(accounts), order_id__in=orders.values("order_id"))


def orders_named(ids: Iterable[int]) -> Iterator[Row]:
    """Orders by their numbers, as dicts, in no order."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), BATCH):
        yield from Order.objects.filter(order_id__in=wanted[start : start + BATCH]).order_by().values()


def contra_orders(exec_ids: Iterable[int]) -> dict[int, int]:
    """Execution -> the order it met."""
    wanted, found = sorted(set(exec_ids)), {}
    for start in range(0, len(wanted), BATCH):
        found.update(
            Execution.objects.filter(exec_id__in=wanted[start : start + BATCH]).values_list(
                "exec_id", "contra_order_id"
            )
        )
    return found
