"""Wrong tries at passwords and codes: counted per user and place, per user, and over all, in Valkey.

A lock holds for one place only: other places, open sessions, tokens and passkeys go on, so nobody can lock an owner out or keep them from
cancelling. A browser the user has signed in with before (its device cookie) is a place of its own and is not touched by the locks that strangers
cause. Unknown addresses count like known ones. When Valkey is away tries are refused, as sign-in budgets are; only the fallback app, which is
there for such a day, counts them in its own process then, by the same bounds (``Counts``).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import redis
from django.conf import settings

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.problems import ApiProblem
from brokerage.platform.throttling import identity_hash
from brokerage.platform.valkey import get_valkey

WINDOW_S = 900
#: Wrong tries in WINDOW_S for one user from one place.
PLACE_MAX = 10
#: The same for one user from all places that are not known devices.
USER_MAX = 100
#: The same for everybody from places that are not known devices.
GLOBAL_MAX = 5_000


@dataclass
class Counts:
    """Wrong tries counted in this process. The bound over all users ends the counting of new keys long before ``most`` of them live."""

    most: int = 50_000
    clock: Clock = SYSTEM_CLOCK
    #: key -> [tries, end of their window in monotonic nanoseconds]
    _kept: dict[str, list[int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str) -> tuple[int, int]:
        """(tries, seconds until they are forgotten)."""
        now = self.clock.monotonic_ns()
        tries, end = self._kept.get(key, (0, 0))
        return (tries, (end - now) // NS_PER_S) if end > now else (0, 0)

    def add(self, key: str) -> int:
        """Count one; the window begins with the first. ApiProblem 9013 when there is no room: locks are never dropped to make some."""
        with self._lock:
            now = self.clock.monotonic_ns()
            held = self._kept.get(key)
            if held is None or held[1] <= now:
                if len(self._kept) >= self.most:
                    self._kept = {name: row for name, row in self._kept.items() if row[1] > now}
                if len(self._kept) >= self.most:
                    raise _not_now()
                held = self._kept[key] = [0, now + WINDOW_S * NS_PER_S]
            held[0] += 1
            return held[0]

    def forget(self, key: str) -> None:
        """After a right try."""
        with self._lock:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Between tests."""
        with self._lock:
            self._kept.clear()


here = Counts()


def _not_now() -> ApiProblem:
    return ApiProblem(RejectCode.OVERLOADED, "Sign-in is not possible at the moment.", retry_after=2)


@dataclass(frozen=True)
class Place:
    """Whence a try comes: an address, or a device the user is known by."""

    address: str
    device: str = ""


def _keys(email: str, place: Place, user_max: int = USER_MAX) -> list[tuple[str, int]]:
    who = identity_hash(email)
    if place.device:
        return [(f"lock:d:{who}:{place.device}", PLACE_MAX)]
    return [(f"lock:p:{who}:{place.address}", PLACE_MAX), (f"lock:u:{who}", user_max), ("lock:all", GLOBAL_MAX)]


def lockout_demand(*, email: str, place: Place, user_max: int = USER_MAX) -> None:
    """Refuse (2030) while there were too many wrong tries."""
    scale = max(1, int(settings.API_RATE_SCALE))
    keys = _keys(email, place, user_max)
    try:
        pipe = get_valkey().pipeline(transaction=False)
        for key, _ in keys:
            pipe.get(key)
            pipe.ttl(key)
        found = pipe.execute()
    except redis.RedisError as error:
        if not settings.COUNT_HERE_WITHOUT_VALKEY:
            raise _not_now() from error
        found = [0] * 2 * len(keys)
    if settings.COUNT_HERE_WITHOUT_VALKEY:
        # Also with Valkey back: what was counted here while it was away still counts.
        for number, (key, _) in enumerate(keys):
            tries, seconds = here.get(key)
            if tries > int(found[2 * number] or 0):
                found[2 * number : 2 * number + 2] = [tries, seconds]
    for number, (_, most) in enumerate(keys):
        if int(found[2 * number] or 0) >= most * scale:
            wait = max(1, int(found[2 * number + 1]))
            raise ApiProblem(RejectCode.SIGN_IN_LOCKED, needed=str(wait), retry_after=wait)


def lockout_fail(*, email: str, place: Place, user_id: Any = "") -> None:
    """Count a wrong try; the window begins with the first. The try that locks is recorded, about ``user_id`` where somebody is known."""
    try:
        pipe = get_valkey().pipeline(transaction=False)
        keys = _keys(email, place)
        for key, _ in keys:
            pipe.incr(key)
            pipe.expire(key, WINDOW_S, nx=True)
        counts = pipe.execute()[::2]
    except redis.RedisError as error:
        if not settings.COUNT_HERE_WITHOUT_VALKEY:
            raise _not_now() from error
        counts = [here.add(key) for key, _ in keys]
    scale = max(1, int(settings.API_RATE_SCALE))
    # Only the lock of one's own place and user: that over all says nothing about anybody.
    for (key, most), count in list(zip(keys, counts, strict=True))[:2]:
        if count == most * scale:
            of = {"d": "device", "p": "address", "u": "user"}[key.split(":")[1]]
            record(
                "sign_in.locked",
                object_type="user",
                object_id=user_id or "unknown",
                subject=user_id,
                after={"of": of, "tries": count, "seconds": WINDOW_S},
            )


def lockout_clear(*, email: str, place: Place) -> None:
    """Forget the wrong tries of one place after a right one. A lost answer leaves a count that dies by itself."""
    here.forget(_keys(email, place)[0][0])
    try:
        get_valkey().delete(_keys(email, place)[0][0])
    except redis.RedisError:
        return
