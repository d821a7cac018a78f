"""Roles of staff: given by two people, ended by one, taken alone only in an emergency and for a short time.

Owns the rows that say who has what since when. Group membership follows them. Leaves the decision of two to ``approvals.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.roles import NEVER_IN_EMERGENCY, ROLES
from accounts.services.roles import permissions_of_roles
from backoffice.models import BreakGlass, RoleGrant
from backoffice.services.staff import permission_demand, reason_demand
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit
from brokerage.platform.auth import users_forget
from brokerage.platform.jobs import enqueue

EMERGENCY_MINUTES_MAX = 60


def role_demand(role: str) -> None:
    """RejectedError 7054 when there is no such role."""
    if role not in ROLES:
        raise RejectedError(RejectCode.UNKNOWN_ROLE, needed=", ".join(ROLES), field="role")


def role_grant(*, user: User, role: str, granted_by: Any, requested_by: Any = None, reason: str = "") -> RoleGrant:
    """Give a role; a role already held stays as it is. Called with an approved request, and by the seed (granted_by None)."""
    role_demand(role)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        known = RoleGrant.objects.filter(user=user, role=role, ended_at=None).first()
        if known is not None:
            return known
        grant = RoleGrant.objects.create(
            user=user, role=role, granted_by=granted_by, requested_by=requested_by, reason=reason, granted_at=utc_now()
        )
        user.groups.add(Group.objects.get(name=role))
        if not user.is_staff:
            user.is_staff = True
            user.save(update_fields=["is_staff"])
        audit.record(
            "role.granted", object_type="user", object_id=user.pk, subject=user.pk, after={"role": role}, reason=reason
        )
    users_forget(user.pk)
    return grant


def role_end(*, user: User, role: str, actor: Any, reason: str) -> None:
    """Take a role away at once: less access needs no second pair of eyes. Without a role left one is no longer staff."""
    permission_demand(actor, "backoffice.approve_role")
    role_demand(role)
    reason = reason_demand(reason)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        RoleGrant.objects.filter(user=user, role=role, ended_at=None).update(ended_at=utc_now())
        user.groups.remove(*Group.objects.filter(name=role))
        if not user.is_superuser and not user.groups.filter(name__in=ROLES).exists():
            user.is_staff = False
            user.save(update_fields=["is_staff"])
        audit.record(
            "role.ended", object_type="user", object_id=user.pk, subject=user.pk, before={"role": role}, reason=reason
        )
    users_forget(user.pk)


def role_change_preview(*, user: User, role: str) -> dict[str, list[str]]:
    """What changes if the user gets the role: permissions gained, and those held already."""
    role_demand(role)
    held = permissions_of_roles(list(user.groups.values_list("name", flat=True)))
    return {"gained": sorted(ROLES[role] - held), "already": sorted(ROLES[role] & held)}


def break_glass_begin(*, user: User, role: str, reason: str, minutes: int) -> BreakGlass:
    """Take a role alone, now, for at most an hour; recorded, and told to every administrator by mail."""
    permission_demand(user, "backoffice.break_glass")
    reason = reason_demand(reason)
    if role not in ROLES or role in NEVER_IN_EMERGENCY:
        raise RejectedError(
            RejectCode.UNKNOWN_ROLE, needed=", ".join(sorted(set(ROLES) - NEVER_IN_EMERGENCY)), field="role"
        )
    if not 1 <= minutes <= EMERGENCY_MINUTES_MAX:
        raise RejectedError(
            RejectCode.TIME_LIMIT_TOO_LONG, needed=str(EMERGENCY_MINUTES_MAX), available=str(minutes), field="minutes"
        )
    now = utc_now()
    BreakGlass.objects.filter(user=user, ended_at=None, ends_at__lte=now).update(ended_at=now)
    try:
        with transaction.atomic():
            taken = BreakGlass.objects.create(
                user=user, role=role, reason=reason, started_at=now, ends_at=now + timedelta(minutes=minutes)
            )
            audit.record(
                "emergency_role.taken", object_type="break_glass", object_id=taken.pk,
                after={"role": role, "minutes": minutes}, reason=reason,
            )  # fmt: skip
            enqueue("backoffice.tasks.mail_emergency_role", break_glass_id=str(taken.pk))
    except IntegrityError as error:
        current = BreakGlass.objects.get(user=user, ended_at=None)
        raise RejectedError(
            RejectCode.EMERGENCY_ALREADY_ON, needed=current.ends_at.isoformat(timespec="minutes")
        ) from error
    users_forget(user.pk)
    return taken


def break_glass_end(*, user: User) -> None:
    """Give an emergency role back before its end."""
    with transaction.atomic():
        for taken in BreakGlass.objects.select_for_update().filter(user=user, ended_at=None):
            taken.ended_at = utc_now()
            taken.save(update_fields=["ended_at"])
            audit.record(
                "emergency_role.ended", object_type="break_glass", object_id=taken.pk, after={"role": taken.role}
            )
    users_forget(user.pk)


def access_review_rows(*, actor: Any) -> Iterator[list[str]]:
    """Who has what, since when, granted by whom: one row for each role and each direct power of a member of staff."""
    permission_demand(actor, "backoffice.review_access")
    users = User.objects.filter(is_staff=True) | User.objects.filter(is_superuser=True)
    for user in users.distinct().order_by("email").prefetch_related("groups", "user_permissions"):
        grants = {grant.role: grant for grant in user.role_grants.filter(ended_at=None).select_related("granted_by")}
        last = user.last_login.isoformat(timespec="seconds") if user.last_login else ""
        person = [user.email, "yes" if user.is_active else "no"]
        if user.is_superuser:
            yield [*person, "superuser", "every permission", "", "", "", last]
        for group in user.groups.all():
            grant = grants.get(group.name)
            since = grant.granted_at.isoformat(timespec="seconds") if grant else ""
            giver = (grant.granted_by.email if grant.granted_by else "installation") if grant else "not recorded"
            reason = grant.reason if grant else ""
            yield [
                *person,
                f"role {group.name}",
                f"{len(ROLES.get(group.name, ()))} permissions",
                since,
                giver,
                reason,
                last,
            ]
        for permission in user.user_permissions.all():
            yield [*person, f"direct {permission.codename}", "1 permission", "", "not recorded", "", last]
        for taken in BreakGlass.objects.filter(user=user, ended_at=None, ends_at__gt=utc_now()):
            since = taken.started_at.isoformat(timespec="seconds")
            yield [*person, f"emergency {taken.role}", f"until {taken.ends_at.isoformat(timespec='minutes')}", since,
                   user.email, taken.reason, last]  # fmt: skip


REVIEW_HEADER = ("user", "active", "access", "extent", "since", "granted_by", "reason", "last_sign_in")
