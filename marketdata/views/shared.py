"""What several pages show of the market: an instrument's rules for the scripts, quotes in listing order, sparklines.

Decimals are text. Sparklines are drawings: their points are whole numbers on a 96 by 28 canvas.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.kernel.units import format_plain
from brokerage.platform.remembered import AWAY, database_failed
from marketdata.models import Candle
from marketdata.selectors.instruments import InstrumentRef, instrument_list
from marketdata.selectors.quotes import quotes_get

HOUR_S = 3600
SPARK_HOURS = 48
SPARK_WIDTH, SPARK_HEIGHT = 96, 26


class SparkPoints(str):
    """Points of a polyline, with the direction of the line from its first to its last value."""

    kind = ""


def instrument_spec(item: InstrumentRef) -> dict[str, Any]:
    """Return what the page scripts need to know of an instrument."""
    return {
        "symbol": item.symbol,
        "name": item.name,
        "kind": item.kind,
        "asset_class": item.asset_class,
        "base": item.base.code if item.base else None,
        "quote": item.quote.code,
        "quote_decimals": item.quote.display_decimals,
        "tick_size": format_plain(item.tick_size),
        "lot_size": format_plain(item.lot_size),
        "price_decimals": item.price_decimals,
        "qty_decimals": item.qty_decimals,
        "min_qty": item.qty(item.min_qty),
        "max_qty": item.qty(item.max_qty) if item.max_qty else None,
        "max_notional": item.quote.money(item.max_notional) if item.max_notional else None,
        "maker_ppm": item.maker_ppm,
        "taker_ppm": item.taker_ppm,
        "margin_ppm": item.margin_ppm,
        "collar_ppm": item.collar_ppm,
        "state": item.state,
    }


def spark_points(values: list[int]) -> SparkPoints:
    """Return the polyline of some values, oldest first; empty when there are fewer than two."""
    if len(values) < 2:
        return SparkPoints("")
    low, high = min(values), max(values)
    span = (high - low) or 1
    step = len(values) - 1
    points = SparkPoints(
        " ".join(
            f"{index * SPARK_WIDTH // step},{1 + (high - value) * SPARK_HEIGHT // span}"
            for index, value in enumerate(values)
        )
    )
    points.kind = "s-up" if values[-1] > values[0] else "s-down" if values[-1] < values[0] else ""
    return points


def sparklines(items: Iterable[InstrumentRef]) -> dict[int, SparkPoints]:
    """Return the hourly closes of the last two days of each instrument as lines, in one query."""
    since = SYSTEM_CLOCK.now_ns() // NS_PER_S - SPARK_HOURS * HOUR_S
    closes: dict[int, list[int]] = {}
    rows = (
        Candle.objects.filter(
            core_instrument__in=[item.core_instrument for item in items], frame=HOUR_S, open_time__gte=since
        )
        .order_by("core_instrument", "open_time")
        .values_list("core_instrument", "close")
    )
    for number, close in rows:
        closes.setdefault(number, []).append(close)
    return {number: spark_points(values) for number, values in closes.items()}


def spread_of(quote: dict[str, Any] | None) -> str | None:
    """Return ask less bid, None when one of them is not known."""
    if not quote or quote.get("bid") is None or quote.get("ask") is None:
        return None
    return str(Decimal(quote["ask"]) - Decimal(quote["bid"]))


def market_rows(items: list[InstrumentRef] | None = None, *, sparks: bool = True) -> list[dict[str, Any]]:
    """Return each instrument with its quote and line, in listing order."""
    items = instrument_list() if items is None else items
    quotes = quotes_get([item.symbol for item in items])
    try:
        lines = sparklines(items) if sparks else {}
    except AWAY as error:
        database_failed(error)
        lines = {}
    return [
        {
            "item": item,
            "quote": quotes.get(item.symbol) or {},
            "spread": spread_of(quotes.get(item.symbol)),
            "spark": lines.get(item.core_instrument, ""),
        }
        for item in items
    ]
