"""Sessions of the portal: begun at sign-in, seen with each request, ended by their user, by time or by a change of credentials.

A session is a row that the cookie's session names. Ending the row ends the session in every process within CACHE_NS and closes the
user's live sockets; sockets of sessions that go on come back with a new ticket. Refresh tokens of programs end with ``tokens=True``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.models import LoginEvent, User, UserSession
from accounts.selectors.sessions import ABSOLUTE, IDLE, sessions_forget
from accounts.services.token_families import families_revoke_all
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.auth import users_forget
from brokerage.platform.realtime import revoke_user

#: The time a session was last seen is written at most this often.
SEEN_EVERY = timedelta(seconds=60)


def session_begin(*, user: User, method: str, ip: str, user_agent: str) -> UserSession:
    """Open the row of a new session and note the sign-in in the user's history."""
    now = utc_now()
    with transaction.atomic():
        session = UserSession.objects.create(
            user=user, method=method, ip=ip, user_agent=user_agent[:200], created_at=now, last_seen_at=now
        )
        login_event_note(user=user, outcome=LoginEvent.Outcome.OK, method=method, ip=ip, user_agent=user_agent)
        record("session.begun", object_type="session", object_id=session.pk, subject=user.pk, after={"method": method})
    return session


def login_event_note(*, user: User, outcome: str, method: str, ip: str, user_agent: str) -> None:
    """Add a line to a user's history of sign-ins, and record it when it failed."""
    login_event_keep(user=user, outcome=outcome, method=method, ip=ip, user_agent=user_agent)
    if outcome != LoginEvent.Outcome.OK:
        sign_in_refused(user, outcome=outcome, method=method)


def login_event_keep(
    *, user: User, outcome: str, method: str, ip: str, user_agent: str, at: datetime | None = None
) -> None:
    """Add the line alone; ``at`` is when it was, if not now."""
    LoginEvent.objects.create(
        user=user, outcome=outcome, method=method, ip=ip, user_agent=user_agent[:200], created_at=at or utc_now()
    )


def sign_in_refused(user: User | None, *, outcome: str, method: str) -> None:
    """Record a try that failed; whose address it was is not known to us when nobody has it, and not recorded."""
    whose = user.pk if user is not None else ""
    record(
        "sign_in.refused",
        object_type="user",
        object_id=whose or "unknown",
        subject=whose,
        after={"outcome": str(outcome), "method": method},
    )


def session_seen(*, session_id: UUID, ip: str) -> None:
    """Note that a session was used, at most once in SEEN_EVERY."""
    now = utc_now()
    UserSession.objects.filter(pk=session_id, ended_at=None, last_seen_at__lt=now - SEEN_EVERY).update(
        last_seen_at=now, ip=ip
    )


def session_end(*, user: User, session_id: UUID, reason: str = "signed out") -> None:
    """End one session of a user; RejectedError 2014 when it is not theirs. Ending it again changes nothing."""
    with transaction.atomic():
        if not UserSession.objects.filter(pk=session_id, user=user).exists():
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such session.")
        _end(user, Q(pk=session_id), reason)


def sessions_end_all(*, user: User, reason: str, keep: Any = None, tokens: bool = False) -> int:
    """End a user's sessions but ``keep``; with ``tokens`` their refresh tokens too. Returns how many sessions ended."""
    with transaction.atomic():
        count = _end(user, ~Q(pk=keep) if keep else Q(), reason)
        if tokens:
            families_revoke_all(user=user, reason=reason)
            transaction.on_commit(lambda: users_forget(user.pk))
    return count


def _end(user: User, which: Q, reason: str) -> int:
    ids = [str(pk) for pk in UserSession.objects.filter(which, user=user, ended_at=None).values_list("pk", flat=True)]
    UserSession.objects.filter(pk__in=ids).update(ended_at=utc_now(), ended_reason=reason[:40])
    for session_id in ids:
        record("session.ended", object_type="session", object_id=session_id, subject=user.pk, reason=reason)

    def tell() -> None:
        sessions_forget(user.pk)
        revoke_user(user.pk)

    transaction.on_commit(tell)
    return len(ids)


def sessions_expire() -> int:
    """Mark sessions that ran out by time, so that the list is right; they were refused already."""
    now = utc_now()
    with transaction.atomic():
        ran_out = UserSession.objects.select_for_update().filter(
            Q(last_seen_at__lt=now - IDLE) | Q(created_at__lt=now - ABSOLUTE), ended_at=None
        )
        rows = list(ran_out.values_list("pk", "user_id"))
        UserSession.objects.filter(pk__in=[pk for pk, _ in rows]).update(ended_at=now, ended_reason="timed out")
        for pk, user_id in rows:
            record("session.ended", object_type="session", object_id=pk, subject=user_id, reason="timed out")
    return len(rows)
