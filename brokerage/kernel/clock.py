"""Time: UTC nanoseconds, read here and nowhere else, and injected everywhere.

Owns: the ``Clock`` protocol, the real and the manual clock, RFC 3339 text, conversion to aware datetimes, the UTC
trading day.
Leaves to others: what happens at a time (the core gets time as a command).
"""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_S
#: Largest time the core can carry (signed 64 bits): year 2262.
TIME_NS_MAX = 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)


class Clock(Protocol):
    """What needs the time asks one of these."""

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970-01-01."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970-01-01."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told; for tests and replays."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970-01-01."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds advanced so far."""
        return self._monotonic_ns

    def advance(self, ns: int) -> int:
        """Move forward and return the new time."""
        if ns < 0:
            raise ValueError("time does not go back; use set() to place the clock")
        self._now_ns += ns
        self._monotonic_ns += ns
        return self._now_ns

    def set(self, now_ns: int) -> None:
        """Place the wall clock, backwards too, as an operator or NTP may."""
        self._now_ns = now_ns


SYSTEM_CLOCK = SystemClock()


def rfc3339(ns: int) -> str:
    """UTC text with six decimals and Z; finer digits are cut, so that text never lies in the future."""
    return _datetime_us(ns // NS_PER_US).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def parse_rfc3339(text: str) -> int:
    """UTC nanoseconds of an RFC 3339 time with Z or an offset. ValueError for anything else."""
    match = _RFC3339.fullmatch(text) if isinstance(text, str) and len(text) <= 40 else None
    if match is None:
        raise ValueError("not an RFC 3339 time such as 2026-01-31T12:00:00.000000Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, zulu, sign, off_hour, off_minute = match.groups()[6:]
    # A leap second is told as :60; POSIX time has none, so it is the next second.
    leap = second == 60
    moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    seconds = (moment - _EPOCH) // timedelta(seconds=1) + (1 if leap else 0)
    if not zulu:
        if int(off_hour) > 23 or int(off_minute) > 59:
            raise ValueError("the offset of the time is out of range")
        offset = int(off_hour) * 3600 + int(off_minute) * 60
        seconds += -offset if sign == "+" else offset
    ns = seconds * NS_PER_S + int((fraction or "0").ljust(9, "0"))
    if not -TIME_NS_MAX <= ns <= TIME_NS_MAX:
        raise ValueError("the time is outside 1678..2262")
    return ns


def parse_day(text: str) -> date | None:
    """A calendar day written YYYY-MM-DD and in no other way; None for anything else."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def midnight_ns(day: date) -> int:
    """UTC nanoseconds at which a day begins."""
    return (day - _EPOCH.date()).days * NS_PER_DAY


def datetime_from_ns(ns: int) -> datetime:
    """Aware UTC datetime, cut to microseconds."""
    return _datetime_us(ns // NS_PER_US)


def ns_from_datetime(moment: datetime) -> int:
    """UTC nanoseconds of an aware datetime. ValueError for a naive one."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError("a datetime without a time zone says nothing")
    return (moment - _EPOCH) // timedelta(microseconds=1) * NS_PER_US


def utc_now(clock: Clock = SYSTEM_CLOCK) -> datetime:
    """The current time as an aware UTC datetime."""
    return datetime_from_ns(clock.now_ns())


def trading_day(ns: int) -> int:
    """UTC days since 1970-01-01, the number CMD_DAY_ROLL carries."""
    return ns // NS_PER_DAY


def _datetime_us(us: int) -> datetime:
    # Through timedelta: datetime.fromtimestamp would go by a float.
    return _EPOCH + timedelta(microseconds=us)
