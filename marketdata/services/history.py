"""Fill the candle table with history: recorded where a package holds it, simulated and marked so where none does.

Owns the order of the two and the idempotency (an instrument that has history is left alone). Leaves reading packages to
``marketdata/history/recorded.py``, the generator to ``simulated.py`` and live candles to the market data process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from django.db import connection, transaction

from marketdata.history.recorded import recorded_bars
from marketdata.history.simulated import Bars, simulate
from marketdata.models import Candle, Instrument

DAY_S = 86_400
#: A year's volatility, for the simulated stretches.
VOLATILITY = {"crypto": 0.65, "fx": 0.08, "stock": 0.28, "index": 0.18, "commodity": 0.32}
#: What trades in an ordinary simulated day, in quote units: about what the demo market does.
DAILY_TURNOVER = 120_000_000


@dataclass(frozen=True)
class HistoryResult:
    """What ``history_load`` did for one instrument: rows written by source."""

    symbol: str
    recorded: int
    simulated: int
    skipped: bool = False


def _ticks(price: Decimal, tick_size: Decimal) -> int:
    return max(1, int((price / tick_size).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)))


def _recorded_rows(instrument: Instrument) -> list[tuple[int, ...]]:
    rows = []
    for bar in recorded_bars(instrument.symbol):
        opened, high, low, close = (
            _ticks(price, instrument.tick_size) for price in (bar.open, bar.high, bar.low, bar.close)
        )
        volume = int(bar.volume / instrument.lot_size) if bar.volume else 0
        # One half tick of rounding may put an open or close a tick outside the range: the range gives way.
        rows.append((bar.open_time, opened, max(high, opened, close), min(low, opened, close), close, volume, 0))
    return rows


def _copy(instrument: Instrument, frame: int, rows: Iterable[tuple[int, ...]], source: int) -> int:
    count = 0
    with connection.cursor() as cursor:
        statement = "COPY marketdata_candle (core_instrument, frame, open_time, open, high, low, close, volume, trades, source) FROM STDIN"
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row((instrument.core_instrument, frame, *row, source))
                count += 1
    return count


def history_load(instrument: Instrument, *, seed: int, end_s: int, end_ticks: int) -> HistoryResult:
    """Write the history of one instrument that has none yet, in one transaction.

    ``end_s`` (epoch seconds) and ``end_ticks`` say where and at which price the simulated part must end, so that live bars join it. Candles
    already there from live trading are kept: simulated bars stop before the first of them.
    """
    if Candle.objects.filter(core_instrument=instrument.core_instrument).exclude(source=Candle.Source.LIVE).exists():
        return HistoryResult(instrument.symbol, 0, 0, skipped=True)
    first_live = (
        Candle.objects.filter(core_instrument=instrument.core_instrument, frame=60).order_by("open_time").first()
    )
    if first_live is not None:
        end_s = min(end_s, first_live.open_time)
    recorded = _recorded_rows(instrument)
    lot_value = end_ticks * instrument.tick_value
    daily_lots = max(1, DAILY_TURNOVER * 10**instrument.quote.scale // lot_value)
    own_seed = int.from_bytes(hashlib.sha256(f"{seed} {instrument.symbol}".encode()).digest()[:8], "big")
    bars: list[Bars] = simulate(
        seed=own_seed,
        end_s=end_s,
        end_ticks=end_ticks,
        volatility=VOLATILITY[instrument.asset_class],
        daily_lots=daily_lots,
        since_s=recorded[-1][0] if recorded else 0,
    )
    simulated = 0
    with transaction.atomic():
        for frame_bars in bars:
            live = set(
                Candle.objects.filter(core_instrument=instrument.core_instrument, frame=frame_bars.frame).values_list(
                    "open_time", flat=True
                )
            )
            rows = (row for row in frame_bars.rows() if row[0] not in live)
            simulated += _copy(instrument, frame_bars.frame, rows, Candle.Source.SIMULATED)
        written = _copy(instrument, DAY_S, recorded, Candle.Source.RECORDED)
    return HistoryResult(instrument.symbol, written, simulated)
