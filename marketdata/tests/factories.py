"""Makers of market data values for tests."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from marketdata.selectors.instruments import AssetRef, InstrumentRef

USD = AssetRef("USD", "US dollar", "fiat", 6, 2, 1)


def instrument_ref(core: int = 1, symbol: str = "AAA", **changes: object) -> InstrumentRef:
    """An instrument with a tick of 0.01 and a lot of 1."""
    ref = InstrumentRef(
        core_instrument=core,
        symbol=symbol,
        name=symbol,
        kind="margin",
        asset_class="fx",
        base=None,
        quote=USD,
        venue="24/7",
        calendar="24/7",
        isin="",
        cfi="",
        tick_size=Decimal("0.01"),
        lot_size=Decimal(1),
        price_decimals=2,
        qty_decimals=0,
        tick_value=10_000,
        lot_minor=1,
        min_qty=1,
        max_qty=0,
        max_notional=0,
        collar_ppm=0,
        maker_ppm=0,
        taker_ppm=0,
        margin_ppm=50_000,
        state="active",
        history_source="",
    )
    return replace(ref, **changes)  # type: ignore[arg-type]
