"""What every act of staff demands first: a permission and a reason."""

from __future__ import annotations

from typing import Any

from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode

REASON_MIN = 8
REASON_MAX = 1000


def permission_demand(user: Any, permission: str) -> None:
    """RejectedError 2012 unless this is active staff with the permission."""
    if not (user.is_active and user.is_staff and user.has_perm(permission)):
        raise RejectedError(RejectCode.PERMISSION_DENIED, "Your role does not include this.", needed=permission)


def reason_demand(reason: str) -> str:
    """The reason, trimmed; RejectedError 7053 when it says nothing."""
    text = " ".join(reason.split())
    if not REASON_MIN <= len(text) <= REASON_MAX:
        raise RejectedError(RejectCode.REASON_MISSING, needed=str(REASON_MIN), field="reason")
    return text
