"""Reading candles: the last ones before a moment, in ascending order, as integers of the instrument.

Owns the frames' names. Leaves building and loading to ``marketdata/candles.py`` and ``services/history.py``, decimals
to the edges.
"""

from __future__ import annotations

from dataclasses import dataclass

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
