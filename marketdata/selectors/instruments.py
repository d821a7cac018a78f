"""Instruments and assets as everybody on a hot path reads them: frozen, cached in the process, keyed by symbol and
core number.

Owns ``InstrumentRef`` and ``AssetRef`` and their cache (reloaded after ``MAX_AGE_NS``, and at once when a symbol is
not known; kept as they are while the database is away). The rows change rarely; the trading state shown here may be that
much older than the engine's, which decides. Leaves to others: writing (``marketdata/services``), quotes (``quotes.py``).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from decimal import Decimal

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from brokerage.kernel.units import format_money, format_price, format_qty
from brokerage.platform.remembered import AWAY, database_failed, database_paused
from marketdata.models import Asset, Instrument

MAX_AGE_NS = 2 * NS_PER_S
#: An unknown name makes the cache look again, but not more often than this.
MISS_AGE_NS = NS_PER_S // 2


@dataclass(frozen=True, slots=True)
class AssetRef:
    """An asset: what amounts of it mean."""

    code: str
    name: str
    kind: str
    scale: int
    display_decimals: int
    core_asset: int

    def money(self, minor: int) -> str:
        """Exact amount of minor units, with every decimal of the scale."""
        return format_money(minor, self.scale)


@dataclass(frozen=True, slots=True)
class InstrumentRef:
    """An instrument with all that turns its ticks, lots and minor units into decimals."""

    core_instrument: int
    symbol: str
    name: str
    kind: str
    asset_class: str
    base: AssetRef | None
    quote: AssetRef
    venue: str
    calendar: str
    isin: str
    cfi: str
    tick_size: Decimal
    lot_size: Decimal
    price_decimals: int
    qty_decimals: int
    tick_value: int
    lot_minor: int
    min_qty: int
    max_qty: int
    max_notional: int
    collar_ppm: int
    maker_ppm: int
    taker_ppm: int
    margin_ppm: int
    state: str
    history_source: str

    @property
    def spot(self) -> bool:
        """True when a trade exchanges two assets."""
        return self.kind == "spot"

    def price(self, ticks: int) -> str:
        """Price text of a number of ticks."""
        return format_price(ticks, self.tick_size)

    def qty(self, lots: int) -> str:
        """Quantity text of a number of lots."""
        return format_qty(lots, self.lot_size)


class _Book:
    """One load of the reference tables."""

    __slots__ = ("assets", "by_code", "by_core", "by_symbol", "loaded_ns")

    def __init__(self, loaded_ns: int) -> None:
        self.loaded_ns = loaded_ns
        self.assets: dict[int, AssetRef] = {}
        self.by_code: dict[str, AssetRef] = {}
        by_pk: dict[int, AssetRef] = {}
        for row in Asset.objects.all():
            ref = AssetRef(row.code, row.name, row.kind, row.scale, row.display_decimals, row.core_asset)
            by_pk[row.pk] = self.assets[row.core_asset] = self.by_code[row.code] = ref
        self.by_symbol: dict[str, InstrumentRef] = {}
        self.by_core: dict[int, InstrumentRef] = {}
        for row in Instrument.objects.select_related("venue").order_by("core_instrument"):
            item = InstrumentRef(
                core_instrument=row.core_instrument,
                symbol=row.symbol,
                name=row.name,
                kind=row.kind,
                asset_class=row.asset_class,
                base=by_pk.get(row.base_id) if row.base_id is not None else None,
                quote=by_pk[row.quote_id],
                venue=row.venue.mic,
                calendar=row.venue.calendar,
                isin=row.isin,
                cfi=row.cfi,
                # Normalised once, so that equal increments are equal keys of the units' caches.
                tick_size=row.tick_size.normalize(),
                lot_size=row.lot_size.normalize(),
                price_decimals=row.price_decimals,
                qty_decimals=row.qty_decimals,
                tick_value=row.tick_value,
                lot_minor=row.lot_minor,
                min_qty=row.min_qty,
                max_qty=row.max_qty,
                max_notional=row.max_notional,
                collar_ppm=row.collar_ppm,
                maker_ppm=row.maker_ppm,
                taker_ppm=row.taker_ppm,
                margin_ppm=row.margin_ppm,
                state=row.state,
                history_source=row.history_source,
            )
            self.by_symbol[item.symbol] = self.by_core[item.core_instrument] = item


_lock = threading.Lock()
_book: _Book | None = None


def _current(max_age_ns: int, clock: Clock = SYSTEM_CLOCK) -> _Book:
    global _book
    book = _book
    now_ns = clock.monotonic_ns()
    if book is not None and now_ns - book.loaded_ns <= max_age_ns:
        return book
    # One thread loads; the others go on with the old book while there is one, and all do while the database is away.
    if book is not None and database_paused(clock):
        return book
    if not _lock.acquire(blocking=book is None):
        return book  # type: ignore[return-value]
    try:
        if _book is None or now_ns - _book.loaded_ns > max_age_ns:
            _book = _Book(clock.monotonic_ns())
        return _book
    except AWAY as error:
        database_failed(error, clock)
        if book is None:
            raise
        return book
    finally:
        _lock.release()


def reference_forget() -> None:
    """Drop the cache: after a listing changed in this process, and between tests."""
    global _book
    _book = None


def instrument_by_symbol(symbol: str) -> InstrumentRef | None:
    """The instrument of that symbol, or None."""
    return _current(MAX_AGE_NS).by_symbol.get(symbol) or _current(MISS_AGE_NS).by_symbol.get(symbol)


def instrument_by_core(core_instrument: int) -> InstrumentRef | None:
    """The instrument with that number in the core, or None."""
    return _current(MAX_AGE_NS).by_core.get(core_instrument) or _current(MISS_AGE_NS).by_core.get(core_instrument)


def instrument_list() -> list[InstrumentRef]:
    """Every instrument, in the order of listing."""
    return list(_current(MAX_AGE_NS).by_core.values())


def asset_by_core(core_asset: int) -> AssetRef | None:
    """The asset with that number in the core, or None."""
    return _current(MAX_AGE_NS).assets.get(core_asset) or _current(MISS_AGE_NS).assets.get(core_asset)


def asset_by_code(code: str) -> AssetRef | None:
    """The asset of that code, or None."""
    return _current(MAX_AGE_NS).by_code.get(code) or _current(MISS_AGE_NS).by_code.get(code)
