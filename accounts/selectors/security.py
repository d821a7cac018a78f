"""Reads of a user's security: whether payouts are frozen, whether settings are locked."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from accounts.models import User
from brokerage.kernel.clock import utc_now


def payouts_frozen_until(user_id: UUID) -> datetime | None:
    """Until when nothing may be paid out to this user, or None. A frozen user's payouts have no end in sight: year 9999."""
    row = User.objects.filter(pk=user_id).values_list("payouts_frozen_until", "frozen_at").first()
    if row is None:
        return None
    if row[1] is not None:
        return datetime.max.replace(tzinfo=utc_now().tzinfo)
    return row[0] if row[0] is not None and row[0] > utc_now() else None


def settings_locked(user: User) -> bool:
    """True while security settings cannot be changed."""
    return user.settings_locked_at is not None and not (
        user.settings_unlock_at is not None and user.settings_unlock_at <= utc_now()
    )
