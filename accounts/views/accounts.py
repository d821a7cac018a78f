"""Accounts with several people: opening joint and entity accounts, members, invitations, sub-accounts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.forms import InvitationForm, NewAccountForm
from accounts.services import members as service
from accounts.views.common import form_page, refusals_shown
from brokerage.kernel.clock import utc_now
from brokerage.platform.throttling import throttle_demand


@never_cache
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Open a joint or entity account."""
    form = NewAccountForm(request.POST or None)

    def act() -> HttpResponse:
        account = service.account_add(user=request.user, **form.cleaned_data)  # type: ignore[arg-type]
        messages.success(request, f"Account {account.number} is being opened. Invite its members.")
        return redirect("members", account.number)

    return form_page(
        request,
        form=form,
        act=act,
        title="Open another account",
        text="You are its first owner; others are invited.",
        button="Open the account",
        back="profile",
    )


@never_cache
@require_GET
@refusals_shown
def members(request: HttpRequest, number: str) -> HttpResponse:
    """Who may use an account; for its owners."""
    account = service.account_for_owner(request.user, number)  # type: ignore[arg-type]
    roles = service.roles_for(account)
    context = {
        "account_shown": account,
        "members": account.members.select_related("user").order_by("pk")[: service.MEMBERS_MAX],
        "invitations": account.invitations.filter(accepted_at=None, revoked_at=None, expires_at__gt=utc_now())[
            : service.MEMBERS_MAX
        ],
        "subs": account.sub_accounts.all()[: service.ACCOUNTS_MAX],
        "may_have_subs": account.parent_id is None,
        "roles": roles,
        "form": InvitationForm(roles) if roles else None,
    }
    return render(request, "accounts/members.html", context)


@require_POST
@refusals_shown
def invite(request: HttpRequest, number: str) -> HttpResponse:
    """Invite somebody."""
    user: Any = request.user
    roles = service.roles_for(service.account_for_owner(user, number))
    form = InvitationForm(roles, request.POST)
    if not form.is_valid():
        messages.error(request, "Give an e-mail address and a role.")
        return redirect("members", number)
    throttle_demand("mail_address", f"invite:{user.pk}")
    service.invitation_send(user=user, number=number, **form.cleaned_data)
    messages.success(request, "The invitation is on its way.")
    return redirect("members", number)


@require_POST
@refusals_shown
def member(request: HttpRequest, number: str, member_id: UUID) -> HttpResponse:
    """Change a member's role, or remove them."""
    service.member_change(
        user=request.user,  # type: ignore[arg-type]
        number=number,
        member_id=member_id,
        role=request.POST.get("role", ""),
    )
    messages.success(request, "Saved.")
    return redirect("members", number)


@require_POST
@refusals_shown
def uninvite(request: HttpRequest, number: str, invitation_id: UUID) -> HttpResponse:
    """Withdraw an invitation."""
    service.invitation_revoke(user=request.user, number=number, invitation_id=invitation_id)  # type: ignore[arg-type]
    messages.success(request, "The invitation is withdrawn.")
    return redirect("members", number)


@require_POST
@refusals_shown
def sub_account(request: HttpRequest, number: str) -> HttpResponse:
    """Open a sub-account."""
    account = service.sub_account_add(user=request.user, number=number, name=request.POST.get("name", ""))  # type: ignore[arg-type]
    messages.success(request, f"Sub-account {account.number} is being opened.")
    return redirect("members", number)


@never_cache
@require_http_methods(["GET", "POST"])
@refusals_shown
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Accept an invitation."""
    row = service.invitation_look(token=token)

    def act() -> HttpResponse:
        service.invitation_accept(user=request.user, token=token)  # type: ignore[arg-type]
        messages.success(request, f"You are now {row.get_role_display().lower()} of account {row.account.number}.")
        return redirect("profile")

    return form_page(
        request,
        form=None,
        act=act,
        title=f"Join account {row.account.number}?",
        text=f"{row.invited_by.display_name or row.invited_by.email} invites {row.email} as {row.get_role_display().lower()}.",
        button="Join",
    )
