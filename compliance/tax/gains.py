"""Gains of a year line by line: Form 8949's layout for the United States, disposals and their matches for the United Kingdom. Pure of models.

All moves of an asset are matched, then the lines of the year are taken: a purchase after the year can still meet a sale of it. Sums are checked:
what the lines brought is what the fills brought, else DisagreementError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from compliance.tax.lots import SELL, ZERO, Match, Move, fifo
from compliance.tax.pool import pool
from compliance.tax.sheets import Column, Sheet, Sheets, Summed, money, quantity, reasons
from compliance.tax.years import TaxYear
from marketdata.selectors.instruments import AssetRef
from trading.selectors.statement_figures import DisagreementError

#: Of digital assets the cost is reported for what was bought from this day on (26 CFR 1.6045-1).
COVERED_FROM = date(2026, 1, 1)
#: (digital, held long, cost reported) -> box of Form 8949; what has no day of purchase is in the last of its kind.
_BOXES = {
    (False, False, True): "A", (False, False, False): "B", (False, True, True): "D", (False, True, False): "E",
    (True, False, True): "G", (True, False, False): "H", (True, True, True): "J", (True, True, False): "K",
}  # fmt: skip
WASHED = "a wash sale before added to cost and holding period: the date acquired is moved back"
_NO_TERM = {False: "X", True: "Y"}
US_COLUMNS = (
    Column("box", "Box", 5),
    Column("description", "Description", 17),
    Column("date_acquired", "Acquired", 12),
    Column("date_sold", "Sold", 12),
    Column("proceeds", "Proceeds", 12, number=True),
    Column("basis", "Cost basis", 12, number=True),
    Column("code", "Code", 7),
    Column("adjustment", "Adjust.", 10, number=True),
    Column("gain", "Gain or loss", 12, number=True),
    Column("term", "Term", 0),
    Column("security", "Security", 0),
    Column("rule", "Matched by", 16),
    Column("order", "Order", 0),
    Column("days_added", "Days added", 0, number=True),
    Column("note", "Note", 0),
)
US_TOTALS = tuple(one for one in US_COLUMNS if one.name not in {"date_acquired", "date_sold", "code", "rule"})
UK_COLUMNS = (
    Column("asset", "Asset", 9),
    Column("date_sold", "Sold", 12),
    Column("quantity", "Quantity", 12, number=True),
    Column("matched", "Matched by", 10),
    Column("date_acquired", "Acquired", 12),
    Column("proceeds", "Proceeds, GBP", 13, number=True),
    Column("cost", "Cost, GBP", 13, number=True),
    Column("gain", "Gain, GBP", 12, number=True),
    Column("traded_in", "In", 0),
    Column("traded_proceeds", "Proceeds as traded", 13, number=True),
    Column("traded_cost", "Cost as traded", 13, number=True),
    Column("note", "Note", 0),
)
UK_TOTALS = (
    Column("what", "What", 60),
    Column("count", "Count", 15, number=True),
    Column("currency", "In", 10),
    Column("amount", "Amount", 25, number=True),
)


@dataclass(frozen=True, slots=True)
class Traded:
    """An asset's movements in the document's currency, and as traded where that is one currency for all of them."""

    asset: AssetRef
    security: str
    moves: list[Move]
    as_traded: list[Move]
    traded_in: str


def _agree(asset: AssetRef, moves: Iterable[Move], matches: Iterable[Match]) -> None:
    """Every unit sold is on a line, and the lines bring what the sales brought."""
    sold = [one for one in moves if one.kind == SELL]
    lines = list(matches)
    if sum(one.qty for one in sold) != sum(one.qty for one in lines):
        raise DisagreementError(f"{asset.code}: lines have other units than were sold")
    known = sum((one.money for one in sold if one.money is not None), ZERO)
    # Sales of a day that are one sale have no proceeds at all when those of one of them are not known.
    if all(one.proceeds is not None for one in lines) and sum((one.proceeds or ZERO for one in lines), ZERO) != known:
        raise DisagreementError(f"{asset.code}: lines do not bring what the sales brought")


def us_sheets(year: TaxYear, traded: Sequence[Traded], *, digital: bool) -> Sheets:
    """Sales of securities, or of digital assets, by box."""
    found: list[tuple[str, AssetRef, str, Match]] = []
    for one in traded:
        matches = fifo(one.moves, wash=not digital).matches
        _agree(one.asset, one.moves, matches)
        found += [(_box(match, digital), one.asset, one.security, match) for match in matches if match.sold in year]
    found.sort(key=lambda row: (row[0], row[3].sold, row[1].code))
    rows, totals = [], []
    for box in sorted({row[0] for row in found}):
        proceeds, basis, adjusted, count = Summed(), Summed(), Summed(), 0
        for _, asset, security, match in (row for row in found if row[0] == box):
            rows.append(_us_row(box, asset, security, match, proceeds, basis, adjusted))
            count += 1
        got, cost, put_off = proceeds.cents, basis.cents, adjusted.cents or 0
        totals.append(
            {
                "box": box, "description": f"{count} line{'s' * (count != 1)}", "proceeds": money(got), "basis": money(cost),
                "adjustment": money(put_off), "gain": None if got is None or cost is None else money(got - cost + put_off),
            }
        )  # fmt: skip
    gaps = list(reasons((match.why for *_, match in found), "line"))
    what = "digital assets" if digital else "securities"
    sheet = Sheet("line", "Lines", US_COLUMNS, rows, f"No {what} were sold in this year.")
    return Sheets(
        Sheet("total", "Totals by box", US_TOTALS, totals, f"No {what} were sold in this year."),
        [sheet],
        gaps,
        _us_notes(digital),
        len(rows),
    )


def _box(match: Match, digital: bool) -> str:
    if match.long is None or match.acquired is None:
        return _NO_TERM[digital]
    reported = match.cost is not None and (not digital or match.acquired >= COVERED_FROM)
    return _BOXES[digital, match.long, reported]


def _us_row(
    box: str, asset: AssetRef, security: str, match: Match, proceeds: Summed, basis: Summed, adjusted: Summed
) -> dict[str, str | None]:
    got, cost, put_off = proceeds.add(match.proceeds), basis.add(match.cost), adjusted.add(match.disallowed) or 0
    return {
        "box": box,
        "description": f"{quantity(match.qty, asset.scale)} {asset.code}",
        "date_acquired": match.held_from.isoformat() if match.held_from else None,
        "date_sold": match.sold.isoformat(),
        "proceeds": money(got),
        "basis": money(cost),
        "code": "W" if match.disallowed else None,
        "adjustment": money(put_off) if match.disallowed else None,
        "gain": None if got is None or cost is None else money(got - cost + put_off),
        "term": {True: "long", False: "short", None: "not known"}[match.long],
        "security": security or None,
        "rule": match.rule,
        "order": str(match.order) if match.order else None,
        "days_added": str(match.back) if match.back else None,
        "note": match.why or (WASHED if match.back else None),
    }


def _us_notes(digital: bool) -> list[str]:
    notes = [
        "Proceeds are less fees, and fees are in the cost: fills of one order that follow each other on one day are one line.",
        "Days are those of New York. Long is more than a year, counted from the day after the purchase.",
        "Box "
        + ("Y" if digital else "X")
        + ": when it was bought, or for how much, is not known here. Fill in the cost from your own records.",
    ]
    if digital:
        return [
            *notes,
            "Boxes G and J: bought here from 2026 on, the cost would be reported; H and K: bought here before that, it would not.",
            "Wash sales are not applied to digital assets. Units are matched within this account alone (Rev. Proc. 2024-28).",
        ]
    return [
        *notes,
        "Code W: a loss put off because the same shares were bought within thirty days before or after. It is in the cost of the shares that "
        "replaced them, and the date acquired of those is moved back by the days that were held before.",
        "Wash sales are of this account and the same shares only. Purchases elsewhere, also of a spouse or in a retirement account, are yours to "
        "add.",
    ]


# ---- United Kingdom ---------------------------------------------------------------------------------------------------


def uk_sheets(year: TaxYear, traded: Sequence[Traded]) -> Sheets:
    """Disposals of the year, each with what it is matched to."""
    found: list[tuple[AssetRef, str, Match, Match | None]] = []
    for one in traded:
        matches = pool(one.moves).matches
        _agree(one.asset, one.moves, matches)
        # The rules look at days and units only: with the money as traded the lines are the same ones.
        beside = pool(one.as_traded).matches if one.traded_in else [None] * len(matches)
        found += [
            (one.asset, one.traded_in, match, other)
            for match, other in zip(matches, beside, strict=True)
            if match.sold in year
        ]
    found.sort(key=lambda row: (row[2].sold, row[0].code))
    proceeds, cost, other_proceeds, other_cost = Summed(), Summed(), Summed(), Summed()
    rows, sales = [], {}
    for asset, traded_in, match, other in found:
        got, paid = proceeds.add(match.proceeds), cost.add(match.cost)
        row = {
            "asset": asset.code, "date_sold": match.sold.isoformat(), "quantity": quantity(match.qty, asset.scale), "matched": match.rule,
            "date_acquired": match.acquired.isoformat() if match.acquired else None, "proceeds": money(got), "cost": money(paid),
            "gain": None if got is None or paid is None else money(got - paid), "traded_in": traded_in or None,
            "traded_proceeds": money(other_proceeds.add(other.proceeds)) if other else None,
            "traded_cost": money(other_cost.add(other.cost)) if other else None,
            "note": match.why or None,
        }  # fmt: skip
        rows.append(row)
        sales.setdefault((match.sold, asset.code), []).append(None if got is None or paid is None else got - paid)
    results = [None if None in parts else sum(parts) for parts in sales.values()]
    gaps = list(reasons((match.why for _, _, match, _ in found), "line"))
    nothing = "Nothing was sold in this year."
    sheet = Sheet("line", "Disposals and what they are matched to", UK_COLUMNS, rows, nothing)
    return Sheets(
        Sheet("total", "Totals", UK_TOTALS, _uk_totals(results, found, proceeds, cost), nothing),
        [sheet],
        gaps,
        list(_UK_NOTES),
        len(rows),
    )


def _uk_totals(
    results: list[int | None],
    found: Sequence[tuple[AssetRef, str, Match, Match | None]],
    proceeds: Summed,
    cost: Summed,
) -> list[dict[str, str | None]]:
    if not results:
        return []
    known = [one for one in results if one is not None]
    gains, losses = [one for one in known if one > 0], [-one for one in known if one < 0]
    rows: list[tuple[str, int, str, int | None]] = [
        ("Disposals and their proceeds", len(results), "GBP", proceeds.cents),
        ("Allowable costs", len(results), "GBP", cost.cents),
    ]
    if known:
        rows += [("Gains", len(gains), "GBP", sum(gains)), ("Losses", len(losses), "GBP", sum(losses))]
    if len(known) < len(results):
        rows.append(("Disposals not worked out, in none of the gains and losses", len(results) - len(known), "", None))
    for currency in sorted({traded_in for _, traded_in, _, other in found if other}):
        got, paid, count = Summed(), Summed(), 0
        for _, traded_in, _, other in found:
            if other and traded_in == currency:
                got.add(other.proceeds)
                paid.add(other.cost)
                count += 1
        rows += [
            ("Lines, their proceeds as traded", count, currency, got.cents),
            ("Lines, their cost as traded", count, currency, paid.cents),
        ]
    return [
        {"what": what, "count": str(count), "currency": currency or None, "amount": money(amount)}
        for what, count, currency, amount in rows
    ]


_UK_NOTES = [
    "Sales of one asset on a day are one disposal, days are those of London. They are matched with purchases of the same day, then of the next "
    "thirty days, then with the pool at its average cost. Fees are in costs and proceeds.",
    "Each amount is converted on its own day, at the rate on record for it. What has no rate is not converted and is in no sum in pounds; amounts as "
    "traded stand beside it in the file.",
    "HMRC matches over everything a person holds of an asset, wherever it is. These lines are of this account alone: with the same asset elsewhere "
    "they change.",
]


def margin_sheet(rows: Sequence[tuple[str, str, Fraction, Fraction]]) -> Sheet:
    """Realised results of margin positions (symbol, currency, realised, fee), as they were booked; no rule of matching is applied to them."""
    columns = (
        Column("symbol", "Instrument", 24), Column("currency", "In", 10), Column("count", "Fills", 14, number=True),
        Column("realised", "Realised", 20, number=True), Column("fees", "Fees", 16, number=True), Column("result", "Result", 16, number=True),
    )  # fmt: skip
    sums: dict[tuple[str, str], list[Fraction]] = {}
    for symbol, currency, realised, fee in rows:
        found = sums.setdefault((symbol, currency), [ZERO, ZERO, ZERO])
        found[0] += 1
        found[1] += realised
        found[2] += fee
    shown = []
    running = {name: Summed() for name in ("realised", "fees")}
    for (symbol, currency), (count, realised, fees) in sorted(sums.items()):
        gain, cost = running["realised"].add(realised) or 0, running["fees"].add(fees) or 0
        shown.append(
            {
                "symbol": symbol, "currency": currency, "count": str(int(count)), "realised": money(gain), "fees": money(cost),
                "result": money(gain - cost),
            }
        )  # fmt: skip
    return Sheet("margin", "Margin positions: results as booked", columns, shown, "None in this year.")
