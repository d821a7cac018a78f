"""Four eyes: one member of staff asks, another decides, and what was approved is done exactly once.

Owns the life of a request: pending → executed, refused or withdrawn; none is decided twice, late, or by its maker, whoever calls (pages, API,
admin): the table refuses it as well. Leaves what each kind does to ``approval_kinds.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from backoffice.models import Approval
from backoffice.selectors.clients import sees_every_client
from backoffice.services.approval_kinds import KINDS, Kind
from backoffice.services.staff import permission_demand, reason_demand
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit

LIFE = timedelta(hours=24)
#: Serialises requests, so that the same one sent twice is one.
REQUEST_LOCK = 0x41_50_50_52


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise RejectedError(
            RejectCode.MALFORMED, "There is no such kind of request.", needed=", ".join(KINDS), field="kind"
        )
    return KINDS[name]


def approval_request(*, maker: Any, kind: str, subject: str, payload: Mapping[str, Any], reason: str) -> Approval:
    """Ask for something. The same thing asked again by the same person while it waits is the same request."""
    rules = _kind(kind)
    permission_demand(maker, rules.request)
    reason = reason_demand(reason)
    subject, after, before = rules.check(maker, subject.strip(), payload)
    now = utc_now()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [REQUEST_LOCK])
        waiting = Approval.objects.filter(
            kind=kind, subject=subject, payload=after, maker=maker, status=Approval.Status.PENDING, expires_at__gt=now
        ).first()
        if waiting is not None:
            return waiting
        approval = Approval.objects.create(
            id=ulid_new(), kind=kind, subject=subject, payload=after, before=before, maker=maker, reason=reason,
            created_at=now, expires_at=now + LIFE,
        )  # fmt: skip
        _record(approval, "approval.requested", reason)
        rules.requested(approval)
    return approval


def approval_decide(*, approval_id: str, checker: Any, approve: bool, reason: str) -> Approval:
    """Approve (and do it) or refuse. Checked in this order: known, undecided, in time, permitted, not the maker, not about oneself."""
    reason = reason_demand(reason)
    with transaction.atomic():
        approval = _locked(approval_id)
        rules = _kind(approval.kind)
        _undecided(approval)
        permission_demand(checker, rules.approve)
        if approval.maker_id == checker.pk:
            raise RejectedError(RejectCode.MAKER_IS_CHECKER)
        if approve and rules.owner_id(approval) == str(checker.pk):
            raise RejectedError(RejectCode.ABOUT_ONESELF)
        approval.checker, approval.decision_reason, approval.decided_at = checker, reason, utc_now()
        approval.status = Approval.Status.EXECUTED if approve else Approval.Status.REFUSED
        approval.result = rules.execute(approval, checker) if approve else ""
        approval.save()
        _record(approval, "approval.approved" if approve else "approval.refused", reason)
    return approval


def approval_withdraw(*, approval_id: str, maker: Any) -> Approval:
    """Take one's own request back."""
    with transaction.atomic():
        approval = _locked(approval_id)
        if approval.maker_id != maker.pk:
            raise RejectedError(RejectCode.PERMISSION_DENIED, "Only who asked for it may withdraw it.")
        _undecided(approval)
        approval.checker, approval.decided_at, approval.status = maker, utc_now(), Approval.Status.WITHDRAWN
        approval.save()
        _record(approval, "approval.withdrawn", "")
    return approval


def approval_result_set(*, approval_id: str, result: str) -> None:
    """Note what the engine answered: a halt, a limit or a debit is done only now."""
    with transaction.atomic():
        Approval.objects.filter(pk=approval_id).update(result=result[:200])
        approval = Approval.objects.filter(pk=approval_id).first()
        if approval is not None:
            _record(approval, "approval.carried_out", result)


def approval_list_for(user: Any) -> QuerySet[Approval]:
    """Requests this member of staff may see: their own, and those of kinds they ask for or decide about."""
    if not user.has_perm("backoffice.view_approval"):
        return Approval.objects.none()
    mine = Q(maker=user)
    if sees_every_client(user):
        mine |= Q(
            kind__in=[
                name for name, kind in KINDS.items() if user.has_perm(kind.request) or user.has_perm(kind.approve)
            ]
        )
    return Approval.objects.filter(mine).select_related("maker", "checker")


def _locked(approval_id: str) -> Approval:
    approval = Approval.objects.select_for_update(of=("self",)).select_related("maker").filter(pk=approval_id).first()
    if approval is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such request.")
    return approval


def _undecided(approval: Approval) -> None:
    if approval.status != Approval.Status.PENDING:
        raise RejectedError(RejectCode.ALREADY_DECIDED, available=approval.get_status_display().lower())
    if approval.expires_at <= utc_now():
        raise RejectedError(RejectCode.APPROVAL_EXPIRED, needed=approval.expires_at.isoformat(timespec="minutes"))


def _record(approval: Approval, action: str, reason: str) -> None:
    audit.record(
        action, object_type="approval", object_id=approval.pk, before=approval.before or None,
        after={"kind": approval.kind, "subject": approval.subject, **approval.payload}, reason=reason,
    )  # fmt: skip
