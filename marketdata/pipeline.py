"""From ticks to what is shown: books, last prices, candles, the day's figures. No input or output of its own.

    feed bridge ──ticks──> Pipeline ──> quality ──> book · candles · tape ──dirty──> publisher
                                └──changes──> services/candles.py (PostgreSQL)

Owns one ``InstrumentState`` per instrument and the joining of a book's depth (asked from the venue) to its changes (told by the feed): depth
carries the sequence it was taken at, changes up to it are dropped, later ones are applied, so nothing is missed or applied twice.
Leaves the feed to ``trading/projection/book_publisher.py``, sockets and Valkey to ``publisher.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from brokerage.kernel.units import RoundingMode, divide, format_scaled
from marketdata.book import BookError, LevelBook
from marketdata.candles import FRAMES, Bar, CandleBuilder
from marketdata.quality import FeedWatch
from marketdata.selectors.instruments import InstrumentRef
from marketdata.ticks import BUY, SELL, BookChange, StateChange, Trade

DAY_S = 86_400
#: Trades of one instrument waiting to be shown; older ones are left out with a gap flag.
TAPE_MAX = 200
#: Changes kept while the depth of a book is asked for; beyond it the depth is asked again.
WAITING_MAX = 200_000
#: Levels of a side that are shown at most.
SHOWN_MAX = 50
STATE_NAMES = ("active", "reduce_only", "halted", "closed")
STATE_NUMBERS = {name: number for number, name in enumerate(STATE_NAMES)}

Levels = Sequence[tuple[int, int]]


class DayWindow:
    """The last 24 hours from finished minute bars and the open one: first price, high, low, volume."""

    __slots__ = ("_bars", "_high", "_low", "_volume")

    def __init__(self) -> None:
        self._bars: deque[Bar] = deque()
        self._volume = 0
        self._high: int | None = None
        self._low: int | None = None

    def load(self, bars: Iterable[Bar]) -> None:
        """Take stored minute bars in; a minute known here already stays as it is, for what is stored may be a second older."""
        merged = {bar.open_time: bar for bar in bars} | {bar.open_time: bar for bar in self._bars}
        self._bars = deque(merged[open_time] for open_time in sorted(merged))
        self._measure()

    def add(self, bar: Bar) -> None:
        """A minute is over."""
        if self._bars and self._bars[-1].open_time >= bar.open_time:
            # The same minute again: a trade came after it was told as finished.
            if self._bars[-1].open_time == bar.open_time:
                self._bars[-1] = bar
                self._measure()
            return
        self._bars.append(bar)
        self._volume += bar.volume
        self._high = bar.high if self._high is None else max(self._high, bar.high)
        self._low = bar.low if self._low is None else min(self._low, bar.low)

    def roll(self, second: int) -> None:
        """Forget minutes that began more than a day ago."""
        dropped = False
        while self._bars and self._bars[0].open_time <= second - DAY_S:
            self._bars.popleft()
            dropped = True
        if dropped:
            self._measure()

    def _measure(self) -> None:
        self._volume = sum(bar.volume for bar in self._bars)
        self._high = max((bar.high for bar in self._bars), default=None)
        self._low = min((bar.low for bar in self._bars), default=None)

    def figures(self, open_bar: Bar | None) -> tuple[int | None, int | None, int | None, int]:
        """(first price, high, low, volume) with the open minute; None where nothing traded."""
        first = self._bars[0].open if self._bars else None
        high, low, volume = self._high, self._low, self._volume
        if open_bar is not None and not (self._bars and self._bars[-1].open_time >= open_bar.open_time):
            first = open_bar.open if first is None else first
            high = open_bar.high if high is None else max(high, open_bar.high)
            low = open_bar.low if low is None else min(low, open_bar.low)
            volume += open_bar.volume
        return first, high, low, volume


class InstrumentState:
    """All that is known of one instrument."""

    __slots__ = (
        "book", "book_dirty", "candles", "check", "closed_bars", "dirty_frames", "floor", "last", "last_ns", "quote_dirty", "ready", "ref", "seq",
        "state", "tape", "tape_gap", "time_ns", "waiting", "window",
    )  # fmt: skip

    def __init__(self, ref: InstrumentRef) -> None:
        self.ref = ref
        self.book = LevelBook()
        self.ready = False
        self.floor = 0  # the event the loaded depth was taken at
        self.waiting: list[BookChange] = []
        self.check: tuple[int, int, Levels, Levels] | None = None
        self.candles = CandleBuilder()
        self.window = DayWindow()
        self.tape: deque[Trade] = deque(maxlen=TAPE_MAX)
        self.tape_gap = False
        self.last: tuple[int, int] | None = None
        self.last_ns = 0
        self.state = STATE_NUMBERS.get(ref.state, 0)
        self.seq = 0
        self.time_ns = 0
        self.book_dirty = False
        self.quote_dirty = True
        self.dirty_frames: set[int] = set()
        self.closed_bars: list[Bar] = []


class Pipeline:
    """Every instrument's state, moved on by ticks.

    ``dirty`` holds the core numbers with something new to show; the publisher clears it. ``reload`` holds those whose book must be asked
    from the venue again. ``prints`` are trades not yet stored.
    """

    def __init__(self, refs: Iterable[InstrumentRef], watch: FeedWatch | None = None) -> None:
        self.watch = watch or FeedWatch()
        self.states: dict[int, InstrumentState] = {}
        self.dirty: set[int] = set()
        self.reload: set[int] = set()
        self.prints: list[Trade] = []
        self.global_state = 0
        self._minute = 0
        for ref in refs:
            self.add(ref)

    def add(self, ref: InstrumentRef) -> None:
        """A newly listed instrument, or new details of a known one."""
        known = self.states.get(ref.core_instrument)
        if known is not None:
            known.ref = ref
            return
        self.states[ref.core_instrument] = InstrumentState(ref)
        self.reload.add(ref.core_instrument)

    # ---- ticks ------------------------------------------------------------------------------------------------------

    def on_book(self, tick: BookChange, time_ns: int) -> None:
        """Lots came to or went from a price."""
        state = self.states.get(tick.instrument)
        if state is None:
            return
        if not state.ready:
            if len(state.waiting) >= WAITING_MAX:
                state.waiting.clear()
                self.reload.add(tick.instrument)
            state.waiting.append(tick)
            return
        if tick.seq <= state.floor:
            return  # the depth that was loaded has it already
        if state.check is not None and tick.seq > state.check[0]:
            self._compare(state)
            if not state.ready:
                return  # it was wrong; the depth asked next has this change
        self._apply(state, tick)
        state.time_ns = time_ns

    def _apply(self, state: InstrumentState, tick: BookChange) -> None:
        try:
            state.book.apply(tick.side, tick.price, tick.change, tick.seq)
        except BookError:
            self.watch.counters.misfits += 1
            self._lose(state)
            return
        state.seq = tick.seq
        state.book_dirty = state.quote_dirty = True
        self.dirty.add(tick.instrument)

    def on_trade(self, trade: Trade) -> None:
        """A match happened."""
        state = self.states.get(trade.instrument)
        if state is None:
            return
        late = state.candles.late
        state.candles.on_trade(trade.price, trade.qty, trade.time_ns)
        self.watch.counters.late_trades += state.candles.late - late
        self.watch.counters.trades += 1
        if len(state.tape) == TAPE_MAX:
            state.tape_gap = True
        state.tape.append(trade)
        self.prints.append(trade)
        state.last = (trade.price, trade.qty)
        state.last_ns = state.time_ns = trade.time_ns
        state.seq = trade.seq
        state.quote_dirty = True
        state.dirty_frames.update(FRAMES)
        if state.candles.closed:
            self._finish(state)
        self.dirty.add(trade.instrument)

    def on_state(self, tick: StateChange) -> None:
        """Trading was halted, resumed or closed."""
        if tick.instrument == 0:
            self.global_state = tick.state
            for core, state in self.states.items():
                state.quote_dirty = True
                self.dirty.add(core)
            return
        state = self.states.get(tick.instrument)
        if state is not None:
            state.state = tick.state
            state.seq = max(state.seq, tick.seq)
            state.quote_dirty = True
            self.dirty.add(tick.instrument)

    def on_second(self, second: int) -> None:
        """Time passes: finish bars, forget what is older than a day."""
        new_minute = second // 60 != self._minute
        self._minute = second // 60
        for core, state in self.states.items():
            state.candles.close_before(second)
            if state.candles.closed:
                self._finish(state)
                self.dirty.add(core)
            if new_minute:
                state.window.roll(second)
                state.quote_dirty = True
                self.dirty.add(core)

    def _finish(self, state: InstrumentState) -> None:
        for bar in state.candles.closed:
            if bar.frame == 60:
                state.window.add(bar)
            state.closed_bars.append(bar)
        state.candles.closed.clear()

    # ---- joining depth and changes ----------------------------------------------------------------------------------

    def begin_load(self, core: int) -> None:
        """The depth of this book is about to be asked: keep its changes from here on."""
        state = self.states[core]
        state.ready = False
        state.check = None
        self.reload.discard(core)

    def load_book(self, core: int, bids: Levels, asks: Levels, seq: int, *, cut_at: int = 0) -> None:
        """The depth as it was after event ``seq``; the changes since are applied on top."""
        state = self.states[core]
        waiting, state.waiting = state.waiting, []
        try:
            state.book.load(bids, asks, seq, cut_at=cut_at)
        except BookError:
            self.watch.counters.misfits += 1
            self._lose(state)
            return
        state.ready = True
        state.floor = seq
        state.seq = max(state.seq, seq)
        state.book_dirty = state.quote_dirty = True
        self.dirty.add(core)
        for tick in waiting:
            if tick.seq > seq and state.ready:
                self._apply(state, tick)

    def check_book(self, core: int, depth: int, bids: Levels, asks: Levels, seq: int, fed_to: int) -> None:
        """Compare our best ``depth`` levels with the venue's at ``seq``, now or when the feed gets there."""
        state = self.states.get(core)
        if state is None or not state.ready:
            return
        if seq < fed_to and state.book.seq > seq:
            return  # our book is past that point already; the next check will do
        state.check = (seq, depth, bids, asks)
        if fed_to >= seq:
            self._compare(state)

    def fed_to(self, seq: int) -> None:
        """The feed has told everything up to ``seq``: run the comparisons that waited for it."""
        for state in self.states.values():
            if state.check is not None and seq >= state.check[0] and state.ready:
                self._compare(state)

    def _compare(self, state: InstrumentState) -> None:
        if state.check is None:
            return
        _, depth, bids, asks = state.check
        state.check = None
        self.watch.counters.books_checked += 1
        same = state.book.top(BUY, depth) == list(bids) and state.book.top(SELL, depth) == list(asks)
        if not same:
            self.watch.counters.books_wrong += 1
            self._lose(state)

    def _lose(self, state: InstrumentState) -> None:
        state.ready = False
        state.waiting.clear()
        state.check = None
        self.reload.add(state.ref.core_instrument)

    def lose_all(self) -> None:
        """The feed was interrupted: every book must be asked again."""
        for state in self.states.values():
            self._lose(state)

    def find_wrong(self) -> None:
        """After whole commands: a crossed book is a wrong book; one that runs out of known levels is asked again."""
        for core in self.dirty:
            state = self.states[core]
            if state.ready and state.book_dirty and state.book.crossed():
                self.watch.counters.crossed += 1
                self._lose(state)
            elif state.book.running_out(2 * SHOWN_MAX):
                self._lose(state)

    # ---- what to show -----------------------------------------------------------------------------------------------

    def quote(self, state: InstrumentState, ts: str) -> dict[str, str | int | None]:
        """The quote as sent to browsers; None where there is no number, never zero."""
        ref = state.ref
        bid = state.book.best(BUY) if state.ready else None
        ask = state.book.best(SELL) if state.ready else None
        first, high, low, volume = state.window.figures(state.candles.open.get(60))
        last = state.last
        change = None
        if last is not None and first:
            change = format_scaled(divide((last[0] - first) * 10_000, first, RoundingMode.HALF_EVEN), 2)
        return {
            "symbol": ref.symbol,
            "bid": ref.price(bid[0]) if bid else None,
            "bid_qty": ref.qty(bid[1]) if bid else None,
            "ask": ref.price(ask[0]) if ask else None,
            "ask_qty": ref.qty(ask[1]) if ask else None,
            "last": ref.price(last[0]) if last else None,
            "last_qty": ref.qty(last[1]) if last else None,
            "open_24h": ref.price(first) if first is not None else None,
            "high_24h": ref.price(high) if high is not None else None,
            "low_24h": ref.price(low) if low is not None else None,
            "volume_24h": ref.qty(volume),
            "change_pct_24h": change,
            "state": self.state_name(state),
            "seq": state.seq,
            "ts": ts,
        }

    def state_name(self, state: InstrumentState) -> str:
        """``stale`` when what is shown may not be what the venue has; else the trading state, the stricter of own and global."""
        if not self.watch.fresh or not state.ready:
            return "stale"
        return STATE_NAMES[max(state.state, self.global_state)]
