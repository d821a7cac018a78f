"""Recorded history: real daily bars that ship inside installed packages. Nothing is downloaded and nothing is copied into this project.

The stock series are as traded (splits show as jumps). Callers round the prices half-even to the instrument's tick: the only change
made to them. Leaves writing candles to ``marketdata/services/history.py``.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path


@dataclass(frozen=True)
class RecordedBar:
    """One recorded day: epoch seconds of 00:00 UTC, prices as recorded, volume in units as recorded (0 = not recorded)."""

    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True)
class RecordedSource:
    """Where a series comes from, as shown on the about page."""

    symbol: str
    package: str
    file: str
    licence: str
    description: str
    ticker: str = ""


_STOCKS = "_data/stocks.csv.gz"
SOURCES = {
    source.symbol: source
    for source in (
        *(
            RecordedSource(
                symbol, "bokeh_sampledata", _STOCKS, "BSD-3-Clause", f"daily prices as traded, {years}", symbol
            )
            for symbol, years in (
                ("AAPL", "2000-2013"),
                ("GOOG", "2004-2013"),
                ("IBM", "2000-2013"),
                ("MSFT", "2000-2013"),
            )
        ),
        RecordedSource("US500", "arch", "data/sp500/sp500.csv.gz", "NCSA", "S&P 500 index, daily, 1999-2018"),
        RecordedSource(
            "US100", "arch", "data/nasdaq/nasdaq.csv.gz", "NCSA", "NASDAQ Composite index, daily, 1999-2018"
        ),
        RecordedSource(
            "WTI", "arch", "data/wti/wti.csv.gz", "NCSA", "West Texas Intermediate spot, daily closes, 1986-2019"
        ),
    )
}


class RecordedDataError(Exception):
    """A package that should hold recorded data is missing or its file has another shape."""


def _path(source: RecordedSource) -> Path:
    # Found without importing: these packages pull in whole plotting and statistics stacks when imported.
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise RecordedDataError(f"The package {source.package} is not installed: run make setup.")
    path = Path(spec.submodule_search_locations[0]) / source.file
    if not path.is_file():
        raise RecordedDataError(
            f"{source.package} has no file {source.file}: another version than the locked one is installed."
        )
    return path


def _day(text: str) -> int:
    if "/" in text:
        month, day, year = text.split("/")
        return int(datetime(int(year), int(month), int(day), tzinfo=UTC).timestamp())
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def recorded_bars(symbol: str) -> Iterator[RecordedBar]:
    """Yield the recorded days of a symbol in time order; nothing when there is no source for it.

    Rows without a price (holidays in the oil series) are left out; a file of another shape raises RecordedDataError.
    """
    source = SOURCES.get(symbol)
    if source is None:
        return
    with gzip.open(_path(source), "rt", newline="") as file:
        for row in csv.DictReader(file):
            if source.ticker and row.get("Ticker") != source.ticker:
                continue
            try:
                if "DCOILWTICO" in row:
                    if not row["DCOILWTICO"].strip(" ."):
                        continue
                    price = Decimal(row["DCOILWTICO"])
                    yield RecordedBar(_day(row["Date"]), price, price, price, price, Decimal(0))
                else:
                    prices = [Decimal(row[name]) for name in ("Open", "High", "Low", "Close")]
                    yield RecordedBar(
                        _day(row["Date"]), prices[0], prices[1], prices[2], prices[3], Decimal(row["Volume"])
                    )
            except (KeyError, ValueError, InvalidOperation) as error:
                raise RecordedDataError(f"{source.package} {source.file}: a row cannot be read ({error!r}).") from error
