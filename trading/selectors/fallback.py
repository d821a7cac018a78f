"""What the fallback app shows: the portal's own figures from PostgreSQL alone, and requests to the desk.

Balances, positions and orders come from the selectors the portal uses; only prices come from stored trades and bars instead of live quotes, each
with its time and what it is. Leaves changes to ``services/fallback.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, Clock, rfc3339
from brokerage.kernel.terms import OrdStatus, Side
from marketdata.selectors.candles import PriceView, prices_before
from marketdata.selectors.instruments import InstrumentRef, instrument_by_core, instrument_by_symbol
from risk.models import Position
from trading.models import FallbackRequest, ProjectionState
from trading.selectors.orders import order_list_for
from trading.selectors.portfolio import balance_list_for, position_list_for
from trading.selectors.shapes import balance_json, order_json, order_public_id, position_json

#: Of open orders, the newest.
ORDERS_MAX = 200
PAGE_ROWS = 25
#: What a stored price is, in words.
SOURCES = {
    "trade": "last trade here",
    "live": "bar of trades here",
    "recorded": "recorded close",
    "simulated": "simulated close",
}


@dataclass(frozen=True, slots=True)
class FallbackState:
    """An account for the page; ``as_of`` is when the engine's events were last written down, None when never."""

    balances: list[dict[str, Any]]
    positions: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    orders_more: bool
    as_of: datetime | None


def status_word(status: int) -> str:
    """An order status as the API names it."""
    return OrdStatus(status).api.replace("_", " ")


def closable(core_account: int, instrument: InstrumentRef) -> tuple[int, int]:
    """(lots that can be closed, side of the order that would): of margin either way; of spot only what is held can be sold. (0, 0): nothing."""
    net = (
        Position.objects.filter(core_account=core_account, core_instrument=instrument.core_instrument)
        .values_list("net", flat=True)
        .first()
    )
    if not net or (instrument.spot and net < 0):
        return 0, 0
    return abs(net), int(Side.SELL if net > 0 else Side.BUY)


def closable_left(account_id: Any, core_account: int, instrument: InstrumentRef) -> tuple[int, int]:
    """``closable`` less what open requests ask to close already."""
    there, side = closable(core_account, instrument)
    waiting = FallbackRequest.objects.filter(
        account_id=account_id,
        kind="close",
        core_instrument=instrument.core_instrument,
        state__in=FallbackRequest.OPEN,
    ).aggregate(lots=Sum("qty"))["lots"]
    return max(0, there - (waiting or 0)), side


class _StoredPrices:
    """Quotes of stored prices for ``position_list_for``, remembered with their source."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.found: dict[str, PriceView] = {}

    def __call__(self, symbols: Iterable[str]) -> dict[str, dict[str, Any]]:
        items = [item for symbol in symbols if (item := instrument_by_symbol(symbol)) is not None]
        prices = prices_before([item.core_instrument for item in items], self.now_ns) if items else {}
        for item in items:
            price = prices.get(item.core_instrument)
            if price is not None:
                self.found[item.symbol] = price
        return {
            item.symbol: {"last": item.price(price.ticks), "ts": rfc3339(price.time_ns)}
            for item in items
            if (price := self.found.get(item.symbol)) is not None
        }


def fallback_state(core_account: int, number: str, *, clock: Clock = SYSTEM_CLOCK) -> FallbackState:
    """Read an account."""
    prices = _StoredPrices(clock.now_ns())
    positions = []
    for view in position_list_for(core_account, quotes_of=prices):
        if not view.row["net"]:
            continue
        shown = position_json(view.row, view.instrument, mark=view.mark, margin_held=view.margin_held)
        price = prices.found.get(view.instrument.symbol)
        positions.append(
            {
                **shown,
                "side": "long" if view.row["net"] > 0 else "short",
                "size": view.instrument.qty(abs(view.row["net"])),
                "closable": not view.instrument.spot or view.row["net"] > 0,
                "price_source": SOURCES.get(price.source, price.source) if price else None,
                "price_age_s": max(0, prices.now_ns - price.time_ns) // NS_PER_S if price else None,
            }
        )
    orders = list(order_list_for(core_account, status="open").order_by("-entry_seq")[: ORDERS_MAX + 1])
    asked = set(
        FallbackRequest.objects.filter(
            account__core_account=core_account, kind="cancel", state__in=FallbackRequest.OPEN
        ).values_list("order_id", flat=True)
    )
    return FallbackState(
        balances=[balance_json(row) for row in balance_list_for(core_account) if row["available"] or row["held"]],
        positions=positions,
        orders=[{**order_json(row, None, number), "asked": row["order_id"] in asked} for row in orders[:ORDERS_MAX]],
        orders_more=len(orders) > ORDERS_MAX,
        as_of=ProjectionState.objects.filter(pk=1).values_list("updated_at", flat=True).first(),
    )


def requests_queued() -> QuerySet[FallbackRequest]:
    """All requests, with ``ahead``: how many open ones came before."""
    before = FallbackRequest.objects.filter(state__in=FallbackRequest.OPEN, pk__lt=OuterRef("pk")).order_by()
    count = before.annotate(all=Value(1)).values("all").annotate(count=Count("pk")).values("count")
    return FallbackRequest.objects.annotate(ahead=Coalesce(Subquery(count, output_field=IntegerField()), 0))


def request_list_for(account_id: Any) -> QuerySet[FallbackRequest]:
    """Requests of an account, newest first; the caller pages by id."""
    return requests_queued().filter(account_id=account_id).order_by("-pk")


def request_json(row: FallbackRequest) -> dict[str, Any]:
    """A request as its account sees it: nothing of who works on it. ``place`` is its place in the queue, None once it is decided."""
    instrument = instrument_by_core(row.core_instrument)
    is_open = row.state in FallbackRequest.OPEN
    return {
        "number": row.pk,
        "kind": row.kind,
        "symbol": instrument.symbol if instrument else None,
        "side": Side(row.side).api,
        "qty": instrument.qty(row.qty) if instrument else None,
        "done_qty": instrument.qty(row.done_qty) if instrument else None,
        "order_id": order_public_id(row.order_id) if row.order_id is not None else None,
        "state": row.state,
        "state_text": FallbackRequest.State(row.state).label,
        "place": row.ahead + 1 if is_open and hasattr(row, "ahead") else None,
        "message": row.message,
        "may_withdraw": row.state == FallbackRequest.State.RECEIVED,
        "created_at": row.created_at,
        "decided_at": row.decided_at,
    }
