"""Budgets of requests per user or address, counted in Valkey in fixed windows.

Owns the table of budgets and the RateLimit-* headers. When Valkey is away: sign-in and registration are refused (an
attacker must not gain from an outage), so are withdrawals; everything else goes on with a budget counted in this process, so that nobody
is kept from cancelling. The fallback app, one process made for such a day, counts sign-ins in itself too (``COUNT_HERE_WITHOUT_VALKEY``).
Leaves limits of sockets to the consumers and of orders' size to the core.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from brokerage.platform.valkey import get_valkey

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Budget:
    """``limit`` requests in each window of ``window_s`` seconds."""

    limit: int
    window_s: int
    fail_closed: bool = False


BUDGETS: dict[str, Budget] = {
    "anonymous": Budget(300, 10),
    "read": Budget(1000, 10),
    "write": Budget(300, 10),
    "preview": Budget(500, 10),
    "orders": Budget(500, 10),
    # Twice what can be entered, so that everything entered can also be taken back.
    "cancel": Budget(1000, 10),
    "upload": Budget(30, 60),
    "download": Budget(20, 60),
    # Figures over all that an account ever did.
    "statement": Budget(60, 60),
    "login": Budget(10, 60, fail_closed=True),
    "login_address": Budget(60, 60, fail_closed=True),
    "refresh": Budget(60, 60),
    # Requests with credentials that are no good, per address: guessing is slow, a client with an old token is not stopped at once.
    "auth_failed": Budget(100, 60),
    # Logons of one FIX session from one address, right or wrong, and connections of one address.
    "fix_logon": Budget(20, 60, fail_closed=True),
    "fix_connect": Budget(120, 60, fail_closed=True),
    "register": Budget(10, 3600, fail_closed=True),
    # Mails to one address, and mails caused by one peer.
    "mail": Budget(5, 3600, fail_closed=True),
    "mail_address": Budget(30, 3600, fail_closed=True),
    "second_factor": Budget(10, 300, fail_closed=True),
    # Codes by text message: to one user, and to one number.
    "sms": Budget(5, 3600, fail_closed=True),
    "withdraw": Budget(60, 60, fail_closed=True),
    # Nothing is refused by these: they count refusals in a minute (refusals.py).
    "refused": Budget(1, 60),
    "refused_acts": Budget(1, 60),
}
#: After a failure Valkey is left alone for this long, so that an outage does not cost every request a time-out.
PAUSE_NS = NS_PER_S
LOCAL_KEYS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands in one budget."""

    limit: int
    used: int
    reset_s: int

    @property
    def allowed(self) -> bool:
        """True while the budget lasts."""
        return self.used <= self.limit


LOTS = 50

_lock = threading.Lock()
#: key -> [end of the lot, how many of it are left]
_lots: dict[str, list[int]] = {}
_local: dict[str, int] = {}
_pause_until_ns = 0


def _scale() -> int:
    return max(1, int(getattr(settings, "API_RATE_SCALE", 1)))


def budgets_in_force() -> dict[str, Budget]:
    """The budgets with this installation's scale, as they are counted."""
    return {name: replace(budget, limit=budget.limit * _scale()) for name, budget in BUDGETS.items()}


def _count_local(key: str) -> int:
    with _lock:
        if len(_local) >= LOCAL_KEYS_MAX:
            _local.clear()
        _local[key] = used = _local.get(key, 0) + 1
        return used


def throttle_hit(scope: str, identity: str) -> Standing:
    """Count one request; ApiProblem 9013 when a fail-closed budget cannot be counted."""
    global _pause_until_ns
    budget = BUDGETS[scope]
    now_s, rest_ns = divmod(SYSTEM_CLOCK.now_ns(), NS_PER_S)
    window, into_s = divmod(now_s, budget.window_s)
    key = f"th:{scope}:{identity}:{window}"
    limit = budget.limit * _scale()
    # A process takes its share of a large budget in small lots, so that most requests need no round trip. Lots are counted when taken:
    # together the processes never serve more than the limit, and each leaves at most a fiftieth of it unused.
    lot = 1 if budget.fail_closed else max(1, limit // LOTS)
    used = _from_lot(key) if lot > 1 else None
    if used is None and SYSTEM_CLOCK.monotonic_ns() >= _pause_until_ns:
        try:
            pipe = get_valkey().pipeline(transaction=False)
            pipe.incrby(key, lot)
            pipe.expire(key, budget.window_s + 1)
            taken = int(pipe.execute()[0])
            used = taken if lot == 1 else _keep_lot(key, taken, lot, limit)
        except redis.RedisError as error:
            _pause_until_ns = SYSTEM_CLOCK.monotonic_ns() + PAUSE_NS
            log.warning("Valkey is away, budgets are counted in this process: %s", error)
    if used is None:
        if budget.fail_closed and not settings.COUNT_HERE_WITHOUT_VALKEY:
            raise ApiProblem(RejectCode.OVERLOADED, "Sign-in is not possible at the moment.", retry_after=2)
        used = _count_local(key)
    return Standing(limit, used, max(1, budget.window_s - into_s - (1 if rest_ns else 0)))


def _from_lot(key: str) -> int | None:
    """Use one of a lot taken before; the standing after it, or None when there is none left."""
    with _lock:
        held = _lots.get(key)
        if held is None or held[1] == 0:
            return None
        held[1] -= 1
        return held[0] - held[1]


def _keep_lot(key: str, taken: int, lot: int, limit: int) -> int:
    """Keep what of a new lot is within the limit, less the one used now."""
    first = taken - lot + 1
    if first > limit:
        return taken
    with _lock:
        if len(_lots) >= LOCAL_KEYS_MAX:
            _lots.clear()
        end = min(taken, limit)
        _lots[key] = [end, end - first]
    return first


def throttle_demand(scope: str, identity: str) -> Standing:
    """Count one request and refuse it (2013) when the budget is used up."""
    standing = throttle_hit(scope, identity)
    if not standing.allowed:
        raise ApiProblem(
            RejectCode.THROTTLED, needed=str(standing.reset_s), retry_after=standing.reset_s, headers=_headers(standing)
        )
    return standing


def identity_hash(text: str) -> str:
    """A short name for something that should not be readable in a key, such as an e-mail address."""
    value = text.strip().lower().encode("utf-8", "surrogatepass")
    # Keyed: without the secret nobody can try addresses against what is seen in Valkey or a log.
    return hmac.new(b"identity\0" + settings.SECRET_KEY.encode(), value, hashlib.sha256).hexdigest()[:24]


def client_address(request: Any) -> str:
    """The peer's address as the server saw it."""
    return request.META.get("REMOTE_ADDR") or "local"


def _headers(standing: Standing) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(standing.limit),
        "RateLimit-Remaining": str(max(0, standing.limit - standing.used)),
        "RateLimit-Reset": str(standing.reset_s),
    }


def rate_headers(request: Request | HttpRequest) -> dict[str, str]:
    """RateLimit-* of the budget this request was counted in; one that was refused before is counted as an address's."""
    base = getattr(request, "_request", request)
    standing: Standing | None = getattr(base, "rate_standing", None)
    if standing is None:
        standing = throttle_hit("anonymous", client_address(base))
    return _headers(standing)


class RateHeadersMiddleware:
    """Put RateLimit-* on answers below /api/ that no view gave: documents, faults, addresses that do not exist."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/api/") and not response.has_header("RateLimit-Limit"):
            for name, value in rate_headers(request).items():
                response[name] = value
        return response


class PolicyThrottle(BaseThrottle):
    """Count each request in the budget its view and method name."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Refuse with 2013 when the budget is used up."""
        scopes = getattr(view, "throttle_scopes", {})
        method = request.method or "GET"
        scope = scopes.get(method) or ("read" if method in {"GET", "HEAD", "OPTIONS"} else "write")
        user = request.user
        key_id = getattr(request.auth, "key_id", None)
        if key_id is not None:
            # Each key has budgets of its own: a program that runs wild does not stop its owner.
            identity = f"key:{key_id}"
        elif user is not None and user.is_authenticated:
            identity = str(user.pk)
        else:
            identity = client_address(request)
            if scope == "read":
                scope = "anonymous"
        standing = throttle_hit(scope, identity)
        request._request.rate_standing = standing  # type: ignore[attr-defined]
        if not standing.allowed:
            raise ApiProblem(RejectCode.THROTTLED, needed=str(standing.reset_s), retry_after=standing.reset_s)
        return True
