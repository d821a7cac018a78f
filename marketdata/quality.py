"""Is the data good? Counters and detectors whose findings are shown, never hidden.

Owns the counters behind ``md:status`` and the feed's state. Found here: a hole in the feed's sequence, a change that does not fit the
book, a crossed book, a book that differs from the engine's own depth, trades out of time order, a feed that lags or is away.
Leaves the cure (load the books again) to the pipeline and the showing of ``stale`` to the quotes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from brokerage.kernel.clock import NS_PER_S

#: The feed may be this far behind the engine before its quotes are called stale.
LAG_NS_MAX = 2 * NS_PER_S


class FeedState(StrEnum):
    """What one can say about the feed."""

    CONNECTING = "connecting"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    LAGGING = "lagging"
    DISCONNECTED = "disconnected"
    HALTED = "halted"


@dataclass
class Counters:
    """How often something was wrong since the process started, and how much was right."""

    events: int = 0
    trades: int = 0
    gaps: int = 0
    misfits: int = 0
    crossed: int = 0
    books_checked: int = 0
    books_wrong: int = 0
    late_trades: int = 0
    reconnects: int = 0

    def as_dict(self) -> dict[str, int]:
        """For the status key."""
        return asdict(self)


class FeedWatch:
    """Follow the feed's sequence and the engine's, and say which state that is."""

    def __init__(self) -> None:
        self.state = FeedState.CONNECTING
        self.counters = Counters()
        self.halted_reason = ""
        self.event_seq = 0
        self.event_ns = 0
        self._engine_seq = 0
        self._behind_since_ns: int | None = None

    def connected(self, after_event_seq: int | None, engine_seq: int) -> None:
        """A feed begins. ``after_event_seq`` is the last event before its first one, None when not known."""
        if after_event_seq is not None:
            self.event_seq = after_event_seq
        else:
            self.event_seq = 0
        self._engine_seq = engine_seq
        self._behind_since_ns = None
        self.state = FeedState.LIVE if self.event_seq >= engine_seq else FeedState.CATCHING_UP

    def disconnected(self) -> None:
        """The feed ended."""
        if self.state is not FeedState.HALTED:
            self.state = FeedState.DISCONNECTED
        self.counters.reconnects += 1

    def halted(self, reason: str) -> None:
        """The process refuses to go on; only an operator can help."""
        self.state = FeedState.HALTED
        self.halted_reason = reason

    def event(self, seq: int, time_ns: int) -> bool:
        """Note one event; False when it does not follow the last one."""
        fits = seq == self.event_seq + 1 or self.event_seq == 0
        if not fits:
            self.counters.gaps += 1
        self.event_seq = seq
        self.event_ns = time_ns
        self.counters.events += 1
        if self.state is FeedState.CATCHING_UP and seq >= self._engine_seq:
            self.state = FeedState.LIVE
        return fits

    def engine_at(self, engine_seq: int, now_ns: int) -> None:
        """The engine says how far it is; the feed must be there soon."""
        self._engine_seq = engine_seq
        if self.state in {FeedState.DISCONNECTED, FeedState.HALTED, FeedState.CONNECTING}:
            return
        if self.event_seq >= engine_seq:
            self._behind_since_ns = None
            self.state = FeedState.LIVE
        elif self._behind_since_ns is None:
            self._behind_since_ns = now_ns
        elif now_ns - self._behind_since_ns > LAG_NS_MAX and self.state is FeedState.LIVE:
            self.state = FeedState.LAGGING

    @property
    def fresh(self) -> bool:
        """True when what is shown is what the engine has."""
        return self.state is FeedState.LIVE
