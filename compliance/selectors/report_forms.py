"""What a report to an authority looks like: counts and rejected rows for pages and REST, rejects as a table, the summary on paper."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from brokerage.kernel.clock import rfc3339
from brokerage.kernel.identifiers import encode_id
from brokerage.platform.pdf import Document, Facts, Section, Table, Text
from compliance.reporting.outcome import NOT_REPORTABLE, REASONS, Rejected
from compliance.selectors.reports import Report

#: Rejected rows that a page and the answer of REST show; the file of rejects has all.
SHOWN_MAX = 100
#: ... and those on paper.
PAPER_MAX = 1_000
REJECT_COLUMNS = ("key", "time", "account", "symbol", "reasons", "missing", "mend")


def _row(report: Report, row: Rejected) -> dict[str, Any]:
    account, instrument = report.accounts.get(row.account), report.instruments.get(row.instrument)
    return {
        "key": encode_id(row.key),
        "time": rfc3339(row.time_ns),
        "account": account.number if account else "",
        "symbol": instrument.symbol if instrument else "",
        "reasons": list(row.reasons),
        "missing": [REASONS[code].text for code in row.reasons],
        "mend": list(dict.fromkeys(REASONS[code].mend for code in row.reasons)),
    }


def report_json(report: Report) -> dict[str, Any]:
    """The figures of a report and its first rejected rows."""
    asked, outcome = report.asked, report.outcome
    return {
        "report": asked.kind.code,
        "name": asked.kind.name,
        "rule": asked.kind.rule,
        "first": asked.first.isoformat(),
        "last": asked.last.isoformat(),
        "so_far": report.so_far,
        "made": rfc3339(report.made_ns),
        "seq": report.seq,
        "total": outcome.total,
        "reportable": outcome.produced + len(outcome.rejected),
        "produced": outcome.produced,
        "lines": len(outcome.lines),
        "rejected": len(outcome.rejected),
        "not_reportable": sum(outcome.not_reportable.values()),
        "not_reportable_why": [
            {"why": why, "text": text, "count": outcome.not_reportable[why]}
            for why, text in NOT_REPORTABLE.items()
            if outcome.not_reportable[why]
        ],
        "reasons": [
            {"code": reason.code, "text": reason.text, "about": reason.about, "mend": reason.mend, "count": number}
            for reason, number in outcome.by_reason()
        ],
        "rejects": [_row(report, row) for row in outcome.rejected[:SHOWN_MAX]],
        "file": f"{report.name}.{asked.kind.suffix}",
        "sha256": report.digest,
    }


def reject_rows(report: Report) -> Iterator[list[str]]:
    """Every rejected row."""
    for row in report.outcome.rejected:
        shown = _row(report, row)
        yield ["; ".join(value) if isinstance(value, list) else value for value in shown.values()]


def report_paper(report: Report, *, made_for: str, made_at: datetime) -> Document:
    """The summary: figures, reasons, rejected rows, the digest of the file."""
    shown = report_json(report)
    things = report.asked.kind.things
    facts = [
        ("Rule", shown["rule"]),
        ("Days (UTC)", f"{shown['first']} to {shown['last']}" + (", not over yet" if shown["so_far"] else "")),
        *([("Takes back", ", ".join(report.asked.references))] if report.asked.references else []),
        ("Firm", f"LEI {report.firm.lei or '–'}, country {report.firm.country or '–'}, MIC {report.firm.mic or '–'}, IMID {report.firm.imid or '–'}"),
        (f"All {things}", str(shown["total"])),
        ("Not reportable", str(shown["not_reportable"])),
        ("To be reported", str(shown["reportable"])),
        ("Produced", f"{shown['produced']} in {shown['lines']} rows"),
        ("Rejected", str(shown["rejected"])),
        ("File", f"{shown['file']}, {len(report.content)} bytes"),
        ("SHA-256 of the file", shown["sha256"]),
        ("Projection", f"event {shown['seq']}, read {shown['made']}"),
    ]  # fmt: skip
    rejected = report.outcome.rejected
    cut = (
        [Text(f"The first {PAPER_MAX} of {len(rejected)}: the file of rejects has all.", soft=True)]
        if len(rejected) > PAPER_MAX
        else []
    )
    return Document(
        report.asked.kind.name,
        f"{shown['first']} to {shown['last']} (UTC)",
        made_for,
        made_at,
        [
            Section("Figures", [Facts(facts), Text("Everything is in one place: produced + rejected + not reportable = all.", soft=True)]),
            Section("Not reportable", [
                Table(("Why", "Number"), [(row["text"], str(row["count"])) for row in shown["not_reportable_why"]], (80, 20), frozenset({1})),
            ]),
            Section("Reasons of rejected rows", [
                Table(
                    ("Reason", "What is missing", "Who can mend it", "Rows"),
                    [(row["code"], row["text"], row["mend"], str(row["count"])) for row in shown["reasons"]],
                    (22, 34, 34, 10), frozenset({3}),
                ),
                Text("A row can have several reasons.", soft=True),
            ]),
            Section("Rejected rows", [
                Table(
                    ("Number", "Time (UTC)", "Account", "Symbol", "Reasons"),
                    [
                        (one["key"], one["time"], one["account"], one["symbol"], ", ".join(one["reasons"]))
                        for one in (_row(report, row) for row in rejected[:PAPER_MAX])
                    ],
                    (20, 26, 15, 12, 27),
                ),
                *cut,
            ]),
        ],
    )  # fmt: skip
