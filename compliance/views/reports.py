"""The page of reports to authorities: choose one and its days, see what is in it and what had to be left out, and take the files."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import TradingAccount
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import reject_row
from brokerage.platform.problems import refusal_text
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from compliance.forms import AuthorityReportForm
from compliance.models import KycCase
from compliance.selectors.report_forms import SHOWN_MAX, report_json
from compliance.selectors.reports import Report, asked_of
from compliance.services.reports import authority_report


def _cases(report: Report) -> dict[str, Any]:
    """Account number -> the case of who holds it, for the rows that are shown."""
    shown = {row.account for row in report.outcome.rejected[:SHOWN_MAX]}
    accounts = [report.accounts[core] for core in shown if core in report.accounts]
    entities = {(row.parent_id or row.pk): row for row in accounts if row.kind == TradingAccount.Kind.ENTITY}
    of_account = dict(KycCase.objects.filter(account__in=entities).values_list("account_id", "pk"))
    of_user = dict(KycCase.objects.filter(user__in={row.owner_id for row in accounts}).values_list("user_id", "pk"))
    return {
        row.number: of_account.get(row.parent_id or row.pk)
        if row.kind == TradingAccount.Kind.ENTITY
        else of_user.get(row.owner_id)
        for row in accounts
    }


@refusing_page
@require_safe
def reports(request: HttpRequest) -> HttpResponse:
    """A report's figures with links to its files; a refusal says why and keeps the form."""
    form = AuthorityReportForm(request.GET or None)
    today = utc_now().date()
    context: dict[str, Any] = {"page": "reports", "form": form, "today": today}
    status = 200
    if form.is_bound and not form.is_valid():
        status = 400
    elif form.is_bound:
        chosen = form.cleaned_data
        try:
            asked = asked_of(chosen["report"], chosen["first"], chosen["last"], chosen["references"])
            throttle_demand("statement", f"page:{request.user.pk}")
            report = authority_report(asked=asked, form="page")
        except RejectedError as error:
            status = reject_row(error.code).http
            context |= {"problem": refusal_text(error), "request_id": getattr(request, "request_id", "")}
        else:
            shown = report_json(report)
            query = {"first": shown["first"], "last": shown["last"]}
            if asked.references:
                query["references"] = ",".join(asked.references)
            cases = _cases(report)
            context |= {
                "shown": shown,
                "things": asked.kind.things,
                "references": asked.references,
                "rows": [{**row, "case": cases.get(row["account"])} for row in shown["rejects"]],
                "urls": {
                    name: f"{reverse(f'api-authority-report-{name}', args=[asked.kind.code])}?{urlencode(query)}"
                    for name in ("file", "rejects", "pdf")
                },
            }
    return render(request, "compliance/reports.html", context, status=status)
