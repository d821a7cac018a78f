"""Pages of money out: the list with its destinations, the form in two steps, adding and removing a destination, taking one back."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.forms import PortalForm
from accounts.selectors.access import AccountRef
from accounts.selectors.security import payouts_frozen_until
from accounts.services.beneficiaries import (
    HOLDER_MAX,
    beneficiary_add,
    beneficiary_list_for,
    beneficiary_remove,
    owner_demand,
)
from accounts.services.rules import money_text
from accounts.services.withdrawals import amount_minor
from accounts.trading_policy import CURRENCY, trading_policy
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.kernel.units import format_plain, parse_decimal
from brokerage.platform.problems import ApiProblem, refusal_text
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from trading.selectors.withdrawals import (
    beneficiary_find,
    beneficiary_json,
    withdrawal_find,
    withdrawal_json,
    withdrawal_page,
)
from trading.services.payouts import (
    asset_named,
    refusal_demand,
    withdrawable,
    withdrawal_request,
    withdrawal_take_back,
)
from trading.views.state import page_account, page_accounts

PAGE_ROWS = 50
BADGES = {"requested": "", "held": "warn", "approved": "ok", "paid": "ok", "cancelled": "", "refused": "bad"}
WORDS = {
    "requested": "Asked for", "held": "Waiting for approval", "approved": "Approved", "paid": "Paid", "cancelled": "Cancelled", "refused": "Refused",
}  # fmt: skip


class WithdrawForm(PortalForm):
    """How much and where to. ``key`` makes one form one withdrawal, however often it is sent."""

    beneficiary = forms.ChoiceField(label="To")
    amount = forms.CharField(
        max_length=24, label=f"Amount in {CURRENCY}", widget=forms.TextInput(attrs={"inputmode": "decimal"})
    )
    key = forms.CharField(max_length=26, required=False, widget=forms.HiddenInput())

    def __init__(self, choices: list[tuple[str, str]], *args: object, **kwargs: object) -> None:
        self.choices = choices
        super().__init__(*args, **kwargs)

    def prepare(self) -> None:
        """The client's own destinations."""
        self.choices_set("beneficiary", self.choices)


class BeneficiaryForm(PortalForm):
    """A bank account of one's own."""

    holder = forms.CharField(
        max_length=HOLDER_MAX,
        label="Account holder",
        help_text="As your bank writes it. It must be your own name.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    iban = forms.CharField(
        max_length=42, label="IBAN", widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    )


def _own_account(request: HttpRequest) -> AccountRef:
    account = page_account(request)
    if account is None:
        raise Http404
    owner_demand(account)
    return account


def _list_url(account: AccountRef | str) -> str:
    number = account if isinstance(account, str) else account.number
    return f"{reverse('withdrawals')}?{urlencode({'account': number})}"


def shown(row: Any) -> dict[str, Any]:
    """A withdrawal as the pages show it."""
    found = withdrawal_json(row)
    return {**found, "word": WORDS[found["status"]], "badge": BADGES[found["status"]]}


def _common(request: HttpRequest, account: AccountRef | None) -> dict[str, Any]:
    own = account is not None and account.is_owner
    day = account.rules.limits.withdrawal_day_usd if account is not None and account.rules is not None else None
    return {
        "page": "withdrawals",
        "account": account,
        "accounts": page_accounts(request),
        "own": own,
        "currency": CURRENCY,
        "day_limit": format_plain(day) if day is not None else None,
        "frozen_until": payouts_frozen_until(account.owner_id) if own and account and account.owner_id else None,
        "cool_off_h": trading_policy().payouts.cool_off_h,
    }


@never_cache
@require_safe
def withdrawals(request: HttpRequest) -> HttpResponse:
    """List an account's withdrawals and where its money can go."""
    account = page_account(request)
    rows, cursor, destinations = [], None, []
    if account is not None:
        try:
            found, cursor = withdrawal_page(account, cursor=request.GET.get("cursor") or None, limit=PAGE_ROWS)
        except RejectedError as error:
            raise Http404 from error
        rows = [shown(row) for row in found]
        destinations = [beneficiary_json(row) for row in beneficiary_list_for([account.core_account])]
    context = _common(request, account) | {
        "rows": rows,
        "shown": len(rows),
        "destinations": destinations,
        "csv_url": f"{reverse('api-withdrawals-csv')}?{urlencode({'account': account.number})}" if account else "",
        "next_url": f"{_list_url(account)}&{urlencode({'cursor': cursor})}" if account and cursor else "",
        "first_url": _list_url(account) if account else "",
        "is_later_page": bool(request.GET.get("cursor")),
    }
    return render(request, "trading/withdrawals.html", context)


def _form(request: HttpRequest, account: AccountRef) -> tuple[WithdrawForm, list[dict[str, Any]]]:
    destinations = [beneficiary_json(row) for row in beneficiary_list_for([account.core_account])]
    choices = [
        (row["beneficiary_id"], f"{row['destination']}, {row['holder']}") for row in destinations if row["usable"]
    ]
    form = WithdrawForm(choices, request.POST or None, initial={"key": ulid_new()})
    return form, destinations


@refusing_page
@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: HttpRequest) -> HttpResponse:
    """Ask how much and where to; show what it means; with ``sure`` do it."""
    account = _own_account(request)
    form, destinations = _form(request, account)
    asset, available, problem, status, review = asset_named(CURRENCY), None, "", 200, None
    try:
        available = withdrawable(account, asset)
    except RejectedError as error:
        problem = refusal_text(error)
    if request.method == "POST":
        status = 400
        throttle_demand("withdraw", f"page:{request.user.pk}")
        if form.is_valid():
            try:
                amount = parse_decimal(form.cleaned_data["amount"].replace(",", "").strip(), field="amount")
                minor = amount_minor(amount, asset)
                if request.POST.get("sure"):
                    return _asked_for(request, account, form, amount)
                if available is not None and minor > available:
                    raise ApiProblem(
                        RejectCode.INSUFFICIENT_FUNDS, needed=money_text(minor), available=money_text(available),
                        field="amount", next_step="Take less, or cancel orders that hold money.",
                    )  # fmt: skip
                status = 200
                review = {
                    "amount": asset.money(minor),
                    "left": asset.money(available - minor) if available is not None else None,
                    "to": next(
                        row for row in destinations if row["beneficiary_id"] == form.cleaned_data["beneficiary"]
                    ),
                }
            except RejectedError as error:
                form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
                status = reject_row(error.code).http
    context = _common(request, account) | {
        "form": form,
        "destinations": destinations,
        "usable": [row for row in destinations if row["usable"]],
        "available": asset.money(available) if available is not None else None,
        "problem": problem,
        "review": review,
        "back": _list_url(account),
    }
    return render(request, "trading/withdraw.html", context, status=status)


def _asked_for(request: HttpRequest, account: AccountRef, form: WithdrawForm, amount: Any) -> HttpResponse:
    row = withdrawal_request(
        user=request.user,  # type: ignore[arg-type]
        account=account,
        beneficiary_id=form.cleaned_data["beneficiary"],
        asset=CURRENCY,
        amount=amount,
        key=form.cleaned_data["key"] or "",
    )
    refusal_demand(row)
    held = (
        "The money is set aside"
        if row.status == "held"
        else "It is written down and the money is set aside in a moment"
    )
    messages.success(request, f"Your withdrawal was asked for. {held} until our finance desk has looked at it.")
    return redirect(_list_url(account))


@refusing_page
@require_POST
def cancel(request: HttpRequest, withdrawal_id: str) -> HttpResponse:
    """Take a withdrawal back that is not approved yet."""
    account, row = withdrawal_find(request.user.pk, withdrawal_id)  # type: ignore[arg-type]
    owner_demand(account)
    try:
        withdrawal_take_back(row.pk)
    except RejectedError as error:
        messages.error(request, refusal_text(error))
    else:
        messages.success(request, "Cancelled. The money is available again.")
    return redirect(_list_url(account))


@refusing_page
@require_http_methods(["GET", "HEAD", "POST"])
def beneficiary_new(request: HttpRequest) -> HttpResponse:
    """Save a bank account of one's own."""
    account = _own_account(request)
    form, status = BeneficiaryForm(request.POST or None), 200
    if request.method == "POST":
        status = 400
        throttle_demand("withdraw", f"page:{request.user.pk}")
        if form.is_valid():
            try:
                row = beneficiary_add(user=request.user, account=account, **form.cleaned_data)  # type: ignore[arg-type]
            except RejectedError as error:
                form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
                status = reject_row(error.code).http
            else:
                messages.success(
                    request, f"Saved. Money can be paid to it from {row.usable_at:%d %b %Y, %H:%M} UTC on."
                )
                return redirect(_list_url(account))
    context = _common(request, account) | {"form": form, "back": _list_url(account)}
    return render(request, "trading/beneficiary.html", context, status=status)


@refusing_page
@require_POST
def beneficiary_end(request: HttpRequest, beneficiary_id: str) -> HttpResponse:
    """Remove a destination."""
    account, row = beneficiary_find(request.user.pk, beneficiary_id)  # type: ignore[arg-type]
    try:
        beneficiary_remove(user=request.user, account=account, beneficiary_id=row.pk)  # type: ignore[arg-type]
        messages.success(request, "Removed.")
    except RejectedError as error:
        if error.code == RejectCode.PERMISSION_DENIED:
            raise
        messages.error(request, refusal_text(error))
    return redirect(_list_url(account))
