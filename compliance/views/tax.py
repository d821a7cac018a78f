"""The page of a client's tax documents: a year is chosen, each document of the jurisdiction says what it comes to and gives its files."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.selectors.access import AccountRef
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform.problems import ApiProblem, refusal_text
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from compliance.selectors.tax import SO_FAR, Listed, kinds_of, tax_document_get, tax_list_for, years_of
from compliance.selectors.tax_forms import state_text
from trading.views.state import page_account, page_accounts


def _year(request: HttpRequest, known: list[int]) -> int:
    """The year asked for, the newest without one."""
    text = request.GET.get("year", "")
    if not text:
        return known[0]
    if not (text.isascii() and text.isdigit() and len(text) == 4 and int(text) in known):
        raise ApiProblem(
            RejectCode.VALUE_OUT_OF_RANGE, f"There are documents of the years {known[-1]} to {known[0]}.", needed=str(known[0]),
            field="year", next_step="Choose one of these years.",
        )  # fmt: skip
    return int(text)


def _shown(account: AccountRef, row: Listed) -> dict[str, Any]:
    """A document with its totals and the addresses of its files."""
    document = tax_document_get(account, row.kind, row.year)
    totals = document.sheets.totals
    place = {"number": account.number, "code": row.kind.code, "year": row.year.number}
    return {
        "kind": row.kind,
        "year": row.year,
        "so_far": row.state == SO_FAR,
        "state": state_text(document),
        "columns": [column for column in totals.columns if column.width],
        "rows": [
            [(column, cells.get(column.name)) for column in totals.columns if column.width] for cells in totals.rows
        ],
        "nothing": totals.nothing,
        "lines": document.sheets.lines,
        "margin": any(sheet.section == "margin" for sheet in document.sheets.others),
        "gaps": document.sheets.gaps,
        "pdf_url": reverse("api-account-tax-pdf", kwargs=place),
        "csv_url": reverse("api-account-tax-csv", kwargs=place),
    }


@refusing_page
@require_safe
def reports(request: HttpRequest) -> HttpResponse:
    """Show the documents of a year; a refusal says why and keeps the choice."""
    account = page_account(request)
    context: dict[str, Any] = {"page": "reports", "account": account, "accounts": page_accounts(request)}
    status = 200
    kinds = kinds_of(account) if account else []
    if account is not None and account.rules is not None:
        context["jurisdiction"] = account.rules.profile.name
    if account is not None and kinds:
        # All documents of a jurisdiction have the same years.
        years = years_of(account, kinds[0])
        context["years"] = years
        try:
            context["year"] = _year(request, [year.number for year in years])
            throttle_demand("statement", f"page:{request.user.pk}")
            context["documents"] = [_shown(account, row) for row in tax_list_for(account, context["year"])]
        except RejectedError as error:
            status = reject_row(error.code).http
            context |= {"problem": refusal_text(error), "request_id": getattr(request, "request_id", "")}
    return render(request, "compliance/tax.html", context, status=status)
