"""The engine's heart: pending commands → sequencer → journal → answers, one batch in flight.

Owns: the order of things that makes an acknowledgement true. A batch is applied to the core, handed to the journal, and only when
the journal has it are answers sent, events published and queries answered again; meanwhile the next commands gather (natural group
commit). Also snapshots, the timer for due commands, the low-space rule, and the halt. Leaves to others: sockets (server.py), bytes.

A failure of the journal halts for good: nothing more is acknowledged, everybody is told why, the process ends with a non-zero code
and the next start recovers from what is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brokerage.kernel.clock import Clock
from brokerage.kernel.files import OS_FILES, FileLayer
from native import layout
from native.layout import COMMAND_SIZE, EVENT_SIZE, CommandType, Reject
from trading.engine import snapshot as snap
from trading.engine.eventlog import RING_BYTES, EventLog
from trading.engine.journal import LOW_WATER, SEGMENT_SIZE, FolderLock, Journal, JournalWriter, next_epoch, write_batch
from trading.engine.replay import Recovered, read_back, recover
from trading.engine.sequencer import DIGEST_EVERY, TIME_COMMANDS_MAX, Batch, Sequencer

log = logging.getLogger(__name__)

#: System refusals of the engine process (brokerage/kernel/rejects.py); they are not journaled and not remembered.
REASON_OVERLOADED = 9013
#: Commands waiting for their turn, all connections together; more are refused with 9013.
PENDING_MAX = 65_536
BATCH_MAX = 4096
SNAPSHOT_EVERY = 250_000
#: How long the loop goes on looking for requests before it sleeps; at most this much is spent for each answer.
LINGER_NS = 100_000
_RESTRICTED = frozenset({int(CommandType.TIME), int(CommandType.DAY_ROLL)})
_NEEDS_ROOM = frozenset({int(CommandType.ORDER_NEW), int(CommandType.ORDER_REPLACE)})


@dataclass(frozen=True)
class EngineOptions:
    """How one engine runs."""

    journal_dir: Path
    socket_path: str
    durability: str = "fdatasync"
    segment_size: int = SEGMENT_SIZE
    low_water: int = LOW_WATER
    snapshot_every: int = SNAPSHOT_EVERY
    digest_every: int = DIGEST_EVERY
    ring_bytes: int = RING_BYTES
    core_config: Any = None


class Request:
    """One SUBMIT frame: ``respond`` gets the ANSWER payload's rows and events, or is never called when the engine halts."""

    __slots__ = ("commands", "count", "respond")

    def __init__(
        self, commands: bytes, count: int, respond: Callable[[list[tuple[int, int, int]], bytes], None]
    ) -> None:
        self.commands = commands
        self.count = count
        self.respond = respond


class EngineRuntime:
    """All state of a running engine; lives on one event loop. ``native`` is the module of the core (native.core)."""

    def __init__(
        self,
        options: EngineOptions,
        *,
        native: Any,
        clock: Clock,
        files: FileLayer = OS_FILES,
        on_halt: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.options = options
        self.native = native
        self.clock = clock
        self.files = files
        self.on_halt = on_halt
        self.halted: str = ""
        self.stopping = False
        self.refused_low_space = 0
        self.refused_overload = 0
        self.batches = 0
        self._pending: deque[Request] = deque()
        self._pending_commands = 0
        self._queries: deque[Callable[[], None]] = deque()
        self._inflight: Batch | None = None
        self._scheduled = False
        self._alone = True
        self._lingering = False
        self._linger_until_ns = 0
        self._snapshotting = False
        self._timer: asyncio.TimerHandle | None = None
        self.lock = FolderLock(options.journal_dir)
        try:
            self._recover()
        except BaseException:
            self.lock.release()
            raise

    # -- start --------------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        options = self.options
        begun = self.clock.monotonic_ns()
        self.files.make_dir(options.journal_dir)
        found = recover(options.journal_dir, files=self.files, native=self.native, core_config=options.core_config)
        self.recovered: Recovered = found
        self.core = found.core
        self.build_id: str = self.native.build_id()
        self.epoch = next_epoch(self.files, options.journal_dir, found.epoch)
        log_id = found.log_id or secrets.token_bytes(16)
        self.journal = Journal(
            options.journal_dir, files=self.files, crc=self.native.crc32c, log_id=log_id, build_id=self.build_id,
            clock=self.clock, durability=options.durability, segment_size=options.segment_size, low_water=options.low_water,
        )  # fmt: skip
        self.journal.begin(
            found.tail,
            epoch=self.epoch,
            next_seq=found.cmd_seq + 1,
            build_id=self.build_id,
            core_config=found.core_config,
        )
        self.sequencer = Sequencer(
            self.core, self.clock, cmd_seq=found.cmd_seq, event_seq=found.event_seq, time_ns=found.time_ns,
            trading_day=found.trading_day, digest_every=options.digest_every,
        )  # fmt: skip
        self.durable_position = self.journal.log.position
        self.durable_last_offset = self.journal.log.last_offset
        self.durable_cmd_seq = found.cmd_seq
        self.durable_event_seq = found.event_seq
        self.snapshot_seq = found.snapshot_seq
        # Room is left for the engine's own commands, which come first in a batch.
        self.batch_max = min(BATCH_MAX, self.journal.batch_max() - TIME_COMMANDS_MAX - 1)
        self.recovery_ms = (self.clock.monotonic_ns() - begun) // 1_000_000
        self.started_ns = self.clock.now_ns()

    def start(self) -> None:
        """Begin to work on the running loop."""
        self.loop = asyncio.get_running_loop()
        self.events = EventLog(
            next_seq=self.durable_cmd_seq + 1, clock=self.clock, read_back=self._read_back,
            ring_bytes=self.options.ring_bytes,
        )  # fmt: skip
        self.writer = JournalWriter(self.journal, self._written)
        if self.options.durability == "fdatasync":
            self.writer.start()
        else:
            self.writer.scheduling = "in the loop (durability os)"
        self._space_due_ns = 0
        self._tick()

    def _read_back(self, from_seq: int) -> Any:
        return read_back(
            self.options.journal_dir, files=self.files, native=self.native, core_config=self.recovered.core_config,
            from_seq=from_seq, until=self.durable_position,
        )  # fmt: skip

    # -- intake -------------------------------------------------------------------------------------------------------

    def submit(self, request: Request, *, kick: bool = True) -> None:
        """Take a request (packed commands); it is answered when durable. Without ``kick`` the caller calls it soon."""
        if self._pending_commands + request.count > PENDING_MAX:
            self.refused_overload += request.count
            request.respond([(0, 0, REASON_OVERLOADED)] * request.count, b"")
            return
        self._pending.append(request)
        self._pending_commands += request.count
        if kick:
            self._schedule()

    def query(self, ask: Callable[[], None], *, kick: bool = True) -> None:
        """Run ``ask`` when everything the core has seen is durable."""
        self._queries.append(ask)
        if kick:
            self._schedule()

    def kick(self) -> None:
        """Work on what was taken: at once while requests come one by one, one turn of the loop later when they come together."""
        if self._inflight is None and not self._scheduled and (self._pending or self._queries):
            if self._alone:
                self._run()
            else:
                self._schedule()

    def refusal(self, commands: Any, count: int) -> list[int] | None:
        """Refusals by this process, one number per command (0 = none), or None when there are none.

        Commands only the sequencer may give are refused with 1002; with little disk space new orders and replaces with 9013.
        """
        low = self.journal.low_space
        if count == 1 and not low and commands[2] not in _RESTRICTED:
            return None
        kinds = [
            int.from_bytes(commands[i + 2 : i + 4], "little") for i in range(0, count * COMMAND_SIZE, COMMAND_SIZE)
        ]
        if not any(kind in _RESTRICTED or (low and kind in _NEEDS_ROOM) for kind in kinds):
            return None
        refused = [
            int(Reject.UNSUPPORTED) if kind in _RESTRICTED else REASON_OVERLOADED if low and kind in _NEEDS_ROOM else 0
            for kind in kinds
        ]
        self.refused_low_space += refused.count(REASON_OVERLOADED)
        return refused

    def _schedule(self) -> None:
        if not self._scheduled and self._inflight is None and not self.halted:
            self._scheduled = True
            # One turn of the loop later, so that all sockets with data are in the same batch.
            self.loop.call_soon(self._run)

    # -- the cycle ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._scheduled = False
        if self._inflight is None and not self.halted:
            self._answer_queries()
            self._next_batch()

    def _answer_queries(self) -> None:
        """Only called when the core holds nothing that is not durable."""
        while self._queries:
            ask = self._queries.popleft()
            try:
                ask()
            except Exception:
                log.exception("a query failed")

    def _next_batch(self) -> None:
        """Apply the next commands and hand them to the journal."""
        requests = self._take_requests()
        try:
            batch = self.sequencer.build([(r, r.commands, r.count) for r in requests])
        except Exception as error:
            # The core refused the sequence or ran out of room for events: a bug. What it holds may not be in the journal.
            log.exception("the core failed")
            self.halt(f"the core failed: {error}")
            return
        if batch is None:
            return
        if not batch.entries:
            # Only own commands fitted in: the clients' turn comes with the next batch.
            self._pending.extendleft(reversed(requests))
            self._pending_commands += sum(r.count for r in requests)
        self._inflight = batch
        self._alone = len(batch.entries) <= 1
        self.batches += 1
        if self.options.durability == "fdatasync":
            self.writer.submit(batch)
            return
        try:
            write_batch(self.journal, batch)
        except Exception as error:
            self.halt(f"the journal cannot be written: {error}")
            return
        self._durable(batch)

    def _take_requests(self) -> list[Request]:
        requests: list[Request] = []
        total = 0
        while self._pending and total + self._pending[0].count <= self.batch_max:
            request = self._pending.popleft()
            total += request.count
            requests.append(request)
        self._pending_commands -= total
        return requests

    def _written(self, batch: Batch, error: BaseException | None) -> None:
        """In the journal's thread: tell the loop."""
        if error is None:
            self.loop.call_soon_threadsafe(self._durable, batch)
        else:
            self.loop.call_soon_threadsafe(self.halt, f"the journal cannot be written: {error}")

    def _durable(self, batch: Batch) -> None:
        """The journal has the batch: queries first, then the next batch on its way, then this one's answers and events."""
        if self.halted:
            return
        self._inflight = None
        self.durable_position = batch.position
        self.durable_last_offset = batch.last_offset
        self.durable_cmd_seq = batch.last_seq
        self.durable_event_seq = batch.last_event_seq
        if self._queries:
            self._answer_queries()
        if batch.last_seq - self.snapshot_seq >= self.options.snapshot_every and not self._snapshotting:
            self._take_snapshot()
        if self.options.durability == "fdatasync" and self._pending:
            self._next_batch()
        self._answer(batch)
        # One turn later, before anything else is read: the answers leave first, and nobody waits while the feed is told.
        self.loop.call_soon(self.events.append, self.epoch, batch.first_seq, batch.count, batch.commands, batch.events)
        if self._inflight is None and (self._pending or self._queries):
            self._schedule()
        elif batch.entries:
            self._linger_until_ns = self.clock.monotonic_ns() + LINGER_NS
            if not self._lingering:
                self._lingering = True
                self.loop.call_soon(self._linger)

    def _linger(self) -> None:
        """Look for the next request without sleeping for a moment: waking costs more than the request (docs/performance.md)."""
        if self.clock.monotonic_ns() < self._linger_until_ns and not self.halted:
            os.sched_yield()  # who would ask may wait for this very processor
            self.loop.call_soon(self._linger)
        else:
            self._lingering = False

    def _answer(self, batch: Batch) -> None:
        """Send each request its rows and events."""
        if not batch.entries:
            return
        counts = batch.event_counts
        if len(batch.entries) == 1 and batch.count == 1:
            batch.entries[0][0].respond([(batch.first_seq, counts[0], 0)], batch.events)
            return
        first = batch.entries[0][1]
        offset = sum(counts[:first]) * EVENT_SIZE
        for request, index, count in batch.entries:
            seq = batch.first_seq + index
            rows = [(seq + i, counts[index + i], 0) for i in range(count)]
            end = offset + sum(counts[index : index + count]) * EVENT_SIZE
            request.respond(rows, batch.events[offset:end])
            offset = end

    # -- time, space, snapshots ---------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Ten times a second: due commands when nothing else comes, and once a second the room on the disk."""
        if self.halted or self.stopping:
            return
        self._timer = self.loop.call_later(0.1, self._tick)
        now = self.clock.monotonic_ns()
        if now >= self._space_due_ns:
            self._space_due_ns = now + 1_000_000_000
            self.journal.check_space()
            self.events.check_stalled()
        if self._inflight is None and self.sequencer.due():
            self._schedule()

    def _snapshot_info(self) -> snap.SnapshotInfo:
        stats = self.core.stats()
        place = self.durable_position
        return snap.SnapshotInfo(
            journal_id=self.journal.journal_id, epoch=self.epoch, cmd_seq=stats.cmd_seq, event_seq=stats.event_seq,
            time_ns=stats.time_ns, trading_day=stats.trading_day, digest=self.core.digest(), segment=place.segment,
            offset=place.offset, last_offset=self.durable_last_offset, chain=place.chain.hex(), build_id=self.build_id,
            abi=layout.ABI_VERSION, semantics=layout.SEMANTICS_VERSION, core_config=asdict(self.recovered.core_config),
        )  # fmt: skip

    def _take_snapshot(self) -> None:
        """Copy the state now (nothing undurable is in it), write and verify it in a thread."""
        self._snapshotting = True
        info, state = self._snapshot_info(), self.core.snapshot()
        folder = self.options.journal_dir / "snapshots"
        begun = self.clock.monotonic_ns()

        def write() -> None:
            try:
                snap.write_snapshot(self.files, folder, info, state, self.native)
            except Exception as error:
                # Not fatal: the journal has everything. Tried again after the next interval.
                log.error("snapshot at %d failed: %s", info.cmd_seq, error)
            else:
                took_ms = (self.clock.monotonic_ns() - begun) // 1_000_000
                log.info("snapshot at %d, %d bytes, %d ms", info.cmd_seq, len(state), took_ms)
            self.loop.call_soon_threadsafe(done)

        def done() -> None:
            self._snapshotting = False

        self.snapshot_seq = info.cmd_seq
        threading.Thread(target=write, name="snapshot", daemon=True).start()

    # -- halt and stop ------------------------------------------------------------------------------------------------

    def halt(self, reason: str) -> None:
        """Stop for good: nothing more is acknowledged or published."""
        if self.halted:
            return
        self.halted = reason
        log.critical("HALT: %s", reason)
        self.on_halt(reason)

    async def stop(self) -> None:
        """Finish the batch in flight, snapshot, record a clean stop."""
        self.stopping = True
        if self._timer is not None:
            self._timer.cancel()
        for _ in range(400):
            if (self._inflight is None and not self._pending) or self.halted:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # the feed hears of the last batch
        await self.events.close()
        if self.options.durability == "fdatasync":
            await self.loop.run_in_executor(None, self.writer.stop)
        for _ in range(300):
            if not self._snapshotting:
                break
            await asyncio.sleep(0.01)
        if self._inflight is None and not self.halted:
            if self.durable_cmd_seq > self.snapshot_seq:
                folder = self.options.journal_dir / "snapshots"
                try:
                    snap.write_snapshot(self.files, folder, self._snapshot_info(), self.core.snapshot(), self.native)
                except Exception as error:
                    log.error("snapshot at the stop failed: %s", error)
            self.journal.stop()
        else:
            self.journal.close()
        self.core.close()
        self.lock.release()
