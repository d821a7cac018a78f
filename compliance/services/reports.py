"""Making a report to an authority: each time somebody has one made, it is recorded for which days, with which figures and which bytes."""

from __future__ import annotations

from brokerage.kernel.clock import datetime_from_ns
from brokerage.platform.audit import record
from brokerage.platform.pdf import Pdf, pdf_make
from compliance.selectors.report_forms import report_paper
from compliance.selectors.reports import Asked, Report, report_make


def authority_report(*, asked: Asked, form: str) -> Report:
    """Make a report and record that it was made in a form (page, file or rejects), with the digest of its file; refused as ``report_make`` says."""
    report = report_make(asked)
    _recorded(report, form)
    return report


def authority_report_pdf(*, asked: Asked, made_for: str) -> tuple[Report, Pdf]:
    """The summary as a document of record, with the digests of itself and of the file."""
    report = report_make(asked)
    made = pdf_make(report_paper(report, made_for=made_for, made_at=datetime_from_ns(report.made_ns)))
    _recorded(report, "pdf", **{f"summary_{name}": value for name, value in made.named().items()})
    return report, made


def _recorded(report: Report, form: str, **more: str) -> None:
    asked, outcome = report.asked, report.outcome
    named = {
        "form": form, "first": asked.first.isoformat(), "last": asked.last.isoformat(), "seq": report.seq, "sha256": report.digest,
        "total": outcome.total, "produced": outcome.produced, "rejected": len(outcome.rejected), **more,
    }  # fmt: skip
    if asked.references:
        named["references"] = " ".join(asked.references)
    record("authority_report.made", object_type="authority_report", object_id=asked.kind.code, after=named)
