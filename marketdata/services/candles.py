"""Store candles and prints, and the offset they belong to, in one transaction: each trade is in the bars exactly once.

The writer gives the offset it began from; the row is moved only from there (compare and set), so a second writer, or a commit whose
answer was lost, cannot count anything twice. Bars are absolute values, so writing the same one again changes nothing. After a kill the
process reads the offset, takes the newest live bar of each frame as the open one and asks the feed for what follows.
Owns the writing of ``Candle`` (source live), ``TradePrint`` and ``MarketDataState``. Leaves bars themselves to ``marketdata/candles.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from marketdata.candles import Bar
from marketdata.models import Candle, MarketDataState, TradePrint
from marketdata.ticks import Trade

#: Prints kept per instrument; the full record of trades is the executions.
PRINTS_KEPT = 5_000
#: Held by the one process that writes (a number of our own choosing).
ADVISORY_LOCK = 0x6D64_0001

_UPSERT = """
INSERT INTO marketdata_candle (core_instrument, frame, open_time, open, high, low, close, volume, trades, source)
SELECT t.*, %s FROM unnest(%s::int[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[]) AS t
ON CONFLICT (core_instrument, frame, open_time) DO UPDATE SET open = EXCLUDED.open, high = EXCLUDED.high, low = EXCLUDED.low,
  close = EXCLUDED.close, volume = EXCLUDED.volume, trades = EXCLUDED.trades, source = EXCLUDED.source
"""
_PRINTS = """
INSERT INTO marketdata_tradeprint (core_instrument, seq, price, qty, side, time_ns)
SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[])
"""
_TRIM = """
DELETE FROM marketdata_tradeprint WHERE core_instrument = %s AND seq <
  (SELECT seq FROM marketdata_tradeprint WHERE core_instrument = %s ORDER BY seq DESC OFFSET %s LIMIT 1)
"""


class OffsetMovedError(Exception):
    """The stored offset is not where this writer left it: somebody else writes too, or the last commit did happen."""

    def __init__(self, found: int) -> None:
        super().__init__(f"the market data offset is at command {found}")
        self.found = found


@dataclass(frozen=True)
class Offset:
    """Up to which command of which journal the candles go."""

    journal_id: str
    cmd_seq: int
    event_seq: int


#: A bar with its instrument in front: (core, frame, open_time, open, high, low, close, volume, trades).
BarRow = tuple[int, ...]


def writer_lock() -> bool:
    """Take the lock of the one writer for as long as this connection lives; False when another process has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
        return bool(cursor.fetchone()[0])


def offset_get() -> Offset:
    """The stored offset; command 0 of no journal at first."""
    row, _ = MarketDataState.objects.get_or_create(pk=1)
    return Offset(row.journal_id, row.cmd_seq, row.event_seq)


def changes_store(before: Offset, after: Offset, bars: Sequence[BarRow], prints: Sequence[Trade]) -> None:
    """Write everything that lies between two offsets, and the new offset. Raises OffsetMovedError when the stored one is not ``before``."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE marketdata_marketdatastate SET journal_id = %s, cmd_seq = %s, event_seq = %s, updated_at = now() "
            "WHERE id = 1 AND cmd_seq = %s AND journal_id = %s",
            [after.journal_id, after.cmd_seq, after.event_seq, before.cmd_seq, before.journal_id],
        )
        if cursor.rowcount != 1:
            cursor.execute("SELECT cmd_seq FROM marketdata_marketdatastate WHERE id = 1")
            row = cursor.fetchone()
            raise OffsetMovedError(row[0] if row else -1)
        if bars:
            # One order of rows everywhere, so that two writers could never wait for each other.
            columns = list(zip(*sorted(bars), strict=True))
            cursor.execute(_UPSERT, [int(Candle.Source.LIVE), *[list(column) for column in columns]])
        if prints:
            cursor.execute(_PRINTS, [list(column) for column in zip(*prints, strict=True)])


def prints_trim(cores: Iterable[int]) -> None:
    """Forget the oldest prints of each instrument."""
    with connection.cursor() as cursor:
        for core in cores:
            cursor.execute(_TRIM, [core, core, PRINTS_KEPT])


def open_bars_load() -> dict[int, list[Bar]]:
    """The newest live bar of each frame, by core number: the ones that may still be open."""
    result: dict[int, list[Bar]] = {}
    rows = (
        Candle.objects.filter(source=Candle.Source.LIVE)
        .order_by("core_instrument", "frame", "-open_time")
        .distinct("core_instrument", "frame")
        .values_list("core_instrument", "frame", "open_time", "open", "high", "low", "close", "volume", "trades")
    )
    for core, *bar in rows:
        result.setdefault(core, []).append(Bar(*bar))
    return result


def day_bars_load(since_s: int) -> dict[int, list[Bar]]:
    """Minute bars that began after ``since_s``, of every source, by core number in time order."""
    result: dict[int, list[Bar]] = {}
    rows = (
        Candle.objects.filter(frame=60, open_time__gt=since_s)
        .order_by("core_instrument", "open_time")
        .values_list("core_instrument", "open_time", "open", "high", "low", "close", "volume", "trades")
    )
    for core, *bar in rows.iterator(chunk_size=5_000):
        result.setdefault(core, []).append(Bar(60, *bar))
    return result


def history_exists() -> bool:
    """True once recorded or simulated minutes are loaded."""
    return Candle.objects.filter(frame=60).exclude(source=Candle.Source.LIVE).exists()


def last_prints_load(core: int, limit: int) -> list[Trade]:
    """The last stored trades of an instrument, oldest first."""
    rows = TradePrint.objects.filter(core_instrument=core).order_by("-seq")[:limit]
    return [Trade(core, row.seq, row.price, row.qty, row.side, row.time_ns) for row in reversed(rows)]
