"""The event feed: durable batches in memory, and the subscribers that read them from any sequence.

Owns: the ring of recent batches (bounded in bytes), each subscriber's place, pacing, and cutting whoever falls behind the ring. A
subscriber pulls: it holds a place, not a queue, so a slow one costs nothing and is never waited for. Older commands are read back
from the journal in a worker thread until the ring has the next one. Leaves to others: sockets (server.py hands in ``send``),
durability (only durable batches are appended).
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from brokerage.kernel.clock import NS_PER_S, Clock
from brokerage.kernel.errors import BrokerageError
from trading.engine import wire

log = logging.getLogger(__name__)

RING_BYTES = 64 << 20
#: How long a subscriber may take nothing at all although there is something for it.
STALL_S = 30
#: Read-backs at once; others wait for their turn.
READ_BACKS = 2
CHUNK_BYTES = 1 << 20

ReadBack = Callable[[int], Iterator[tuple[int, int, int, Any, Any]]]


def feed_frame(epoch: int, first_seq: int, count: int, commands: Any, events: Any) -> bytes:
    """One FEED frame."""
    head = wire.FEED_HEAD.pack(epoch, count, first_seq, len(events) // 136, 0)
    return wire.frame(wire.FEED, 0, head, commands, events)


class Ring:
    """Recent durable batches as ready frames, found by sequence."""

    def __init__(self, next_seq: int, limit: int = RING_BYTES) -> None:
        self.next_seq = next_seq
        self.first_seq = next_seq
        self.bytes = 0
        self._limit = limit
        self._frames: deque[tuple[int, bytes]] = deque()
        self._starts: list[int] = []
        self._dropped = 0  # entries at the front of _starts that are gone

    def append(self, first_seq: int, count: int, frame: bytes) -> None:
        """Add the next batch; the oldest go when there are too many bytes (the newest always stays)."""
        self._frames.append((first_seq, frame))
        self._starts.append(first_seq)
        self.bytes += len(frame)
        self.next_seq = first_seq + count
        while self.bytes > self._limit and len(self._frames) > 1:
            _, old = self._frames.popleft()
            self.bytes -= len(old)
            self._dropped += 1
        self.first_seq = self._frames[0][0]
        if self._dropped > 4096 and self._dropped * 2 > len(self._starts):
            del self._starts[: self._dropped]
            self._dropped = 0

    def covers(self, seq: int) -> bool:
        """The batch with this command, or the place right behind the end, is here."""
        return self.first_seq <= seq <= self.next_seq

    def frames_from(self, seq: int) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence behind the batch, frame) from the batch that holds ``seq``; None when it is gone or not there yet."""
        if seq >= self.next_seq or seq < self.first_seq:
            return
        index = bisect.bisect_right(self._starts, seq, lo=self._dropped) - 1 - self._dropped
        while index < len(self._frames):
            after = self._frames[index + 1][0] if index + 1 < len(self._frames) else self.next_seq
            yield after, self._frames[index][1]
            index += 1


class Subscriber:
    """One reader of the feed. ``send`` writes to its socket, ``cut`` closes it with a reason."""

    def __init__(
        self, send: Callable[[bytes], None], cut: Callable[[int, str], None], next_seq: int, now_ns: int
    ) -> None:
        self.send = send
        self.cut = cut
        self.next_seq = next_seq
        self.paused = False
        self.paused_since_ns = now_ns
        self.catching_up = False
        self.closed = False
        self.writable = asyncio.Event()
        self.writable.set()


class EventLog:
    """All subscribers and the ring. Lives on the event loop."""

    def __init__(self, *, next_seq: int, clock: Clock, read_back: ReadBack, ring_bytes: int = RING_BYTES) -> None:
        self.ring = Ring(next_seq, ring_bytes)
        self.clock = clock
        self.subscribers: set[Subscriber] = set()
        self.cut_slow = 0
        self._read_back = read_back
        self._turns = asyncio.Semaphore(READ_BACKS)
        self._tasks: set[asyncio.Task[None]] = set()

    def append(self, epoch: int, first_seq: int, count: int, commands: Any, events: Any) -> None:
        """Publish a durable batch."""
        self.ring.append(first_seq, count, feed_frame(epoch, first_seq, count, commands, events))
        for subscriber in list(self.subscribers):
            self.pump(subscriber)

    # -- subscribers --------------------------------------------------------------------------------------------------

    def subscribe(
        self, send: Callable[[bytes], None], cut: Callable[[int, str], None], from_seq: int
    ) -> Subscriber | None:
        """Begin at a command sequence (−1: only new ones). None (and cut) when the journal does not reach it yet."""
        start = self.ring.next_seq if from_seq == -1 else from_seq
        if start < 1 or start > self.ring.next_seq:
            cut(
                wire.ERR_SEQUENCE,
                f"the feed goes from command 1 to {self.ring.next_seq - 1}; {from_seq} was asked for",
            )
            return None
        subscriber = Subscriber(send, cut, start, self.clock.monotonic_ns())
        self.subscribers.add(subscriber)
        if self.ring.covers(start):
            self.pump(subscriber)
        else:
            self._catch_up(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a reader whose connection is gone."""
        subscriber.closed = True
        subscriber.writable.set()
        self.subscribers.discard(subscriber)

    def set_paused(self, subscriber: Subscriber, paused: bool) -> None:
        """The socket's buffer is full, or has room again."""
        subscriber.paused = paused
        if paused:
            subscriber.paused_since_ns = self.clock.monotonic_ns()
            subscriber.writable.clear()
        else:
            subscriber.writable.set()
            self.pump(subscriber)

    def pump(self, subscriber: Subscriber) -> None:
        """Send what the ring has for a reader while its socket takes it."""
        if subscriber.catching_up or subscriber.closed or subscriber.paused:
            return
        if subscriber.next_seq < self.ring.first_seq:
            self._cut(subscriber, f"fell behind: command {subscriber.next_seq} is no longer in memory")
            return
        for after, frame in self.ring.frames_from(subscriber.next_seq):
            subscriber.next_seq = after
            subscriber.send(frame)
            if subscriber.paused or subscriber.closed:
                return

    def check_stalled(self) -> None:
        """Cut readers that take nothing although there is something for them, or that fell out of the ring."""
        now = self.clock.monotonic_ns()
        for subscriber in list(self.subscribers):
            if not subscriber.paused:
                continue
            if not subscriber.catching_up and subscriber.next_seq < self.ring.first_seq:
                self._cut(subscriber, f"fell behind: command {subscriber.next_seq} is no longer in memory")
            elif now - subscriber.paused_since_ns > STALL_S * NS_PER_S:
                self._cut(subscriber, f"took nothing for {STALL_S} s")

    def _cut(self, subscriber: Subscriber, why: str) -> None:
        self.cut_slow += 1
        self.unsubscribe(subscriber)
        log.warning("feed subscriber cut: %s", why)
        subscriber.cut(wire.ERR_SLOW, why + "; subscribe again from there")

    # -- older than the ring ------------------------------------------------------------------------------------------

    def _catch_up(self, subscriber: Subscriber) -> None:
        subscriber.catching_up = True
        task = asyncio.get_running_loop().create_task(self._run_catch_up(subscriber))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_catch_up(self, subscriber: Subscriber) -> None:
        """Read the journal back in a thread until the ring has the reader's next command, then let the ring go on."""
        loop = asyncio.get_running_loop()
        async with self._turns:
            try:
                while not subscriber.closed and not self.ring.covers(subscriber.next_seq):
                    batches = self._read_back(subscriber.next_seq)
                    try:
                        while not subscriber.closed:
                            chunk = await loop.run_in_executor(None, _take, batches, subscriber.next_seq)
                            if not chunk:
                                break
                            for after, frame in chunk:
                                subscriber.next_seq = after
                                if not subscriber.closed:
                                    subscriber.send(frame)
                            await subscriber.writable.wait()
                            # Near the end the ring is the shorter way.
                            if self.ring.covers(subscriber.next_seq):
                                break
                    finally:
                        await loop.run_in_executor(None, batches.close)  # type: ignore[attr-defined]
            except (BrokerageError, OSError, AssertionError) as error:
                log.exception("reading the journal back failed")
                if not subscriber.closed:
                    self.unsubscribe(subscriber)
                    subscriber.cut(wire.ERR_SEQUENCE, f"the journal cannot be read back: {error}")
                return
        subscriber.catching_up = False
        self.pump(subscriber)

    async def close(self) -> None:
        """Stop reading back."""
        for subscriber in list(self.subscribers):
            self.unsubscribe(subscriber)
        for task in list(self._tasks):
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(task, 2)


def _take(batches: Iterator[tuple[int, int, int, Any, Any]], next_seq: int) -> list[tuple[int, bytes]]:
    """The next read-back batches as frames, about CHUNK_BYTES of them; empty at the end."""
    chunk: list[tuple[int, bytes]] = []
    size = 0
    for epoch, first, count, commands, events in batches:
        if first + count <= next_seq:
            continue
        frame = feed_frame(epoch, first, count, commands, events)
        chunk.append((first + count, frame))
        size += len(frame)
        if size >= CHUNK_BYTES:
            break
    return chunk
