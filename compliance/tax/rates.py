"""Exchange rates of record for tax documents: a file the operator gives (``TAX_RATES_FILE``), a rate for a stretch of days. Pure.

A rate is taken from the file or there is none: prices of our own markets are no rates of an authority, and nothing is estimated.
Columns: currency, to, first, last (both days in it), units (of ``currency`` for one of ``to``, as HMRC publishes them), source.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from brokerage.config import ConfigError
from brokerage.kernel.clock import parse_day
from brokerage.kernel.errors import NotANumberError
from brokerage.kernel.units import parse_decimal

COLUMNS = ("currency", "to", "first", "last", "units", "source")


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of ``currency`` for one of ``to`` on the days ``first`` to ``last``."""

    currency: str
    to: str
    first: date
    last: date
    units: Fraction
    source: str


class Rates:
    """The rates there are. ValueError when two are for one day."""

    def __init__(self, rows: Iterable[Rate] = ()) -> None:
        self._by: dict[tuple[str, str], list[Rate]] = {}
        for row in sorted(rows, key=lambda one: one.first):
            known = self._by.setdefault((row.currency, row.to), [])
            if row.last < row.first or (known and known[-1].last >= row.first):
                raise ValueError(f"rates of {row.currency} for {row.to} overlap or end early at {row.first}")
            known.append(row)

    def find(self, currency: str, to: str, day: date) -> Rate | None:
        """The rate of a day, or None."""
        rows = self._by.get((currency, to), [])
        at = bisect_right(rows, day, key=lambda row: row.first) - 1
        return rows[at] if at >= 0 and rows[at].last >= day else None

    def convert(self, amount: Fraction, currency: str, to: str, day: date) -> Fraction | None:
        """An amount in ``to``, exact; None where there is no rate of that day."""
        if currency == to:
            return amount
        rate = self.find(currency, to, day)
        return amount / rate.units if rate else None


def _row(found: dict[str, str | None], number: int) -> Rate:
    # A row that is cut short has None in its last columns.
    row = {name: found.get(name) or "" for name in COLUMNS}
    first, last = parse_day(row["first"]), parse_day(row["last"])
    units = Fraction(parse_decimal(row["units"]))
    if first is None or last is None or units <= 0 or not row["source"]:
        raise ValueError(f"row {number} of the file of rates is not a rate")
    return Rate(row["currency"], row["to"], first, last, units, row["source"])


@lru_cache(maxsize=4)
def rates_read(path: Path | None) -> Rates:
    """The rates of a file, none without one; read once. ConfigError for a file that is none."""
    if path is None:
        return Rates()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(f"the file of rates must have the columns {', '.join(COLUMNS)}")
            return Rates(_row(row, number) for number, row in enumerate(reader, 2))
    except (OSError, ValueError, NotANumberError) as error:
        raise ConfigError(f"TAX_RATES_FILE={str(path)!r}: {error}") from error
