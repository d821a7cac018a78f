"""Requests that wait for another pair of eyes: list, one with its difference, the decision."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from backoffice.forms import DecisionForm
from backoffice.models import Approval
from backoffice.services.approval_kinds import KINDS
from backoffice.services.approvals import approval_decide, approval_list_for, approval_withdraw
from backoffice.views.shared import PAGE_ROWS, staff_context
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform.problems import refusal_text
from brokerage.platform.web import refusing_page

STATUSES = ("pending", "executed", "refused", "withdrawn")


@refusing_page
@require_safe
def approvals(request: HttpRequest) -> HttpResponse:
    """List them, newest first."""
    status = request.GET.get("status", "pending")
    status = status if status in STATUSES else "pending"
    rows = approval_list_for(request.user).filter(status=status)
    before = request.GET.get("before", "")[:26]
    if before:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: PAGE_ROWS + 1])
    context = staff_context(request, "approvals")
    context |= {
        "rows": [(row, KINDS[row.kind].label, row.expires_at <= utc_now()) for row in found[:PAGE_ROWS]],
        "status": status,
        "statuses": list(zip(STATUSES, ("Waiting", "Approved", "Refused", "Withdrawn"), strict=True)),
        "before": found[PAGE_ROWS - 1].pk if len(found) > PAGE_ROWS else "",
    }
    return render(request, "backoffice/approvals.html", context)


def _difference(approval: Approval) -> list[tuple[str, Any, Any]]:
    names = [*approval.payload, *(name for name in approval.before if name not in approval.payload)]
    return [
        (name.replace("_", " "), _shown(approval.before.get(name)), _shown(approval.payload.get(name)))
        for name in names
    ]


def _shown(value: Any) -> Any:
    return ", ".join(str(part) for part in value) or "none" if isinstance(value, list) else value


@refusing_page
@require_http_methods(["GET", "HEAD", "POST"])
def approval(request: HttpRequest, approval_id: str) -> HttpResponse:
    """Show what would change, and take the decision."""
    user: Any = request.user
    row = approval_list_for(user).filter(pk=approval_id).first()
    if row is None:
        raise Http404
    form = DecisionForm(request.POST or None)
    status = 200
    if request.method == "POST":
        act = request.POST.get("act", "")
        try:
            if act == "withdraw":
                approval_withdraw(approval_id=row.pk, maker=user)
                messages.info(request, "Withdrawn.")
                return redirect("desk-approval", approval_id=row.pk)
            if form.is_valid() and act in {"approve", "refuse"}:
                approval_decide(
                    approval_id=row.pk, checker=user, approve=act == "approve", reason=form.cleaned_data["reason"]
                )
                messages.success(request, "Approved and done." if act == "approve" else "Refused.")
                return redirect("desk-approval", approval_id=row.pk)
            status = 400
        except RejectedError as error:
            form.add_error(None, refusal_text(error))
            status = 409
    rules = KINDS[row.kind]
    over = row.expires_at <= utc_now()
    waiting = row.status == Approval.Status.PENDING and not over
    context = staff_context(request, "approvals")
    context |= {
        "row": row,
        "label": rules.label,
        "difference": _difference(row),
        "form": form,
        "over": over,
        "may_decide": waiting and row.maker_id != user.pk and user.has_perm(rules.approve),
        "may_withdraw": waiting and row.maker_id == user.pk,
        "waiting_row": waiting,
    }
    return render(request, "backoffice/approval.html", context, status=status)
