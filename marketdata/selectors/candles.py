"""Reading candles: the last ones before a moment, in ascending order, as integers of the instrument; and the last price known at a moment.

Owns the frames' names. Leaves building and loading to ``marketdata/candles.py`` and ``services/history.py``, decimals
to the edges.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from brokerage.kernel.clock import NS_PER_S
from marketdata.models import Candle
from marketdata.selectors.instruments import InstrumentRef

#: API name -> seconds.
FRAMES = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400}
LIMIT_MAX = 1500


@dataclass(frozen=True, slots=True)
class CandleView:
    """One candle: ``time`` is the epoch second it opens; prices are ticks, volume lots."""

    time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    source: str


_SOURCES = {source.value: source.name.lower() for source in Candle.Source}


def candle_list(
    instrument: InstrumentRef, frame: str, *, from_s: int | None = None, to_s: int | None = None, limit: int = 300
) -> list[CandleView]:
    """The last ``limit`` candles that open in [from_s, to_s), oldest first."""
    rows = Candle.objects.filter(core_instrument=instrument.core_instrument, frame=FRAMES[frame])
    if from_s is not None:
        rows = rows.filter(open_time__gte=from_s)
    if to_s is not None:
        rows = rows.filter(open_time__lt=to_s)
    columns = ("open_time", "open", "high", "low", "close", "volume", "trades", "source")
    newest_first = rows.order_by("-open_time").values_list(*columns)[: min(limit, LIMIT_MAX)]
    return [CandleView(*row[:-1], _SOURCES[row[-1]]) for row in reversed(newest_first)]


@dataclass(frozen=True, slots=True)
class PriceView:
    """A price there was: ticks, when it was known (UTC nanoseconds), and what it is: ``trade``, or a bar's close that was ``live``, ``recorded``
    or ``simulated``.
    """

    ticks: int
    time_ns: int
    source: str


# A bar's close is known when the bar is over, so one that is still open says nothing yet. Each part is one step into an index.
_PRICES_BEFORE = """
SELECT i.core, bar.close, (bar.open_time + f.frame) * 1000000000::bigint, bar.source
FROM unnest(%(cores)s::int[]) AS i(core) CROSS JOIN unnest(%(frames)s::int[]) AS f(frame) CROSS JOIN LATERAL (
    SELECT close, open_time, source FROM marketdata_candle
    WHERE core_instrument = i.core AND frame = f.frame AND open_time <= %(at_s)s - f.frame ORDER BY open_time DESC LIMIT 1
) AS bar
UNION ALL
SELECT i.core, print.price, print.time_ns, 0
FROM unnest(%(cores)s::int[]) AS i(core) CROSS JOIN LATERAL (
    SELECT price, time_ns FROM marketdata_tradeprint
    WHERE core_instrument = i.core AND time_ns <= %(at_ns)s ORDER BY seq DESC LIMIT 1
) AS print
"""


def prices_before(core_instruments: Iterable[int], at_ns: int) -> dict[int, PriceView]:
    """Core number -> the newest price that was known at ``at_ns``; instruments without one are left out. Of equally new ones the trade counts."""
    values = {
        "cores": sorted(set(core_instruments)),
        "frames": list(FRAMES.values()),
        "at_ns": at_ns,
        "at_s": at_ns // NS_PER_S,
    }
    found: dict[int, PriceView] = {}
    with connection.cursor() as cursor:
        cursor.execute(_PRICES_BEFORE, values)
        for core, ticks, time_ns, source in cursor.fetchall():
            known = found.get(core)
            if known is None or time_ns > known.time_ns or (time_ns == known.time_ns and not source):
                found[core] = PriceView(ticks, time_ns, _SOURCES.get(source, "trade"))
    return found
