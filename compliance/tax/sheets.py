"""Tables of a tax document, the same for the page, the CSV file and paper; and how exact amounts are printed. Pure.

Printed amounts are whole cents: each row is its exact amount rounded half to even, a total is the sum of the rows as printed, so that anybody who
adds them up finds it. Nothing is rounded before that, and no rounded amount is worked with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from brokerage.kernel.units import RoundingMode, divide

CENT = 100


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name in files, its heading on paper, its share of the width there; 0: only in files."""

    name: str
    label: str
    width: int
    number: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. ``section`` is what its rows are called in the file; cells are printed text, None where there is nothing to say."""

    section: str
    title: str
    columns: tuple[Column, ...]
    rows: list[dict[str, str | None]]
    nothing: str


@dataclass(frozen=True, slots=True)
class Sheets:
    """All of a document: totals first. ``gaps`` say what could not be worked out, ``notes`` how to read it."""

    totals: Sheet
    others: list[Sheet]
    gaps: list[str]
    notes: list[str]
    #: Rows that are figures, not sums.
    lines: int = 0

    def every(self) -> list[Sheet]:
        """All tables, in order."""
        return [self.totals, *self.others]


def cents(amount: Fraction) -> int:
    """Whole cents, half to even."""
    return divide(amount.numerator * CENT, amount.denominator, RoundingMode.HALF_EVEN)


def money(amount_cents: int | None) -> str | None:
    """Cents as text."""
    return None if amount_cents is None else f"{Decimal(amount_cents).scaleb(-2):f}"


def quantity(units: int, scale: int) -> str:
    """Smallest units as plain text without idle zeros."""
    text = f"{Decimal(units).scaleb(-scale):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact(amount: Fraction) -> str:
    """An amount that has an end, with at least two decimals and all that say something. ValueError for one that has none."""
    scaled = amount * 10**12
    if scaled.denominator != 1:
        raise ValueError(f"{amount} is no amount of money as it is booked")
    text = f"{Decimal(scaled.numerator).scaleb(-12):f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"


@dataclass(slots=True)
class Summed:
    """A column that is summed: ``add`` gives the cents to print for an amount. Unknown amounts are counted, not summed."""

    total: int = 0
    unknown: int = 0

    def add(self, amount: Fraction | None) -> int | None:
        """The cents of this row."""
        if amount is None:
            self.unknown += 1
            return None
        row = cents(amount)
        self.total += row
        return row

    @property
    def cents(self) -> int | None:
        """The total of the rows; None where any of them is not known."""
        return None if self.unknown else self.total


def reasons(whys: Iterable[str], what: str) -> Iterator[str]:
    """Each reason once, with how many lines it holds for."""
    found: dict[str, int] = {}
    for why in whys:
        if why:
            found[why] = found.get(why, 0) + 1
    for why, count in found.items():
        yield f"{count} {what if count == 1 else f'{what}s'}, {why}."
