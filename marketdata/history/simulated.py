"""Simulated history, for instruments (and time frames) of which no recorded data can be installed.

A seeded random walk with switching volatility, drawn from coarse to fine (days, hours, quarter hours, minutes), ending exactly at a given
price. Every coarser candle is made from the finer ones it contains, so that sixty minutes *are* the hour. Rows are marked simulated and
the pages say so. Uses floats inside the generator; what leaves is whole ticks and lots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

YEAR_S = 365 * 86_400
#: (frame seconds, how far back it reaches in seconds): the finest frame generated in each stretch of the past.
STRETCHES = ((86_400, 730 * 86_400), (3_600, 120 * 86_400), (900, 30 * 86_400), (60, 4 * 86_400))
FRAMES = (60, 300, 900, 3_600, 14_400, 86_400)
SUBSTEPS = 6


@dataclass(frozen=True)
class Bars:
    """Candles of one frame: parallel int64 arrays (epoch seconds, ticks, lots)."""

    frame: int
    open_time: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    trades: np.ndarray

    def rows(self) -> Iterator[tuple[int, int, int, int, int, int, int]]:
        """Yield (open_time, open, high, low, close, volume, trades) as Python ints."""
        columns = (self.open_time, self.open, self.high, self.low, self.close, self.volume, self.trades)
        yield from zip(*(column.tolist() for column in columns), strict=True)


def simulate(
    *, seed: int, end_s: int, end_ticks: int, volatility: float, daily_lots: int, since_s: int = 0
) -> list[Bars]:
    """Return bars of every frame in FRAMES, ending before ``end_s`` at ``end_ticks``.

    ``end_s`` is cut to the minute; ``since_s`` (epoch seconds) keeps simulated bars out of the time of recorded ones. Same arguments, same bars.
    """
    rng = np.random.default_rng(seed)
    end_s -= end_s % 60
    # Edges of the stretches, each cut to its frame so that coarser candles are never half one and half the other.
    edges = [max(end_s - back, since_s) for _, back in STRETCHES]
    edges = [edge - edge % 86_400 + 86_400 for edge in edges]
    stretches = []
    for position, (frame, _) in enumerate(STRETCHES):
        start = edges[position]
        stop = edges[position + 1] if position + 1 < len(STRETCHES) else end_s
        if stop > start:
            stretches.append((frame, start, stop))
    finest = [_walk(rng, frame, start, stop, volatility, daily_lots) for frame, start, stop in stretches]
    finest = [bars for bars in finest if len(bars[0])]
    if not finest:
        return []
    # Join the stretches into one path and shift it so that it ends at the wanted price.
    shift = 0.0
    joined = []
    for times, opens, highs, lows, closes, volumes, frame in finest:
        offset = shift - opens[0]
        joined.append((times, opens + offset, highs + offset, lows + offset, closes + offset, volumes, frame))
        shift = closes[-1] + offset
    scale = np.log(end_ticks) - shift
    base = [_to_ticks(stretch, scale) for stretch in joined]
    return [bars for bars in (_frame(base, frame) for frame in FRAMES) if len(bars.open_time)]


def _walk(
    rng: np.random.Generator, frame: int, start: int, stop: int, volatility: float, daily_lots: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Draw one stretch as log prices: (times, open, high, low, close, volume lots, frame)."""
    times = np.arange(start, stop, frame, dtype=np.int64)
    count = len(times)
    # Volatility clusters: an AR(1) in its logarithm.
    shocks = rng.normal(0.0, 0.25, count)
    clustered = np.empty(count)
    level = 0.0
    for index, shock in enumerate(shocks):
        level = 0.94 * level + shock
        clustered[index] = level
    sigma = volatility * np.sqrt(frame / YEAR_S) * np.exp(np.clip(clustered, -1.2, 1.2))
    steps = rng.normal(0.0, 1.0, (count, SUBSTEPS)) * (sigma / np.sqrt(SUBSTEPS))[:, None]
    inside = np.cumsum(steps, axis=1)
    closes = np.cumsum(inside[:, -1])
    opens = np.concatenate(([0.0], closes[:-1]))
    highs = opens + np.maximum(inside.max(axis=1), 0.0)
    lows = opens + np.minimum(inside.min(axis=1), 0.0)
    # More is traded when the price moves more.
    moved = np.abs(inside[:, -1]) / np.maximum(sigma, 1e-12)
    volumes = np.maximum(1, daily_lots * frame / 86_400 * (0.5 + 0.6 * moved) * rng.lognormal(0.0, 0.35, count)).astype(
        np.int64
    )
    return times, opens, highs, lows, closes, volumes, frame


def _to_ticks(
    stretch: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    times, opens, highs, lows, closes, volumes, _ = stretch
    opens, highs, lows, closes = (
        np.maximum(1, np.rint(np.exp(column + scale))).astype(np.int64) for column in (opens, highs, lows, closes)
    )
    return (
        times,
        opens,
        np.maximum.reduce([opens, highs, closes]),
        np.minimum.reduce([opens, lows, closes]),
        closes,
        volumes,
    )


def _frame(base: list[tuple[np.ndarray, ...]], frame: int) -> Bars:
    """Aggregate the base stretches that are at least as fine as ``frame`` into candles of ``frame``."""
    parts = [stretch for stretch in base if len(stretch[0]) > 1 and stretch[0][1] - stretch[0][0] <= frame]
    if not parts:
        empty = np.empty(0, dtype=np.int64)
        return Bars(frame, empty, empty, empty, empty, empty, empty, empty)
    times, opens, highs, lows, closes, volumes = (
        np.concatenate([part[column] for part in parts]) for column in range(6)
    )
    buckets = times - times % frame
    starts = np.flatnonzero(np.concatenate(([True], buckets[1:] != buckets[:-1])))
    ends = np.concatenate((starts[1:], [len(buckets)])) - 1
    volume = np.add.reduceat(volumes, starts)
    return Bars(
        frame=frame,
        open_time=buckets[starts],
        open=opens[starts],
        high=np.maximum.reduceat(highs, starts),
        low=np.minimum.reduceat(lows, starts),
        close=closes[ends],
        volume=volume,
        trades=np.zeros(len(starts), dtype=np.int64),
    )
