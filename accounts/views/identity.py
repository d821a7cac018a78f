"""Sign in, sign up and sign out of the portal.

Owns the pages and their words, which never tell whether an address is registered. Leaves making users to
``accounts/services/registration.py``, counting attempts to ``brokerage/platform/throttling.py``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.forms import SignInForm, SignUpForm
from accounts.selectors.factors import second_factor_enrolled
from accounts.services.registration import user_register
from accounts.services.sign_in import pending_begin, sign_in_complete, sign_out_complete
from accounts.views.common import next_url
from accounts.views.factors import party_of
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import reject_row
from brokerage.platform.problems import refusal_text
from brokerage.platform.throttling import client_address, identity_hash, throttle_demand

# The demo's logins are printed at the start of the platform as well; outside the demo there are none.
DEMO_LOGINS = (
    ("investor@demo.test", "Investor"),
    ("investor2@demo.test", "Second investor"),
    ("dealer@demo.test", "Dealer"),
    ("compliance@demo.test", "Compliance officer"),
    ("admin@demo.test", "Administrator"),
)


def password_user(request: HttpRequest, *, email: str, password: str) -> Any:
    """Who has this address and password, None for nobody; behind the budgets of address and place (2013) and the lockout (2030)."""
    throttle_demand("login_address", client_address(request))
    throttle_demand("login", f"{identity_hash(email)}:{client_address(request)}")
    return authenticate(request, username=email, password=password)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Check e-mail and password and begin a session."""
    if request.user.is_authenticated and request.method == "GET":
        return redirect(next_url(request))
    form = SignInForm(request.POST or None, initial={"email": request.GET.get("email", "")})
    status = 200
    if request.method == "POST" and form.is_valid():
        email, password = form.cleaned_data["email"], form.cleaned_data["password"]
        try:
            user = password_user(request, email=email, password=password)
            if user is not None and second_factor_enrolled(user.pk):
                pending_begin(request, user)
                return redirect(f"{reverse('second-step')}?{urlencode({'next': next_url(request)})}")
            if user is not None:
                sign_in_complete(request, user, method="password")
                return HttpResponseRedirect(next_url(request))
            form.add_error(None, "The e-mail address or the password is wrong. Check both and try again.")
            status = 401
        except RejectedError as error:
            form.add_error(None, refusal_text(error))
            status = reject_row(error.code).http
    elif request.method == "POST":
        status = 400
    context = {
        "form": form,
        "next": request.POST.get("next") or request.GET.get("next", ""),
        "demo_logins": DEMO_LOGINS,
        "providers": settings.OIDC_PROVIDERS,
        "passkeys": party_of(request).usable,
    }
    return render(request, "accounts/signin.html", context, status=status)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    """Register. The answer is the same for a new and a known address; a known one gets a mail, not an account."""
    if request.user.is_authenticated and request.method == "GET":
        return redirect("/")
    form = SignUpForm(request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            throttle_demand("register", client_address(request))
            user_register(
                email=data["email"],
                password=data["password"],
                display_name=data["display_name"],
                country=data["country"],
            )
        except RejectedError as error:
            form.add_error(None, refusal_text(error))
            status = 429
        else:
            messages.success(
                request,
                "Thank you. If this address is new here, you are registered: sign in, which opens your account.",
            )
            request.session["signup_email"] = data["email"]
            return redirect("signed-up")
    elif request.method == "POST":
        status = 400
    return render(request, "accounts/signup.html", {"form": form}, status=status)


@never_cache
@require_http_methods(["GET"])
def signed_up(request: HttpRequest) -> HttpResponse:
    """Offer the sign-in form with the address of the registration filled in."""
    form = SignInForm(initial={"email": request.session.get("signup_email", "")})
    return render(request, "accounts/signin.html", {"form": form, "next": "", "after_signup": True})


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    sign_out_complete(request)
    messages.info(request, "You are signed out.")
    return redirect("signin")
