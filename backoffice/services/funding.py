"""The funding desk: what finance does with withdrawals. Each act demands its permission and a reason, here, whoever calls.

One member of staff lets a withdrawal go only when nothing about it asks for a second look; anything flagged becomes a request of kind "payout"
(``approval_kinds.py``) that a colleague decides. Refusing needs one. Leaves the life of a withdrawal to ``accounts/services/withdrawals.py``.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from accounts.models import Withdrawal
from accounts.services.withdrawals import flags_of, withdrawal_approve, withdrawal_paid, withdrawal_refuse
from backoffice.models import Approval
from backoffice.selectors.clients import account_list_for_staff
from backoffice.services.approvals import approval_request
from backoffice.services.staff import permission_demand, reason_demand
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode

DECIDE = "backoffice.approve_money"


def withdrawal_list_for_staff(user: Any) -> QuerySet[Withdrawal]:
    """Withdrawals of the clients a member of staff may see."""
    if not user.has_perm("accounts.view_withdrawal"):
        return Withdrawal.objects.none()
    rows = Withdrawal.objects.filter(account__in=account_list_for_staff(user).values("pk"))
    return rows.select_related(
        "account__owner", "account__parent", "beneficiary__account", "requested_by", "approved_by"
    )


def withdrawal_for_staff(user: Any, withdrawal_id: str) -> Withdrawal:
    """One of them; 2014 otherwise."""
    row = withdrawal_list_for_staff(user).filter(pk=withdrawal_id).first()
    if row is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such withdrawal.")
    return row


def payout_approval_waiting(row: Withdrawal) -> Approval | None:
    """The request about this withdrawal that waits for a colleague."""
    rows = Approval.objects.filter(kind="payout", subject=row.pk, status=Approval.Status.PENDING)
    return rows.select_related("maker").first()


def payout_approve(*, staff: Any, withdrawal_id: str, reason: str) -> Approval | Withdrawal:
    """Let it go, or ask a colleague to: the request that waits now, or the withdrawal as approved."""
    permission_demand(staff, DECIDE)
    reason = reason_demand(reason)
    row = withdrawal_for_staff(staff, withdrawal_id)
    if staff.pk in (row.account.owner_id, row.requested_by_id):
        raise RejectedError(RejectCode.ABOUT_ONESELF)
    if flags_of(row):
        return approval_request(maker=staff, kind="payout", subject=row.pk, payload={}, reason=reason)
    return withdrawal_approve(withdrawal_id=row.pk, staff=staff, reason=reason)


def payout_refuse(*, staff: Any, withdrawal_id: str, reason: str) -> Withdrawal:
    """Say no; the client reads the reason and has the money back."""
    permission_demand(staff, DECIDE)
    reason = reason_demand(reason)
    return withdrawal_refuse(withdrawal_id=withdrawal_for_staff(staff, withdrawal_id).pk, reason=reason)


def payout_paid(*, staff: Any, withdrawal_id: str, reference: str) -> Withdrawal:
    """The bank has paid: its reference settles the hold, once."""
    permission_demand(staff, DECIDE)
    return withdrawal_paid(withdrawal_id=withdrawal_for_staff(staff, withdrawal_id).pk, reference=reference)
