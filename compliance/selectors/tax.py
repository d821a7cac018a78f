"""A client's tax documents: which there are by jurisdiction and year, and one of them in figures.

Which documents an account has is what its owner's jurisdiction names now (``accounts/trading_policy.py``): with the jurisdiction the set changes,
for all years at once. Owns that choice, the years, and the one snapshot a document is read in. Leaves rules to ``compliance/tax``, files to
``compliance/services/tax.py``, permission to the edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.conf import settings

from accounts.models import LedgerEntry, TradingAccount, User
from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import SYSTEM_CLOCK, Clock, ns_from_datetime
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import Side
from brokerage.platform.problems import ApiProblem
from compliance.selectors.tax_facts import Facts, facts_of, moves_of
from compliance.tax.crypto import crypto_sheets
from compliance.tax.gains import Traded, margin_sheet, uk_sheets, us_sheets
from compliance.tax.lots import LINES_MAX, TooManyLinesError
from compliance.tax.rates import Rates, rates_read
from compliance.tax.sheets import Sheets
from compliance.tax.years import SETTLES, Kind, TaxYear, kinds_for
from marketdata.selectors.instruments import AssetRef, asset_by_core, instrument_by_core
from trading.models import Execution
from trading.selectors.projection import projection_snapshot
from trading.selectors.statement import refusing
from trading.selectors.statement_figures import Period

#: The year is not over; it is over and purchases of the next thirty days can still change it; nothing can.
SO_FAR, OPEN, OVER = "so_far", "open", "over"


@dataclass(frozen=True, slots=True)
class Listed:
    """A document there is. ``applies`` is false when there is nothing in it."""

    kind: Kind
    year: TaxYear
    state: str
    applies: bool


@dataclass(frozen=True, slots=True)
class TaxDocument:
    """A document in figures."""

    account: AccountRef
    owner: str
    jurisdiction: str
    kind: Kind
    year: TaxYear
    state: str
    made_ns: int
    sheets: Sheets

    @property
    def settles_on(self) -> date:
        """The first day on which nothing changes it any more."""
        return self.year.end + SETTLES if self.kind.settles else self.year.end


def kinds_of(account: AccountRef) -> list[Kind]:
    """The documents of an account's jurisdiction; the house has none."""
    return kinds_for(account.rules.profile.reports) if account.rules else []


def years_of(account: AccountRef, kind: Kind, clock: Clock = SYSTEM_CLOCK) -> list[TaxYear]:
    """The years of a document from the one the account was opened in, newest first."""
    first = kind.year_of(kind.day(ns_from_datetime(account.created_at))).number
    last = kind.year_of(kind.day(clock.now_ns())).number
    return [kind.year(number) for number in range(last, first - 1, -1)]


def _state(kind: Kind, year: TaxYear, clock: Clock) -> str:
    today = kind.day(clock.now_ns())
    if today < year.end:
        return SO_FAR
    return OPEN if kind.settles and today < year.end + SETTLES else OVER


def tax_list_for(account: AccountRef, number: int | None = None, *, clock: Clock = SYSTEM_CLOCK) -> list[Listed]:
    """The documents of all years, or of one, newest year first."""
    return [
        Listed(kind, year, _state(kind, year, clock), _applies(account, kind, year))
        for kind in kinds_of(account)
        for year in years_of(account, kind, clock)
        if number is None or year.number == number
    ]


def _applies(account: AccountRef, kind: Kind, year: TaxYear) -> bool:
    span = {"time_ns__gte": kind.starts_ns(year.first), "time_ns__lt": kind.starts_ns(year.end)}
    rows = Execution.objects.filter(core_account=account.core_account, **span).order_by()
    for core, side in rows.values_list("core_instrument", "side").distinct():
        item = instrument_by_core(core)
        if item is None:
            continue
        if not item.spot or item.base is None:
            if kind.settles:
                return True
        elif item.base.kind in kind.assets and (side == Side.SELL or not kind.currency):
            return True
    if kind.currency:
        return False
    entries = LedgerEntry.objects.filter(core_account=account.core_account, book=LedgerEntry.Book.CLIENT, **span)
    moved = entries.exclude(kind__in=(LedgerEntry.Kind.TRADE, LedgerEntry.Kind.FEE, LedgerEntry.Kind.PNL))
    return any(
        (asset := asset_by_core(core)) is not None and asset.kind in kind.assets
        for core in moved.order_by().values_list("core_asset", flat=True).distinct()
    )


def kind_demand(account: AccountRef, code: str, number: int, *, clock: Clock = SYSTEM_CLOCK) -> tuple[Kind, TaxYear]:
    """A document by its code and year; RejectedError 2014 when the jurisdiction has none such, ApiProblem 1014 for a year that is none."""
    kinds = kinds_of(account)
    kind = next((one for one in kinds if one.code == code), None)
    if kind is None:
        raise RejectedError(
            RejectCode.NOT_FOUND, "There is no such document in this account's jurisdiction.", field="code",
            available=", ".join(one.code for one in kinds),
        )  # fmt: skip
    years = years_of(account, kind, clock)
    year = next((one for one in years if one.number == number), None)
    if year is None:
        raise ApiProblem(
            RejectCode.VALUE_OUT_OF_RANGE, f"There are documents of the years {years[-1].number} to {years[0].number}.",
            needed=str(years[-1].number if number < years[-1].number else years[0].number), field="year",
            next_step="Choose one of these years.",
        )  # fmt: skip
    return kind, year


def tax_document_get(account: AccountRef, kind: Kind, year: TaxYear, *, clock: Clock = SYSTEM_CLOCK) -> TaxDocument:
    """A document in figures; ApiProblem 9015 when they do not agree with the ledger, 1014 for more fills than are gone through."""
    now_ns = clock.now_ns()
    until = kind.starts_ns(year.end + SETTLES if kind.settles else year.end)
    with projection_snapshot(), refusing(account, Period(year.first, year.end, now_ns, False)):
        facts = facts_of(account, until, now_ns)
        owner = User.objects.filter(pk=account.owner_id).values_list("display_name", flat=True).first() or ""
        try:
            sheets = _sheets(facts, kind, year, rates_read(settings.TAX_RATES_FILE))
        except TooManyLinesError as error:
            raise ApiProblem(
                RejectCode.VALUE_OUT_OF_RANGE, f"Sales of one asset come to more than {LINES_MAX} lines, with wash sales: not worked out.",
                needed=str(LINES_MAX), field="year", next_step="Take the fills as CSV files, or ask support.",
            ) from error  # fmt: skip
    if account.kind == TradingAccount.Kind.ENTITY and kind.currency:
        sheets.notes.append("The rules are those of persons; a company's differ in places.")
    name = account.rules.profile.name if account.rules else ""
    state = _state(kind, year, clock)
    return TaxDocument(account, account.name or owner, name, kind, year, state, now_ns, sheets)


def _sheets(facts: Facts, kind: Kind, year: TaxYear, rates: Rates) -> Sheets:
    assets = facts.of(kind)
    if not kind.currency:
        moved: Any = [(asset, facts.moves[asset.code]) for asset in assets]
        return crypto_sheets(kind, year, moved)
    traded = [_traded(facts, asset, kind, rates) for asset in assets]
    sheets = (
        uk_sheets(year, traded) if kind.code == "uk_cgt" else us_sheets(year, traded, digital=kind.code == "1099da")
    )
    if kind.settles:
        results = [
            (row.instrument.symbol, row.instrument.quote.code, row.realised, row.fee)
            for row in facts.margin
            if kind.day(row.time_ns) in year
        ]
        if results:
            sheets.others.append(margin_sheet(results))
            sheets.notes.append(
                "Results of margin positions (currencies, CFDs) are shown as they were booked. No rule of matching is applied to them, they are in "
                "none of the totals, and they are not converted."
            )  # fmt: skip
    return sheets


def _traded(facts: Facts, asset: AssetRef, kind: Kind, rates: Rates) -> Traded:
    moves = facts.moves[asset.code]
    currencies = {fact.currency for fact in moves if fact.currency}
    traded_in = currencies.pop() if len(currencies) == 1 else ""
    return Traded(
        asset, _security(facts, asset), list(moves_of(moves, kind, kind.currency, rates)),
        list(moves_of(moves, kind, traded_in, rates)) if traded_in else [], traded_in,
    )  # fmt: skip


def _security(facts: Facts, asset: AssetRef) -> str:
    """The CUSIP where the ISIN is American (its nine middle characters), else the ISIN."""
    item = facts.instruments.get(asset.code)
    isin = item.isin if item else ""
    return f"CUSIP {isin[2:11]}" if isin.startswith("US") else f"ISIN {isin}" if isin else ""
