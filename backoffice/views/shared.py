"""What the staff pages share: the tabs, and how many rows a page has."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from backoffice.models import Approval
from backoffice.services.approvals import approval_list_for

PAGE_ROWS = 50


def staff_context(request: HttpRequest, tab: str) -> dict[str, Any]:
    """The tabs this member of staff has, and how much waits."""
    user: Any = request.user
    waiting = approval_list_for(user).filter(status=Approval.Status.PENDING)[:100].count()
    return {
        "page": "desk",
        "tab": tab,
        "waiting": waiting,
        "may_clients": user.has_perm("backoffice.view_clients"),
        "may_approvals": user.has_perm("backoffice.view_approval"),
        "may_funding": user.has_perm("accounts.view_withdrawal"),
        "may_requests": user.has_perm("trading.view_fallbackrequest"),
        "may_review": user.has_perm("backoffice.review_access"),
        "may_emergency": user.has_perm("backoffice.break_glass"),
        "may_ask_role": user.has_perm("backoffice.request_role"),
    }
