"""Trading hours: whether a venue is open now, by exchange-calendars. Leaves closing and opening markets to the session clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from brokerage.kernel.clock import datetime_from_ns

ALWAYS = "24/7"
_calendars: dict[str, Any] = {}


def _calendar(name: str) -> Any:
    calendar = _calendars.get(name)
    if calendar is None:
        # Late and cached: the package takes seconds to import and a calendar one to build.
        import exchange_calendars

        calendar = _calendars[name] = exchange_calendars.get_calendar(name)
    return calendar


def venue_is_open(calendar_name: str, now_ns: int) -> bool:
    """True when the calendar has a session at that time; half days, holidays and clock changes included."""
    if calendar_name == ALWAYS:
        return True
    return bool(_calendar(calendar_name).is_open_on_minute(datetime_from_ns(now_ns).replace(second=0, microsecond=0)))


def venue_next_open(calendar_name: str, now_ns: int) -> str | None:
    """RFC 3339 minute of the next opening, None for a venue that never closes or beyond the calendar's end."""
    if calendar_name == ALWAYS:
        return None
    calendar = _calendar(calendar_name)
    moment = datetime_from_ns(now_ns).replace(second=0, microsecond=0) + timedelta(minutes=1)
    try:
        opening = calendar.next_open(moment)
    except ValueError:
        return None
    return str(opening.strftime("%Y-%m-%dT%H:%MZ"))
