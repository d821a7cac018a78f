"""The sequencer: the one place where a command gets its number and its time.

Owns: stamping, the commands the engine gives itself (CMD_TIME when an order's time is up, CMD_DAY_ROLL at UTC midnight), one core
call per batch, digests, and telling each sender which events are its own. Leaves to others: durability (journal.py), sockets
(server.py). It changes the core, so its results must not be told before the journal has them.

Time never goes back: a batch's time is max(last, clock). Own commands come first in a batch, so an order whose time is up cannot
trade any more.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from brokerage.kernel.clock import NS_PER_DAY, NS_PER_S, Clock
from brokerage.kernel.segment_log import Position
from native import layout
from native.layout import COMMAND_SIZE, EVENT_SIZE, CommandType, EventFlag

DIGEST_EVERY = 65_536
#: CMD_TIME commands in one batch; while more orders are due, clients wait for the next batch.
TIME_COMMANDS_MAX = 64
_EVENT_CMD_SEQ = struct.Struct("<Q")
_STAMP = layout.SEQ_TIME_STRUCT
_SOURCE_ENGINE = 0
_NOWHERE = Position(0, 0, b"")


class Batch:
    """Commands of one journal frame with their events. ``entries`` are (request, index of its first command, count)."""

    __slots__ = (
        "commands", "count", "counts", "digest", "entries", "event_counts", "events", "first_seq", "last_event_seq",
        "last_offset", "position", "time_ns",
    )  # fmt: skip

    def __init__(self, commands: bytes | bytearray, events: bytes, first_seq: int, count: int, time_ns: int) -> None:
        self.commands = commands
        self.events = events
        self.first_seq = first_seq
        self.count = count
        self.time_ns = time_ns
        self.digest: int | None = None
        self.entries: list[tuple[Any, int, int]] = []
        self.event_counts: list[int] = []
        self.last_event_seq = 0
        self.position = _NOWHERE
        self.last_offset = 0

    @property
    def last_seq(self) -> int:
        """Sequence of the last command."""
        return self.first_seq + self.count - 1


class Sequencer:
    """Stamps and applies. One thread."""

    def __init__(
        self,
        core: Any,
        clock: Clock,
        *,
        cmd_seq: int,
        event_seq: int,
        time_ns: int,
        trading_day: int,
        digest_every: int = DIGEST_EVERY,
    ) -> None:
        self.core = core
        self.clock = clock
        self.cmd_seq = cmd_seq
        self.event_seq = event_seq
        self.time_ns = time_ns
        self.trading_day = trading_day
        self.digest_every = digest_every
        self.clock_jumps = 0
        """How often the wall clock moved more than a second against the monotonic one."""
        self._offset_ns = clock.now_ns() - clock.monotonic_ns()
        self._since_digest = 0

    def now(self) -> int:
        """The time a batch made now would get."""
        wall = self.clock.now_ns()
        offset = wall - self.clock.monotonic_ns()
        if abs(offset - self._offset_ns) > NS_PER_S:
            self.clock_jumps += 1
            self._offset_ns = offset
        return max(self.time_ns, wall)

    def due(self) -> bool:
        """There is something the engine must say to itself."""
        now = self.now()
        expiry = self.core.next_expiry()
        return bool(0 < expiry <= now) or now // NS_PER_DAY > self.trading_day

    def build(self, requests: Sequence[tuple[Any, Any, int]], now: int | None = None) -> Batch | None:
        """Stamp and apply (request, packed commands, count) in order. None when there is nothing to do.

        While orders remain to be expired the batch holds only the engine's own commands and ``entries`` is empty: call again
        with the same requests.
        """
        time_ns = self.now() if now is None else max(now, self.time_ns)
        own, own_events, more = self._own(time_ns)
        first_seq = self.cmd_seq + 1
        own_count = len(own) // COMMAND_SIZE
        if more or not requests:
            if not own:
                return None
            return self._finish(Batch(own, own_events, first_seq, own_count, time_ns), [])
        joined = bytearray(requests[0][1]) if len(requests) == 1 else bytearray().join([r[1] for r in requests])
        count = len(joined) // COMMAND_SIZE
        seq = first_seq + own_count
        for offset in range(layout.COMMAND_SEQ_OFFSET, len(joined), COMMAND_SIZE):
            _STAMP.pack_into(joined, offset, seq, time_ns)
            seq += 1
        stamped = bytes(joined)  # what the core takes quickest
        events = bytes(self.core.apply(stamped))
        if own:
            stamped, events = own + stamped, own_events + events
        batch = Batch(stamped, events, first_seq, own_count + count, time_ns)
        return self._finish(batch, requests, own_count)

    def _finish(self, batch: Batch, requests: Sequence[tuple[Any, Any, int]], index: int = 0) -> Batch:
        for request, _, count in requests:
            batch.entries.append((request, index, count))
            index += count
        self.cmd_seq = batch.last_seq
        self.time_ns = batch.time_ns
        self.event_seq += len(batch.events) // EVENT_SIZE
        batch.last_event_seq = self.event_seq
        batch.event_counts = _count_events(batch)
        self._since_digest += batch.count
        if self._since_digest >= self.digest_every:
            self._since_digest = 0
            batch.digest = self.core.digest()
        return batch

    def _own(self, time_ns: int) -> tuple[bytes, bytes, bool]:
        """The engine's own commands due at this time: packed, their events, and whether more must follow at once."""
        expiry = self.core.next_expiry()
        day = time_ns // NS_PER_DAY
        if not 0 < expiry <= time_ns and day <= self.trading_day:
            return b"", b"", False
        commands: list[bytes] = []
        events: list[bytes] = []
        seq = self.cmd_seq

        def run(kind: CommandType, amount: int = 0) -> bytes:
            command = layout.pack_command(
                kind, seq=seq + len(commands) + 1, time_ns=time_ns, amount=amount, source=_SOURCE_ENGINE
            )
            told = bytes(self.core.apply(command))
            commands.append(command)
            events.append(told)
            return told

        more = 0 < expiry <= time_ns
        while more and len(commands) < TIME_COMMANDS_MAX:
            last = layout.unpack_event(run(CommandType.TIME)[-EVENT_SIZE:])
            more = bool(last.flags & EventFlag.MORE)
        if not more and day > self.trading_day:
            run(CommandType.DAY_ROLL, day)
            self.trading_day = day
        return b"".join(commands), b"".join(events), more


def _count_events(batch: Batch) -> list[int]:
    """How many events each command of the batch caused."""
    counts = [0] * batch.count
    if batch.count == 1:
        counts[0] = len(batch.events) // EVENT_SIZE
        return counts
    events, first = batch.events, batch.first_seq
    unpack = _EVENT_CMD_SEQ.unpack_from
    for offset in range(8, len(events), EVENT_SIZE):
        counts[unpack(events, offset)[0] - first] += 1
    return counts
