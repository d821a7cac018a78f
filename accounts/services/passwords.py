"""New passwords: changed by who knows the old one, or set through a mailed link. Both end every other way in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from accounts.models import MailToken, User
from accounts.services.mail_tokens import mail_token_look, mail_token_use
from accounts.services.security import credentials_changed, settings_demand
from accounts.services.sessions import sessions_end_all
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.jobs import enqueue


def password_change(*, user: User, current: str, new: str, keep_session: Any = None) -> None:
    """Change a password; 2033 when the current one is wrong. Raises Django's ValidationError for a weak new one."""
    settings_demand(user)
    if not user.check_password(current):
        raise RejectedError(RejectCode.WRONG_PASSWORD)
    validate_password(new, user)
    _set(user, new, "your password was changed", "user.password_changed", keep_session)


def recovery_ask(*, email: str) -> None:
    """Mail a link for a new password; an unknown address is told that it has no account. To who asked both look and take the same."""
    enqueue("accounts.tasks.mail_recovery", email=email.strip())


def recovery_send(*, user: User, reason: str, sign_out: bool = False) -> None:
    """Mail a client, at their own address, a link for a new password: staff do not learn or set one. With ``sign_out`` everything open ends.

    PERMISSION_DENIED for staff, who recover by themselves, and for closed sign-ins.
    """
    if user.is_staff or not user.is_active:
        raise RejectedError(
            RejectCode.PERMISSION_DENIED, "Links for a new password are sent to clients who can sign in."
        )
    with transaction.atomic():
        if sign_out:
            sessions_end_all(user=user, reason="ended by our support", tokens=True)
        record(
            "user.password_link_sent", object_type="user", object_id=user.pk, subject=user.pk, reason=reason,
            after={"signed out": sign_out},
        )  # fmt: skip
        enqueue("accounts.tasks.mail_recovery", email=user.email, by_staff=True)


def password_recover(*, token: str, new: str) -> User:
    """Set a new password with a mailed link, which is used up by it; a weak password leaves it usable.

    Also proves the address: whoever has the link reads its mail.
    """
    user = mail_token_look(token=token, purpose=MailToken.Purpose.RECOVER).user
    validate_password(new, user)
    with transaction.atomic():
        user = mail_token_use(token=token, purpose=MailToken.Purpose.RECOVER).user
        if user.email_confirmed_at is None:
            user.email_confirmed_at = utc_now()
            user.save(update_fields=["email_confirmed_at"])
        _set(user, new, "your password was set through the recovery link", "user.password_recovered", None)
    return user


def _set(user: User, new: str, what: str, action: str, keep_session: Any) -> None:
    with transaction.atomic():
        user.set_password(new)
        user.password_changed_at = utc_now()
        user.save(update_fields=["password", "password_changed_at"])
        credentials_changed(user=user, what=what, action=action, keep_session=keep_session)
