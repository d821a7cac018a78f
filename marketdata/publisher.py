"""From dirty instruments to encoded frames in Valkey: conflated, encoded once, the same bytes for every browser.

An instrument that was quiet is shown at once (leading edge); what follows within ``WINDOW_NS`` goes out together at its end. All quotes that
changed go out as one batch each ``QUOTES_NS``. Owns ``Conflator``, the encoding of frames (docs/streams.md) and the keys and channels
``md:…``. Leaves the numbers to ``pipeline.py`` and the last step to the browsers to ``hub.py``.

One message on ``md:{symbol}`` is one or more frames, each exactly as browsers get it, with a newline between. Book frames of one symbol are a chain:
``prev`` is the ``seq`` before; a snapshot (``prev`` null) begins a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from brokerage.kernel.clock import Clock, rfc3339
from brokerage.platform.realtime import market_channel
from marketdata.book import BookView
from marketdata.candles import FRAME_NAMES, Bar
from marketdata.pipeline import SHOWN_MAX, InstrumentState, Pipeline
from marketdata.ticks import BUY, Trade

log = logging.getLogger(__name__)

WINDOW_NS = 50_000_000
QUOTES_NS = 250_000_000
DEPTH = SHOWN_MAX
TRADES_KEPT = 200
STATUS_KEY = "md:status"
#: Without a new one for this long the process is gone and its quotes are stale.
STATUS_TTL_S = 6
QUOTES_CHANNEL = "md:quotes"

_encode = msgspec.json.Encoder().encode


def quote_key(symbol: str) -> str:
    """Key of the last quote."""
    return f"md:quote:{symbol}"


def book_key(symbol: str) -> str:
    """Key of the last book snapshot."""
    return f"md:book:{symbol}"


def trades_key(symbol: str) -> str:
    """Key of the list of the last trades, newest first."""
    return f"md:trades:{symbol}"


def candles_key(symbol: str) -> str:
    """Key of the open bars of all frames, as a list of frames."""
    return f"md:candles:{symbol}"


class Conflator:
    """Which instruments are due: at once after a quiet window, else when their window ends."""

    def __init__(self, window_ns: int = WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._next: dict[int, int] = {}
        self._pending: set[int] = set()

    def mark(self, cores: Iterable[int]) -> None:
        """These have something new."""
        self._pending.update(cores)

    def due(self, now_ns: int) -> list[int]:
        """Take those that may be shown now; their next window begins."""
        ready = [core for core in self._pending if self._next.get(core, 0) <= now_ns]
        for core in ready:
            self._pending.discard(core)
            self._next[core] = now_ns + self._window_ns
        return ready

    def wait_ns(self, now_ns: int) -> int | None:
        """Nanoseconds until something is due; None when nothing is pending."""
        if not self._pending:
            return None
        return max(0, min(self._next.get(core, 0) for core in self._pending) - now_ns)


class Shown:
    """What was last shown of one instrument."""

    __slots__ = ("quote", "view")

    def __init__(self, state: InstrumentState) -> None:
        self.view = BookView(DEPTH, state.ref.price, state.ref.qty)
        self.quote: dict[str, Any] | None = None


class Publisher:
    """Encode what changed and write it to Valkey, one pipeline per round.

    ``valkey`` is an asynchronous client of redis-py. A round that fails is made good by the next: every instrument is then shown anew as a snapshot.
    """

    def __init__(self, pipeline: Pipeline, valkey: Any, clock: Clock, *, epoch: int = 0) -> None:
        self.pipeline = pipeline
        self.valkey = valkey
        self.clock = clock
        self.epoch = epoch
        self.conflator = Conflator()
        self.frames = 0
        self.failures = 0
        self._shown: dict[int, Shown] = {}
        self._quotes: dict[str, dict[str, Any]] = {}
        self._quotes_due_ns = 0
        self._taken: list[tuple[InstrumentState, list[Trade], list[Bar]]] = []

    def restart(self, epoch: int) -> None:
        """A new start of the engine, or what was published is not known: show everything anew."""
        self.epoch = epoch
        self._shown.clear()
        for core, state in self.pipeline.states.items():
            state.book_dirty = state.quote_dirty = True
            self.pipeline.dirty.add(core)

    def show_states(self) -> None:
        """The feed's state changed: every quote may have to say so."""
        for core, state in self.pipeline.states.items():
            state.quote_dirty = True
            self.pipeline.dirty.add(core)

    # ---- rounds -----------------------------------------------------------------------------------------------------

    async def publish_due(self) -> None:
        """Send what is due now. Raises the client's error when Valkey is away; nothing is lost by that."""
        self.pipeline.find_wrong()
        self.conflator.mark(self.pipeline.dirty)
        self.pipeline.dirty.clear()
        now_ns = self.clock.monotonic_ns()
        cores = self.conflator.due(now_ns)
        pipe = self.valkey.pipeline(transaction=False)
        for core in cores:
            self._one(pipe, core)
        if self._quotes and now_ns >= self._quotes_due_ns:
            self._quotes_due_ns = now_ns + QUOTES_NS
            batch, self._quotes = self._quotes, {}
            pipe.publish(QUOTES_CHANNEL, _encode({"type": "quotes", "quotes": list(batch.values())}))
        if not len(pipe):
            return
        try:
            await pipe.execute()
        except Exception:
            self.failures += 1
            self._put_back()
            self.restart(self.epoch)
            raise
        self._taken.clear()

    def _put_back(self) -> None:
        """Trades and finished bars are told once: those of a failed round wait for the next. Told twice does no harm, readers know ids."""
        for state, trades, bars in self._taken:
            newer = list(state.tape)
            state.tape_gap |= len(trades) + len(newer) > (state.tape.maxlen or 0)
            state.tape.clear()
            state.tape.extend([*trades, *newer])
            state.closed_bars[:0] = bars
            state.dirty_frames.update(FRAME_NAMES)
        self._taken.clear()

    def wait_ns(self) -> int | None:
        """Until when nothing is due."""
        now_ns = self.clock.monotonic_ns()
        waits = [self.conflator.wait_ns(now_ns), max(0, self._quotes_due_ns - now_ns) if self._quotes else None]
        return min((wait for wait in waits if wait is not None), default=None)

    def _one(self, pipe: Any, core: int) -> None:
        state = self.pipeline.states.get(core)
        if state is None:
            return
        shown = self._shown.get(core)
        if shown is None:
            shown = self._shown[core] = Shown(state)
        symbol = state.ref.symbol
        frames: list[bytes] = []
        if state.tape or state.closed_bars:
            self._taken.append((state, list(state.tape), list(state.closed_bars)))
        if state.book_dirty and state.ready:
            state.book_dirty = False
            self._book(pipe, frames, state, shown)
        if state.tape:
            self._trades(pipe, frames, state, shown)
        if state.closed_bars or state.dirty_frames:
            self._candles(pipe, frames, state)
        if state.quote_dirty:
            state.quote_dirty = False
            self._quote(pipe, frames, state, shown)
        if frames:
            self.frames += len(frames)
            pipe.publish(market_channel(symbol), b"\n".join(frames))

    def _quote(self, pipe: Any, frames: list[bytes], state: InstrumentState, shown: Shown) -> None:
        quote = self.pipeline.quote(state, rfc3339(state.time_ns) if state.time_ns else rfc3339(self.clock.now_ns()))
        if quote == shown.quote:
            return
        shown.quote = quote
        pipe.set(quote_key(state.ref.symbol), _encode(quote))
        frames.append(_encode({"type": "quote", **quote}))
        self._quotes[state.ref.symbol] = quote

    def _book(self, pipe: Any, frames: list[bytes], state: InstrumentState, shown: Shown) -> None:
        view = shown.view
        prev = view.seq
        bids, asks = view.advance(state.book)
        if prev is not None and not bids and not asks:
            view.seq = prev  # what changed lies deeper than what is shown: the chain does not move
            return
        ref = state.ref
        head = {"type": "book", "symbol": ref.symbol, "epoch": self.epoch, "seq": view.seq, "prev": prev}
        ts = rfc3339(state.time_ns or self.clock.now_ns())
        all_bids, all_asks = view.rows()
        snapshot = _encode({**head, "prev": None, "bids": all_bids, "asks": all_asks, "ts": ts})
        pipe.set(book_key(ref.symbol), snapshot)
        frames.append(snapshot if prev is None else _encode({**head, "bids": bids, "asks": asks, "ts": ts}))

    def _trades(self, pipe: Any, frames: list[bytes], state: InstrumentState, shown: Shown) -> None:
        rows = [trade_row(state, trade) for trade in state.tape]
        frame: dict[str, Any] = {"type": "trades", "symbol": state.ref.symbol, "trades": rows}
        if state.tape_gap:
            frame["gap"] = True
        state.tape.clear()
        state.tape_gap = False
        frames.append(_encode(frame))
        key = trades_key(state.ref.symbol)
        pipe.lpush(key, *[_encode(row) for row in rows])
        pipe.ltrim(key, 0, TRADES_KEPT - 1)

    def _candles(self, pipe: Any, frames: list[bytes], state: InstrumentState) -> None:
        for bar in state.closed_bars:
            frames.append(_encode(candle_frame(state, bar, closed=True)))
        state.closed_bars.clear()
        for seconds in sorted(state.dirty_frames):
            bar = state.candles.open.get(seconds)
            if bar is not None and not bar.done:
                frames.append(_encode(candle_frame(state, bar, closed=False)))
        state.dirty_frames.clear()
        open_bars = [candle_frame(state, bar, closed=bar.done) for bar in state.candles.open.values()]
        pipe.set(candles_key(state.ref.symbol), _encode(open_bars))

    # ---- start ------------------------------------------------------------------------------------------------------

    async def rewrite_tape(self, state: InstrumentState, trades: Iterable[Trade]) -> None:
        """Write the list of last trades from stored prints, oldest first: what the list held may be told again after a restart."""
        key = trades_key(state.ref.symbol)
        pipe = self.valkey.pipeline(transaction=True)
        pipe.delete(key)
        rows = [_encode(trade_row(state, trade)) for trade in trades]
        if rows:
            pipe.lpush(key, *rows[-TRADES_KEPT:])
        await pipe.execute()

    async def publish_status(self, **detail: Any) -> None:
        """Write the feed's state and counters (``md:status``)."""
        watch = self.pipeline.watch
        status = {
            "state": str(watch.state),
            "halted_reason": watch.halted_reason,
            "epoch": self.epoch,
            "event_seq": watch.event_seq,
            "last_event_ts": rfc3339(watch.event_ns) if watch.event_ns else None,
            "instruments": len(self.pipeline.states),
            "books_ready": sum(1 for state in self.pipeline.states.values() if state.ready),
            "frames": self.frames,
            "publish_failures": self.failures,
            **watch.counters.as_dict(),
            **detail,
            "ts": rfc3339(self.clock.now_ns()),
        }
        await self.valkey.set(STATUS_KEY, _encode(status), ex=STATUS_TTL_S)


def trade_row(state: InstrumentState, trade: Trade) -> dict[str, str]:
    """A trade as the public sees it."""
    return {
        "id": str(trade.seq),
        "price": state.ref.price(trade.price),
        "qty": state.ref.qty(trade.qty),
        "side": "buy" if trade.side == BUY else "sell",
        "ts": rfc3339(trade.time_ns),
    }


def candle_frame(state: InstrumentState, bar: Bar, *, closed: bool) -> dict[str, Any]:
    """A bar as the public sees it."""
    ref = state.ref
    return {
        "type": "candle",
        "symbol": ref.symbol,
        "frame": FRAME_NAMES[bar.frame],
        "time": bar.open_time,
        "open": ref.price(bar.open),
        "high": ref.price(bar.high),
        "low": ref.price(bar.low),
        "close": ref.price(bar.close),
        "volume": ref.qty(bar.volume),
        "closed": closed,
    }
