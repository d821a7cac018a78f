"""Whether the main platform answers, asked from outside of it: what the fallback app tells its readers.

Asks the portal's own ``/health/ready`` over HTTP with a short time limit, at most every ASK_NS and by one thread at a time; the others read the
last answer. Owns nothing else: an answer is of its moment, and says when that was.
"""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from brokerage.config import get_config
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, Clock

TIMEOUT_S = 1.0
ASK_NS = 5 * NS_PER_S
BODY_MAX = 4_096


@dataclass(frozen=True, slots=True)
class PortalState:
    """``answers``: the portal itself; ``engine``: what takes orders, as the portal sees it. ``at_ns``: when it was asked."""

    answers: bool
    engine: bool
    at_ns: int


@dataclass
class PortalWatch:
    """The last answer, renewed when it is old."""

    clock: Clock = SYSTEM_CLOCK
    _state: PortalState | None = None
    _asked_ns: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def state(self) -> PortalState:
        """How the portal is, at most ASK_NS old unless somebody asks at this moment."""
        known = self._state
        if known is not None and self.clock.monotonic_ns() - self._asked_ns <= ASK_NS:
            return known
        # Who comes while another asks takes what was known before; the first of all waits.
        if not self._lock.acquire(blocking=known is None):
            return known  # type: ignore[return-value]
        try:
            if self._state is None or self.clock.monotonic_ns() - self._asked_ns > ASK_NS:
                answers, engine = _ask()
                self._state = PortalState(answers, engine, self.clock.now_ns())
                self._asked_ns = self.clock.monotonic_ns()
            return self._state
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Ask anew next time."""
        self._state = None


watch = PortalWatch()


def _ask() -> tuple[bool, bool]:
    config = get_config()
    to = urlsplit(config.fallback_watch)
    kind = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    connection = kind(to.hostname or "", to.port, timeout=TIMEOUT_S)
    try:
        # As the proxy would ask: by a name of ours, over TLS.
        headers = {"Host": urlsplit(config.base_url).netloc, "X-Forwarded-Proto": "https", "Connection": "close"}
        connection.request("GET", "/health/ready", headers=headers)
        answer = connection.getresponse()
        checks = json.loads(answer.read(BODY_MAX)).get("checks", {})
        return answer.status in {200, 503}, bool(checks.get("engine"))
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return False, False
    finally:
        connection.close()
