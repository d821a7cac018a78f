"""Looking at the portal as a client: read only, with a reason and an end, every page in the audit trail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from backoffice.models import ViewAs
from backoffice.selectors.clients import client_of_staff
from backoffice.services.staff import permission_demand, reason_demand
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit

MINUTES_MAX = 30
SESSION_KEY = "view_as"


def view_as_begin(*, request: HttpRequest, client_id: Any, reason: str, minutes: int) -> ViewAs:
    """Begin; a view that runs in this session ends first."""
    staff: Any = request.user
    permission_demand(staff, "backoffice.view_as_client")
    reason = reason_demand(reason)
    if not 1 <= minutes <= MINUTES_MAX:
        raise RejectedError(
            RejectCode.TIME_LIMIT_TOO_LONG, needed=str(MINUTES_MAX), available=str(minutes), field="minutes"
        )
    client = client_of_staff(staff, client_id)
    view_as_end(request=request)
    now = utc_now()
    with transaction.atomic():
        view = ViewAs.objects.create(
            staff=staff, client=client, reason=reason, started_at=now, ends_at=now + timedelta(minutes=minutes)
        )
        audit.record(
            "view_as.begun",
            object_type="user",
            object_id=client.pk,
            subject=client.pk,
            after={"minutes": minutes},
            reason=reason,
        )
    request.session[SESSION_KEY] = str(view.pk)
    return view


def view_as_end(*, request: HttpRequest) -> None:
    """End the view of this session, if there is one."""
    known = request.session.pop(SESSION_KEY, None)
    if known is None:
        return
    with transaction.atomic():
        view = ViewAs.objects.select_for_update().filter(pk=known, ended_at=None).first()
        if view is not None:
            view.ended_at = min(utc_now(), view.ends_at)
            view.save(update_fields=["ended_at"])
            audit.record("view_as.ended", object_type="user", object_id=view.client_id)


def view_as_current(request: HttpRequest) -> ViewAs | None:
    """The running view of this session. One that is over, or whose right was taken away, ends here and the answer is None."""
    user: Any = request.user
    view = (
        ViewAs.objects.select_related("client")
        .filter(pk=request.session[SESSION_KEY], ended_at=None, ends_at__gt=utc_now())
        .first()
    )
    allowed = (
        view is not None
        and user.is_authenticated
        and user.is_staff
        and view.staff_id == user.pk
        and view.client.is_active
        and user.has_perm("backoffice.view_as_client")
    )
    if not allowed:
        view_as_end(request=request)
        return None
    return view


def view_as_seen(*, view: ViewAs, path: str) -> None:
    """Record that a page was looked at."""
    audit.record("client.viewed", object_type="page", object_id=path[:128], after={"view": str(view.pk)})
