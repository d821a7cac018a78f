"""Links sent by mail: random, signed, kept as a digest, good once and for a limited time.

Made by the task that sends the mail, so that no link ever lies in a queue. A newer link of one purpose ends the older ones.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.core.signing import BadSignature, Signer
from django.db import transaction

from accounts.models import MailToken, User
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode

LIFETIME = {
    MailToken.Purpose.CONFIRM_EMAIL: timedelta(days=3),
    MailToken.Purpose.RECOVER: timedelta(minutes=30),
    MailToken.Purpose.EMAIL_OLD: timedelta(hours=24),
    MailToken.Purpose.EMAIL_NEW: timedelta(hours=24),
    MailToken.Purpose.FREEZE: timedelta(days=7),
}


def _signer(purpose: str) -> Signer:
    return Signer(salt=f"mail-token:{purpose}")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def mail_token_make(*, user: User, purpose: str, data: dict[str, Any] | None = None) -> str:
    """Make a link's token; what was sent before for the same purpose stops working."""
    now = utc_now()
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        MailToken.objects.filter(user=user, purpose=purpose, used_at=None).exclude(
            purpose=MailToken.Purpose.FREEZE
        ).update(expires_at=now)
        MailToken.objects.create(
            user=user,
            purpose=purpose,
            digest=_digest(secret),
            data=data or {},
            created_at=now,
            expires_at=now + LIFETIME[MailToken.Purpose(purpose)],
        )
    return _signer(purpose).sign(secret)


def mail_token_look(*, token: str, purpose: str, lock: bool = False) -> MailToken:
    """The row of a token that would work now; RejectedError 2032 for any other. ``lock`` needs a transaction."""
    try:
        secret = _signer(purpose).unsign(token)
    except BadSignature as error:
        raise RejectedError(RejectCode.LINK_NOT_VALID) from error
    rows = MailToken.objects.select_related("user")
    if lock:
        rows = rows.select_for_update(of=("self",))
    row = rows.filter(digest=_digest(secret), purpose=purpose, used_at=None, expires_at__gt=utc_now()).first()
    if row is None or not row.user.is_active:
        raise RejectedError(RejectCode.LINK_NOT_VALID)
    return row


def mail_token_use(*, token: str, purpose: str) -> MailToken:
    """Use a token up, in the caller's transaction; of two at once one gets 2032."""
    row = mail_token_look(token=token, purpose=purpose, lock=True)
    row.used_at = utc_now()
    row.save(update_fields=["used_at"])
    return row
