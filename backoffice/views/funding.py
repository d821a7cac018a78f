"""The funding desk: the queue of withdrawals with what to look at, one withdrawal, and what finance does with it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Withdrawal
from accounts.services.beneficiaries import destination_of, owners_of
from accounts.services.withdrawals import flags_of
from backoffice import forms
from backoffice.models import Approval
from backoffice.services.funding import (
    DECIDE,
    payout_approval_waiting,
    payout_approve,
    payout_paid,
    payout_refuse,
    withdrawal_for_staff,
    withdrawal_list_for_staff,
)
from backoffice.views.shared import PAGE_ROWS, staff_context
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform import audit
from brokerage.platform.problems import refusal_text
from brokerage.platform.web import refusing_page
from trading.views.withdrawals import shown

QUEUES = {
    "waiting": ("To decide", ("requested", "held")),
    "approved": ("To pay", ("approved",)),
    "paid": ("Paid", ("paid",)),
    "over": ("Refused, cancelled", ("refused", "cancelled")),
}


@refusing_page
@require_safe
def funding(request: HttpRequest) -> HttpResponse:
    """List a queue: what waits the longest comes first, what is done last comes first."""
    queue = request.GET.get("queue", "waiting")
    queue = queue if queue in QUEUES else "waiting"
    mine = withdrawal_list_for_staff(request.user)
    rows = mine.filter(status__in=QUEUES[queue][1])
    open_queue = queue in {"waiting", "approved"}
    mark = request.GET.get("from", "")[:26]
    if mark:
        rows = rows.filter(pk__gt=mark) if open_queue else rows.filter(pk__lt=mark)
    found = list(rows.order_by("pk" if open_queue else "-pk")[: PAGE_ROWS + 1])
    page = found[:PAGE_ROWS]
    context = staff_context(request, "funding")
    context |= {
        "rows": [(row, shown(row), flags_of(row) if open_queue else []) for row in page],
        "queue": queue,
        "queues": [(name, label, mine.filter(status__in=states).count() if name in {"waiting", "approved"} else None)
                   for name, (label, states) in QUEUES.items()],
        "more": page[-1].pk if len(found) > PAGE_ROWS else "",
    }  # fmt: skip
    return render(request, "backoffice/funding.html", context)


def _context(request: HttpRequest, row: Withdrawal) -> dict[str, Any]:
    user: Any = request.user
    may = user.has_perm(DECIDE)
    waiting = payout_approval_waiting(row)
    found = destination_of(row.beneficiary)
    flags = flags_of(row)
    return staff_context(request, "funding") | {
        "row": row,
        "shown": shown(row),
        "flags": flags,
        "two": bool(flags),
        "owners": owners_of(row.account),
        "holder": found.holder,
        # Who pays needs the number; who only looks does not.
        "iban": found.iban if may else found.masked,
        "waiting_request": waiting,
        "may_decide": may and row.status == Withdrawal.Status.HELD and waiting is None,
        "may_refuse": may and row.status in (Withdrawal.Status.HELD, Withdrawal.Status.APPROVED),
        "may_pay": may and row.status == Withdrawal.Status.APPROVED,
        "approve_form": forms.DecisionForm(prefix="approve"),
        "refuse_form": forms.RefusalForm(prefix="refuse"),
        "paid_form": forms.PaidForm(prefix="paid"),
    }


@refusing_page
@require_safe
def withdrawal(request: HttpRequest, withdrawal_id: str) -> HttpResponse:
    """Show one. Opening it is an act and recorded."""
    row = withdrawal_for_staff(request.user, withdrawal_id)
    audit.record("withdrawal.opened", object_type="withdrawal", object_id=row.pk, after={"account": row.account.number})
    return render(request, "backoffice/withdrawal.html", _context(request, row))


@refusing_page
@require_POST
def withdrawal_act(request: HttpRequest, withdrawal_id: str) -> HttpResponse:
    """Approve, refuse or note as paid."""
    row = withdrawal_for_staff(request.user, withdrawal_id)
    act = request.POST.get("act", "")
    kinds: dict[str, Any] = {"approve": forms.DecisionForm, "refuse": forms.RefusalForm, "paid": forms.PaidForm}
    form, status = kinds.get(act, forms.DecisionForm)(request.POST, prefix=act), 400
    if act in kinds and form.is_valid():
        try:
            messages.success(request, _done(request, row, act, form))
            return redirect("desk-withdrawal", withdrawal_id=row.pk)
        except RejectedError as error:
            if error.code == RejectCode.PERMISSION_DENIED:
                raise
            form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
            status = reject_row(error.code).http
            row.refresh_from_db()
    context = _context(request, row)
    if act in kinds:
        context[f"{act}_form"] = form
    return render(request, "backoffice/withdrawal.html", context, status=status)


def _done(request: HttpRequest, row: Withdrawal, act: str, form: Any) -> str:
    if act == "paid":
        payout_paid(staff=request.user, withdrawal_id=row.pk, reference=form.cleaned_data["reference"])
        return "Noted as paid."
    reason = form.cleaned_data["reason"]
    if act == "refuse":
        payout_refuse(staff=request.user, withdrawal_id=row.pk, reason=reason)
        return "Refused. The client has the money back and reads why."
    made = payout_approve(staff=request.user, withdrawal_id=row.pk, reason=reason)
    return "Asked for: a colleague decides." if isinstance(made, Approval) else "Approved: it can be paid."
