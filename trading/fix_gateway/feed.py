"""What happened to an account's orders, as ExecutionReports: the engine's events in their order, each once.

Read from the projection (``trading_orderevent``), from the session's own place on (``FixSession.feed_seq``), whoever caused them: the session itself,
the portal, REST, the engine. A session's own orders are told the same way, so nothing is told twice and nothing in another order than it happened.
Owns the queries and the ClOrdID an event is told under. Leaves the fields to ``mapping.py``, sequence numbers to the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import DecimalField, ExpressionWrapper, F, Sum
from django.db.models.functions import Cast

from brokerage.fix.codec import Field
from native.layout import EventType
from trading.fix_gateway import mapping
from trading.models import Execution, FixRequest, OrderEvent
from trading.selectors.projection import projection_snapshot

#: Events read at once; the next turn has the rest.
EVENTS_MAX = 200
_TOLD = tuple(
    int(kind)
    for kind in (
        EventType.ORDER_ACCEPTED,
        EventType.ORDER_REJECTED,
        EventType.ORDER_FILLED,
        EventType.ORDER_CANCELED,
        EventType.ORDER_EXPIRED,
        EventType.ORDER_REPLACED,
    )
)
_COLUMNS = (
    "seq", "order_id", "cmd_seq", "exec_type", "reason", "price", "qty", "leaves", "cum", "time_ns",
    "core_account", "core_instrument", "cl_ord_id", "side", "ord_type", "time_in_force", "flags", "expire_ns",
    "reject_needed", "reject_available", "reject_price",
)  # fmt: skip
#: In numeric: the product of two bigints may not fit one.
_NUMERIC: Any = DecimalField(max_digits=38, decimal_places=0)
_PRODUCT = ExpressionWrapper(Cast("price", _NUMERIC) * F("qty"), output_field=_NUMERIC)
# Orders by their index of (account, last event); of those the events, by order. Complete up to the limit, because every event is at or below its
# order's last one.
_SQL = """
SELECT e.seq, e.order_id, e.cmd_seq, e.exec_type, e.reason, e.price, e.qty, e.leaves, e.cum, e.time_ns,
       o.core_account, o.core_instrument, o.cl_ord_id, o.side, o.ord_type, o.time_in_force, o.flags, o.expire_ns,
       o.reject_needed, o.reject_available, o.reject_price
  FROM trading_order o JOIN trading_orderevent e ON e.order_id = o.order_id
 WHERE o.core_account = %s AND o.seq > %s AND e.seq > %s AND e.exec_type = ANY(%s)
 ORDER BY e.seq LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Fed:
    """Reports in order, the place they lead to, and whether there is more."""

    reports: list[list[Field]]
    seq: int
    more: bool


def feed_read(core_account: int, after: int) -> Fed:
    """The reports of an account's events after a place."""
    with projection_snapshot() as event_seq:
        with connection.cursor() as cursor:
            cursor.execute(_SQL, (core_account, after, after, list(_TOLD), EVENTS_MAX))
            rows = [dict(zip(_COLUMNS, values, strict=True)) for values in cursor.fetchall()]
        if not rows:
            return Fed([], max(after, event_seq), False)
        money = _money(rows)
        fills = Execution.objects.in_bulk([row["seq"] for row in rows if row["exec_type"] == EventType.ORDER_FILLED])
        requests = list(FixRequest.objects.filter(order_id__in={row["order_id"] for row in rows}).order_by("id"))
    names = _Names(core_account, requests)
    reports = []
    for row in rows:
        if row["exec_type"] == EventType.ORDER_FILLED:
            money[row["order_id"]] += row["price"] * row["qty"]
        name, orig = names.of(row)
        reports.append(mapping.event_report(row, name, orig, money[row["order_id"]], fills.get(row["seq"])))
    more = len(rows) == EVENTS_MAX
    return Fed(reports, rows[-1]["seq"] if more else max(rows[-1]["seq"], event_seq), more)


def _money(rows: list[dict[str, Any]]) -> dict[int, int]:
    """Sum of price × quantity of each order's fills before the first of these events."""
    orders = {row["order_id"] for row in rows}
    sums = (
        OrderEvent.objects.filter(order_id__in=orders, exec_type=EventType.ORDER_FILLED, seq__lt=rows[0]["seq"])
        .order_by()
        .values("order_id")
        .annotate(money=Sum(_PRODUCT))
    )
    return dict.fromkeys(orders, 0) | {one["order_id"]: int(one["money"]) for one in sums}


class _Names:
    """Which ClOrdID and OrigClOrdID an event is told under."""

    def __init__(self, core_account: int, requests: list[FixRequest]) -> None:
        self._of: dict[int, list[FixRequest]] = {}
        for request in requests:
            if request.core_account == core_account and not request.refused:
                self._of.setdefault(request.order_id, []).append(request)

    def of(self, row: dict[str, Any]) -> tuple[str, str]:
        mine = self._of.get(row["order_id"], [])
        kind = {EventType.ORDER_CANCELED: "F", EventType.ORDER_REPLACED: "G"}.get(row["exec_type"])
        for request in mine:
            if kind == request.kind and request.cmd_seq == row["cmd_seq"]:
                return request.cl_ord_id, request.orig_cl_ord_id
        for request in mine:
            # The gateway died between asking the engine and noting the answer: this is the answer.
            if kind == request.kind and request.cmd_seq is None and mapping.answers(row, request.kind, request.terms):
                request.cmd_seq = row["cmd_seq"]
                FixRequest.objects.filter(pk=request.pk).update(cmd_seq=row["cmd_seq"])
                return request.cl_ord_id, request.orig_cl_ord_id
        name = row["cl_ord_id"]
        for request in mine:
            if request.kind == "G" and request.cmd_seq is not None and request.cmd_seq <= row["cmd_seq"]:
                name = request.cl_ord_id
        return name, ""


def name_now(core_account: int, order_id: int, entered_as: str) -> str:
    """The ClOrdID an order goes by now: of its last replacement, else the one it was entered with."""
    replaced = FixRequest.objects.filter(
        core_account=core_account, order_id=order_id, kind="G", cmd_seq__isnull=False, refused=False
    )
    last = replaced.order_by("-cmd_seq").values_list("cl_ord_id", flat=True).first()
    return last or entered_as
