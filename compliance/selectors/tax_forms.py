"""A tax document as rows of a CSV file, on paper, and as JSON of the list: the same cells in each.

Owns words, columns and sections. Leaves figures to ``tax.py``, letters and pages to ``brokerage/platform/pdf.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from brokerage.kernel.clock import datetime_from_ns
from brokerage.platform.pdf import Document, Facts, Section, Table, Text
from brokerage.platform.templatetags.portal import DASH, num
from compliance.selectors.tax import OPEN, SO_FAR, Listed, TaxDocument
from compliance.tax.sheets import Column, Sheet

WHAT_IT_IS = (
    "A draft of figures, worked out from the fills and the ledger of this account. It is not a filed form, nothing was sent to an authority with it, "
    "and it is not advice."
)
Row = dict[str, Any]


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def state_text(document: TaxDocument) -> str:
    """How final the figures are."""
    if document.state == SO_FAR:
        return f"So far: the year ends on {_day(document.year.last)}."
    if document.state == OPEN:
        return f"The year is over. Purchases before {_day(document.settles_on)} can still change which units its sales are matched to."
    return "The year is over."


def about(document: TaxDocument) -> list[tuple[str, str]]:
    """What it is of, line by line."""
    year = document.year
    return [
        ("Document", document.kind.title),
        ("Account", document.account.number),
        ("Owner", document.owner or DASH),
        ("Jurisdiction", document.jurisdiction),
        ("Year", f"{year.label}: {_day(year.first)} to {_day(year.last)} ({document.kind.zone.replace('_', ' ')})"),
        ("State", state_text(document)),
        ("What it is", WHAT_IT_IS),
    ]


# ---- the file ---------------------------------------------------------------------------------------------------------


def csv_columns(document: TaxDocument) -> tuple[list[str], list[str]]:
    """(header, columns of text). ``section`` says what a row is; ``name`` and ``value`` are those of what is no table."""
    columns: dict[str, Column] = {}
    for sheet in document.sheets.every():
        for column in sheet.columns:
            columns.setdefault(column.name, column)
    texts = [name for name, column in columns.items() if not column.number]
    return ["section", "name", "value", *columns], ["section", "name", "value", *texts]


def csv_rows(document: TaxDocument) -> Iterator[list[str | None]]:
    """All rows under that header. Nothing in them depends on when, or for whom, the file is made, but the state of the year."""
    header, _ = csv_columns(document)

    def row(section: str, **cells: str | None) -> list[str | None]:
        return [section if name == "section" else cells.get(name) for name in header]

    for name, value in about(document):
        yield row("about", name=name, value=value)
    for sheet in document.sheets.every():
        for cells in sheet.rows:
            yield row(sheet.section, **cells)
    for text in document.sheets.gaps:
        yield row("not worked out", value=text)
    for text in document.sheets.notes:
        yield row("note", value=text)


# ---- on paper ---------------------------------------------------------------------------------------------------------


def _cell(cells: dict[str, str | None], column: Column) -> str:
    text = cells.get(column.name)
    if text is None:
        return DASH if column.number else ""
    return num(text) if column.number else text


def _blocks(sheet: Sheet) -> list[Text | Facts | Table]:
    shown = [column for column in sheet.columns if column.width]
    rows, notes = [], dict[str, int]()
    for cells in sheet.rows:
        line = [_cell(cells, column) for column in shown]
        # Paper has no room for a column of it: what is said of a line has a number, and stands below.
        if note := cells.get("note"):
            at = next((at for at, column in enumerate(shown) if column.name in {"rule", "matched"}), 0)
            line[at] = f"{line[at]} [{notes.setdefault(note, len(notes) + 1)}]"
        rows.append(line)
    right = frozenset(at for at, column in enumerate(shown) if column.number)
    table = Table([column.label for column in shown], rows, [column.width for column in shown], right, sheet.nothing)
    return [table, *(Text(f"[{number}] {note}", soft=True) for note, number in notes.items())]


def tax_paper(document: TaxDocument, *, made_for: str) -> Document:
    """The document on paper."""
    sheets = document.sheets
    gaps = [Text(text) for text in sheets.gaps] or [Text("Nothing: every line is worked out.", soft=True)]
    return Document(
        f"{document.kind.title}, {document.year.label}",
        f"Account {document.account.number}. {state_text(document)}",
        made_for,
        datetime_from_ns(document.made_ns),
        [
            Section("What this is", [Facts(about(document))]),
            *(Section(sheet.title, _blocks(sheet)) for sheet in sheets.every()),
            Section("What could not be worked out", gaps),
            Section("How to read it", [Text(text) for text in sheets.notes]),
        ],
        label="Draft, confidential",
    )


# ---- the list ---------------------------------------------------------------------------------------------------------


def listed_json(row: Listed) -> Row:
    """A document as REST lists it."""
    return {
        "code": row.kind.code,
        "title": row.kind.title,
        "year": row.year.number,
        "label": row.year.label,
        "first": row.year.first.isoformat(),
        "last": row.year.last.isoformat(),
        "state": row.state,
        "applies": row.applies,
    }
