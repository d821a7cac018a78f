"""The hub: one subscription to the bus per web process, topics kept ready, clients marked and woken; never awaited.

    Valkey ──Bus──> Hub ──update──> topics (topics.py) ──mark + wake──> MarketSocket writer tasks

Owns which channels are subscribed (from an instrument's first client until ``LINGER_S`` after the last one left), loading of what was published
before, healing of gaps, and calling quotes stale when the market data process no longer says that it lives. Leaves the protocol to ``consumers.py``.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
import redis.asyncio
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.platform.realtime import Bus, market_channel
from brokerage.platform.sockets import SocketError
from marketdata import publisher
from marketdata.candles import FRAME_NAMES
from marketdata.selectors.instruments import instrument_list
from marketdata.topics import (
    BookFrame,
    BookTopic,
    CandleFrame,
    CandleTopic,
    QuoteFrame,
    QuotesFrame,
    QuotesTopic,
    QuoteTopic,
    Topic,
    TradeRow,
    TradesFrame,
    TradesTopic,
    decode_frame,
)

log = logging.getLogger(__name__)

LINGER_S = 30
STATUS_EVERY_S = 2.0
SYMBOLS_AGE_NS = 5 * NS_PER_S
LOAD_TIMEOUT_S = 5.0
_decode_trades = msgspec.json.Decoder(TradeRow).decode


class Subscriber(Protocol):
    """What the hub needs of a client."""

    def mark(self, topic: Topic) -> None:
        """The topic has something new: remember it and wake the writer. Must not block."""


class SymbolFeed:
    """The topics of one instrument and how far they are loaded."""

    __slots__ = ("book", "candles", "idle_since_ns", "loading", "quote", "symbol", "trades")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.quote = QuoteTopic(f"quote:{symbol}")
        self.book = BookTopic(f"book:{symbol}")
        self.trades = TradesTopic(f"trades:{symbol}")
        self.candles = {name: CandleTopic(f"candles:{symbol}:{name}") for name in FRAME_NAMES.values()}
        self.loading: asyncio.Task[None] | None = None
        self.idle_since_ns: int | None = None

    def topics(self) -> list[Topic]:
        """All of them."""
        return [self.quote, self.book, self.trades, *self.candles.values()]

    @property
    def wanted(self) -> bool:
        """True while anybody listens."""
        return any(topic.subscribers for topic in self.topics())


class Hub:
    """All market data of one web process."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url or settings.REDIS_URL
        self._bus = Bus(self._on_message, self._on_gap, self._url)
        self._valkey: Any = redis.asyncio.Redis.from_url(self._url, socket_timeout=2.0, socket_connect_timeout=2.0)
        self._feeds: dict[str, SymbolFeed] = {}
        self._all = QuotesTopic()
        self._all_loading: asyncio.Task[None] | None = None
        self._symbols: frozenset[str] = frozenset()
        self._symbols_ns = 0
        self._housekeeper: asyncio.Task[None] | None = None
        self.feed_lost = False
        self.messages = 0
        self.reloads = 0

    # ---- subscriptions ----------------------------------------------------------------------------------------------

    async def symbols(self) -> frozenset[str]:
        """Every listed symbol, at most some seconds old."""
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        if not self._symbols or now_ns - self._symbols_ns > SYMBOLS_AGE_NS:
            self._symbols_ns = now_ns
            try:
                listed = await database_sync_to_async(instrument_list, thread_sensitive=False)()
            except DatabaseError as error:
                log.warning("the list of instruments cannot be read: %s", error)
                if not self._symbols:
                    raise SocketError("unavailable", "Try again in a moment.") from error
                return self._symbols
            self._symbols = frozenset(ref.symbol for ref in listed)
        return self._symbols

    def topic(self, kind: str, symbol: str, frame: str = "") -> Topic:
        """The topic of a checked name; its data is loaded in the background."""
        if self._housekeeper is None or self._housekeeper.done():
            self._housekeeper = asyncio.get_running_loop().create_task(self._keep_house(), name="hub")
        if kind == "quotes":
            self._ensure_all()
            return self._all
        feed = self._feeds.get(symbol)
        if feed is None:
            feed = self._feeds[symbol] = SymbolFeed(symbol)
            self._load_later(feed)
        feed.idle_since_ns = None
        if kind == "candles":
            return feed.candles[frame]
        return {"quote": feed.quote, "book": feed.book, "trades": feed.trades}[kind]

    def subscribe(self, topic: Topic, client: Subscriber) -> None:
        """Mark the client from now on."""
        topic.subscribers.add(client)

    def unsubscribe(self, topics: Iterable[Topic], client: Subscriber) -> None:
        """No longer."""
        for topic in topics:
            topic.subscribers.discard(client)

    async def close(self) -> None:
        """Stop everything; for tests and benches."""
        tasks = [feed.loading for feed in self._feeds.values()] + [self._housekeeper, self._all_loading]
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*[task for task in tasks if task is not None], return_exceptions=True)
        await self._bus.close()
        await self._valkey.aclose()

    # ---- from the bus -----------------------------------------------------------------------------------------------

    def _on_message(self, channel: str, payload: bytes) -> None:
        self.messages += 1
        if channel == publisher.QUOTES_CHANNEL:
            batch = decode_frame(payload)
            if isinstance(batch, QuotesFrame):
                self._quotes(batch.quotes, payload.decode())
            return
        feed = self._feeds.get(channel[3:])
        if feed is None:
            return
        for line in payload.split(b"\n"):
            self._apply(feed, line)

    def _apply(self, feed: SymbolFeed, line: bytes) -> None:
        frame = decode_frame(line)
        if isinstance(frame, BookFrame):
            if feed.book.update(frame, line.decode()):
                self._tell(feed.book)
            else:
                self._load_later(feed)
        elif isinstance(frame, QuoteFrame):
            if self.feed_lost:
                return  # it is told again when the feed is well
            feed.quote.update(line.decode())
            self._tell(feed.quote)
        elif isinstance(frame, TradesFrame):
            feed.trades.update(frame.trades, gap=frame.gap)
            self._tell(feed.trades)
        elif isinstance(frame, CandleFrame):
            topic = feed.candles.get(frame.frame)
            if topic is not None:
                topic.update(frame, line.decode())
                self._tell(topic)

    def _quotes(self, quotes: list[dict[str, Any]], text: str | None = None) -> None:
        if self.feed_lost:
            quotes, text = [{**quote, "state": "stale"} for quote in quotes], None
        self._all.update(quotes, text)
        self._tell(self._all)

    @staticmethod
    def _tell(topic: Topic) -> None:
        for client in topic.subscribers:
            client.mark(topic)

    def _on_gap(self) -> None:
        """The bus was away: everything may have changed."""
        for feed in self._feeds.values():
            feed.book.lose()
            self._load_later(feed)
        if self._all.subscribers:
            self._all_loading = None
            self._ensure_all()

    # ---- loading ----------------------------------------------------------------------------------------------------

    def _load_later(self, feed: SymbolFeed) -> None:
        if feed.loading is None or feed.loading.done():
            self.reloads += 1
            feed.book.lose()
            feed.trades.hold()
            feed.loading = asyncio.get_running_loop().create_task(self._load(feed), name=f"load-{feed.symbol}")

    async def _load(self, feed: SymbolFeed) -> None:
        """Subscribe first, then read what was published before; publishing writes the key and the message together, so the two join."""
        symbol = feed.symbol
        while self._feeds.get(symbol) is feed:
            try:
                await asyncio.wait_for(self._bus.subscribe(market_channel(symbol)), LOAD_TIMEOUT_S)
                pipe = self._valkey.pipeline(transaction=True)
                pipe.get(publisher.quote_key(symbol))
                pipe.get(publisher.book_key(symbol))
                pipe.lrange(publisher.trades_key(symbol), 0, publisher.TRADES_KEPT - 1)
                pipe.get(publisher.candles_key(symbol))
                quote, book, trades, candles = await pipe.execute()
            except (redis.RedisError, OSError, TimeoutError) as error:
                log.warning("market data of %s cannot be loaded yet: %s", symbol, error)
                await asyncio.sleep(1.0)
                continue
            self._take(feed, quote, book, trades, candles)
            return

    def _take(
        self, feed: SymbolFeed, quote: bytes | None, book: bytes | None, trades: list[bytes], candles: bytes | None
    ) -> None:
        if book is not None:
            frame = decode_frame(book)
            if isinstance(frame, BookFrame):
                feed.book.update(frame, book.decode())
        if quote is not None:
            value = msgspec.json.decode(quote)
            if self.feed_lost:
                value["state"] = "stale"
            feed.quote.update(msgspec.json.encode({"type": "quote", **value}).decode())
        feed.trades.load([_decode_trades(row) for row in reversed(trades)])
        for raw in msgspec.json.decode(candles, type=list[msgspec.Raw]) if candles else []:
            self._apply(feed, bytes(raw))
        for topic in feed.topics():
            self._tell(topic)

    def _ensure_all(self) -> None:
        if self._all_loading is None:
            self._all_loading = asyncio.get_running_loop().create_task(self._load_all(), name="load-quotes")

    async def _load_all(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._bus.subscribe(publisher.QUOTES_CHANNEL), LOAD_TIMEOUT_S)
                symbols = sorted(await self.symbols())
                values = await self._valkey.mget([publisher.quote_key(symbol) for symbol in symbols]) if symbols else []
            except (redis.RedisError, OSError, TimeoutError, SocketError) as error:
                log.warning("quotes cannot be loaded yet: %s", error)
                await asyncio.sleep(1.0)
                continue
            self._quotes([msgspec.json.decode(value) for value in values if value is not None])
            return

    # ---- housekeeping -----------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        while self._feeds or self._all.subscribers:
            await asyncio.sleep(STATUS_EVERY_S)
            try:
                alive = bool(await self._valkey.exists(publisher.STATUS_KEY))
            except (redis.RedisError, OSError):
                alive = False
            if alive == self.feed_lost:
                self._feed_changed(lost=not alive)
            self._drop_idle()

    def _feed_changed(self, *, lost: bool) -> None:
        self.feed_lost = lost
        if lost:
            log.warning("the market data process is silent: quotes are stale")
        for feed in self._feeds.values():
            if lost and feed.quote.text:
                stale = {**msgspec.json.decode(feed.quote.text), "state": "stale"}
                feed.quote.update(msgspec.json.encode(stale).decode())
                self._tell(feed.quote)
            elif not lost:
                self._load_later(feed)
        if lost:
            self._quotes(self._all.quotes())
        elif self._all_loading is not None:
            self._all_loading = None
            self._ensure_all()

    def _drop_idle(self) -> None:
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        for symbol, feed in list(self._feeds.items()):
            if feed.wanted:
                feed.idle_since_ns = None
            elif feed.idle_since_ns is None:
                feed.idle_since_ns = now_ns
            elif now_ns - feed.idle_since_ns > LINGER_S * NS_PER_S:
                del self._feeds[symbol]
                self._bus.unsubscribe(market_channel(symbol))
                if feed.loading is not None:
                    feed.loading.cancel()


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def get_hub() -> Hub:
    """The hub of the running loop: one per web process."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub()
    return hub
