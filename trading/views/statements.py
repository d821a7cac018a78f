"""The page of statements: choose account and month, or own days; what the period came to, and the files of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import parse_day
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform.problems import ApiProblem, refusal_text
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from trading.selectors.statement import PDF_ROWS_MAX, first_day, period_of_days, statement_get, today
from trading.selectors.statement_forms import statement_json
from trading.views.state import page_account, page_accounts


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def months_of(account: AccountRef) -> list[tuple[str, str]]:
    """(YYYY-MM, words) of every month since the account was opened, newest first."""
    month, months = first_day(account).replace(day=1), []
    while month <= today():
        months.append((f"{month:%Y-%m}", f"{month:%B %Y}"))
        month = _next_month(month)
    return months[::-1]


def _day(text: str, name: str) -> date:
    day = parse_day(text)
    if day is None:
        raise ApiProblem(
            RejectCode.MALFORMED, f"{name} is not a day such as 2026-01-31.", field=name, next_step="Choose a day."
        )
    return day


def _days(get: Any, months: list[tuple[str, str]]) -> tuple[date, date, str]:
    """(first day, last day, month chosen or nothing): own days where any is given, else the month named, else this one."""
    if get.get("first") or get.get("last"):
        return _day(get.get("first", ""), "First day"), _day(get.get("last", ""), "Last day"), ""
    month = get.get("month") or months[0][0]
    first = _day(f"{month}-01", "Month")
    return first, _next_month(first) - timedelta(days=1), month


@refusing_page
@require_safe
def statements(request: HttpRequest) -> HttpResponse:
    """Show a statement's figures with links to its files; a refusal says why and keeps the form."""
    account = page_account(request)
    context: dict[str, Any] = {"page": "statements", "account": account, "accounts": page_accounts(request)}
    status = 200
    if account is not None:
        months = months_of(account)
        get = request.GET
        context |= {
            "months": months,
            "first": get.get("first", ""),
            "last": get.get("last", ""),
            "month": get.get("month", ""),
        }
        context |= {"earliest": first_day(account).isoformat(), "latest": today().isoformat()}
        try:
            first, last, context["month"] = _days(get, months)
            period = period_of_days(account, first, last)
            throttle_demand("statement", f"page:{request.user.pk}")
            shown = statement_json(statement_get(account, period))
        except RejectedError as error:
            status = reject_row(error.code).http
            context |= {"problem": refusal_text(error), "request_id": getattr(request, "request_id", "")}
        else:
            query = urlencode({"from": shown["from"], "to": shown["to"]})
            context |= {
                "shown": shown,
                "last_day": period.last,
                "pdf_url": f"{reverse('api-account-statement-pdf', args=[account.number])}?{query}",
                "csv_url": f"{reverse('api-account-statement-csv', args=[account.number])}?{query}",
                "pdf_max": PDF_ROWS_MAX,
                "pdf_fits": shown["entries"] + shown["trades"] <= PDF_ROWS_MAX,
            }
    return render(request, "trading/statements.html", context, status=status)
