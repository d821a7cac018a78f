"""Pages of programs that act for a user: their sign-ins, keys that sign requests, FIX sessions."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.forms import ApiKeyForm, FixKeyForm
from accounts.selectors.access import accounts_of
from accounts.selectors.credentials import api_keys_of, families_of, fix_keys_of
from accounts.selectors.factors import second_factor_enrolled
from accounts.services.api_keys import api_key_create, api_key_revoke
from accounts.services.fix_keys import fix_key_create, fix_key_revoke
from accounts.services.step_up import step_up_required
from accounts.services.token_families import families_revoke_all, family_revoke
from brokerage.config import get_config
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform.problems import refusal_text


@never_cache
@require_http_methods(["GET", "POST"])
def sign_ins(request: HttpRequest) -> HttpResponse:
    """List the sign-ins of programs; end one or all."""
    if request.method == "POST":
        chosen = request.POST.get("sign_in", "")
        try:
            if chosen == "all":
                count = families_revoke_all(user=request.user, reason="ended by the user")
                messages.success(request, f"{count} sign-ins ended." if count != 1 else "One sign-in ended.")
            else:
                family_revoke(user=request.user, family_id=UUID(chosen))
                messages.success(request, "The sign-in was ended; its tokens stop working within seconds.")
        except (ValueError, RejectedError):
            messages.error(request, "There is no such sign-in any more.")
        return redirect("profile-api")
    return render(request, "accounts/api_sign_ins.html", {"sign_ins": families_of(request.user), "page": "profile"})


def _proof_first(request: HttpRequest) -> HttpResponse | None:
    """Where to prove who is there before keys are looked at; None when that was just done. A form that was sent says so itself."""
    if request.method == "GET":
        try:
            step_up_required(request, "api_key")
        except RejectedError:
            return redirect(f"{reverse('step-up')}?{urlencode({'next': request.path})}")
    return None


@never_cache
@require_http_methods(["GET", "POST"])
def api_keys(request: HttpRequest) -> HttpResponse:
    """List, make and revoke API keys. The secret of a new one is on this one answer and nowhere else."""
    form = ApiKeyForm(request.POST if "revoke" not in request.POST and request.method == "POST" else None)
    made, secret, status = None, "", 200
    enrolled = second_factor_enrolled(request.user.pk)
    away = _proof_first(request) if enrolled else None
    if away is not None:
        return away
    if "revoke" in request.POST:
        try:
            api_key_revoke(user=request.user, id=UUID(request.POST["revoke"]))
            messages.success(request, "The key was revoked; requests it signs are refused within seconds.")
        except (ValueError, RejectedError):
            messages.error(request, "There is no such API key any more.")
        return redirect("profile-api-keys")
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                if enrolled:
                    step_up_required(request, "api_key")
                made, secret = api_key_create(user=request.user, **form.cleaned_data)
                form, status = ApiKeyForm(), 200
            except RejectedError as error:
                form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
    context = {
        "form": form,
        "keys": api_keys_of(request.user),
        "made": made,
        "secret": secret,
        "now": utc_now(),
        "page": "profile",
    }
    return render(request, "accounts/api_keys.html", context, status=status)


@never_cache
@require_http_methods(["GET", "POST"])
def fix_keys(request: HttpRequest) -> HttpResponse:
    """List, make and revoke FIX sessions. The password of a new one is on this one answer and nowhere else."""
    accounts = [
        (ref.number, f"{ref.number} {ref.name}".strip()) for ref in accounts_of(request.user.pk) if ref.may_trade
    ]
    enrolled = second_factor_enrolled(request.user.pk)
    away = _proof_first(request) if enrolled else None
    if away is not None:
        return away
    if "revoke" in request.POST:
        try:
            fix_key_revoke(user=request.user, id=UUID(request.POST["revoke"]))
            messages.success(request, "The FIX session was revoked; its connection is logged out within seconds.")
        except (ValueError, RejectedError):
            messages.error(request, "There is no such FIX session any more.")
        return redirect("profile-fix-keys")
    form = FixKeyForm(request.POST if request.method == "POST" else None, accounts=accounts)
    made, password, status = None, "", 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                if enrolled:
                    step_up_required(request, "api_key")
                made, password = fix_key_create(user=request.user, **form.cleaned_data)
                form, status = FixKeyForm(accounts=accounts), 200
            except RejectedError as error:
                form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
    config = get_config()
    context = {
        "form": form,
        "accounts": accounts,
        "keys": fix_keys_of(request.user),
        "made": made,
        "password": password,
        "now": utc_now(),
        "target_comp_id": config.fix_comp_id,
        "page": "profile",
    }
    return render(request, "accounts/fix_keys.html", context, status=status)
