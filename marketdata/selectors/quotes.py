"""Live market data for REST and pages: the last published state in Valkey.

Owns reading the ``md:…`` keys and what an unreadable one means: None or an empty list, logged, never an invented number. Everything carries its own
``ts``, so the reader can see how old it is. Leaves writing to ``marketdata/publisher.py`` and streams to ``hub.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec
import redis

from brokerage.platform.valkey import get_valkey
from marketdata.publisher import DEPTH, STATUS_KEY, TRADES_KEPT, book_key, quote_key, trades_key

log = logging.getLogger(__name__)


def quote_get(symbol: str) -> dict[str, Any] | None:
    """The last quote of an instrument, or None when there is none (or Valkey is away)."""
    return quotes_get([symbol]).get(symbol)


def quotes_get(symbols: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The last quotes by symbol, in one round trip; symbols without one are left out."""
    wanted = list(dict.fromkeys(symbols))
    if not wanted:
        return {}
    try:
        alive, *values = get_valkey().mget([STATUS_KEY, *[quote_key(symbol) for symbol in wanted]])
    except redis.RedisError as error:
        log.warning("quotes cannot be read: %s", error)
        return {}
    found = zip(wanted, map(_decoded, values), strict=True)
    quotes = {symbol: quote for symbol, quote in found if quote is not None}
    if alive is None:
        # Nobody keeps them up to date any more; a reader must not take them for the market.
        for quote in quotes.values():
            quote["state"] = "stale"
    return quotes


def book_get(symbol: str, depth: int = DEPTH) -> dict[str, Any] | None:
    """The last book snapshot, at most ``depth`` levels of each side, best first; None when there is none."""
    try:
        book = _decoded(get_valkey().get(book_key(symbol)))
    except redis.RedisError as error:
        log.warning("the book of %s cannot be read: %s", symbol, error)
        return None
    if book is None:
        return None
    return {**book, "bids": book["bids"][:depth], "asks": book["asks"][:depth]}


def trades_get(symbol: str, limit: int = 50) -> list[dict[str, Any]]:
    """The last trades, newest first."""
    if limit < 1:
        return []
    try:
        values = get_valkey().lrange(trades_key(symbol), 0, min(limit, TRADES_KEPT) - 1)
    except redis.RedisError as error:
        log.warning("the trades of %s cannot be read: %s", symbol, error)
        return []
    return [trade for value in values if (trade := _decoded(value)) is not None]


def feed_status_get() -> dict[str, Any] | None:
    """State and counters of the market data process (``md:status``), or None when it never ran or Valkey is away."""
    try:
        return _decoded(get_valkey().get(STATUS_KEY))
    except redis.RedisError as error:
        log.warning("the feed's status cannot be read: %s", error)
        return None


def _decoded(value: str | bytes | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        decoded = msgspec.json.decode(value)
    except msgspec.DecodeError:
        log.exception("a market data key holds something that is no JSON")
        return None
    return decoded if isinstance(decoded, dict) else None
