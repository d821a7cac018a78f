"""Making a statement's file: laid out, and recorded with the digest of its bytes, so that a paper can be told from a forged one.

Owns the record. Leaves figures and words to ``trading/selectors/statement*.py``, who may to the edges.
"""

from __future__ import annotations

from collections.abc import Iterator

from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import SYSTEM_CLOCK, Clock, datetime_from_ns
from brokerage.platform.audit import record
from brokerage.platform.pdf import Pdf, pdf_make
from brokerage.platform.reporting import CSV_ROWS_MAX
from trading.selectors.statement import PDF_ROWS_MAX, Statement, refusing, rows_demand, statement_get
from trading.selectors.statement_figures import Period
from trading.selectors.statement_forms import statement_rows
from trading.selectors.statement_paper import statement_paper


def statement_name(account: AccountRef, period: Period, form: str) -> str:
    """What a file of a statement is called."""
    return f"statement-{account.number}-{period.first}-{period.last}.{form}"


def statement_pdf(*, account: AccountRef, period: Period, made_for: str, clock: Clock = SYSTEM_CLOCK) -> Pdf:
    """The statement as a document; ApiProblem 1014 for too many rows, 9015 when its figures do not agree. That it was made is recorded."""
    statement = statement_get(account, period, clock=clock)
    rows_demand(statement, PDF_ROWS_MAX, "Ask for fewer days, or take the CSV file: it may have more rows.")
    with refusing(account, period):
        document = statement_paper(statement, made_for=made_for, made_at=datetime_from_ns(statement.made_ns))
    made = pdf_make(document)
    record(
        "statement.made", object_type="account", object_id=account.number, after={**_named(statement), **made.named()}
    )
    return made


def statement_csv(*, account: AccountRef, period: Period, clock: Clock = SYSTEM_CLOCK) -> Iterator[list[str | None]]:
    """The rows of the statement's CSV file, one at a time; refused as above before the first. That it was made is recorded."""
    statement = statement_get(account, period, clock=clock)
    rows_demand(statement, CSV_ROWS_MAX, "Ask for fewer days.")
    record(
        "statement.made", object_type="account", object_id=account.number, after={**_named(statement), "form": "csv"}
    )
    return statement_rows(statement)


def _named(statement: Statement) -> dict[str, str | int]:
    period = statement.period
    return {"from": period.first.isoformat(), "to": period.end.isoformat(), "seq": statement.seq}
