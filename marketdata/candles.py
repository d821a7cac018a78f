"""Candles from trades: exact integers, six frames at once, each trade counted once.

Owns the rules (docs/streams.md repeats them):

- A bar holds the trades with ``open_time <= t < open_time + frame``; ``open_time`` is a multiple of the frame in UTC epoch seconds, so a
  day is a UTC day whatever the clocks of a time zone do.
- Open is the first trade, close the last, in the feed's order. Volume is lots, summed as integers. No trade, no bar: gaps stay gaps.
- Each frame is built from the trades themselves; ``roll_up`` of the smaller bars gives the same bar to the last lot (a test states it).
- Trades come in time order (the engine's clock never goes back). One that belongs to a bar already finished is counted and left out
  of the bars rather than put into a wrong one.

Leaves to others: storing (``pipeline.py``, ``services/candles.py``), showing (``publisher.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

FRAMES = (60, 300, 900, 3600, 14400, 86400)
FRAME_NAMES = {60: "1m", 300: "5m", 900: "15m", 3600: "1h", 14400: "4h", 86400: "1d"}
FRAME_SECONDS = {name: seconds for seconds, name in FRAME_NAMES.items()}
_NS = 1_000_000_000


class Bar:
    """One bar. Mutable while it is open."""

    __slots__ = ("close", "done", "frame", "high", "low", "open", "open_time", "trades", "volume")

    def __init__(
        self, frame: int, open_time: int, open_: int, high: int, low: int, close: int, volume: int, trades: int
    ) -> None:
        self.frame = frame
        self.open_time = open_time
        self.open = open_
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume
        self.trades = trades
        self.done = False  # told as finished; its time is over

    def key(self) -> tuple[int, int, int, int, int, int, int, int]:
        """All of it as a tuple, for comparison and storage."""
        return (self.frame, self.open_time, self.open, self.high, self.low, self.close, self.volume, self.trades)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bar) and self.key() == other.key()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Bar{self.key()}"


class CandleBuilder:
    """The open bars of one instrument.

    ``changed`` holds every bar touched since it was last cleared, by (frame, open time); ``closed`` the bars finished since it was last
    cleared, oldest first. Both are cleared by their reader.
    """

    __slots__ = ("changed", "closed", "late", "open")

    def __init__(self, resumed: Iterable[Bar] = ()) -> None:
        self.open: dict[int, Bar] = {bar.frame: bar for bar in resumed}
        self.changed: dict[tuple[int, int], Bar] = {}
        self.closed: list[Bar] = []
        self.late = 0

    def on_trade(self, price: int, qty: int, time_ns: int) -> None:
        """Count one trade in every frame."""
        second = time_ns // _NS
        for frame in FRAMES:
            open_time = second - second % frame
            bar = self.open.get(frame)
            if bar is None or bar.open_time < open_time:
                if bar is not None and not bar.done:
                    bar.done = True
                    self.closed.append(bar)
                bar = self.open[frame] = Bar(frame, open_time, price, price, price, price, qty, 1)
            elif bar.open_time > open_time:
                self.late += 1
                continue
            else:
                if price > bar.high:
                    bar.high = price
                elif price < bar.low:
                    bar.low = price
                bar.close = price
                bar.volume += qty
                bar.trades += 1
                bar.done = False
            self.changed[frame, open_time] = bar

    def close_before(self, second: int) -> None:
        """Tell the bars whose time is over at ``second`` as finished though no later trade has come.

        They stay in ``open``: should a trade of theirs still arrive, it is counted where it belongs and the bar is told again.
        """
        for bar in self.open.values():
            if not bar.done and bar.open_time + bar.frame <= second:
                bar.done = True
                self.closed.append(bar)


def roll_up(bars: Iterable[Bar], frame: int) -> list[Bar]:
    """Bars of a larger frame from smaller ones given in time order; the frame must be a multiple of theirs."""
    out: list[Bar] = []
    for bar in bars:
        if frame % bar.frame:
            raise ValueError(f"{frame} s is not a multiple of {bar.frame} s")
        open_time = bar.open_time - bar.open_time % frame
        if out and out[-1].open_time == open_time:
            last = out[-1]
            last.high = max(last.high, bar.high)
            last.low = min(last.low, bar.low)
            last.close = bar.close
            last.volume += bar.volume
            last.trades += bar.trades
        elif out and out[-1].open_time > open_time:
            raise ValueError("bars must come in time order")
        else:
            out.append(Bar(frame, open_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades))
    return out
