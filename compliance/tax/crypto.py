"""Yearly sums by crypto asset, as CARF and DAC8 report of a holder: counts, units, money against currencies, transfers in and out. Pure of models.

Amounts are those paid and received without fees, exact; fees stand beside them. Nothing is matched and no gain worked out. Transfers and exchanges
of one asset for another are counted with their units; their worth in money is not worked out (no price of record), and the document says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

from compliance.tax.lots import BUY, IN, SELL
from compliance.tax.sheets import Column, Sheet, Sheets, exact, quantity
from compliance.tax.years import Kind, TaxYear
from marketdata.selectors.instruments import AssetRef


class Moved(Protocol):
    """What is asked of a movement (``compliance/selectors/tax_facts.py``)."""

    @property
    def time_ns(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def qty(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def value(self) -> Fraction | None: ...
    @property
    def fee(self) -> Fraction | None: ...
    @property
    def how(self) -> str: ...


COLUMNS = (
    Column("asset", "Asset", 10),
    Column("what", "What", 30),
    Column("currency", "In", 8),
    Column("count", "Count", 10, number=True),
    Column("quantity", "Units", 16, number=True),
    Column("amount", "Amount", 14, number=True),
    Column("fees", "Fees", 12, number=True),
)
#: (kind of movement, how) in words, in the order of the table.
_WORDS = {
    (BUY, "trade"): "acquired against currency",
    (SELL, "trade"): "disposed of against currency",
    (BUY, "exchange"): "acquired against another asset",
    (SELL, "exchange"): "disposed of against another asset",
}


def _what(move: Moved) -> str:
    known = _WORDS.get((move.kind, move.how))
    return known or f"{'received' if move.kind == IN else 'sent'}: {move.how}"


def crypto_sheets(kind: Kind, year: TaxYear, moves: Sequence[tuple[AssetRef, Sequence[Moved]]]) -> Sheets:
    """The sums of a year."""
    rows: list[dict[str, str | None]] = []
    bare = lines = 0
    for asset, all_of_it in moves:
        sums: dict[tuple[int, str, str], list[int | Fraction]] = {}
        for move in all_of_it:
            if kind.day(move.time_ns) not in year:
                continue
            what = _what(move)
            place = list(_WORDS.values()).index(what) if what in _WORDS.values() else len(_WORDS)
            found = sums.setdefault((place, what, move.currency), [0, 0, Fraction(0), Fraction(0)])
            found[0] += 1
            found[1] += move.qty
            found[2] += move.value or 0
            found[3] += move.fee or 0
            lines += 1
            bare += move.value is None or move.fee is None
        for (_, what, currency), (count, units, amount, fees) in sorted(sums.items()):
            rows.append(
                {
                    "asset": asset.code, "what": what, "currency": currency or None, "count": str(count),
                    "quantity": quantity(int(units), asset.scale),
                    "amount": exact(Fraction(amount)) if currency else None, "fees": exact(Fraction(fees)) if currency else None,
                }
            )  # fmt: skip
    table = Sheet("total", "By asset", COLUMNS, rows, "No crypto asset was bought, sold or moved in this year.")
    gaps = (
        [f"{bare} of {lines} movements, no amount in money: no price of record, or a fee in another asset."]
        if bare
        else []
    )
    notes = [
        "Amounts are what was paid and received without fees, exact; the fees stand beside them.",
        "Who the holder is, the tax residence and its number come from what the holder declared; they are reported with these sums and not repeated "
        "here.",
        "Whether an address that units went to is of another provider or the holder's own is not known here.",
    ]
    return Sheets(table, [], gaps, notes)
