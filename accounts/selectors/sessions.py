"""Whether a session still stands, remembered in the process for two seconds; the lists of the security page."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import LoginEvent, UserSession
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, utc_now

#: Where the cookie's session keeps the id of its row.
SESSION_ID = "sid"
IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
CACHE_NS = 2 * NS_PER_S
SIZE_MAX = 20_000
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


_lock = threading.Lock()
_cache: dict[str, tuple[int, SessionState | None]] = {}


def session_state(session_id: str, *, fresh: bool = False) -> SessionState | None:
    """The state of a session, None when there is none; ``fresh`` asks the database whatever is remembered."""
    now_ns = SYSTEM_CLOCK.monotonic_ns()
    known = _cache.get(session_id)
    if known is not None and not fresh and now_ns - known[0] <= CACHE_NS:
        return known[1]
    try:
        key = UUID(session_id)
    except ValueError:
        return None
    row = UserSession.objects.filter(pk=key).first()
    state = SessionState(row.user_id, row.created_at, row.last_seen_at, row.ended_at is not None) if row else None
    with _lock:
        if len(_cache) >= SIZE_MAX:
            _cache.clear()
        _cache[session_id] = (now_ns, state)
    return state


def session_alive(session_id: str, *, fresh: bool = True) -> bool:
    """True when the session still stands."""
    state = session_state(session_id, fresh=fresh)
    return state is not None and state.alive


def sessions_forget() -> None:
    """Drop what is remembered: after a session ended in this process, and between tests."""
    with _lock:
        _cache.clear()


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
