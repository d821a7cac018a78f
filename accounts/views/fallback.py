"""Signing in to the fallback app: the same users, passwords, second factors, lockout and records as the portal's (``identity.py``, ``factors.py``).

Owns its own pages, which lead to nothing of the portal's. Passkeys belong to the portal's address and do not work here: a recovery code does.
"""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.forms import CodeForm, SignInForm
from accounts.selectors.factors import factors_of
from accounts.services.sign_in import (
    pending_begin,
    pending_user,
    second_factor_check,
    sign_in_complete,
    sign_out_complete,
)
from accounts.views.common import next_url
from accounts.views.identity import password_user
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform.problems import refusal_text
from brokerage.platform.throttling import client_address, throttle_demand

WRONG = "The e-mail address or the password is wrong. Check both and try again."
#: In front of the method in the history of sign-ins and the list of sessions, which the portal shows.
METHOD = "fallback"


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Check e-mail and password; begin the session, or go on to the second factor."""
    if request.user.is_authenticated and request.method == "GET":
        return redirect(next_url(request))
    form = SignInForm(request.POST or None)
    status = 200 if request.method == "GET" else 400
    if request.method == "POST" and form.is_valid():
        try:
            user = password_user(request, email=form.cleaned_data["email"], password=form.cleaned_data["password"])
            if user is not None and factors_of(user.pk).any:
                pending_begin(request, user)
                return redirect(f"{reverse('fallback-second')}?{urlencode({'next': next_url(request)})}")
            if user is not None and settings.CLIENT_SECOND_FACTOR:
                raise RejectedError(
                    RejectCode.SECOND_FACTOR_NEEDED,
                    "Everybody here needs a second factor and you have none yet. It is set up in the portal; until that is back, call the desk.",
                )
            if user is not None:
                sign_in_complete(request, user, method=f"{METHOD}: password")
                return redirect(next_url(request))
            form.add_error(None, WRONG)
            status = 401
        except RejectedError as error:
            form.add_error(None, refusal_text(error))
            status = reject_row(error.code).http
    context = {"form": form, "next": request.POST.get("next") or request.GET.get("next", "")}
    return render(request, "accounts/fallback_signin.html", context, status=status)


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def second(request: HttpRequest) -> HttpResponse:
    """The second step: a code of the authenticator or a recovery code."""
    user = pending_user(request)
    if user is None:
        messages.info(request, "Sign in again: the second step took too long.")
        return redirect("fallback-signin")
    factors = factors_of(user.pk)
    form = CodeForm(request.POST or None)
    status = 200 if request.method == "GET" else 400
    if request.method == "POST" and form.is_valid():
        try:
            throttle_demand("login_address", client_address(request))
            method = second_factor_check(request, user, code=form.cleaned_data["code"])
            sign_in_complete(request, user, method=f"{METHOD}: {method}", device=factors.totp or factors.passkeys[0])
            if method == "recovery":
                messages.warning(request, f"You used a recovery code: {factors.codes_left - 1} left.")
            return redirect(next_url(request))
        except RejectedError as error:
            form.add_error("code" if error.field == "code" else None, refusal_text(error))
            status = reject_row(error.code).http
    context = {
        "form": form,
        "next": request.POST.get("next") or request.GET.get("next", ""),
        "passkey_only": factors.totp is None,
        "codes_left": factors.codes_left,
    }
    return render(request, "accounts/fallback_second.html", context, status=status)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    sign_out_complete(request)
    messages.info(request, "You are signed out.")
    return redirect("fallback-signin")
