"""Making the file of a tax document: laid out, and recorded with the digest of its bytes.

Owns the record and the bounds. Leaves figures to ``compliance/selectors/tax.py``, words to ``tax_forms.py``, who may to the edges.
"""

from __future__ import annotations

import hashlib

from django.http import HttpResponse

from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import SYSTEM_CLOCK, Clock
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.pdf import Pdf, pdf_make
from brokerage.platform.problems import ApiProblem
from brokerage.platform.reporting import CSV_ROWS_MAX, csv_lines
from compliance.selectors.tax import TaxDocument, kind_demand, tax_document_get
from compliance.selectors.tax_forms import csv_columns, csv_rows, tax_paper

#: Lines on paper: a document is laid out in one go.
PDF_ROWS_MAX = 5_000


def tax_name(account: AccountRef, code: str, year: int, form: str) -> str:
    """What a file of a document is called."""
    return f"tax-{code}-{year}-{account.number}.{form}"


def _document(account: AccountRef, code: str, year: int, most: int, next_step: str, clock: Clock) -> TaxDocument:
    document = tax_document_get(account, *kind_demand(account, code, year, clock=clock), clock=clock)
    rows = sum(len(sheet.rows) for sheet in document.sheets.every())
    if rows > most:
        raise ApiProblem(
            RejectCode.VALUE_OUT_OF_RANGE, f"This form of the document would have {rows} rows; it may have {most}.", needed=str(most),
            available=str(rows), field="year", next_step=next_step,
        )  # fmt: skip
    return document


def _recorded(account: AccountRef, code: str, year: int, after: dict[str, str]) -> None:
    record(
        "tax_document.made", object_type="account", object_id=account.number, after={"document": code, "year": year, **after}
    )  # fmt: skip


def tax_pdf(*, account: AccountRef, code: str, year: int, made_for: str, clock: Clock = SYSTEM_CLOCK) -> Pdf:
    """The document as PDF; RejectedError 2014 for one that the jurisdiction does not have, ApiProblem 1014 for a year that is none or too many
    rows, 9015 when figures and ledger do not agree. That it was made is recorded with its digest.
    """
    document = _document(account, code, year, PDF_ROWS_MAX, "Take the CSV file: it may have more rows.", clock)
    made = pdf_make(tax_paper(document, made_for=made_for))
    _recorded(account, code, year, {"form": "pdf", "number": made.number, "sha256": made.digest})
    return made


def tax_csv(*, account: AccountRef, code: str, year: int, clock: Clock = SYSTEM_CLOCK) -> bytes:
    """The document as a CSV file, whole, because its digest is recorded; refused as above."""
    document = _document(account, code, year, CSV_ROWS_MAX, "Ask support for the file.", clock)
    header, texts = csv_columns(document)
    content = b"".join(csv_lines(header, csv_rows(document), texts))
    _recorded(account, code, year, {"form": "csv", "sha256": hashlib.sha256(content).hexdigest()})
    return content


def csv_answer(*, account: AccountRef, code: str, year: int) -> HttpResponse:
    """The CSV file as a download."""
    answer = HttpResponse(tax_csv(account=account, code=code, year=year), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{tax_name(account, code, year, "csv")}"'
    return answer
