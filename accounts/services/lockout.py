"""Wrong tries at passwords and codes: counted per user and place, per user, and over all, in Valkey.

A lock holds for one place only: other places, open sessions, tokens and passkeys go on, so nobody can lock an owner out or keep them from
cancelling. A browser the user has signed in with before (its device cookie) is a place of its own and is not touched by the locks that strangers
cause. Unknown addresses count like known ones. When Valkey is away tries are refused, as sign-in budgets are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings

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
        raise ApiProblem(RejectCode.OVERLOADED, "Sign-in is not possible at the moment.", retry_after=2) from error
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
        raise ApiProblem(RejectCode.OVERLOADED, "Sign-in is not possible at the moment.", retry_after=2) from error
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
    try:
        get_valkey().delete(_keys(email, place)[0][0])
    except redis.RedisError:
        return
