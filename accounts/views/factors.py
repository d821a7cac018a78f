"""Second factors: the second step of sign-in, step-up, setting up and removing authenticator, codes and passkeys."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.forms import CodeForm, PasswordForm
from accounts.models import User
from accounts.qr import qr_svg
from accounts.selectors.factors import factors_of
from accounts.services import passkeys, second_factor
from accounts.services.devices import device_place
from accounts.services.lockout import lockout_clear, lockout_demand, lockout_fail
from accounts.services.sign_in import pending_user, second_factor_check, sign_in_complete
from accounts.services.step_up import proof_set
from accounts.views.common import form_page, next_url, own_session, refusals_shown
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import problem_response
from brokerage.platform.throttling import client_address, throttle_demand

CHALLENGE = "passkey_challenge"


def party_of(request: HttpRequest) -> passkeys.Party:
    """Where this request's browser is."""
    host = request.get_host()
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return passkeys.Party(name, f"{request.scheme}://{host}")


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def second(request: HttpRequest) -> HttpResponse:
    """The second step of sign-in: a code, a recovery code or a passkey."""
    user = pending_user(request)
    if user is None:
        messages.info(request, "Sign in again: the second step took too long.")
        return redirect("signin")
    form = CodeForm(request.POST or None)
    factors = factors_of(user.pk)

    def act() -> HttpResponse:
        throttle_demand("login_address", client_address(request))
        method = second_factor_check(request, user, code=form.cleaned_data["code"])
        device = factors.totp or factors.passkeys[0]
        sign_in_complete(request, user, method=f"password+{method}", device=device)
        if method == "recovery":
            messages.warning(request, f"You used a recovery code: {factors.codes_left - 1} left.")
        return redirect(next_url(request))

    return form_page(
        request,
        form=form,
        act=act,
        title="Second step",
        text="Your password was right. Confirm that it is you.",
        button="Sign in",
        back="signin",
        next=request.POST.get("next") or request.GET.get("next", ""),
        passkey_use="signin" if factors.passkeys and party_of(request).usable else "",
    )


@never_cache
@sensitive_post_parameters("code", "password")
@require_http_methods(["GET", "POST"])
def confirm_again(request: HttpRequest) -> HttpResponse:
    """Step-up: prove again who is there, with the second factor or, without one, the password."""
    user: Any = request.user
    factors = factors_of(user.pk)
    form = CodeForm(request.POST or None) if factors.any else PasswordForm(request.POST or None)

    def act() -> HttpResponse:
        place = device_place(request, user.email)
        if factors.any:
            method = second_factor_check(request, user, code=form.cleaned_data["code"])
        else:
            method = "password"
            lockout_demand(email=f"factor:{user.pk}", place=place)
            if not user.check_password(form.cleaned_data["password"]):
                lockout_fail(email=f"factor:{user.pk}", place=place, user_id=user.pk)
                raise RejectedError(RejectCode.WRONG_PASSWORD, field="password")
            lockout_clear(email=f"factor:{user.pk}", place=place)
        request.session.cycle_key()
        proof_set(request, method=method, strong=factors.any)
        return redirect(next_url(request))

    return form_page(
        request,
        form=form,
        act=act,
        title="Confirm that it is you",
        text="What you are about to do needs a fresh confirmation.",
        button="Confirm",
        back="security",
        next=request.POST.get("next") or request.GET.get("next", ""),
        passkey_use="step-up" if factors.passkeys and party_of(request).usable else "",
    )


@never_cache
@require_http_methods(["GET", "POST"])
@refusals_shown
def totp(request: HttpRequest) -> HttpResponse:
    """Set up an authenticator app: show the secret, take a code of it, show the recovery codes once."""
    user: Any = request.user
    form = CodeForm(request.POST or None)
    form.fields["code"].help_text = "The six digits your app shows now."
    device = second_factor.totp_begin(user=user)

    def act() -> HttpResponse:
        codes = second_factor.totp_confirm(
            user=user,
            code=form.cleaned_data["code"],
            place=device_place(request, user.email),
            keep_session=own_session(request),
        )
        proof_set(request, method="totp", strong=True)
        return _codes_page(request, codes)

    return form_page(
        request,
        form=form,
        act=act,
        title="Set up an authenticator",
        text="Scan the code with an authenticator app, or type the secret, and enter what the app shows.",
        button="Take it into use",
        back="security",
        instead=("passkey-add", "Use a passkey instead"),
        qr=qr_svg(second_factor.totp_link(device, user.email), "QR code of the secret"),
        secret=second_factor.totp_secret(device),
    )


def _codes_page(request: HttpRequest, codes: list[str]) -> HttpResponse:
    return render(request, "accounts/recovery_codes.html", {"codes": codes})


@require_POST
@refusals_shown
def totp_remove(request: HttpRequest) -> HttpResponse:
    """Remove the authenticator."""
    second_factor.totp_remove(user=request.user, keep_session=own_session(request))  # type: ignore[arg-type]
    messages.success(request, "The authenticator is removed.")
    return redirect("security")


@never_cache
@require_POST
@refusals_shown
def codes_make(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes and show them once."""
    codes = second_factor.recovery_codes_make(user=request.user, keep_session=own_session(request))  # type: ignore[arg-type]
    return _codes_page(request, codes)


@require_POST
@refusals_shown
def passkey_remove(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Forget a passkey."""
    passkeys.passkey_remove(user=request.user, uid=uid, keep_session=own_session(request))  # type: ignore[arg-type]
    messages.success(request, "The passkey is removed.")
    return redirect("security")


@never_cache
@require_http_methods(["GET"])
def passkey_add(request: HttpRequest) -> HttpResponse:
    """The page that adds a passkey."""
    return render(request, "accounts/passkey_add.html", {"usable": party_of(request).usable})


def _options(request: HttpRequest, options: dict[str, Any], challenge: str) -> JsonResponse:
    request.session[CHALLENGE] = challenge
    return JsonResponse(options)


def _answer(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    """The kept challenge, used up, and the browser's answer to it."""
    challenge = request.session.pop(CHALLENGE, "")
    if not challenge or len(request.body) > passkeys.ANSWER_MAX:
        raise RejectedError(RejectCode.FACTOR_NOT_USABLE)
    try:
        answer = json.loads(request.body)
    except ValueError as error:
        raise RejectedError(RejectCode.MALFORMED_JSON) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("credential"), dict):
        raise RejectedError(RejectCode.MALFORMED)
    return challenge, answer


@never_cache
@require_POST
def passkey_register_options(request: HttpRequest) -> HttpResponse:
    """Begin to register a passkey (JSON)."""
    try:
        return _options(
            request,
            *passkeys.passkey_register_options(user=request.user, party=party_of(request)),  # type: ignore[arg-type]
        )
    except RejectedError as error:
        return problem_response(error)


@never_cache
@require_POST
def passkey_register(request: HttpRequest) -> HttpResponse:
    """Keep the new passkey (JSON)."""
    user: Any = request.user
    try:
        challenge, answer = _answer(request)
        passkeys.passkey_register(
            user=user,
            party=party_of(request),
            challenge=challenge,
            answer=answer["credential"],
            name=str(answer.get("name", "")),
            keep_session=own_session(request),
        )
    except RejectedError as error:
        return problem_response(error)
    proof_set(request, method="passkey", strong=True)
    messages.success(request, "The passkey is registered.")
    if not factors_of(user.pk).codes_left:
        messages.info(request, "Make recovery codes too, in case the passkey is lost.")
    return JsonResponse({"next": reverse("security")})


@never_cache
@require_POST
def passkey_use_options(request: HttpRequest) -> HttpResponse:
    """Begin to use a passkey (JSON): to sign in, as the second step, or for step-up."""
    try:
        throttle_demand("login_address", client_address(request))
    except RejectedError as error:
        return problem_response(error)
    return _options(request, *passkeys.passkey_use_options(user=_whose(request), party=party_of(request)))


def _whose(request: HttpRequest) -> User | None:
    return request.user if request.user.is_authenticated else pending_user(request)  # type: ignore[return-value]


@never_cache
@require_POST
def passkey_use(request: HttpRequest) -> HttpResponse:
    """Sign in with a passkey, finish the second step with it, or confirm again (JSON)."""
    user = _whose(request)
    try:
        throttle_demand("login_address", client_address(request))
        challenge, answer = _answer(request)
        key = passkeys.passkey_use(user=user, party=party_of(request), challenge=challenge, answer=answer["credential"])
        if request.user.is_authenticated:
            request.session.cycle_key()
            proof_set(request, method="passkey", strong=True)
        else:
            sign_in_complete(request, key.user, method="password+passkey" if user else "passkey", device=key)
    except RejectedError as error:
        return problem_response(error)
    return JsonResponse({"next": next_url(request)})
