"""The desk's queue of clients' requests, and one request with the order or position as it is now."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from backoffice import forms
from backoffice.services import requests as service
from backoffice.views.shared import PAGE_ROWS, staff_context
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform import audit
from brokerage.platform.problems import refusal_text
from brokerage.platform.web import refusing_page
from marketdata.selectors.instruments import instrument_by_core
from marketdata.selectors.quotes import quote_get
from trading.models import FallbackRequest
from trading.selectors.fallback import closable, request_json
from trading.selectors.orders import order_get
from trading.selectors.shapes import order_json

QUEUES = {
    "open": ("Open", FallbackRequest.OPEN),
    "mine": ("Mine", (FallbackRequest.State.CLAIMED,)),
    "over": ("Ended", (FallbackRequest.State.DONE, FallbackRequest.State.REFUSED, FallbackRequest.State.WITHDRAWN)),
}
BADGES = {"received": "warn", "claimed": "", "done": "ok", "refused": "bad", "withdrawn": ""}


def _age(row: FallbackRequest) -> str:
    minutes = int((utc_now() - row.created_at).total_seconds()) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _shown(row: FallbackRequest) -> dict[str, Any]:
    return request_json(row) | {"age": _age(row), "badge": BADGES[row.state]}


@refusing_page
@require_safe
def requests(request: HttpRequest) -> HttpResponse:
    """List a queue: the open ones in the order they came, the ended ones backwards."""
    user: Any = request.user
    queue = request.GET.get("queue", "open")
    queue = queue if queue in QUEUES else "open"
    mine = service.request_list_for_staff(user)
    rows = mine.filter(state__in=QUEUES[queue][1])
    if queue == "mine":
        rows = rows.filter(claimed_by=user)
    forward, mark = queue != "over", request.GET.get("from", "")
    if mark.isascii() and mark.isdigit() and len(mark) < 19:
        rows = rows.filter(pk__gt=int(mark)) if forward else rows.filter(pk__lt=int(mark))
    found = list(rows.order_by("pk" if forward else "-pk")[: PAGE_ROWS + 1])
    page = found[:PAGE_ROWS]
    context = staff_context(request, "requests")
    context |= {
        "rows": [(row, _shown(row)) for row in page],
        "queue": queue,
        "queues": [(name, label) for name, (label, _) in QUEUES.items()],
        "waiting_requests": mine.filter(state__in=FallbackRequest.OPEN).count(),
        "more": page[-1].pk if len(found) > PAGE_ROWS else "",
    }
    return render(request, "backoffice/requests.html", context)


def _now(row: FallbackRequest) -> dict[str, Any]:
    """The order or position as it is stored now, and the market."""
    instrument = instrument_by_core(row.core_instrument)
    if instrument is None:
        return {}
    quote = quote_get(instrument.symbol) or {}
    known: dict[str, Any] = {"symbol": instrument.symbol, "quote": quote}
    if row.order_id is not None:
        order = order_get(row.account.core_account, row.order_id)
        return known | {"order": order_json(order, instrument, row.account.number) if order else None}
    lots, side = closable(row.account.core_account, instrument)
    same = side == row.side
    return known | {
        "position": instrument.qty(lots if row.side == 2 else -lots) if lots and same else None,
        "after": instrument.qty(max(0, lots - row.qty) * (1 if row.side == 2 else -1)) if lots and same else None,
    }


def _context(request: HttpRequest, row: FallbackRequest) -> dict[str, Any]:
    user: Any = request.user
    own = service.is_own(user, row)
    may = user.has_perm(service.DECIDE) and not own
    claimed = may and row.state == FallbackRequest.State.CLAIMED and row.claimed_by_id == user.pk
    return staff_context(request, "requests") | {
        "row": row,
        "shown": _shown(row),
        "now": _now(row),
        "own": own,
        "may_claim": may and row.state == FallbackRequest.State.RECEIVED,
        "may_work": claimed,
        "may_let_go": claimed and row.sent_at is None,
        "refuse_form": forms.RefusalForm(prefix="refuse"),
        "hand_form": forms.OutcomeForm(prefix="hand"),
    }


@refusing_page
@require_safe
def request_one(request: HttpRequest, request_id: str) -> HttpResponse:
    """Show one. Opening it is an act and recorded."""
    row = service.request_for_staff(request.user, int(request_id))
    audit.record(
        "fallback_request.opened",
        object_type="fallback_request",
        object_id=row.pk,
        after={"account": row.account.number},
    )
    return render(request, "backoffice/request.html", _context(request, row))


@refusing_page
@require_POST
def request_act(request: HttpRequest, request_id: str) -> HttpResponse:
    """Claim, release, do, refuse or write down what was done."""
    row = service.request_for_staff(request.user, int(request_id))
    act = request.POST.get("act", "")
    kinds: dict[str, Any] = {"refuse": forms.RefusalForm, "hand": forms.OutcomeForm}
    form = kinds[act](request.POST, prefix=act) if act in kinds else None
    status, refusal = 400, ""
    if form is None or form.is_valid():
        try:
            messages.success(request, _done(request, row.pk, act, form))
            return redirect("desk-request", request_id=row.pk)
        except RejectedError as error:
            if error.code in (RejectCode.PERMISSION_DENIED, RejectCode.ABOUT_ONESELF, RejectCode.NOT_FOUND):
                raise
            refusal, status = refusal_text(error), reject_row(error.code).http
            row = service.request_for_staff(request.user, int(request_id))
    context = _context(request, row) | {"refusal": refusal}
    if form is not None:
        context[f"{act}_form"] = form
    return render(request, "backoffice/request.html", context, status=status)


def _done(request: HttpRequest, number: int, act: str, form: Any) -> str:
    staff = request.user
    if act == "claim":
        service.request_claim(staff=staff, number=number)
        return "It is yours: do it, refuse it, or put it back."
    if act == "release":
        service.request_release(staff=staff, number=number)
        return "Back in the queue, at its old place."
    if act == "refuse":
        service.request_refuse(staff=staff, number=number, reason=form.cleaned_data["reason"])
        return "Refused. The client reads why."
    if act == "hand":
        service.request_done_by_hand(staff=staff, number=number, outcome=form.cleaned_data["outcome"])
        return "Written down. The client reads it."
    if act == "execute":
        return service.request_execute(staff=staff, number=number).message
    raise RejectedError(RejectCode.MALFORMED, field="act")
