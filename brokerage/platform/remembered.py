"""Answers of the database that a process remembers, and what it still believes while the database is away.

Who somebody is, whether a sign-in stands, which accounts are theirs: asked at every order, so each answer is remembered for a few seconds. When
PostgreSQL does not answer, the last answer is believed for LAST_KNOWN_NS more: the engine decides orders without the database, and nobody shall be
kept from cancelling because it restarts. What was never asked is refused (9013), and so is what was forgotten on purpose, as after a sign-out.
Nothing can be revoked meanwhile, as the rows are where that is written (ADR 0046).
Owns the rule for all such memories. Leaves what is asked to those who keep one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import InterfaceError, OperationalError

from brokerage.kernel.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: The database does not answer: no connection, or one that broke.
AWAY = (OperationalError, InterfaceError)
#: A last answer is believed for this long at most, counted from when it was asked.
LAST_KNOWN_NS = 15 * 60 * NS_PER_S
#: After a failure the database is left alone for this long where something is remembered, so that an outage does not cost every request a try.
PAUSE_NS = 500 * NS_PER_MS
#: A failure this long after the one before is another outage.
QUIET_NS = 30 * NS_PER_S
SIZE_MAX = 20_000

log = logging.getLogger(__name__)
_pause_until_ns = -QUIET_NS


def database_paused(clock: Clock = SYSTEM_CLOCK) -> bool:
    """True just after the database did not answer: what can do without an answer should not ask."""
    return clock.monotonic_ns() < _pause_until_ns


def database_failed(error: Exception, clock: Clock = SYSTEM_CLOCK) -> None:
    """Note that the database did not answer."""
    global _pause_until_ns
    now_ns = clock.monotonic_ns()
    # Said once an outage, not at every try.
    if now_ns > _pause_until_ns + QUIET_NS:
        log.warning("the database does not answer, what is remembered is believed: %s", str(error).strip()[:200])
    _pause_until_ns = now_ns + PAUSE_NS


def write_if_there(write: Callable[[], object]) -> None:
    """Write what may be lost while the database is away, such as the time something was last used."""
    if database_paused():
        return
    try:
        write()
    except AWAY as error:
        database_failed(error)


def pause_end() -> None:
    """Ask again at once: between tests."""
    global _pause_until_ns
    _pause_until_ns = -QUIET_NS


@dataclass(frozen=True, slots=True)
class _Known(Generic[V]):
    asked_ns: int
    value: V
    owner: str


class Remembered(Generic[K, V]):
    """Answers by key, each good for ``age_ns`` (0: asked every time, and kept for an outage alone). Safe to use from threads."""

    def __init__(self, age_ns: int, *, size_max: int = SIZE_MAX, clock: Clock = SYSTEM_CLOCK) -> None:
        self.age_ns, self._size_max, self._clock = age_ns, size_max, clock
        self._lock = threading.Lock()
        self._known: dict[K, _Known[V]] = {}
        self._forgotten = 0

    def get(self, key: K, ask: Callable[[], V], *, owner: Callable[[V], str] | None = None, fresh: bool = False) -> V:
        """The answer for a key. ``owner`` names whose it is, for ``forget_owner``; ``fresh`` believes nothing that is remembered.

        Raises what ``ask`` raises when there is no last answer to believe.
        """
        now_ns = self._clock.monotonic_ns()
        known = None if fresh else self._known.get(key)
        if known is not None and now_ns - known.asked_ns <= self.age_ns:
            return known.value
        if known is not None and now_ns - known.asked_ns > LAST_KNOWN_NS:
            known = None
        if known is not None and database_paused(self._clock):
            return known.value
        forgotten = self._forgotten
        try:
            value = ask()
        except AWAY as error:
            database_failed(error, self._clock)
            if known is None:
                raise
            return known.value
        whose = owner(value) if owner is not None else ""
        with self._lock:
            if forgotten != self._forgotten:
                return value  # asked before something was forgotten: it may be what has just ended
            if len(self._known) >= self._size_max and key not in self._known:
                # The oldest goes: it is the one least likely to be asked again.
                self._known.pop(next(iter(self._known)))
            else:
                self._known.pop(key, None)
            self._known[key] = _Known(now_ns, value, whose)
        return value

    def forget(self, key: K | None = None) -> None:
        """Drop one answer, or all: after a change in this process, and between tests."""
        with self._lock:
            self._forgotten += 1
            if key is None:
                self._known.clear()
            else:
                self._known.pop(key, None)

    def forget_owner(self, owner: str) -> None:
        """Drop what is remembered of one owner."""
        with self._lock:
            self._forgotten += 1
            for key in [key for key, known in self._known.items() if known.owner == owner]:
                del self._known[key]
