"""The reports to authorities of a run of days: what is in them, what had to be left out and why, and the file itself.

A report is made anew each time it is asked for and kept nowhere: the same rows, reference data and answers of clients give the same bytes, and the
digest in the audit trail says which they were. Everything is read at one point of the projection, and everything that traded is accounted for once.

Owns the facts that the pure makers in ``compliance/reporting`` need, and the bounds. Leaves their rules to those, paper and lists to
``report_forms.py``, permission and the record to the edges.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from accounts.models import TradingAccount
from brokerage.config import get_config
from brokerage.kernel.clock import NS_PER_DAY, SYSTEM_CLOCK, Clock, datetime_from_ns, midnight_ns
from brokerage.kernel.errors import IdentifierError
from brokerage.kernel.identifiers import decode_id
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import Side
from brokerage.platform.problems import ApiProblem
from brokerage.platform.reporting import CSV_ROWS_MAX
from compliance.reporting import cat, mifid_rts22
from compliance.reporting.cat import CatEvent, CatOrder
from compliance.reporting.mifid_rts22 import COLUMNS, Fill, Firm
from compliance.reporting.outcome import Outcome, Rejected
from compliance.selectors.report_facts import ReportFacts, firm_designated_id
from compliance.selectors.report_holders import holders_of
from marketdata.models import Instrument
from trading.selectors.projection import projection_snapshot
from trading.selectors.reporting import (
    KINDS,
    Row,
    contra_orders,
    executions_between,
    executions_by_account,
    order_events_between,
    order_events_by_account,
    order_events_of,
    orders_named,
)

log = logging.getLogger(__name__)
DAYS_MAX = 31
#: Transaction references of one file of cancellations.
REFERENCES_MAX = 50


@dataclass(frozen=True, slots=True)
class Kind:
    """A report there is: what it is called, what rule it is made to, what its things are and its file."""

    code: str
    name: str
    rule: str
    things: str
    suffix: str
    media: str


KINDS_OF_REPORT = {
    "rts22": Kind("rts22", "Transaction report (RTS 22)", mifid_rts22.RULE, "executions", "csv", "text/csv; charset=utf-8"),
    "cat": Kind("cat", "CAT order events", cat.RULE, "order events", "jsonl", "application/jsonl; charset=utf-8"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A report of the UTC days [first, last]. ``references``: take these transactions back instead of reporting the days."""

    kind: Kind
    first: date
    last: date
    references: tuple[str, ...] = ()

    @property
    def from_ns(self) -> int:
        """The first midnight."""
        return midnight_ns(self.first)

    @property
    def to_ns(self) -> int:
        """The midnight after the last day."""
        return midnight_ns(self.last) + NS_PER_DAY


@dataclass
class Report:
    """A report that was made. ``accounts`` and ``symbols`` name what rejected rows are about."""

    asked: Asked
    made_ns: int
    seq: int
    firm: Firm
    outcome: Outcome
    accounts: dict[int, TradingAccount] = field(default_factory=dict)
    instruments: dict[int, Instrument] = field(default_factory=dict)

    @cached_property
    def content(self) -> bytes:
        """The file."""
        head = mifid_rts22.line_of(COLUMNS) if self.asked.kind.code == "rts22" else ""
        return (head + "".join(self.outcome.lines)).encode()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def so_far(self) -> bool:
        """The last day is not over."""
        return self.asked.to_ns > self.made_ns

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        days = f"{self.asked.first}" + (f"_{self.asked.last}" if self.asked.last != self.asked.first else "")
        return f"{self.asked.kind.code}{'-cancel' if self.asked.references else ''}-{days}"


def firm() -> Firm:
    """The firm as it is configured."""
    config = get_config()
    return Firm(
        config.report_lei,
        config.report_country,
        config.report_mic,
        config.report_imid,
        config.report_market_center,
    )


def asked_of(code: str, first: date, last: date, references: str = "", *, clock: Clock = SYSTEM_CLOCK) -> Asked:
    """What is asked for; 2014 for a report there is not, 1014 with the bound for days and references that cannot be."""
    kind = KINDS_OF_REPORT.get(code)
    if kind is None:
        raise ApiProblem(RejectCode.NOT_FOUND, "There is no such report.", field="code")
    today = datetime_from_ns(clock.now_ns()).date()
    if last > today:
        raise _out_of_range(
            "last", f"The days lie in the future: today is {today} (UTC).", str(today), "Choose an earlier last day."
        )
    if last < first:
        raise _out_of_range("last", "The last day is before the first.", str(first), "Choose a later last day.")
    if (last - first).days >= DAYS_MAX:
        raise _out_of_range(
            "first", f"A report covers at most {DAYS_MAX} days.", str(DAYS_MAX), "Ask for fewer days at a time."
        )
    words = tuple(dict.fromkeys(references.replace(",", " ").upper().split()))
    if words and code != "rts22":
        raise ApiProblem(
            RejectCode.MALFORMED, f"{kind.name} has no transaction references.", field="references",
            next_step="Leave them out.",
        )  # fmt: skip
    if len(words) > REFERENCES_MAX:
        raise _out_of_range(
            "references", f"At most {REFERENCES_MAX} transactions at a time.", str(REFERENCES_MAX), "Name fewer."
        )
    return Asked(kind, first, last, words)


def _out_of_range(field_: str, text: str, needed: str, next_step: str) -> ApiProblem:
    return ApiProblem(RejectCode.VALUE_OUT_OF_RANGE, text, needed=needed, field=field_, next_step=next_step)


def report_make(asked: Asked, *, clock: Clock = SYSTEM_CLOCK) -> Report:
    """Make a report. 1014 before anything is made where it has more than CSV_ROWS_MAX rows, or a reference is of no execution of the days;
    9000 (logged) where events do not hang together as the receiver asks.
    """
    with projection_snapshot() as seq:
        report = Report(asked, clock.now_ns(), seq, firm(), Outcome())
        {"rts22": _transactions, "cat": _order_events}[asked.kind.code](report)
    return report


def _bounded(number: int) -> None:
    if number > CSV_ROWS_MAX:
        raise _out_of_range(
            "first", f"The report would have {number} rows, and one file has at most {CSV_ROWS_MAX}.", str(CSV_ROWS_MAX),
            "Ask for fewer days at a time.",
        )  # fmt: skip


# ---- RTS 22 -----------------------------------------------------------------------------------------------------------


def _transactions(report: Report) -> None:
    rows = executions_between(report.asked.from_ns, report.asked.to_ns)
    if report.asked.references:
        rows = rows.filter(exec_id__in=_exec_ids(report.asked.references))
    counts = executions_by_account(rows)
    facts = ReportFacts("rts22", {account for account, _ in counts}, mifid_rts22.reportable)
    wanted: set[tuple[int, int]] = set()
    for pair, number in counts.items():
        why = facts.why_not(*pair)
        if why:
            report.outcome.not_reportable[why] += number
        else:
            wanted.add(pair)
    _bounded(sum(counts[pair] for pair in wanted))
    found = [
        row
        for row in rows.filter(
            core_account__in={account for account, _ in wanted}, core_instrument__in={core for _, core in wanted}
        )
        .order_by("exec_id")
        .values()
        if (row["core_account"], row["core_instrument"]) in wanted
    ]
    sources = {row["order_id"]: row["source"] for row in orders_named(row["order_id"] for row in found)}
    report.accounts, report.instruments = facts.accounts, facts.instruments
    fills = [
        (row, _fill(row, facts.instruments[row["core_instrument"]], sources.get(row["order_id"], 0))) for row in found
    ]
    if report.asked.references:
        _cancel(report, fills)
        return
    holders = holders_of([facts.accounts[account] for account in {account for account, _ in wanted}])
    securities = {core: facts.security(core) for core in {core for _, core in wanted}}
    for row, fill in fills:
        values, reasons = mifid_rts22.new_row(
            fill, securities[row["core_instrument"]], holders[row["core_account"]], report.firm
        )
        _add(report.outcome, row, values, reasons)


def _add(outcome: Outcome, row: Row, values: mifid_rts22.Values | None, reasons: tuple[str, ...]) -> None:
    if values is None:
        outcome.rejected.append(
            Rejected(row["exec_id"], row["core_account"], row["core_instrument"], row["time_ns"], reasons)
        )
    else:
        outcome.lines.append(mifid_rts22.line_of(values))
        outcome.produced += 1


def _fill(row: Row, instrument: Instrument, source: int) -> Fill:
    return Fill(
        row["exec_id"], row["cmd_seq"], row["order_id"], row["contra_order_id"], row["side"] == Side.BUY,
        row["last_px"] * instrument.tick_size, row["last_qty"] * instrument.lot_size, row["time_ns"], source,
    )  # fmt: skip


def _exec_ids(references: tuple[str, ...]) -> list[int]:
    found = []
    for word in references:
        try:
            found.append(decode_id(word[8:]) if len(word) == 21 else -1)
        except IdentifierError:
            found.append(-1)
    return [number for number in found if 0 <= number < 1 << 63]


def _cancel(report: Report, fills: list[tuple[Row, Fill]]) -> None:
    """Rows that take the named transactions back."""
    unknown = set(report.asked.references) - {mifid_rts22.reference(fill) for _, fill in fills}
    if unknown:
        raise _out_of_range(
            "references", f"No reportable execution of these days has the reference {min(unknown)}.", "a reference of the days",
            "Take references from the file of these days.",
        )  # fmt: skip
    for row, fill in fills:
        _add(report.outcome, row, *mifid_rts22.cancel_row(fill, report.firm))


# ---- CAT --------------------------------------------------------------------------------------------------------------


def _order_events(report: Report) -> None:
    rows = order_events_between(report.asked.from_ns, report.asked.to_ns)
    counts = order_events_by_account(rows)
    facts = ReportFacts("cat", set(counts), cat.reportable)
    for account, why in facts.why.items():
        report.outcome.not_reportable[why] += counts[account]
    clients = set(counts) - set(facts.why)
    rows = order_events_of(rows, clients, facts.reportable)
    number = rows.count()
    report.outcome.not_reportable["instrument"] += sum(counts[account] for account in clients) - number
    _bounded(number)
    steps = list(rows.order_by("seq").values())
    orders = {row["order_id"]: row for row in orders_named(row["order_id"] for row in steps)}
    report.accounts, report.instruments = facts.accounts, facts.instruments
    kept = []
    for step in steps:
        kind = KINDS.get(step["exec_type"], "")
        if kind in cat.EVENTS:
            kept.append(step)
        else:
            report.outcome.not_reportable["refused" if kind == "refused" else "step"] += 1
    contra = contra_orders(step["seq"] for step in kept if KINDS.get(step["exec_type"]) == cat.FILLED)
    named = {number: _cat_order(row, facts) for number, row in orders.items()}
    _cat_lines(report, facts, [(step, orders[step["order_id"]]) for step in kept], named, contra)


def _cat_lines(
    report: Report,
    facts: ReportFacts,
    steps: list[tuple[Row, Row]],
    orders: dict[int, CatOrder],
    contra: dict[int, int],
) -> None:
    outcome, made, gaps = report.outcome, [], set()
    sides: dict[str, dict[bool, CatOrder]] = {}
    events = []
    for step, row in steps:
        order = orders[row["order_id"]]
        event = _cat_event(step, facts.instruments[row["core_instrument"]], contra.get(step["seq"], 0))
        problems = cat.problems_of(order, event, report.firm)
        if problems:
            outcome.rejected.append(
                Rejected(step["seq"], step["core_account"], row["core_instrument"], step["time_ns"], problems)
            )
            gaps.add(_key(order))
            continue
        outcome.produced += 1
        if event.kind == cat.FILLED:
            sides.setdefault(cat.trade_id_of(order.order_id, event), {})[order.buys] = order
        events.append((order, event))
    told = set()
    for order, event in events:
        if event.kind != cat.FILLED:
            made.append(cat.event_of(order, event, report.firm))
            continue
        trade = cat.trade_id_of(order.order_id, event)
        # One line for a match, with every side of it that is reported.
        if trade not in told:
            told.add(trade)
            made.append(cat.trade_of(sides[trade], event, report.firm))
    earlier = frozenset(_key(order) for order in orders.values() if order.created_ns < report.asked.from_ns)
    wrong = cat.linkage_problems(made, earlier, gaps)
    if wrong:
        log.error(
            "%s of %s do not hang together: %s", report.asked.kind.name, report.asked.first, "; ".join(wrong[:20])
        )
        raise ApiProblem(
            RejectCode.INTERNAL_ERROR,
            "The events of these days do not hang together, so no file was made. This was logged.",
        )
    outcome.lines = [cat.line_of(event) for event in made]


def _key(order: CatOrder) -> cat.Key:
    key = cat.key_of(order)
    return key["orderKeyDate"], key["orderID"]


def _cat_order(row: Row, facts: ReportFacts) -> CatOrder:
    account, instrument = facts.accounts[row["core_account"]], facts.instruments[row["core_instrument"]]
    owner = account.owner
    # Whether a company is an institutional customer (FINRA 4512(c)) is not asked for.
    kind = "" if account.kind == TradingAccount.Kind.ENTITY else "E" if owner is not None and owner.is_staff else "I"
    return CatOrder(
        row["order_id"], instrument.symbol, row["side"] == Side.BUY, row["ord_type"], row["time_in_force"], row["expire_ns"], row["created_ns"],
        row["source"], instrument.venue.calendar == "24/7", firm_designated_id(account), kind,
    )  # fmt: skip


def _cat_event(step: Row, instrument: Instrument, contra_order: int) -> CatEvent:
    return CatEvent(
        step["seq"], step["cmd_seq"], KINDS[step["exec_type"]], step["reason"], step["price"] * instrument.tick_size,
        step["qty"] * instrument.lot_size, step["leaves"] * instrument.lot_size, step["time_ns"], contra_order,
    )  # fmt: skip
