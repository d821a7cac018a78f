"""The security page: password, address, sessions, devices, history, lock and freeze. Second factors are in ``factors.py``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.forms import EmailChangeForm, PasswordChangeForm
from accounts.selectors.factors import factors_of
from accounts.selectors.security import payouts_frozen_until, settings_locked
from accounts.selectors.sessions import login_history, sessions_of
from accounts.services.emails import email_change_ask
from accounts.services.mobile import mobile_number, mobile_of
from accounts.services.passwords import password_change
from accounts.services.push_devices import push_devices_of
from accounts.services.security import settings_lock, settings_unlock_ask, user_freeze
from accounts.services.sessions import session_end, sessions_end_all
from accounts.views.common import form_page, own_session, refusals_shown
from brokerage.platform.messaging import number_masked, sms_on
from brokerage.platform.throttling import throttle_demand

HISTORY_PAGE = 50


@never_cache
@require_GET
def security(request: HttpRequest) -> HttpResponse:
    """Show how the account is protected."""
    user: Any = request.user
    mobile = mobile_of(user)
    linked = set(user.social_links.values_list("provider", flat=True))
    context = {
        "page": "security",
        "sessions": sessions_of(user.pk),
        "own_session": own_session(request),
        "history": login_history(user.pk)[:5],
        "payouts_frozen_until": payouts_frozen_until(user.pk),
        "providers": [(row["id"], row["name"], row["id"] in linked) for row in settings.OIDC_PROVIDERS],
        "factors": factors_of(user.pk),
        "locked": settings_locked(user),
        "mobile": mobile,
        "mobile_masked": number_masked(mobile_number(mobile)) if mobile else "",
        "sms_on": sms_on(),
        "push_devices": push_devices_of(user),
    }
    return render(request, "accounts/security.html", context)


@never_cache
@sensitive_post_parameters("password", "current")
@require_http_methods(["GET", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Change the password."""
    form = PasswordChangeForm(request.POST or None)
    user: Any = request.user

    def act() -> HttpResponse:
        throttle_demand("second_factor", f"password:{user.pk}")
        data = form.cleaned_data
        password_change(user=user, current=data["current"], new=data["password"], keep_session=own_session(request))
        # The cookie's session carries a mark of the password; it goes on under a new id.
        update_session_auth_hash(request, user)
        messages.success(request, "Your password is changed. Other sessions and tokens were signed out.")
        return redirect("security")

    return form_page(
        request,
        form=form,
        act=act,
        title="Change your password",
        text="Other sessions and tokens end, and payouts are frozen for a day.",
        button="Change the password",
        back="security",
    )


@never_cache
@require_http_methods(["GET", "POST"])
def email(request: HttpRequest) -> HttpResponse:
    """Ask for another address."""
    form = EmailChangeForm(request.POST or None)
    user: Any = request.user

    def act() -> HttpResponse:
        throttle_demand("mail", f"email:{user.pk}")
        email_change_ask(user=user, email=form.cleaned_data["email"])
        messages.success(request, "Both addresses have been sent a link. The change happens when both were followed.")
        return redirect("security")

    return form_page(
        request, form=form, act=act, title="Change your e-mail", text=f"Now: {user.email}", button="Send the links",
        back="security",
    )  # fmt: skip


@require_POST
@refusals_shown
def session_stop(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """End one session."""
    session_end(user=request.user, session_id=session_id, reason="ended by the user")  # type: ignore[arg-type]
    messages.success(request, "The session has ended.")
    return redirect("security")


@require_POST
def sessions_stop(request: HttpRequest) -> HttpResponse:
    """End all other sessions and every token."""
    count = sessions_end_all(
        user=request.user,  # type: ignore[arg-type]
        reason="ended by the user",
        keep=own_session(request),
        tokens=True,
    )
    messages.success(request, f"{count} other session{'' if count == 1 else 's'} ended.")
    return redirect("security")


@never_cache
@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """Every try to sign in."""
    rows = login_history(request.user.pk)  # type: ignore[arg-type]
    after = request.GET.get("before", "")
    if after.isascii() and after.isdigit() and len(after) <= 18:
        rows = rows.filter(pk__lt=int(after))
    shown = list(rows[: HISTORY_PAGE + 1])
    more, shown = len(shown) > HISTORY_PAGE, shown[:HISTORY_PAGE]
    context = {
        "page": "security",
        "rows": shown,
        "shown": len(shown),
        "is_later_page": bool(after),
        "first_url": request.path,
        "next_url": f"?before={shown[-1].pk}" if more else "",
    }
    return render(request, "accounts/login_history.html", context)


@require_POST
def lock(request: HttpRequest) -> HttpResponse:
    """Lock the security settings."""
    settings_lock(user=request.user)  # type: ignore[arg-type]
    messages.success(request, "Your security settings are locked.")
    return redirect("security")


@require_POST
def unlock(request: HttpRequest) -> HttpResponse:
    """Ask to unlock them."""
    settings_unlock_ask(user=request.user)  # type: ignore[arg-type]
    messages.success(request, "Your security settings unlock a day from now.")
    return redirect("security")


@never_cache
@require_http_methods(["GET", "POST"])
def freeze(request: HttpRequest) -> HttpResponse:
    """Freeze one's own account."""

    def act() -> HttpResponse:
        user_freeze(user=request.user, reason="by the owner")  # type: ignore[arg-type]
        messages.success(request, "Your account is frozen.")
        return redirect("signin")

    return form_page(
        request,
        form=None,
        act=act,
        title="Freeze your account?",
        text="Every session ends, nobody can sign in, and nothing is paid out. To go on later, set a new password and confirm with your second "
        "factor, or contact support.",
        button="Freeze the account",
        danger=True,
        back="security",
    )
