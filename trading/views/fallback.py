"""Pages of the fallback app: an account as PostgreSQL knows it, and requests to the desk. Plain forms, no scripts, one column.

Each says whether the main platform answers, as seen at that moment. Leaves signing in to ``accounts/views/fallback.py``.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db import Error as DatabaseError
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.forms import PortalForm
from accounts.selectors.access import AccountRef
from brokerage.config import get_config
from brokerage.kernel.clock import datetime_from_ns
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.kernel.terms import Side
from brokerage.kernel.units import parse_decimal
from brokerage.platform.portal_watch import watch
from brokerage.platform.problems import refusal_text
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from marketdata.selectors.instruments import InstrumentRef, instrument_by_symbol
from trading.models import FallbackRequest
from trading.selectors.fallback import (
    PAGE_ROWS,
    closable,
    closable_left,
    fallback_state,
    request_json,
    request_list_for,
)
from trading.selectors.orders import order_get, order_number
from trading.selectors.shapes import order_json
from trading.services.fallback import request_cancel, request_close, request_withdraw
from trading.services.order_entry import account_demand
from trading.views.state import page_account, page_accounts

HONEST = "It is not an order: nothing happens until a dealer has done it, and prices move meanwhile."
BADGES = {"received": "warn", "claimed": "warn", "done": "ok", "refused": "bad", "withdrawn": ""}


class AskForm(PortalForm):
    """The form's own key: the same form sent twice is one request."""

    key = forms.CharField(max_length=36, widget=forms.HiddenInput())


class CloseForm(AskForm):
    """How much of a position."""

    qty = forms.CharField(
        max_length=32, label="Quantity to close", widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        help_text="All of it, or less.",
    )  # fmt: skip


def _platform() -> dict[str, Any]:
    """What is known of the main platform, in words."""
    state = watch.state()
    known: dict[str, Any] = {"at": datetime_from_ns(state.at_ns), "portal_url": ""}
    if not state.answers:
        return known | {
            "kind": "bad",
            "title": "The main platform does not answer.",
            "text": "You can read your account here and ask the desk to cancel or close.",
        }
    if not state.engine:
        return known | {
            "kind": "warn",
            "title": "The portal answers, but its trading engine does not.",
            "text": "Nothing can be traded at this moment. The desk takes requests and works on them in order.",
        }
    return known | {
        "kind": "ok",
        "title": "The main platform answers.",
        "text": "Cancelling and closing there is quicker than a request to the desk.",
        "portal_url": get_config().base_url,
    }


def _age(seconds: int | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _frame(request: HttpRequest, page: str) -> dict[str, Any]:
    return {"page": page, "account": page_account(request), "accounts": page_accounts(request)}


def _own(request: HttpRequest) -> AccountRef:
    account = page_account(request)
    if account is None:
        raise Http404
    account_demand(account, entering=False)
    return account


@refusing_page
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show one account."""
    context = _frame(request, "home")
    account: AccountRef | None = context["account"]
    context["platform"] = _platform()
    if account is not None:
        state = fallback_state(account.core_account, account.number)
        for row in state.positions:
            row["age"] = _age(row["price_age_s"])
        open_requests = FallbackRequest.objects.filter(account_id=account.id, state__in=FallbackRequest.OPEN)
        context |= {"state": state, "waiting": open_requests.count()}
    return render(request, "trading/fallback_home.html", context)


@refusing_page
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, order_id: str) -> HttpResponse:
    """Ask the desk to cancel an order: what it is, and one button."""
    account, number = _own(request), order_number(order_id)
    row = order_get(account.core_account, number) if number is not None else None
    if row is None or number is None:
        raise Http404
    order = order_json(row, None, account.number)
    form = AskForm(request.POST or None, initial={"key": ulid_new()})
    context = {
        "title": "Request to cancel",
        "text": (
            f"{str(order['side']).capitalize()} {order['leaves_qty']} {order['symbol']} at {order['price'] or 'market'}, "
            f"{order['filled_qty']} of {order['qty']} filled."
        ),
        "button": "Send the request",
    }
    return _asked(
        request, account, form, context,
        lambda: request_cancel(account=account, user=request.user, order_id=number, key=form.cleaned_data["key"]),  # type: ignore[arg-type]
    )  # fmt: skip


@refusing_page
@require_http_methods(["GET", "HEAD", "POST"])
def close(request: HttpRequest, symbol: str) -> HttpResponse:
    """Ask the desk to close a position: how much, all of it to begin with, and one button."""
    account, instrument = _own(request), instrument_by_symbol(symbol)
    if instrument is None:
        raise Http404
    lots, side = closable(account.core_account, instrument)
    left, _ = closable_left(account.id, account.core_account, instrument)
    if not lots and request.method != "POST":
        raise Http404
    form = CloseForm(request.POST or None, initial={"key": ulid_new(), "qty": instrument.qty(left)})
    context = {
        "title": f"Request to close {instrument.symbol}",
        "text": _position_text(instrument, lots, left, side),
        "button": "Send the request",
    }

    def ask() -> FallbackRequest:
        qty = parse_decimal(form.cleaned_data["qty"].strip(), field="qty")
        return request_close(
            account=account,
            user=request.user,
            instrument=instrument,
            qty=qty,
            key=form.cleaned_data["key"],  # type: ignore[arg-type]
        )

    return _asked(request, account, form, context, ask)


def _position_text(instrument: InstrumentRef, lots: int, left: int, side: int) -> str:
    if not lots:
        return "There is no position any more."
    text = f"The position is {'long' if side == Side.SELL else 'short'} {instrument.qty(lots)}."
    return text if left == lots else f"{text} Requests for {instrument.qty(lots - left)} of it are with the desk."


def _asked(request: HttpRequest, account: AccountRef, form: AskForm, context: dict[str, Any], ask: Any) -> HttpResponse:
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                throttle_demand("write", str(request.user.pk))
                row = ask()
                messages.success(request, f"Request no. {row.pk} is with the desk.")
                return redirect(f"{reverse('fallback-requests')}?account={account.number}")
            except RejectedError as error:
                if error.code == RejectCode.NOT_FOUND:
                    raise
                form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
                status = reject_row(error.code).http
    context |= {**_frame(request, "home"), "form": form, "honest": HONEST}
    return render(request, "trading/fallback_ask.html", context, status=status)


@refusing_page
@require_safe
def requests(request: HttpRequest) -> HttpResponse:
    """List an account's requests, newest first."""
    context = _frame(request, "requests")
    account: AccountRef | None = context["account"]
    found: list[FallbackRequest] = []
    if account is not None:
        rows = request_list_for(account.id)
        before = request.GET.get("before", "")
        if before.isascii() and before.isdigit() and len(before) < 19:
            rows = rows.filter(pk__lt=int(before))
        found = list(rows[: PAGE_ROWS + 1])
    page = found[:PAGE_ROWS]
    context |= {
        "rows": [{**request_json(row), "badge": BADGES[row.state]} for row in page],
        "before": page[-1].pk if len(found) > PAGE_ROWS else "",
    }
    return render(request, "trading/fallback_requests.html", context)


@refusing_page
@require_POST
def withdraw(request: HttpRequest, request_id: str) -> HttpResponse:
    """Take one back."""
    account = _own(request)
    request_withdraw(account=account, number=int(request_id))
    messages.info(request, f"Request no. {request_id} is withdrawn.")
    return redirect(f"{reverse('fallback-requests')}?account={account.number}")


def health_ready(request: HttpRequest) -> JsonResponse:
    """Say whether the database answers, which is all this app needs; 503 otherwise."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        well = True
    except DatabaseError:
        well = False
    return JsonResponse({"ready": well, "checks": {"database": well}}, status=200 if well else 503)
