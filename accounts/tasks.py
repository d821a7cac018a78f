"""Background jobs of accounts: mails, text and push messages, notes of wrong passwords. Links and codes are made here: none lies in a queue."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from celery import Task, shared_task
from django.core.mail import send_mail
from django.db import transaction

from accounts.models import Invitation, LoginEvent, MailToken, MobileNumber, PushDevice, User, Withdrawal
from accounts.models.security import browser_name
from accounts.services import exports
from accounts.services.beneficiaries import destination_of
from accounts.services.mail_tokens import mail_token_make
from accounts.services.members import invitation_secret_make
from accounts.services.mobile import mobile_code_make, mobile_number
from accounts.services.push_devices import push_device_remove, push_token
from accounts.services.rules import money_text
from accounts.services.sessions import login_event_keep
from brokerage.config import get_config
from brokerage.kernel.clock import utc_now
from brokerage.platform.jobs import enqueue
from brokerage.platform.messaging import TokenGoneError, push_send, sms_send

MAIL: dict[str, Any] = {"autoretry_for": (OSError,), "retry_backoff": True, "max_retries": 5}
FOOT = "\n\nIf you have a question, reply through the portal. We never ask for your password or a code.\n"


def _link(path: str) -> str:
    return f"{get_config().base_url}{path}"


def _name(user: User) -> str:
    return user.display_name or user.email


def _freeze_link(user: User) -> str:
    return _link(f"/freeze/{mail_token_make(user=user, purpose=MailToken.Purpose.FREEZE)}")


def _send(subject: str, text: str, email: str) -> None:
    send_mail(subject, text.rstrip() + FOOT, None, [email])


@shared_task(name="accounts.tasks.mail_registered", **MAIL)
def mail_registered(user_id: str, known: bool) -> None:
    """Welcome a new user and ask to confirm the address; tell a known one that somebody registered again. Both cost the same."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    with transaction.atomic():
        here = transaction.savepoint()
        token = mail_token_make(user=user, purpose=MailToken.Purpose.CONFIRM_EMAIL, data={"email": user.email})
        (transaction.savepoint_rollback if known else transaction.savepoint_commit)(here)
    if known:
        _mail_known_address(user.email)
        return
    _send(
        "Welcome",
        f"Hello {_name(user)},\n\nyou are registered. Please confirm this address within three days:\n\n"
        f"{_link(f'/confirm/{token}')}\n\nYour account is opened when you sign in for the first time: {_link('/signin')}.",
        user.email,
    )


@shared_task(name="accounts.tasks.login_failed")
def login_failed(user_id: str, ip: str, user_agent: str, at: str) -> None:
    """Keep a wrong password in its user's history; for an unknown address (no ``user_id``) the job does nothing."""
    user = User.objects.filter(pk=user_id).first() if user_id else None
    if user is not None:
        login_event_keep(
            user=user,
            outcome=LoginEvent.Outcome.WRONG_PASSWORD,
            method="password",
            ip=ip,
            user_agent=user_agent,
            at=datetime.fromisoformat(at),
        )


@shared_task(name="accounts.tasks.mail_confirm", **MAIL)
def mail_confirm(user_id: str) -> None:
    """Send the confirmation link again."""
    user = User.objects.filter(pk=user_id, email_confirmed_at=None).first()
    if user is None:
        return
    token = mail_token_make(user=user, purpose=MailToken.Purpose.CONFIRM_EMAIL, data={"email": user.email})
    _send(
        "Confirm your address",
        f"Hello {_name(user)},\n\nplease confirm this address within three days:\n\n{_link(f'/confirm/{token}')}",
        user.email,
    )


def _mail_known_address(email: str) -> None:
    _send(
        "You already have an account",
        f"Somebody, probably you, tried to register with this address. You have an account already: sign in at {_link('/signin')}.\n"
        "If it was not you, nothing has to be done.",
        email,
    )


@shared_task(name="accounts.tasks.mail_recovery", **MAIL)
def mail_recovery(email: str, by_staff: bool = False) -> None:
    """Send the link for a new password, or tell an address nobody signs in with that there is nothing here. Both cost the same."""
    user = User.objects.filter(email__iexact=email, is_active=True).first()
    known = user is not None
    user = user or User(email=email)
    with transaction.atomic():
        here = transaction.savepoint()
        token = mail_token_make(user=user, purpose=MailToken.Purpose.RECOVER)
        (transaction.savepoint_commit if known else transaction.savepoint_rollback)(here)
    if not known:
        _mail_unknown_address(email)
        return
    who = (
        "our support sends you this because you asked for help with signing in."
        if by_staff
        else "somebody, probably you, asked for a new password."
    )
    _send(
        "Set a new password",
        f"Hello {_name(user)},\n\n{who} Within half an hour this link lets you set one:\n\n"
        f"{_link(f'/recover/{token}')}\n\nIf it was not you, ignore this mail: nothing has changed.",
        user.email,
    )


def _mail_unknown_address(email: str) -> None:
    _send(
        "No account with this address",
        "Somebody, probably you, asked for a new password for this address. Nobody signs in here with it. If you have an account under "
        f"another address, ask with that one: {_link('/recover')}.\nIf it was not you, nothing has to be done.",
        email,
    )


@shared_task(name="accounts.tasks.mail_email_change", **MAIL)
def mail_email_change(user_id: str, email: str) -> None:
    """Ask both addresses; a new one that belongs to somebody is told so instead, and the old one learns nothing of it."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    data = {"email": email, "change": secrets.token_hex(8)}
    old = mail_token_make(user=user, purpose=MailToken.Purpose.EMAIL_OLD, data=data)
    _send(
        "Agree to your new address",
        f"Hello {_name(user)},\n\nsomebody, probably you, asked to change the address of your account to {email}. If you agree, follow this "
        f"link within a day:\n\n{_link(f'/email/old/{old}')}\n\nThe new address is asked as well. If it was not you, do not follow the "
        "link and change your password.",
        user.email,
    )
    if User.objects.filter(email__iexact=email).exists():
        _mail_known_address(email)
        return
    new = mail_token_make(user=user, purpose=MailToken.Purpose.EMAIL_NEW, data=data)
    _send(
        "Prove your new address",
        "Hello,\n\nthis address was named as the new one of an account. If that is yours, follow this link within a day:\n\n"
        f"{_link(f'/email/new/{new}')}",
        email,
    )


@shared_task(name="accounts.tasks.mail_address_changed", **MAIL)
def mail_address_changed(old_email: str) -> None:
    """Tell the old address that it is no longer the account's."""
    _send(
        "Your address was changed",
        "This address no longer signs in to your account. If it was not you, contact support at once.",
        old_email,
    )


@shared_task(name="accounts.tasks.mail_security_notice", bind=True, **MAIL)
def mail_security_notice(self: Task, user_id: str, what: str) -> None:
    """Tell a user what was changed about the security of the account, with a way to stop it."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    _tell_also(self, user, what)
    text = f"Hello {_name(user)},\n\n{what} ({utc_now():%d %b %Y, %H:%M} UTC).\n\n"
    if not user.is_frozen:
        text += f"If it was not you, freeze your account at once:\n\n{_freeze_link(user)}"
    _send("A change to your account's security", text, user.email)


def _tell_also(job: Task, user: User, what: str) -> None:
    """The same by text message and to devices, each by a job of its own: a mail that has to be tried again tells nobody twice."""
    if job.request.retries:
        return
    said = f"{what} ({utc_now():%d %b %Y, %H:%M} UTC)."
    if MobileNumber.objects.filter(user=user, notices=True).exists():
        enqueue("accounts.tasks.text_notice", user_id=str(user.pk), said=said)
    for device_id in PushDevice.objects.filter(user=user).values_list("pk", flat=True):
        enqueue("accounts.tasks.push_notice", device_id=str(device_id), said=said)


@shared_task(name="accounts.tasks.text_notice", **MAIL)
def text_notice(user_id: str, said: str) -> None:
    """Tell a user by text message what was changed. Without a link: a text message that asks to follow one is what fraudsters send."""
    row = MobileNumber.objects.filter(pk=user_id, notices=True).first()
    if row is not None and (number := mobile_number(row)):
        # What to do stands first: a long text is cut at its end.
        sms_send(number, f"Brokerage: if this was not you, freeze your account on its security page. {_sentence(said)}")


@shared_task(name="accounts.tasks.push_notice", **MAIL)
def push_notice(device_id: str, said: str) -> None:
    """Tell one device what was changed; one the push service knows no more is forgotten."""
    row = PushDevice.objects.select_related("user").filter(pk=device_id).first()
    if row is None or not (token := push_token(row)):
        return
    try:
        push_send(
            token, "A change to your account's security", f"{_sentence(said)} Was it not you? Freeze your account."
        )
    except TokenGoneError:
        push_device_remove(user=row.user, device_id=row.pk)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


@shared_task(name="accounts.tasks.text_mobile_code", **MAIL)
def text_mobile_code(user_id: str) -> None:
    """Send a number the code that confirms it. Trying again makes another one."""
    made = mobile_code_make(user_id)
    if made is not None:
        number, code = made
        sms_send(
            number,
            f"Brokerage: {code} confirms this number within 10 minutes. It signs nobody in. We never ask for it; if you did not either, do nothing.",
        )


@shared_task(name="accounts.tasks.mail_new_device", bind=True, **MAIL)
def mail_new_device(self: Task, user_id: str, ip: str, label: str) -> None:
    """Tell a user of a sign-in with a browser not seen before."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    browser = browser_name(label)
    # What a browser says of itself may be a link; only the common ones are named where telephones make links of text.
    seen = "a browser we do not know" if browser in (label[:40], "not told") else browser
    _tell_also(self, user, f"somebody signed in with a new device, {seen} at {ip}")
    _send(
        "A sign-in with a new device",
        f"Hello {_name(user)},\n\nsomebody signed in to your account with a device we have not seen before ({utc_now():%d %b %Y, %H:%M} UTC):\n\n"
        f"Address: {ip}\nBrowser: {browser_name(label)}\n\nWas this you? Then nothing has to be done. If not, freeze your account at once:\n\n"
        f"{_freeze_link(user)}",
        user.email,
    )


@shared_task(name="accounts.tasks.export_build", **MAIL)
def export_build(export_id: str) -> None:
    """Make the file of a data export."""
    exports.export_build(export_id=export_id)


@shared_task(name="accounts.tasks.mail_invitation", **MAIL)
def mail_invitation(invitation_id: str) -> None:
    """Offer a role in an account."""
    row = (
        Invitation.objects.select_related("account", "invited_by")
        .filter(pk=invitation_id, accepted_at=None, revoked_at=None)
        .first()
    )
    if row is None:
        return
    token = invitation_secret_make(invitation=row)
    _send(
        "An invitation to an account",
        f"Hello,\n\n{_name(row.invited_by)} invites you to be {row.get_role_display().lower()} of account {row.account.number}. If you know them, "
        f"sign in (or register with this address first) and follow this link within a week:\n\n{_link(f'/invitations/{token}')}",
        row.email,
    )


_WITHDRAWAL_MAILS = {
    "requested": ("A withdrawal was asked for", "was asked for and waits for our approval"),
    "paid": ("Your withdrawal was paid", "was paid"),
    "refused": ("Your withdrawal was refused", "was refused; the money is available to you again"),
    "cancelled": ("Your withdrawal was cancelled", "was cancelled; the money is available to you again"),
}


@shared_task(name="accounts.tasks.mail_withdrawal", **MAIL)
def mail_withdrawal(user_id: str, withdrawal_id: str, what: str) -> None:
    """Tell an owner how far a withdrawal has got; where it was only asked for, with a way to stop it."""
    user = User.objects.filter(pk=user_id).first()
    row = Withdrawal.objects.select_related("account", "beneficiary").filter(pk=withdrawal_id).first()
    if user is None or row is None:
        return
    subject, said = _WITHDRAWAL_MAILS[what]
    text = (
        f"Hello {_name(user)},\n\na withdrawal of {money_text(row.amount)} from account {row.account.number} to "
        f"{destination_of(row.beneficiary).masked} {said} ({utc_now():%d %b %Y, %H:%M} UTC).\n"
    )
    if row.reason:
        text += f"\nReason: {row.reason}\n"
    if row.reference:
        text += f"\nThe bank's reference: {row.reference}\n"
    text += f"\nSee {_link('/account/withdrawals')}.\n"
    if what == "requested" and not user.is_frozen:
        text += f"\nIf it was not you, cancel it there, or freeze your account at once:\n\n{_freeze_link(user)}"
    _send(subject, text, user.email)
