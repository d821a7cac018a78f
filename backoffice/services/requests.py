"""The desk's queue of clients' requests: who of the staff may see and work on which.

A dealer sees requests of the clients that the fence of clients lets through, and decides nothing about an account they own, use or asked for. Each
act demands its permission here, whoever calls. Leaves the life of a request, and doing it once, to ``trading/services/fallback.py``.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from accounts.models import TradingAccountMember
from backoffice.selectors.clients import account_list_for_staff
from backoffice.services.staff import permission_demand, reason_demand
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from trading.models import FallbackRequest
from trading.services import fallback

VIEW, DECIDE = "trading.view_fallbackrequest", "trading.decide_fallbackrequest"


def request_list_for_staff(user: Any) -> QuerySet[FallbackRequest]:
    """Requests of the clients a member of staff may see."""
    if not user.has_perm(VIEW):
        return FallbackRequest.objects.none()
    rows = FallbackRequest.objects.filter(account__in=account_list_for_staff(user).values("pk"))
    return rows.select_related("account__owner", "requested_by", "claimed_by", "decided_by")


def request_for_staff(user: Any, number: int) -> FallbackRequest:
    """One of them; 2014 otherwise."""
    row = request_list_for_staff(user).filter(pk=number).first()
    if row is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such request.")
    return row


def is_own(user: Any, row: FallbackRequest) -> bool:
    """True for a request about an account of the member of staff's own, or made by them."""
    if user.pk in (row.account.owner_id, row.requested_by_id):
        return True
    return TradingAccountMember.objects.filter(account_id=row.account_id, user_id=user.pk).exists()


def _demand(staff: Any, number: int) -> FallbackRequest:
    permission_demand(staff, DECIDE)
    row = request_for_staff(staff, number)
    if is_own(staff, row):
        raise RejectedError(RejectCode.ABOUT_ONESELF)
    return row


def request_claim(*, staff: Any, number: int) -> FallbackRequest:
    """Take it from the queue."""
    return fallback.request_claim(number=_demand(staff, number).pk, staff=staff)


def request_release(*, staff: Any, number: int) -> FallbackRequest:
    """Put one's own back."""
    return fallback.request_release(number=_demand(staff, number).pk, staff=staff)


def request_refuse(*, staff: Any, number: int, reason: str) -> FallbackRequest:
    """Say no; the client reads the reason."""
    reason = reason_demand(reason)
    return fallback.request_refuse(number=_demand(staff, number).pk, staff=staff, reason=reason)


def request_done_by_hand(*, staff: Any, number: int, outcome: str) -> FallbackRequest:
    """Write down what was done elsewhere; the client reads it."""
    outcome = reason_demand(outcome)
    return fallback.request_done_by_hand(number=_demand(staff, number).pk, staff=staff, outcome=outcome)


def request_execute(*, staff: Any, number: int) -> FallbackRequest:
    """Do it through the engine."""
    return fallback.request_execute(number=_demand(staff, number).pk, staff=staff)
