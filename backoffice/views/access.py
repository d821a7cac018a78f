"""Who has which role, what a role would change, emergency roles, the review as a file, the second factor."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.roles import ROLES
from backoffice.forms import DecisionForm, EmergencyForm, RoleForm
from backoffice.models import BreakGlass
from backoffice.services.access import (
    REVIEW_HEADER,
    access_review_rows,
    break_glass_begin,
    break_glass_end,
    role_change_preview,
    role_end,
)
from backoffice.services.approvals import approval_request
from backoffice.views.shared import staff_context
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit
from brokerage.platform.problems import refusal_text
from brokerage.platform.reporting import csv_response
from brokerage.platform.web import refusing_page

STAFF_MAX = 200


def _context(request: HttpRequest, **more: Any) -> dict[str, Any]:
    user: Any = request.user
    context = staff_context(request, "access")
    people: list[User] = []
    if context["may_review"]:
        people = list(User.objects.filter(is_staff=True).order_by("email").prefetch_related("groups")[:STAFF_MAX])
    context |= {
        "people": people,
        "roles": [(role, sorted(codes)) for role, codes in ROLES.items()],
        "emergencies": BreakGlass.objects.select_related("user")[:20]
        if user.has_perm("backoffice.view_breakglass")
        else [],
        "mine": BreakGlass.objects.filter(user=user, ended_at=None, ends_at__gt=utc_now()).first(),
        "may_end": user.has_perm("backoffice.approve_role"),
        "role_form": RoleForm(prefix="role"),
        "emergency_form": EmergencyForm(prefix="emergency"),
    }
    return context | more


@refusing_page
@require_safe
def access(request: HttpRequest) -> HttpResponse:
    """Show roles and who has them; with ?user= and ?role= what giving it would change."""
    preview = None
    email, role = request.GET.get("user", "")[:254], request.GET.get("role", "")[:40]
    context = _context(request)
    if email and role and context["may_ask_role"]:
        person = User.objects.filter(email__iexact=email).first()
        if person is None:
            raise RejectedError(RejectCode.NOT_FOUND)
        preview = {"user": person, "role": role, **role_change_preview(user=person, role=role)}
    return render(request, "backoffice/access.html", context | {"preview": preview})


@refusing_page
@require_POST
def role_request(request: HttpRequest) -> HttpResponse:
    """Ask for a role for somebody."""
    form = RoleForm(request.POST, prefix="role")
    if form.is_valid():
        data = form.cleaned_data
        try:
            row = approval_request(
                maker=request.user,
                kind="role",
                subject=data["user"],
                payload={"role": data["role"]},
                reason=data["reason"],
            )
            return redirect("desk-approval", approval_id=row.pk)
        except RejectedError as error:
            form.add_error(None, refusal_text(error))
    return render(request, "backoffice/access.html", _context(request, role_form=form), status=400)


@refusing_page
@require_POST
def role_remove(request: HttpRequest, user_id: str, role: str) -> HttpResponse:
    """Take a role away."""
    person = User.objects.filter(pk=user_id).first()
    if person is None:
        raise RejectedError(RejectCode.NOT_FOUND)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        messages.error(request, "A reason is needed.")
        return redirect("desk-access")
    role_end(user=person, role=role, actor=request.user, reason=form.cleaned_data["reason"])
    messages.success(request, f"{person.email} no longer has the role {role}.")
    return redirect("desk-access")


@refusing_page
@require_POST
def emergency(request: HttpRequest) -> HttpResponse:
    """Take a role in an emergency, or give it back."""
    if request.POST.get("act") == "end":
        break_glass_end(user=request.user)  # type: ignore[arg-type]
        messages.info(request, "The emergency role ended.")
        return redirect("desk-access")
    form = EmergencyForm(request.POST, prefix="emergency")
    if form.is_valid():
        data = form.cleaned_data
        try:
            break_glass_begin(
                user=request.user,  # type: ignore[arg-type]
                role=data["role"],
                reason=data["reason"],
                minutes=data["minutes"],
            )
            messages.warning(
                request, f"You have the role {data['role']} for {data['minutes']} minutes. Every administrator is told."
            )
            return redirect("desk-access")
        except RejectedError as error:
            form.add_error(None, refusal_text(error))
    return render(request, "backoffice/access.html", _context(request, emergency_form=form), status=400)


@refusing_page
@require_safe
def review(request: HttpRequest) -> HttpResponseBase:
    """The access review as CSV."""
    audit.record("access_review.exported", object_type="report", object_id="access-review")
    return csv_response(
        "access-review.csv", REVIEW_HEADER, access_review_rows(actor=request.user), ("user", "reason", "granted_by")
    )
