"""Sign-ins of programs: begin, go on, end.

A refresh token is used once. Using one a second time means that two have it, so the whole family ends: whoever stole it, and the owner, who
signs in again. Owns the families. Leaves forms of tokens to ``brokerage/platform/tokens.py`` and checking a password to the edges.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import TokenFamily, User
from accounts.selectors.factors import second_factor_enrolled
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit
from brokerage.platform.problems import ApiProblem
from brokerage.platform.realtime import revoke_user
from brokerage.platform.tokens import ACCESS_S, REFRESH_S, families_forget, password_mark, token_check, token_make

#: However often it is refreshed, a sign-in ends after this long.
FAMILY_DAYS = 90
#: A user has at most this many living sign-ins; the one unused for longest gives way.
FAMILIES_MAX = 50
SIGN_IN_AGAIN = "Sign in again."


def _pair(user: Any, family: TokenFamily) -> dict[str, Any]:
    left_s = int((family.expires_at - utc_now()).total_seconds())
    name = str(family.pk)
    return {
        "access": token_make(user, kind="access", family=name, lifetime_s=ACCESS_S),
        "refresh": token_make(
            user, kind="refresh", family=name, lifetime_s=min(REFRESH_S, left_s), jti=family.current_jti
        ),
        "expires_in": ACCESS_S,
    }


@transaction.atomic
def family_begin(*, user: Any, name: str = "", agent: str = "", address: str = "") -> dict[str, Any]:
    """Begin a sign-in of a user who proved who they are; its first pair of tokens."""
    now = utc_now()
    # The user's row is the lock, so that two sign-ins at once keep to the bound.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    living = TokenFamily.objects.filter(user=user, revoked_at=None, expires_at__gt=now).order_by("-last_used_at")
    for old in living[FAMILIES_MAX - 1 :]:
        _end(old, "too many sign-ins")
    family = TokenFamily.objects.create(
        user=user,
        name=name[:80],
        agent=agent[:200],
        address=address[:64],
        last_address=address[:64],
        current_jti=secrets.token_urlsafe(12),
        created_at=now,
        last_used_at=now,
        expires_at=now + timedelta(days=FAMILY_DAYS),
    )
    audit.record(
        "token_family.begun",
        object_type="token_family",
        object_id=family.pk,
        actor=audit.actor_of(user),
        subject=user.pk,
        after={"name": family.name, "agent": family.agent},
    )
    return _pair(user, family)


def family_refresh(*, refresh: str, address: str = "") -> dict[str, Any]:
    """The next pair for a refresh token that was not used before; ApiProblem 2060 when it was, and the family is over."""
    said = token_check(refresh, "refresh")
    reused = False
    with transaction.atomic():
        family = _locked(said.family)
        if family is None or family.revoked_at is not None or str(family.user_id) != said.user:
            raise _bad()
        user = family.user
        if not user.is_active or said.password != password_mark(user) or family.expires_at <= utc_now():
            raise _bad()
        if settings.CLIENT_SECOND_FACTOR and not second_factor_enrolled(user.pk):
            raise ApiProblem(RejectCode.SECOND_FACTOR_NEEDED)
        if said.jti == family.current_jti:
            family.current_jti = secrets.token_urlsafe(12)
            family.last_used_at, family.last_address = utc_now(), address[:64]
            family.save(update_fields=["current_jti", "last_used_at", "last_address"])
            audit.record(
                "token_family.refreshed",
                object_type="token_family",
                object_id=family.pk,
                actor=audit.actor_of(user),
                subject=user.pk,
            )
            return _pair(user, family)
        # Recorded and committed before it is told.
        _end(family, "refresh token reused")
        reused = True
    if reused:
        families_forget(said.user)
        revoke_user(said.user, f"family:{said.family}")
    raise ApiProblem(RejectCode.REFRESH_REUSED)


def family_end_by_token(*, refresh: str) -> None:
    """Sign out with a refresh token. One that is no good ends nothing; a used one still ends its family."""
    try:
        said = token_check(refresh, "refresh")
    except ApiProblem as problem:
        if problem.code in {RejectCode.TOKEN_EXPIRED, RejectCode.NOT_AUTHENTICATED}:
            return
        raise
    with transaction.atomic():
        family = _locked(said.family)
        if family is None or family.revoked_at is not None or str(family.user_id) != said.user:
            return
        _end(family, "signed out", actor=audit.actor_of(family.user))
    families_forget(said.user)
    revoke_user(said.user, f"family:{said.family}")


def family_revoke(*, user: Any, family_id: UUID) -> None:
    """End one of the user's sign-ins; RejectedError 2014 when there is none such. Ending one twice changes nothing."""
    with transaction.atomic():
        family = _locked(str(family_id))
        if family is None or family.user_id != user.pk:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such sign-in.")
        if family.revoked_at is not None:
            return
        _end(family, "ended by the user")
    families_forget(str(user.pk))
    revoke_user(user.pk, f"family:{family.pk}")


def families_revoke_all(*, user: Any, reason: str) -> int:
    """End every sign-in of a user: a new password, a lost device, a frozen account. How many there were."""
    with transaction.atomic():
        rows = list(TokenFamily.objects.select_for_update().filter(user=user, revoked_at=None).order_by("pk"))
        for family in rows:
            _end(family, reason)
    families_forget(str(user.pk))
    revoke_user(user.pk)
    return len(rows)


def _locked(family_id: str) -> TokenFamily | None:
    try:
        key = UUID(family_id)
    except ValueError:
        return None
    return TokenFamily.objects.select_for_update(of=("self",)).select_related("user").filter(pk=key).first()


def _end(family: TokenFamily, reason: str, actor: audit.Actor | None = None) -> None:
    family.revoked_at, family.revoked_reason = utc_now(), reason[:32]
    family.save(update_fields=["revoked_at", "revoked_reason"])
    audit.record(
        "token_family.ended",
        object_type="token_family",
        object_id=family.pk,
        actor=actor,
        subject=family.user_id,
        reason=reason,
    )


def _bad() -> ApiProblem:
    return ApiProblem(RejectCode.NOT_AUTHENTICATED, "The refresh token is not valid.", next_step=SIGN_IN_AGAIN)
