"""What one can subscribe to, as values with versions: the part of the hub that knows no sockets, no Valkey and no time.

A topic takes frames from the bus and answers, for a client that has version v, which frames bring it to the present one. So a client's whole state
is one number per topic, a slow client costs nothing while it waits, and what it gets afterwards is merged: the last quote, one delta with absolute
sizes (or a snapshot), the trades it has not seen or a gap flag. Answers are kept per version, so clients in step share one encoded text.

Owns merging. Invariant (property-tested): whatever the interleaving of updates and answers, a client that applies what it gets holds the book.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
Rows = list[tuple[str, str]]

#: A client that has nothing yet.
NEVER = -1
RING_DELTAS = 256
RING_TRADES = 200
TRADES_FIRST = 50
#: Shared answers kept for this many different versions; a slow crowd beyond it is encoded each on its own.
CACHE_MAX = 64


class QuoteFrame(msgspec.Struct, tag="quote"):
    """The head of a quote frame."""

    symbol: str
    seq: int


class BookFrame(msgspec.Struct, tag="book"):
    """A book snapshot (``prev`` None) or delta."""

    symbol: str
    epoch: int
    seq: int
    prev: int | None
    bids: Rows
    asks: Rows
    ts: str


class TradeRow(msgspec.Struct):
    """One public trade."""

    id: str
    price: str
    qty: str
    side: str
    ts: str


class TradesFrame(msgspec.Struct, tag="trades"):
    """New trades, oldest first."""

    symbol: str
    trades: list[TradeRow]
    gap: bool = False


class CandleFrame(msgspec.Struct, tag="candle"):
    """The head of a candle frame."""

    symbol: str
    frame: str
    time: int
    closed: bool


class QuotesFrame(msgspec.Struct, tag="quotes"):
    """A batch of quotes."""

    quotes: list[dict[str, Any]]


Frame = QuoteFrame | BookFrame | TradesFrame | CandleFrame | QuotesFrame
decode_frame = msgspec.json.Decoder(Frame).decode


class Topic:
    """A value with a version that grows with each change."""

    __slots__ = ("_cache", "name", "subscribers", "version")

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = NEVER
        self.subscribers: set[Any] = set()
        self._cache: dict[int, list[str]] = {}

    def frames(self, have: int) -> tuple[list[str], int]:
        """The frames that bring a client from version ``have`` to the present one, and that version."""
        if have == self.version:
            return [], have
        known = self._cache.get(have)
        if known is None:
            known = self._frames(have)
            if len(self._cache) < CACHE_MAX:
                self._cache[have] = known
        return known, self.version

    def _frames(self, have: int) -> list[str]:
        raise NotImplementedError

    def _moved(self) -> None:
        self.version += 1
        self._cache = {}


class QuoteTopic(Topic):
    """The last quote; earlier ones are worth nothing."""

    __slots__ = ("text",)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.text = ""

    def update(self, text: str) -> None:
        """A new quote frame."""
        self.text = text
        self._moved()

    def _frames(self, have: int) -> list[str]:
        return [self.text]


class CandleTopic(Topic):
    """The open bar, and the last finished one until the client has had it."""

    __slots__ = ("_closed", "_closed_at", "_open", "_open_at", "_time")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._open = self._closed = ""
        self._open_at = self._closed_at = NEVER
        self._time = 0

    def update(self, frame: CandleFrame, text: str) -> None:
        """A new state of a bar."""
        if frame.time < self._time and not frame.closed:
            return
        self._moved()
        if frame.closed:
            self._closed, self._closed_at = text, self.version
            if frame.time >= self._time:
                self._open = ""
        else:
            self._open, self._open_at = text, self.version
        self._time = max(self._time, frame.time)

    def _frames(self, have: int) -> list[str]:
        frames = []
        if self._closed and self._closed_at > have and (have != NEVER or not self._open):
            frames.append(self._closed)
        if self._open and self._open_at > have:
            frames.append(self._open)
        return frames


class TradesTopic(Topic):
    """A ring of the last trades. The version is the id of the newest one."""

    __slots__ = ("_aside", "_aside_gap", "_lost", "_ring")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._ring: deque[tuple[int, TradeRow]] = deque()
        self._lost = NEVER  # trades up to this id are not in the ring though newer clients may lack them
        self._aside: deque[TradeRow] | None = None
        self._aside_gap = False

    def hold(self) -> None:
        """Until ``load()``, keep new trades aside: ones before them are still to be read, and a client is told each trade in order."""
        if self._aside is None:
            self._aside, self._aside_gap = deque(maxlen=RING_TRADES), False

    def load(self, rows: list[TradeRow]) -> None:
        """The last trades, oldest first, after a connect or a gap, joined with what came meanwhile."""
        aside, self._aside = self._aside or (), None
        if self._ring and rows and int(rows[0].id) > self._ring[-1][0]:
            # More was traded meanwhile than the list holds: what lies between is lost to the stream.
            self._lost = int(rows[0].id) - 1
        self.update(rows)
        self.update(list(aside), gap=self._aside_gap)

    def update(self, rows: list[TradeRow], *, gap: bool = False) -> None:
        """New trades, oldest first; ones already held are skipped."""
        if self._aside is not None:
            self._aside_gap |= gap or len(self._aside) + len(rows) > RING_TRADES
            self._aside.extend(rows)
            return
        newest = self._ring[-1][0] if self._ring else NEVER
        fresh = [(number, row) for row in rows if (number := int(row.id)) > newest]
        if not fresh:
            return
        if gap:
            self._lost = fresh[0][0] - 1
        self._ring.extend(fresh)
        while len(self._ring) > RING_TRADES:
            self._lost = max(self._lost, self._ring.popleft()[0])
        self.version = self._ring[-1][0]
        self._cache = {}

    @property
    def symbol(self) -> str:
        """The instrument's symbol."""
        return self.name.partition(":")[2]

    def _frames(self, have: int) -> list[str]:
        if have == NEVER:
            rows = [row for _, row in list(self._ring)[-TRADES_FIRST:]]
            return [_encode({"type": "trades", "symbol": self.symbol, "snapshot": True, "trades": rows}).decode()]
        frame: dict[str, Any] = {"type": "trades", "symbol": self.symbol}
        if have < self._lost:
            frame["gap"] = True
        frame["trades"] = [row for number, row in self._ring if number > have]
        return [_encode(frame).decode()]


class BookTopic(Topic):
    """The shown book with a ring of its last deltas."""

    __slots__ = ("_asks", "_base", "_bids", "_epoch", "_ring", "_ts", "seq")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._bids: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        self._epoch = 0
        self._ts = ""
        self.seq: int | None = None
        self._base = 0  # clients below this version need a snapshot
        self._ring: deque[tuple[int, BookFrame, str]] = deque(maxlen=RING_DELTAS)

    @property
    def symbol(self) -> str:
        """The instrument's symbol."""
        return self.name.partition(":")[2]

    def update(self, frame: BookFrame, text: str) -> bool:
        """Take a snapshot or the next delta. False when a delta does not follow: load a snapshot and try again."""
        if frame.prev is None:
            self._bids, self._asks = dict(frame.bids), dict(frame.asks)
            self._ring.clear()
            self._took(frame)
            self._base = self.version
            return True
        if self.seq is None or frame.prev != self.seq or frame.epoch != self._epoch:
            # One already contained in a snapshot that was loaded later is simply old.
            return self.seq is not None and frame.epoch == self._epoch and frame.seq <= self.seq
        for levels, rows in ((self._bids, frame.bids), (self._asks, frame.asks)):
            for price, qty in rows:
                if qty == "0":
                    levels.pop(price, None)
                else:
                    levels[price] = qty
        prev = self.version
        self._took(frame)
        self._ring.append((prev, frame, text))
        return True

    def _took(self, frame: BookFrame) -> None:
        self.seq, self._epoch, self._ts = frame.seq, frame.epoch, frame.ts
        self._moved()

    def lose(self) -> None:
        """What is held may not be the book any more; deltas are refused until a snapshot comes."""
        self.seq = None

    def levels(self) -> tuple[dict[str, str], dict[str, str]]:
        """(bids, asks) as price text to quantity text."""
        return dict(self._bids), dict(self._asks)

    def _frames(self, have: int) -> list[str]:
        if have < self._base or not self._ring or have < self._ring[0][0]:
            return [self._snapshot()]
        if have == self._ring[-1][0]:
            return [self._ring[-1][2]]
        bids: dict[str, str] = {}
        asks: dict[str, str] = {}
        first: BookFrame | None = None
        for before, frame, _ in self._ring:
            if before < have:
                continue
            first = first or frame
            bids.update(frame.bids)
            asks.update(frame.asks)
        if first is None or len(bids) + len(asks) > (len(self._bids) + len(self._asks)) // 2:
            return [self._snapshot()]
        return [self._text(first.prev, list(bids.items()), list(asks.items()))]

    def _snapshot(self) -> str:
        bids = sorted(self._bids.items(), key=_price_key, reverse=True)
        return self._text(None, bids, sorted(self._asks.items(), key=_price_key))

    def _text(self, prev: int | None, bids: Rows, asks: Rows) -> str:
        frame = {
            "type": "book",
            "symbol": self.symbol,
            "epoch": self._epoch,
            "seq": self.seq,
            "prev": prev,
            "bids": bids,
            "asks": asks,
            "ts": self._ts,
        }
        return _encode(frame).decode()

    def frames(self, have: int) -> tuple[list[str], int]:
        """As in Topic; nothing while the book is not known."""
        if self.seq is None:
            return [], have
        return super().frames(have)


def _price_key(row: tuple[str, str]) -> int:
    # All prices of an instrument have the same number of decimals, so without the point they compare as integers.
    return int(row[0].replace(".", "", 1))


class QuotesTopic(Topic):
    """Every instrument's last quote, sent in batches of those that changed."""

    __slots__ = ("_batch", "_changed", "_quotes")

    def __init__(self) -> None:
        super().__init__("quotes")
        self._quotes: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, int] = {}
        self._batch = ""

    def update(self, quotes: list[dict[str, Any]], text: str | None = None) -> None:
        """Quotes that changed; ``text`` is their frame when it is already encoded."""
        if not quotes:
            return
        self._moved()
        for quote in quotes:
            self._quotes[quote["symbol"]] = quote
            self._changed[quote["symbol"]] = self.version
        self._batch = text if text is not None else _encode({"type": "quotes", "quotes": quotes}).decode()

    def quotes(self) -> list[dict[str, Any]]:
        """All of them."""
        return list(self._quotes.values())

    def _frames(self, have: int) -> list[str]:
        if have == self.version - 1 and have != NEVER:
            return [self._batch]
        quotes = [quote for symbol, quote in self._quotes.items() if self._changed[symbol] > have]
        return [_encode({"type": "quotes", "quotes": quotes}).decode()]
