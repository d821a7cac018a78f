"""What happened in an account over whole days and what it had at their end: the figures of a statement, exact and checked against each other.

Everything but the rows themselves is read at one point of the projection, and the rows are bounded by that point: a statement made while the
market trades is of one moment. A statement is refused (9015), and the difference logged, unless for every asset

    opening balance (entries before) + entries of the period = the engine's own balance - entries after,

what the ledger says of trades is what the fills come to, and positions recomputed from the fills are those the projection holds.
Owns which periods there are, the one snapshot and the walk over the rows. Leaves the figures and their checks to ``statement_figures.py``, what it
looks like to ``statement_forms.py``, permission to the edges.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any

from django.db.models import QuerySet

from accounts.models import User
from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import SYSTEM_CLOCK, Clock, datetime_from_ns, midnight_ns
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from marketdata.selectors.instruments import AssetRef
from trading.selectors.executions import execution_list_for
from trading.selectors.ledger import ledger_list_for
from trading.selectors.orders import order_list_for
from trading.selectors.projection import projection_snapshot
from trading.selectors.statement_figures import (
    DisagreementError,
    Flow,
    Holding,
    Period,
    PositionThen,
    demand,
    fills_against_ledger,
    fills_by_side,
    flows_of,
    fold_against_stored,
    folded,
    holdings_of,
    positions_of,
    total_of,
)

log = logging.getLogger(__name__)

DAYS_MAX = 366
#: Open orders shown, the newest; their number is always the whole one.
ORDERS_MAX = 100
WALK_ROWS = 2_000
#: Entries and trades on paper: a document is laid out in one go.
PDF_ROWS_MAX = 5_000
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """A whole statement but its rows. ``total`` (base currency's minor units) is None when that currency is not listed; ``missing`` names what
    has no price in it and is not in the total.
    """

    account: AccountRef
    owner: str
    period: Period
    made_ns: int
    seq: int
    currency: AssetRef | None
    flows: list[Flow]
    holdings: list[Holding]
    positions: list[PositionThen]
    total: int | None
    missing: list[str]
    entries: int
    trades: int
    open_orders: list[Row] | None
    open_order_count: int = 0


def first_day(account: AccountRef) -> date:
    """The day the account was opened, UTC: no statement begins before it."""
    return account.created_at.astimezone(UTC).date()


def today(clock: Clock = SYSTEM_CLOCK) -> date:
    """The day it is, UTC."""
    return datetime_from_ns(clock.now_ns()).date()


def period_of(account: AccountRef, first: date, end: date, *, clock: Clock = SYSTEM_CLOCK) -> Period:
    """The days [first, end) of an account, begun no earlier than its first day; ApiProblem 1014 with the bound for what is none."""
    opened, now_ns = first_day(account), clock.now_ns()
    this_day = datetime_from_ns(now_ns).date()
    if end <= first:
        bound = first + timedelta(days=1) if first < date.max else first
        raise _no_period(
            "to", "The period has no day in it: it must end after it begins.", bound, "Choose a later end."
        )
    if first > this_day:
        raise _no_period(
            "from",
            f"The period lies in the future: today is {this_day} (UTC).",
            this_day,
            "Choose an earlier first day.",
        )
    if end <= opened:
        raise _no_period(
            "to", f"The account did not exist then: its first day is {opened}.", opened + timedelta(days=1), "Choose a later end."
        )  # fmt: skip
    first = max(first, opened)
    if (end - first).days > DAYS_MAX:
        raise ApiProblem(
            RejectCode.VALUE_OUT_OF_RANGE, f"A statement covers at most {DAYS_MAX} days.", needed=str(DAYS_MAX),
            available=str((end - first).days), field="from", next_step="Ask for a year at a time.",
        )  # fmt: skip
    end_ns = midnight_ns(end)
    return Period(first, end, min(end_ns, now_ns), end_ns > now_ns)


def period_of_days(account: AccountRef, first: date, last: date) -> Period:
    """The days ``first`` to ``last``, both in it, as people say them; ApiProblem as above."""
    return period_of(account, first, last + timedelta(days=1) if last < date.max else last)


def _no_period(name: str, detail: str, bound: date, next_step: str) -> ApiProblem:
    return ApiProblem(
        RejectCode.VALUE_OUT_OF_RANGE, detail, needed=bound.isoformat(), field=name, next_step=next_step
    )  # fmt: skip


@contextmanager
def refusing(account: AccountRef, period: Period) -> Iterator[None]:
    """Figures that do not agree are logged and refused (9015)."""
    try:
        yield
    except DisagreementError as error:
        log.error("statement of %s, %s to %s, is withheld: %s", account.number, period.first, period.end, error)
        raise ApiProblem(RejectCode.STATEMENT_UNBALANCED) from error


def statement_get(account: AccountRef, period: Period, *, clock: Clock = SYSTEM_CLOCK) -> Statement:
    """The figures of an account's period; ApiProblem 9015 when they do not agree with each other."""
    with projection_snapshot() as seq:
        with refusing(account, period):
            flows, entries = flows_of(account, period)
            books = fills_by_side(account, period)
            demand(fills_against_ledger(flows, books))
            fold = folded(account, period)
            demand(fold_against_stored(fold, account))
        positions = positions_of(fold, books, period)
        holdings, currency = holdings_of(account, flows, period)
        orders: list[Row] | None = None
        count = 0
        if period.so_far:
            rows = order_list_for(account.core_account, status="open").order_by("-entry_seq")
            orders, count = list(rows[:ORDERS_MAX]), rows.count()
        owner = User.objects.filter(pk=account.owner_id).values_list("display_name", flat=True).first() or ""
    total, missing = total_of(account, holdings, positions)
    return Statement(
        account=account, owner=account.name or owner, period=period, made_ns=clock.now_ns(), seq=seq, currency=currency, flows=flows,
        holdings=holdings, positions=positions, total=total if currency else None, missing=missing, entries=entries,
        trades=sum(row["count"] for row in books), open_orders=orders, open_order_count=count,
    )  # fmt: skip


# ---- rows -------------------------------------------------------------------------------------------------------------


def entries_of(statement: Statement) -> Iterator[Row]:
    """The ledger's entries of the period, oldest first."""
    period = statement.period
    rows = ledger_list_for(statement.account.core_account, from_ns=period.from_ns, to_ns=period.to_ns)
    return _walk(rows.filter(entry_seq__lte=statement.seq), "id")


def trades_of(statement: Statement) -> Iterator[Row]:
    """The fills of the period, oldest first."""
    period = statement.period
    rows = execution_list_for(statement.account.core_account, from_ns=period.from_ns, to_ns=period.to_ns)
    return _walk(rows.filter(exec_id__lte=statement.seq), "exec_id")


def _walk(rows: QuerySet[Any, Row], key: str) -> Iterator[Row]:
    last: int | None = None
    while True:
        page = list((rows if last is None else rows.filter(**{f"{key}__gt": last})).order_by(key)[:WALK_ROWS])
        yield from page
        if len(page) < WALK_ROWS:
            return
        last = page[-1][key]


def rows_demand(statement: Statement, most: int, next_step: str) -> None:
    """ApiProblem 1014 when a form of the statement would have more rows than it may."""
    rows = statement.entries + statement.trades
    if rows > most:
        raise ApiProblem(
            RejectCode.VALUE_OUT_OF_RANGE, f"This form of the statement would have {rows} rows; it may have {most}.", needed=str(most),
            available=str(rows), field="from", next_step=next_step,
        )  # fmt: skip
