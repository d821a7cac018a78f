"""What an account has: balances, positions with their marks, and the margin they hold.

Owns the joining of stored positions, open orders and live quotes. A mark is the price a position could be closed at
now (bid for a long, ask for a short), else the last trade, else unknown: then every value that needs it is None.
Leaves JSON to ``shapes.py`` and quotes to marketdata.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from accounts.models import Balance
from brokerage.kernel.errors import UnitsError
from brokerage.kernel.units import ticks_from_price
from marketdata.selectors.instruments import InstrumentRef, instrument_by_core, instrument_list
from marketdata.selectors.quotes import quotes_get
from risk.models import Position
from trading.models import Order

Row = dict[str, Any]
PPM = 1_000_000
POSITIONS_MAX = 1000


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position, its mark (ticks, time) and the quote money it holds as margin; None where not known or not meant."""

    row: Row
    instrument: InstrumentRef
    mark: tuple[int, str] | None
    margin_held: int | None


def balance_list_for(core_account: int) -> list[Row]:
    """The account's balances, in the order of assets."""
    return list(Balance.objects.filter(core_account=core_account).order_by("core_asset").values())


def mark_of(quote: dict[str, Any] | None, net: int, instrument: InstrumentRef) -> tuple[int, str] | None:
    """Where a position of ``net`` lots could be closed, and when that was true."""
    if not quote or not quote.get("ts"):
        return None
    price = (quote.get("bid") if net >= 0 else quote.get("ask")) or quote.get("last")
    if price is None:
        return None
    try:
        return ticks_from_price(Decimal(price), instrument.tick_size), str(quote["ts"])
    except UnitsError:
        return None


def margin_hold(instrument: InstrumentRef, cost: int, open_orders: list[tuple[int, int, int]]) -> int:
    """The core's formula (docs/engine.md §2) over a position's cost and its open orders (side, price, leaves)."""
    rate = max(instrument.maker_ppm, instrument.taker_ppm)
    buys = sells = fees = 0
    for side, price, leaves in open_orders:
        notional = price * leaves * instrument.tick_value
        fees += notional * rate // PPM
        if side == 1:
            buys += notional
        else:
            sells += notional
    exposure = max(abs(cost), cost + buys, sells - cost)
    return -(-instrument.margin_ppm * exposure // PPM) + fees


def holding_instruments(currency: str) -> dict[str, InstrumentRef]:
    """Asset code -> the instrument that prices it in ``currency``."""
    return {item.base.code: item for item in instrument_list() if item.base and item.quote.code == currency}


def holding_symbols(currency: str) -> dict[str, str]:
    """Asset code -> symbol of the instrument that prices it in ``currency``."""
    return {code: item.symbol for code, item in holding_instruments(currency).items()}


def position_list_for(
    core_account: int,
    *,
    core_instrument: int | None = None,
    quotes_of: Callable[[list[str]], dict[str, dict[str, Any]]] | None = None,
) -> list[PositionView]:
    """Positions that are open or have made or lost something; margin instruments with open orders only are not
    positions. ``quotes_of`` brings prices from elsewhere than the live quotes.
    """
    rows = Position.objects.filter(core_account=core_account)
    if core_instrument is not None:
        rows = rows.filter(core_instrument=core_instrument)
    found: list[tuple[Row, InstrumentRef]] = []
    for row in rows.order_by("core_instrument").values()[:POSITIONS_MAX]:
        instrument = instrument_by_core(row["core_instrument"])
        if instrument is not None and (row["net"] or row["cost"] or row["realised_pnl"]):
            found.append((row, instrument))
    margin = [instrument.core_instrument for _, instrument in found if not instrument.spot]
    orders: dict[int, list[tuple[int, int, int]]] = {number: [] for number in margin}
    if margin:
        open_orders = Order.objects.filter(core_account=core_account, ord_status__in=(0, 1), core_instrument__in=margin)
        for number, side, price, leaves in open_orders.values_list("core_instrument", "side", "price", "leaves_qty"):
            orders[number].append((side, price, leaves))
    quotes = (quotes_of or quotes_get)([instrument.symbol for _, instrument in found]) if found else {}
    return [
        PositionView(
            row=row,
            instrument=instrument,
            mark=mark_of(quotes.get(instrument.symbol), row["net"], instrument),
            margin_held=(
                None if instrument.spot else margin_hold(instrument, row["cost"], orders[instrument.core_instrument])
            ),
        )
        for row, instrument in found
    ]
