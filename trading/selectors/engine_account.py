"""An account as the engine itself has it: live orders, balances, open positions. For the time in which the database cannot be asked.

Rows have the columns of the stored ones, as far as the engine knows them: it keeps no history, so when an order was entered, what its fills
were worth and what was realised are None. Owns the conversion and when it is used. Leaves what is shown to the views.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from brokerage.kernel.errors import EngineUnavailableError
from brokerage.kernel.terms import OrdStatus
from brokerage.platform.remembered import AWAY, database_failed
from marketdata.selectors.instruments import instrument_by_core
from marketdata.selectors.quotes import quotes_get
from trading.engine.wire import OrderRow
from trading.selectors.portfolio import PositionView, mark_of
from trading.services.engine_access import get_engine_client

Row = dict[str, Any]
T = TypeVar("T")
ORDERS_MAX = 1_000


def stored_or_live(stored: Callable[[], T], live: Callable[[], T]) -> tuple[T, bool]:
    """What is stored; while the database does not answer what the engine has, and True. Without either, the database's error."""
    try:
        return stored(), False
    except AWAY as error:
        database_failed(error)
        try:
            return live(), True
        except EngineUnavailableError:
            raise error from None


def live_orders(core_account: int, *, core_instrument: int | None = None, side: int | None = None) -> list[Row]:
    """The account's open orders, newest first, at most ORDERS_MAX. EngineUnavailableError when the engine is away, here and below."""
    rows = get_engine_client().query_orders(core_account, limit=ORDERS_MAX)
    return [
        _order(row)
        for row in sorted(rows, key=lambda row: -row.entry_seq)
        if core_instrument in (None, row.instrument) and side in (None, row.side)
    ]


def _order(row: OrderRow) -> Row:
    unknown = ("cl_ord_id", "stp", "created_ns", "updated_ns", "source", "seq")
    return dict.fromkeys(unknown) | {
        "order_id": row.order_id,
        "core_account": row.account,
        "core_instrument": row.instrument,
        "side": row.side,
        "ord_type": row.ord_type,
        "time_in_force": row.tif,
        "flags": row.flags,
        "price": row.price,
        "order_qty": row.order_qty,
        "leaves_qty": row.leaves,
        "cum_qty": row.cum_qty,
        "notional_sum": None if row.cum_qty else 0,
        "fee_sum": None if row.cum_qty else 0,
        "ord_status": int(OrdStatus.PARTIALLY_FILLED if row.cum_qty else OrdStatus.NEW),
        "reject_reason": 0,
        "cancel_reason": 0,
        "version": row.version,
        "expire_ns": row.expire_ns,
        "entry_seq": row.entry_seq,
    }


def live_balances(core_account: int) -> list[Row]:
    """The account's balances, in the order of assets."""
    rows = sorted(get_engine_client().query_balances(core_account))
    return [{"core_asset": row.asset, "available": row.available, "held": row.held, "seq": None} for row in rows]


def live_positions(core_account: int) -> list[PositionView]:
    """The account's open margin positions with their marks."""
    found = []
    for row in sorted(get_engine_client().query_positions(core_account)):
        instrument = instrument_by_core(row.instrument)
        if instrument is not None and (row.net or row.cost):
            found.append((row, instrument))
    quotes = quotes_get([instrument.symbol for _, instrument in found]) if found else {}
    return [
        PositionView(
            row={
                "core_instrument": row.instrument,
                "net": row.net,
                "cost": row.cost,
                "realised_pnl": None,
                "seq": None,
            },
            instrument=instrument,
            mark=mark_of(quotes.get(instrument.symbol), row.net, instrument),
            margin_held=row.hold,
        )
        for row, instrument in found
    ]
