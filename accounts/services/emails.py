"""Addresses: proved by a link after registration; changed when the old and the new one have both agreed."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from accounts.models import MailToken, User
from accounts.services.mail_tokens import mail_token_use
from accounts.services.security import credentials_changed, settings_demand
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.jobs import enqueue


def email_confirm_send(*, user: User) -> None:
    """Mail the confirmation link again, unless the address is confirmed."""
    if user.email_confirmed_at is None:
        enqueue("accounts.tasks.mail_confirm", user_id=str(user.pk))


def email_confirm(*, token: str) -> User:
    """Confirm an address by its link; a link for an address that was changed since is refused (2032)."""
    with transaction.atomic():
        row = mail_token_use(token=token, purpose=MailToken.Purpose.CONFIRM_EMAIL)
        if row.data.get("email") != row.user.email:
            raise RejectedError(RejectCode.LINK_NOT_VALID)
        row.user.email_confirmed_at = utc_now()
        row.user.save(update_fields=["email_confirmed_at"])
        record("user.email_confirmed", object_type="user", object_id=row.user.pk, subject=row.user.pk)
    return row.user


def email_change_ask(*, user: User, email: str) -> None:
    """Mail one link to the old and one to the new address. Says nothing about whether the new one is in use."""
    settings_demand(user)
    with transaction.atomic():
        record(
            "user.email_change_asked",
            object_type="user",
            object_id=user.pk,
            subject=user.pk,
            before={"email": user.email},
            after={"email": email},
        )
        enqueue("accounts.tasks.mail_email_change", user_id=str(user.pk), email=email.strip())


def email_change_agree(*, token: str, purpose: str) -> bool:
    """Note one end's agreement; change the address when both have agreed. True when it was changed."""
    other = {
        MailToken.Purpose.EMAIL_OLD: MailToken.Purpose.EMAIL_NEW,
        MailToken.Purpose.EMAIL_NEW: MailToken.Purpose.EMAIL_OLD,
    }[MailToken.Purpose(purpose)]
    try:
        with transaction.atomic():
            row = mail_token_use(token=token, purpose=purpose)
            user = User.objects.select_for_update().get(pk=row.user_id)
            settings_demand(user)
            agreed = MailToken.objects.filter(
                user=user, purpose=other, used_at__isnull=False, data__change=row.data["change"]
            ).exists()
            if not agreed:
                return False
            before = user.email
            user.email, user.email_confirmed_at = row.data["email"], utc_now()
            user.save(update_fields=["email", "email_confirmed_at"])
            record(
                "user.email_changed",
                object_type="user",
                object_id=user.pk,
                subject=user.pk,
                before={"email": before},
                after={"email": user.email},
            )
            credentials_changed(user=user, what="your e-mail address was changed", action="user.credentials_changed")
            enqueue("accounts.tasks.mail_address_changed", old_email=before)
    except IntegrityError as error:
        # Somebody registered with that address meanwhile; the link stays unused and dies by time.
        raise RejectedError(RejectCode.LINK_NOT_VALID) from error
    return True
