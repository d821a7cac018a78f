"""Normalised market data: what every feed turns its own messages into before the pipeline sees them.

Owns the record types. Prices are ticks, quantities lots, times UTC nanoseconds, sequences those of the feed. Leaves to others: where
records come from (``trading/projection/book_publisher.py`` for our own book) and what is made of them (``pipeline.py``).
"""

from __future__ import annotations

from typing import NamedTuple

BUY = 1
SELL = 2


class BookChange(NamedTuple):
    """Lots added to (positive) or taken from (negative) one price of one side."""

    instrument: int
    seq: int
    side: int
    price: int
    change: int


class Trade(NamedTuple):
    """One match as the public sees it; ``side`` is the aggressor's, ``seq`` the event that told it."""

    instrument: int
    seq: int
    price: int
    qty: int
    side: int
    time_ns: int


class StateChange(NamedTuple):
    """The trading state (0 active, 1 reduce only, 2 halted, 3 closed) of an instrument, or of all of them (``instrument`` 0)."""

    instrument: int
    seq: int
    state: int
