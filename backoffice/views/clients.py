"""Clients for staff: search, one client's accounts, balances, orders and fills (read only), requests about them, looking as them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import TradingAccount
from accounts.selectors.access import account_for_user
from accounts.selectors.factors import second_factor_enrolled
from accounts.services.passwords import recovery_send
from backoffice import forms
from backoffice.selectors.clients import account_for_staff, account_list_for_staff, account_search
from backoffice.services.approvals import approval_list_for, approval_request
from backoffice.services.view_as import view_as_begin, view_as_end
from backoffice.views.shared import PAGE_ROWS, staff_context
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit
from brokerage.platform.api import Page, page_of
from brokerage.platform.pdf import pdf_response
from brokerage.platform.problems import ApiProblem, refusal_text
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from compliance.selectors.tax import kinds_of, years_of
from compliance.services.tax import csv_answer, tax_name, tax_pdf
from trading.selectors.executions import execution_list_for
from trading.selectors.orders import order_list_for
from trading.selectors.portfolio import balance_list_for, position_list_for
from trading.selectors.shapes import balance_json, execution_json, order_json, position_json
from trading.selectors.statement import period_of_days, today
from trading.services.statements import statement_name, statement_pdf

CLIENTS_PAGE = 50
ORDERS_PAGE, FILLS_PAGE = Page("staff-orders", 1), Page("staff-fills", 1)
VIEWS = {"overview": "backoffice.view_clients", "orders": "trading.view_order", "fills": "trading.view_execution"}
#: A statement shows the ledger, trades and positions.
STATEMENT = ("accounts.view_ledgerentry", "accounts.view_balance", "trading.view_execution", "risk.view_position")
#: Years of a tax document that are linked, the newest; older ones are had by their address.
TAX_YEARS = 8
REQUEST_FORMS = {"money": forms.MoneyForm, "account_state": forms.StateForm, "account_limits": forms.LimitsForm,
                 "factor_reset": forms.FactorResetForm}  # fmt: skip

FORM_NAMES = {
    "money": "money_form",
    "account_state": "state_form",
    "account_limits": "limits_form",
    "factor_reset": "factor_form",
}


@refusing_page
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Go to the first page this member of staff has."""
    context = staff_context(request, "")
    for allowed, name in (
        ("may_clients", "desk-clients"),
        ("may_approvals", "desk-approvals"),
        ("may_review", "desk-access"),
    ):
        if context[allowed]:
            return redirect(name)
    return render(request, "backoffice/nothing.html", context)


@refusing_page
@require_safe
def clients(request: HttpRequest) -> HttpResponse:
    """Search clients by number, name or address; a page at a time."""
    text = request.GET.get("q", "").strip()[:80]
    after = request.GET.get("after", "")
    rows = account_search(request.user, text)
    if after.isascii() and after.isdigit() and len(after) < 10:
        rows = rows.filter(core_account__gt=int(after))
    found = list(rows[: CLIENTS_PAGE + 1])
    more = found[CLIENTS_PAGE - 1].core_account if len(found) > CLIENTS_PAGE else None
    context = staff_context(request, "clients")
    context |= {"rows": found[:CLIENTS_PAGE], "q": text, "more": more, "fenced": not _sees_all(request)}
    return render(request, "backoffice/clients.html", context)


def _sees_all(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("backoffice.view_all_clients"))  # type: ignore[union-attr]


def _client_context(request: HttpRequest, account: TradingAccount, view: str) -> dict[str, Any]:
    user: Any = request.user
    context = staff_context(request, "clients")
    owner = account.owner
    context |= {
        "account_row": account,
        "owner": owner,
        "siblings": account_list_for_staff(user).filter(owner=owner)[:20],
        "view": view,
        "views": [(name, name.capitalize()) for name, permission in VIEWS.items() if user.has_perm(permission)],
        "may_balances": user.has_perm("accounts.view_balance"),
        "may_positions": user.has_perm("risk.view_position"),
        "may_statement": _may_statement(user),
        "statement_form": forms.DaysForm(initial={"first": today().replace(day=1), "last": today()}),
        "tax_documents": _tax_documents(account) if _may_statement(user) else [],
        "may_view_as": user.has_perm("backoffice.view_as_client") and owner and not owner.is_staff,
        "may_money": user.has_perm("backoffice.request_money"),
        "may_account": user.has_perm("backoffice.request_account"),
        "may_factor_reset": user.has_perm("backoffice.request_factor_reset")
        and owner
        and not owner.is_staff
        and second_factor_enrolled(owner.pk),
        "may_password_link": user.has_perm("backoffice.request_factor_reset")
        and owner
        and owner.is_active
        and not owner.is_staff,
        "password_form": forms.PasswordLinkForm(prefix="password"),
        "factor_form": forms.FactorResetForm(prefix="factor_reset"),
        "money_form": forms.MoneyForm(prefix="money"),
        "state_form": forms.StateForm(prefix="account_state"),
        "limits_form": forms.LimitsForm(prefix="account_limits"),
        "view_as_form": forms.ViewAsForm(prefix="view_as"),
        "requests": approval_list_for(user).filter(subject=account.number)[:10],
    }
    core, number = account.core_account, account.number
    if view == "overview":
        if context["may_balances"]:
            context["balances"] = [balance_json(row) for row in balance_list_for(core)]
        if context["may_positions"]:
            context["positions"] = [
                position_json(row.row, row.instrument, mark=row.mark, margin_held=row.margin_held)
                for row in position_list_for(core)
            ]
    else:
        rows, page, key = (
            (order_list_for(core), ORDERS_PAGE, "entry_seq")
            if view == "orders"
            else (execution_list_for(core), FILLS_PAGE, "exec_id")
        )
        found, context["next_cursor"] = page_of(
            rows, page, cursor=request.GET.get("cursor") or None, limit=PAGE_ROWS, keys=(key,)
        )
        shape = order_json if view == "orders" else execution_json
        context["rows"] = [shape(row, None, number) for row in found]
    return context


@refusing_page
@require_safe
def client(request: HttpRequest, number: str) -> HttpResponse:
    """Show one client. Opening it is an act and recorded."""
    user: Any = request.user
    account = account_for_staff(user, number)
    view = request.GET.get("view", "overview")
    if view not in VIEWS or not user.has_perm(VIEWS[view]):
        view = "overview"
    audit.record("client.opened", object_type="account", object_id=account.number, after={"view": view})
    return render(request, "backoffice/client.html", _client_context(request, account, view))


@refusing_page
@require_safe
def client_statement(request: HttpRequest, number: str) -> HttpResponse:
    """A client's statement as PDF, of the days ``first`` to ``last``. Whoever takes it and which file it was is recorded."""
    user: Any = request.user
    account = account_for_staff(user, number)
    if not _may_statement(user):
        raise RejectedError(RejectCode.PERMISSION_DENIED)
    throttle_demand("download", str(user.pk))
    ref = account_for_user(account.owner_id, account.number)  # type: ignore[arg-type]
    form = forms.DaysForm(request.GET)
    if not form.is_valid():
        raise ApiProblem(
            RejectCode.MALFORMED, "First and last day are days such as 2026-01-31.", needed="YYYY-MM-DD", field="first"
        )
    period = period_of_days(ref, form.cleaned_data["first"], form.cleaned_data["last"])
    made = statement_pdf(account=ref, period=period, made_for=str(user.email))
    return pdf_response(statement_name(ref, period, "pdf"), made)


def _tax_documents(account: TradingAccount) -> list[dict[str, Any]]:
    """The tax documents of a client's jurisdiction, each with its years; the house has none."""
    if account.owner_id is None:
        return []
    ref = account_for_user(account.owner_id, account.number)
    return [{"kind": kind, "years": years_of(ref, kind)[:TAX_YEARS]} for kind in kinds_of(ref)]


@refusing_page
@require_safe
def client_tax(request: HttpRequest, number: str, code: str, year: int, form: str) -> HttpResponse:
    """A client's tax document as PDF or CSV, the client's own. Whoever takes it and which file it was is recorded."""
    user: Any = request.user
    account = account_for_staff(user, number)
    if not _may_statement(user):
        raise RejectedError(RejectCode.PERMISSION_DENIED)
    throttle_demand("download", str(user.pk))
    ref = account_for_user(account.owner_id, account.number)  # type: ignore[arg-type]
    if form == "csv":
        return csv_answer(account=ref, code=code, year=year)
    if form != "pdf":
        raise RejectedError(RejectCode.NOT_FOUND, "The documents are PDF and CSV files.", field="form")
    made = tax_pdf(account=ref, code=code, year=year, made_for=str(user.email))
    return pdf_response(tax_name(ref, code, year, "pdf"), made)


def _may_statement(user: Any) -> bool:
    return all(user.has_perm(permission) for permission in STATEMENT)


@refusing_page
@require_POST
def client_request(request: HttpRequest, number: str, kind: str) -> HttpResponse:
    """Ask for something about this client that a colleague decides."""
    account = account_for_staff(request.user, number)
    form = REQUEST_FORMS[kind](request.POST, prefix=kind)
    status = 400
    if form.is_valid():
        payload = dict(form.cleaned_data)
        reason = payload.pop("reason")
        kind_name = payload.pop("kind", kind)
        try:
            approval = approval_request(
                maker=request.user, kind=kind_name, subject=account.number, payload=payload, reason=reason
            )
        except RejectedError as error:
            if error.code == RejectCode.PERMISSION_DENIED:
                raise
            form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
            status = 422
        else:
            messages.success(request, "Asked for. A colleague with the right to decide sees it under Approvals.")
            return redirect("desk-approval", approval_id=approval.pk)
    context = _client_context(request, account, "overview")
    context[FORM_NAMES[kind]] = form
    return render(request, "backoffice/client.html", context, status=status)


@refusing_page
@require_POST
def password_link(request: HttpRequest, number: str) -> HttpResponse:
    """Mail the owner of an account a link for a new password."""
    account = account_for_staff(request.user, number)
    owner: Any = account.owner
    form = forms.PasswordLinkForm(request.POST, prefix="password")
    if form.is_valid():
        throttle_demand("mail", f"support:{owner.pk}")
        recovery_send(user=owner, reason=form.cleaned_data["reason"], sign_out=form.cleaned_data["sign_out"])
        messages.success(request, f"A link for a new password goes to {owner.email}. It works once, for half an hour.")
        return redirect("desk-client", number=account.number)
    context = _client_context(request, account, "overview") | {"password_form": form}
    return render(request, "backoffice/client.html", context, status=400)


@refusing_page
@require_POST
def view_as(request: HttpRequest, number: str) -> HttpResponse:
    """Begin to look as the owner of an account."""
    account = account_for_staff(request.user, number)
    form = forms.ViewAsForm(request.POST, prefix="view_as")
    if form.is_valid():
        view_as_begin(
            request=request,
            client_id=account.owner_id,
            reason=form.cleaned_data["reason"],
            minutes=form.cleaned_data["minutes"],
        )
        return redirect("home")
    context = _client_context(request, account, "overview") | {"view_as_form": form}
    return render(request, "backoffice/client.html", context, status=400)


@refusing_page
@require_POST
def view_as_stop(request: HttpRequest) -> HttpResponse:
    """Be oneself again."""
    view_as_end(request=request)
    messages.info(request, "You are yourself again.")
    return redirect("desk")
