"""What every change of credentials does, and the two brakes a user has: the settings lock and the freeze.

A change of credentials is refused while settings are locked, ends the other sessions, freezes payouts for a day, is mailed to the user and
recorded. A freeze ends everything at once; it is lifted by staff, or by a new password together with a second factor.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Greatest

from accounts.models import User
from accounts.services.sessions import sessions_end_all
from brokerage.kernel.clock import ns_from_datetime, rfc3339, utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.auth import users_forget
from brokerage.platform.jobs import enqueue
from brokerage.platform.outbox import emit

PAYOUT_FREEZE = timedelta(hours=24)
UNLOCK_DELAY = timedelta(hours=24)


def settings_demand(user: User) -> None:
    """Refuse (2037) while the user's settings are locked."""
    if user.settings_locked_at is None:
        return
    until = user.settings_unlock_at
    if until is not None and until <= utc_now():
        return
    needed = rfc3339(ns_from_datetime(until)) if until else "you ask to unlock them, and a day after"
    raise RejectedError(RejectCode.SETTINGS_LOCKED, needed=needed)


def credentials_changed(
    *,
    user: User,
    what: str,
    action: str,
    keep_session: Any = None,
    after: dict[str, Any] | None = None,
    payout_freeze: timedelta = PAYOUT_FREEZE,
) -> None:
    """Do what follows any change of credentials, in the caller's transaction. ``what`` is said in the mail.

    A freeze of payouts that lasts longer already is not cut short.
    """
    until = utc_now() + payout_freeze
    frozen = Greatest(Coalesce(F("payouts_frozen_until"), until), until)
    User.objects.filter(pk=user.pk).update(payouts_frozen_until=frozen)
    user.refresh_from_db(fields=["payouts_frozen_until"])
    sessions_end_all(user=user, reason=what, keep=keep_session, tokens=True)
    record(action, object_type="user", object_id=user.pk, subject=user.pk, after=after or {})
    enqueue("accounts.tasks.mail_security_notice", user_id=str(user.pk), what=what)
    transaction.on_commit(lambda: users_forget(user.pk))


def settings_lock(*, user: User) -> None:
    """Lock the security settings."""
    with transaction.atomic():
        user.settings_locked_at = utc_now()
        user.settings_unlock_at = None
        user.save(update_fields=["settings_locked_at", "settings_unlock_at"])
        record("settings.locked", object_type="user", object_id=user.pk, subject=user.pk)
        enqueue("accounts.tasks.mail_security_notice", user_id=str(user.pk), what="your security settings were locked")


def settings_unlock_ask(*, user: User) -> None:
    """Unlock a day from now; asking again changes nothing."""
    if user.settings_locked_at is None or user.settings_unlock_at is not None:
        return
    with transaction.atomic():
        user.settings_unlock_at = utc_now() + UNLOCK_DELAY
        user.save(update_fields=["settings_unlock_at"])
        record("settings.unlock_asked", object_type="user", object_id=user.pk, subject=user.pk)
        enqueue(
            "accounts.tasks.mail_security_notice",
            user_id=str(user.pk),
            what="somebody asked to unlock your security settings, which happens a day from now",
        )


def user_freeze(*, user: User, reason: str) -> None:
    """End every session and refuse new ones; a frozen user stays as they are. Emits ``user.frozen``."""
    with transaction.atomic():
        row = User.objects.select_for_update().get(pk=user.pk)
        if row.is_frozen:
            return
        row.frozen_at, row.frozen_reason = utc_now(), reason[:120]
        row.save(update_fields=["frozen_at", "frozen_reason"])
        sessions_end_all(user=row, reason="frozen", tokens=True)
        record("user.frozen", object_type="user", object_id=row.pk, subject=row.pk, reason=reason)
        emit("user.frozen", str(row.pk), {"reason": reason})
        enqueue("accounts.tasks.mail_security_notice", user_id=str(row.pk), what="your sign-in was frozen")
        transaction.on_commit(lambda: users_forget(row.pk))


def user_unfreeze(*, user: User, reason: str) -> None:
    """Let a frozen user sign in again. Emits ``user.unfrozen``."""
    with transaction.atomic():
        row = User.objects.select_for_update().get(pk=user.pk)
        if not row.is_frozen:
            return
        row.frozen_at, row.frozen_reason = None, ""
        row.save(update_fields=["frozen_at", "frozen_reason"])
        record("user.unfrozen", object_type="user", object_id=row.pk, subject=row.pk, reason=reason)
        emit("user.unfrozen", str(row.pk), {"reason": reason})
        enqueue("accounts.tasks.mail_security_notice", user_id=str(row.pk), what="your sign-in was unfrozen")
        transaction.on_commit(lambda: users_forget(row.pk))
    user.frozen_at = None
