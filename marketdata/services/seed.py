"""The reference data of a new installation: assets, venues and instruments. Idempotent; what staff changed later is left alone.

Prices at listing: the last recorded close where a package holds real history, else a round figure from which the simulated history ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache

from django.db import transaction

from brokerage.platform.audit import record
from marketdata.history.recorded import SOURCES, recorded_bars
from marketdata.models import Asset, Instrument, Venue
from marketdata.services.instruments import instrument_save

#: code, name, kind, scale, decimals shown. The scale of a fiat currency is finer than its cent so that small crypto lots have exact notionals.
ASSETS = (
    ("USD", "US dollar", "fiat", 6, 2),
    ("EUR", "Euro", "fiat", 6, 2),
    ("GBP", "Pound sterling", "fiat", 6, 2),
    ("BTC", "Bitcoin", "crypto", 8, 8),
    ("ETH", "Ether", "crypto", 8, 8),
    ("SOL", "Solana", "crypto", 8, 8),
    ("AAPL", "Apple Inc. share", "equity", 0, 0),
    ("MSFT", "Microsoft Corp. share", "equity", 0, 0),
    ("GOOG", "Google Inc. share", "equity", 0, 0),
    ("IBM", "International Business Machines Corp. share", "equity", 0, 0),
)
VENUES = (
    ("DEMO", "House market", "24/7", "UTC"),
    ("XNYS", "New York Stock Exchange", "XNYS", "America/New_York"),
)


@dataclass(frozen=True)
class Listing:
    """One row of the list below; ``price`` empty: the last recorded close."""

    symbol: str
    name: str
    asset_class: str
    tick: str
    lot: str
    price: str = ""
    isin: str = ""
    hours: str = "DEMO"


#: asset class: (kind, maker ppm, taker ppm, margin ppm, collar ppm)
TERMS = {
    "crypto": ("spot", 500, 1_000, 0, 100_000),
    "stock": ("spot", 0, 400, 0, 50_000),
    "fx": ("margin", 0, 30, 33_333, 20_000),
    "index": ("margin", 0, 50, 50_000, 50_000),
    "commodity": ("margin", 0, 100, 100_000, 50_000),
}
CFI = {"crypto": "TTXXXX", "stock": "ESVUFR", "fx": "JFTXCC", "index": "JEIXCC", "commodity": "JTIXCC"}
#: An order above this is refused (quote units).
MAX_NOTIONAL = Decimal(5_000_000)
LISTINGS = (
    Listing("BTC-USD", "Bitcoin", "crypto", "0.01", "0.0001", "64000"),
    Listing("ETH-USD", "Ether", "crypto", "0.01", "0.001", "3100"),
    Listing("SOL-USD", "Solana", "crypto", "0.001", "0.01", "150"),
    Listing("AAPL", "Apple", "stock", "0.01", "1", isin="US0378331005"),
    Listing("MSFT", "Microsoft", "stock", "0.01", "1", isin="US5949181045"),
    Listing("GOOG", "Google", "stock", "0.01", "1"),
    Listing("IBM", "IBM", "stock", "0.01", "1", isin="US4592001014", hours="XNYS"),
    Listing("US500", "S&P 500 CFD", "index", "0.1", "0.01"),
    Listing("US100", "NASDAQ Composite CFD", "index", "0.1", "0.01"),
    Listing("WTI", "Crude oil (WTI) CFD", "commodity", "0.01", "1"),
    Listing("XAU-USD", "Gold CFD", "commodity", "0.01", "0.1", "2400"),
    Listing("EUR-USD", "Euro / US dollar", "fx", "0.00001", "1000", "1.08500"),
    Listing("GBP-USD", "Pound / US dollar", "fx", "0.00001", "1000", "1.27000"),
    Listing("AUD-USD", "Australian dollar / US dollar", "fx", "0.00001", "1000", "0.66000"),
)


@cache
def _last_close(symbol: str) -> Decimal:
    # Of packages that are locked: the answer does not change while a process runs.
    return max(recorded_bars(symbol), key=lambda bar: bar.open_time).close


def _listing_price(listing: Listing) -> int:
    price = Decimal(listing.price) if listing.price else _last_close(listing.symbol)
    return int((price / Decimal(listing.tick)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _history_source(symbol: str) -> str:
    source = SOURCES.get(symbol)
    if source is None:
        return "Simulated (seeded random walk)"
    return (
        f"Recorded: {source.description} (package {source.package}, {source.licence}); minutes and later days simulated"
    )


def reference_seed(*, demo: bool) -> int:
    """Make what is missing; returns how many instruments were listed. In the demo all but IBM trade round the clock."""
    listed = 0
    with transaction.atomic():
        for number, (code, name, kind, scale, decimals) in enumerate(ASSETS, 1):
            asset, made = Asset.objects.get_or_create(
                code=code,
                defaults={
                    "name": name,
                    "kind": kind,
                    "scale": scale,
                    "display_decimals": decimals,
                    "core_asset": number,
                },
            )
            if made:
                facts = {"name": name, "kind": str(kind), "scale": scale, "core_asset": number}
                record("asset.listed", object_type="asset", object_id=asset.code, after=facts)
        for mic, name, calendar, zone in VENUES:
            Venue.objects.get_or_create(mic=mic, defaults={"name": name, "calendar": calendar, "time_zone": zone})
        for number, listing in enumerate(LISTINGS, 1):
            if Instrument.objects.filter(symbol=listing.symbol).exists():
                continue
            kind, maker, taker, margin, collar = TERMS[listing.asset_class]
            hours = listing.hours if demo or listing.asset_class != "stock" else "XNYS"
            quote = Asset.objects.get(code="USD")
            base = Asset.objects.get(code=listing.symbol.partition("-")[0]) if kind == "spot" else None
            instrument_save(
                Instrument(
                    symbol=listing.symbol,
                    name=listing.name,
                    kind=kind,
                    asset_class=listing.asset_class,
                    base=base,
                    quote=quote,
                    venue=Venue.objects.get(mic=hours),
                    isin=listing.isin,
                    cfi=CFI[listing.asset_class],
                    tick_size=Decimal(listing.tick),
                    lot_size=Decimal(listing.lot),
                    reference_price=_listing_price(listing),
                    max_notional=int(MAX_NOTIONAL.scaleb(quote.scale)),
                    collar_ppm=collar,
                    maker_ppm=maker,
                    taker_ppm=taker,
                    margin_ppm=margin,
                    core_instrument=number,
                    history_source=_history_source(listing.symbol),
                )
            )
            listed += 1
    return listed
