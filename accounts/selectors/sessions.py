"""Whether a session still stands, remembered in the process for two seconds; the lists of the security page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import LoginEvent, UserSession
from brokerage.kernel.clock import NS_PER_S, utc_now
from brokerage.platform.remembered import Remembered

#: Where the cookie's session keeps the id of its row.
SESSION_ID = "sid"
IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
CACHE_NS = 2 * NS_PER_S
LIST_MAX = 50


@dataclass(frozen=True, slots=True)
class SessionState:
    """What the middleware asks about a session."""

    user_id: UUID
    created_at: datetime
    last_seen_at: datetime
    ended: bool

    @property
    def alive(self) -> bool:
        """True while nobody ended it and neither time limit has passed."""
        now = utc_now()
        return not self.ended and now - self.last_seen_at <= IDLE and now - self.created_at <= ABSOLUTE


_states: Remembered[str, SessionState | None] = Remembered(CACHE_NS)


def session_state(session_id: str, *, fresh: bool = False) -> SessionState | None:
    """The state of a session, None when there is none; ``fresh`` asks the database whatever is remembered."""

    def ask() -> SessionState | None:
        row = UserSession.objects.filter(pk=key).first()
        return SessionState(row.user_id, row.created_at, row.last_seen_at, row.ended_at is not None) if row else None

    try:
        key = UUID(session_id)
    except ValueError:
        return None
    return _states.get(
        session_id, ask, owner=lambda state: str(state.user_id) if state is not None else "", fresh=fresh
    )


def session_alive(session_id: str, *, fresh: bool = True) -> bool:
    """True when the session still stands."""
    state = session_state(session_id, fresh=fresh)
    return state is not None and state.alive


def sessions_forget(user_id: object = None) -> None:
    """Drop what is remembered of a user's sessions, or of all: after one ended in this process, and between tests."""
    if user_id is None:
        _states.forget()
    else:
        _states.forget_owner(str(user_id))


def sessions_of(user_id: UUID) -> list[UserSession]:
    """The user's open sessions, the last used first, at most LIST_MAX."""
    now = utc_now()
    rows = UserSession.objects.filter(
        user_id=user_id, ended_at=None, last_seen_at__gte=now - IDLE, created_at__gte=now - ABSOLUTE
    )
    return list(rows.order_by("-last_seen_at")[:LIST_MAX])


def login_history(user_id: UUID) -> QuerySet[LoginEvent]:
    """The user's tries to sign in, newest first; the caller pages."""
    return LoginEvent.objects.filter(user_id=user_id).order_by("-id")
