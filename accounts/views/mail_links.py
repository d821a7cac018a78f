"""Pages behind mailed links. Opening one shows a button and changes nothing: mail scanners open links too."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.forms import EmailForm, NewPasswordForm
from accounts.models import MailToken
from accounts.services.emails import email_change_agree, email_confirm, email_confirm_send
from accounts.services.mail_tokens import mail_token_look, mail_token_use
from accounts.services.passwords import password_recover, recovery_ask
from accounts.services.security import user_freeze
from accounts.views.common import form_page, refusals_shown
from brokerage.platform.throttling import client_address, identity_hash, throttle_demand


@never_cache
@require_http_methods(["GET", "POST"])
@refusals_shown
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm an address."""

    def act() -> HttpResponse:
        email_confirm(token=token)
        messages.success(request, "Thank you: your address is confirmed.")
        return redirect("home" if request.user.is_authenticated else "signin")

    row = mail_token_look(token=token, purpose=MailToken.Purpose.CONFIRM_EMAIL)
    return form_page(
        request, form=None, act=act, title="Confirm your address", text=row.user.email, button="This is my address"
    )


@require_POST
@refusals_shown
def confirm_send(request: HttpRequest) -> HttpResponse:
    """Send the confirmation link again."""
    throttle_demand("mail", f"confirm:{request.user.pk}")
    email_confirm_send(user=request.user)  # type: ignore[arg-type]
    messages.success(request, "A new link is on its way to your address.")
    return redirect("security")


@never_cache
@require_http_methods(["GET", "POST"])
def recover(request: HttpRequest) -> HttpResponse:
    """Ask for a link for a new password; the answer is the same for every address."""
    form = EmailForm(request.POST or None)

    def act() -> HttpResponse:
        email = form.cleaned_data["email"]
        throttle_demand("mail_address", client_address(request))
        throttle_demand("mail", f"recover:{identity_hash(email)}")
        recovery_ask(email=email)
        messages.success(request, "If that address belongs to an account, a link is on its way to it.")
        return redirect("signin")

    return form_page(
        request,
        form=form,
        act=act,
        title="Set a new password",
        text="We send a link to your address. It works once, for half an hour.",
        button="Send the link",
        back="signin",
    )


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
@refusals_shown
def recover_set(request: HttpRequest, token: str) -> HttpResponse:
    """Set the new password."""
    form = NewPasswordForm(request.POST or None)

    def act() -> HttpResponse:
        throttle_demand("login_address", client_address(request))
        password_recover(token=token, new=form.cleaned_data["password"])
        messages.success(request, "Your password is set. All other sessions were signed out. Sign in with it now.")
        return redirect("signin")

    mail_token_look(token=token, purpose=MailToken.Purpose.RECOVER)
    return form_page(
        request,
        form=form,
        act=act,
        title="Set a new password",
        text="Every session and token of your account ends. Payouts are frozen for a day.",
        button="Set the password",
    )


@never_cache
@require_http_methods(["GET", "POST"])
@refusals_shown
def email_change(request: HttpRequest, end: str, token: str) -> HttpResponse:
    """Agree to a new address, at the old or the new one."""
    purpose = MailToken.Purpose.EMAIL_OLD if end == "old" else MailToken.Purpose.EMAIL_NEW

    def act() -> HttpResponse:
        if email_change_agree(token=token, purpose=purpose):
            messages.success(request, "Your address is changed. Sign in with the new one.")
        else:
            messages.success(
                request, "Thank you. The change happens when the link at the other address is followed too."
            )
        return redirect("signin")

    row = mail_token_look(token=token, purpose=purpose)
    return form_page(
        request,
        form=None,
        act=act,
        title="Change the address of your account",
        text=f"The new address is {row.data['email']}.",
        button="I agree",
    )


@never_cache
@require_http_methods(["GET", "POST"])
@refusals_shown
def freeze(request: HttpRequest, token: str) -> HttpResponse:
    """Freeze an account from the mail about something unknown."""

    def act() -> HttpResponse:
        with transaction.atomic():
            row = mail_token_use(token=token, purpose=MailToken.Purpose.FREEZE)
            user_freeze(user=row.user, reason="by the owner, from a mail")
        messages.success(
            request,
            "Your account is frozen. Every session has ended, and nothing is paid out. Contact support to go on.",
        )
        return redirect("signin")

    row = mail_token_look(token=token, purpose=MailToken.Purpose.FREEZE)
    return form_page(
        request,
        form=None,
        act=act,
        title="Freeze this account?",
        text=f"Every session of {row.user.email} ends, nobody can sign in, and nothing is paid out. Open orders can still be cancelled by our "
        "desk. To go on later, set a new password and confirm with your second factor, or contact support.",
        button="Freeze the account",
        danger=True,
    )
