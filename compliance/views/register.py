"""The register of rules for compliance officers: the page with its filters, and the same rows as CSV."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import get_resolver
from django.views.decorators.http import require_safe

from accounts.views.developers import url_routes
from brokerage.platform.reporting import csv_response
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from compliance.forms import RegisterFilterForm
from compliance.register import COLUMNS, STATES, Rule, register_version, rule_row, rules_for
from compliance.views.common import filters_demand


@lru_cache(maxsize=1)
def _addresses() -> dict[str, str]:
    return {row.name: f"/{path}" for path, row in url_routes(get_resolver().url_patterns) if row.name}


def _place(route: str) -> dict[str, Any]:
    """Where a route is; it can be opened from here when nothing in its address is left open and it is a page."""
    address = _addresses()[route]
    return {"address": address, "open": "<" not in address and not address.startswith("/api/")}


def _shown(row: Rule) -> dict[str, Any]:
    report = _place(row.report.route) if row.report.route else None
    return {"rule": row, "places": [_place(route) for route in row.routes], "report": report}


@refusing_page
@require_safe
def rules(request: HttpRequest) -> HttpResponse:
    """All rows that fit."""
    form = RegisterFilterForm(request.GET)
    fits = form.is_valid()
    found = rules_for(**form.cleaned_data) if fits else []
    every = rules_for()
    context = {
        "page": "register",
        "form": form,
        "rows": [_shown(row) for row in found],
        "filtered": fits and any(form.cleaned_data.values()),
        "query": request.GET.urlencode(),
        "version": register_version(),
        "counts": [(name, sum(row.state == state for row in every)) for state, name in STATES.items()],
    }
    return render(request, "compliance/register.html", context, status=200 if fits else 400)


@refusing_page
@require_safe
def table(request: HttpRequest) -> HttpResponseBase:
    """What fits as CSV; lists are joined by semicolons."""
    throttle_demand("download", str(request.user.pk))
    form = filters_demand(RegisterFilterForm(request.GET))
    shown = (rule_row(row) for row in rules_for(**form.cleaned_data))
    lines = (["; ".join(row[name]) if isinstance(row[name], list) else row[name] for name in COLUMNS] for row in shown)
    return csv_response("register.csv", COLUMNS, lines, COLUMNS)
