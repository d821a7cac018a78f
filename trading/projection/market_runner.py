"""The market data process: engine feed in; books, candles and the tape out to Valkey and PostgreSQL.

One asyncio loop that never waits for PostgreSQL: a thread of its own writes candles, prints and the offset together, and everything goes
on while it does. The feed is taken from the command after the stored offset, so a killed process loses no trade and counts none twice; books
are asked from the engine (depth with its sequence) each time a feed begins, and compared with it in turn ever after.

    feed ─> BookPublisher ─> Pipeline ─┬─ publish loop ─> Valkey
                                       └─ store loop ──> thread ─> PostgreSQL

Owns the connections and loops. The engine, Valkey or PostgreSQL may be away at any time: that is waited out, and told by ``md:status``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import redis
from django.db import Error as DatabaseError
from django.db import connection

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from brokerage.kernel.errors import ProtocolError
from brokerage.platform.health import heartbeat
from marketdata.candles import Bar, CandleBuilder
from marketdata.pipeline import Pipeline
from marketdata.publisher import TRADES_KEPT, Publisher
from marketdata.quality import FeedState
from marketdata.selectors.instruments import InstrumentRef, instrument_list, reference_forget
from marketdata.services.candles import (
    BarRow,
    Offset,
    OffsetMovedError,
    changes_store,
    day_bars_load,
    history_exists,
    last_prints_load,
    offset_get,
    open_bars_load,
    prints_trim,
    writer_lock,
)
from marketdata.ticks import Trade
from trading.engine.gateway import AsyncEngineClient, EngineUnavailable
from trading.projection.book_publisher import BookPublisher, SequenceGapError

log = logging.getLogger(__name__)
T = TypeVar("T")

STORE_EVERY_S = 1.0
STATUS_EVERY_S = 2.0
TRIM_EVERY_S = 60.0
WINDOW_EVERY_S = 300
#: A new installation loads its history while we run already: look for it this often until it is there.
HISTORY_EVERY_S = 10
#: Every book is compared with the engine once in this time.
CHECK_ROUND_S = 30.0
CHECK_DEPTH = 50
#: A bar is told as finished this long after its end when no later trade has come.
GRACE_S = 2
#: The engine tells at most this many levels of a side.
DEPTH_ALL = 10_000
#: Prints waiting for a database that is away; beyond it the feed is not read until they are stored.
PRINTS_WAITING_MAX = 200_000
RETRY_S = 1.0
DAY_S = 86_400
#: What a call to the engine raises when the engine is away or being replaced.
AWAY = (EngineUnavailable, ProtocolError, OSError, TimeoutError)


class HaltedError(Exception):
    """The process must not go on writing; the text says why and what to do."""


class MarketDataRunner:
    """The whole process; ``run`` returns after ``stop``."""

    def __init__(
        self,
        client: AsyncEngineClient,
        valkey: Any,
        *,
        clock: Clock = SYSTEM_CLOCK,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.client = client
        self.clock = clock
        self.on_ready = on_ready
        self.pipeline = Pipeline([])
        self.publisher = Publisher(self.pipeline, valkey, clock)
        self.bridge = BookPublisher(self.pipeline)
        self.stored = Offset("", 0, 0)
        self.fed = Offset("", 0, 0)
        self.stores = 0
        self._history = False
        self._attempt: tuple[Offset, int] | None = None
        self._bars: dict[tuple[int, int, int], BarRow] = {}
        self._prints: list[Trade] = []
        self._dirty = asyncio.Event()
        self._reload = asyncio.Event()
        self._stopping = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="marketdata-db")

    def stop(self) -> None:
        """Finish: store what is there and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Load what is stored, then run until stopped."""
        if not await self._until_stopped(self._load, "loading"):
            return
        self.on_ready()
        loops = (
            self._feed_loop,
            self._books_loop,
            self._publish_loop,
            self._clock_loop,
            self._store_loop,
            self._status_loop,
            self._check_loop,
        )
        tasks = [asyncio.create_task(loop(), name=loop.__name__) for loop in loops]
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
        try:
            await self._store()
        except (DatabaseError, HaltedError) as error:
            log.warning("the last changes were not stored, they are read from the feed again: %s", error)
        finally:
            await self._in_thread(_close_connection)
            self._thread.shutdown()
        for task in done - {stopping}:
            task.result()

    # ---- start ------------------------------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    async def _until_stopped(self, work: Callable[[], Coroutine[Any, Any, bool]], what: str) -> bool:
        """Try until it works; False when stopped before."""
        while not self._stopping.is_set():
            try:
                if await work():
                    return True
            except (DatabaseError, redis.RedisError, OSError) as error:
                await self._in_thread(_close_connection)
                log.warning("%s has to wait: %s", what, error)
            await asyncio.to_thread(heartbeat, "marketdata", "waiting", doing=what)
            await self._pause(RETRY_S)
        return False

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _load(self) -> bool:
        if not await self._in_thread(writer_lock):
            log.warning("another market data process is writing; waiting for it to end")
            return False
        refs, offset, open_bars, prints = await self._in_thread(self._read_stored)
        self.stored = self.fed = offset
        for ref in refs:
            self.pipeline.add(ref)
            state = self.pipeline.states[ref.core_instrument]
            state.candles = CandleBuilder(open_bars.get(ref.core_instrument, ()))
            trades = prints.get(ref.core_instrument, [])
            if trades:
                state.last = (trades[-1].price, trades[-1].qty)
                state.last_ns = state.time_ns = trades[-1].time_ns
            await self.publisher.rewrite_tape(state, trades)
        self._history = await self._in_thread(history_exists)
        await self._load_window()
        return True

    @staticmethod
    def _read_stored() -> tuple[list[InstrumentRef], Offset, dict[int, list[Bar]], dict[int, list[Trade]]]:
        refs = instrument_list()
        prints = {ref.core_instrument: last_prints_load(ref.core_instrument, TRADES_KEPT) for ref in refs}
        return refs, offset_get(), open_bars_load(), prints

    async def _load_window(self) -> None:
        """Minute bars of the last day, history that was loaded meanwhile included."""
        bars = await self._in_thread(day_bars_load, self.clock.now_ns() // NS_PER_S - DAY_S)
        for core, rows in bars.items():
            state = self.pipeline.states.get(core)
            if state is None:
                continue
            opened = state.candles.open.get(60)
            state.window.load(bar for bar in rows if opened is None or bar.open_time < opened.open_time)
            state.quote_dirty = True
            self.pipeline.dirty.add(core)
        self._dirty.set()

    async def _relist(self) -> None:
        self.bridge.listed = False
        await self._in_thread(reference_forget)
        for ref in await self._in_thread(instrument_list):
            self.pipeline.add(ref)
        self._reload.set()

    # ---- feed -------------------------------------------------------------------------------------------------------

    async def _feed_loop(self) -> None:
        while True:
            try:
                await self._feed()
            except (*AWAY, SequenceGapError) as error:
                log.warning("the feed was interrupted: %s", error)
            self.pipeline.watch.disconnected()
            self.pipeline.lose_all()
            self.publisher.show_states()
            self._dirty.set()
            await asyncio.sleep(RETRY_S)

    async def _feed(self) -> None:
        status = await self.client.status()
        self._check_journal(status.journal_id, status.cmd_seq)
        self.pipeline.lose_all()
        self.publisher.restart(status.epoch)
        self.pipeline.watch.connected(self.fed.event_seq if self.fed.cmd_seq else 0, status.event_seq)
        first = True
        async for batch in self.client.feed(self.fed.cmd_seq + 1):
            if batch.count:
                self.bridge.apply(batch.raw_events)
                self.fed = Offset(status.journal_id, batch.last_seq, self.pipeline.watch.event_seq)
                self.pipeline.fed_to(self.fed.event_seq)
                self._collect()
                self._dirty.set()
            if first or self.pipeline.reload:
                # Depth is asked only once the feed runs, so that no change can fall between the two.
                first = False
                self._reload.set()
            if self.bridge.listed:
                await self._relist()
            while len(self._prints) > PRINTS_WAITING_MAX:
                await asyncio.sleep(STORE_EVERY_S)

    def _check_journal(self, journal_id: str, cmd_seq: int) -> None:
        if self.fed.journal_id not in {"", journal_id}:
            raise HaltedError(
                f"The stored candles belong to journal {self.fed.journal_id}, the engine has {journal_id}. Restore the journal that belongs to this "
                "database, or empty marketdata_marketdatastate to begin anew with the engine's."
            )
        if cmd_seq < self.fed.cmd_seq:
            raise HaltedError(
                f"The candles hold trades up to command {self.fed.cmd_seq}, the engine knows only {cmd_seq}: its journal lost its end. "
                "Restore the journal."
            )
        if not self.fed.journal_id:
            self.fed = Offset(journal_id, self.fed.cmd_seq, self.fed.event_seq)

    def _collect(self) -> None:
        """Take what changed out of the pipeline, between two whole batches."""
        for core, state in self.pipeline.states.items():
            if state.candles.changed:
                for bar in state.candles.changed.values():
                    self._bars[core, bar.frame, bar.open_time] = (core, *bar.key())
                state.candles.changed.clear()
        if self.pipeline.prints:
            self._prints.extend(self.pipeline.prints)
            self.pipeline.prints.clear()

    async def _books_loop(self) -> None:
        """Ask the depth of every book that is not known."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            for core in sorted(self.pipeline.reload):
                self.pipeline.begin_load(core)
                try:
                    depth = await self.client.query_depth(core, DEPTH_ALL)
                except AWAY as error:
                    log.warning("the depth of instrument %s cannot be asked: %s", core, error)
                    self.pipeline.reload.add(core)
                    await asyncio.sleep(RETRY_S)
                    self._reload.set()
                    break
                self.pipeline.load_book(
                    core, _levels(depth.bids), _levels(depth.asks), depth.event_seq, cut_at=DEPTH_ALL
                )
                self._dirty.set()

    async def _check_loop(self) -> None:
        """Compare one book after the other with the engine's, for ever."""
        while True:
            cores = list(self.pipeline.states)
            for core in cores:
                await asyncio.sleep(CHECK_ROUND_S / len(cores))
                if not self.pipeline.watch.fresh or not self.pipeline.states[core].ready:
                    continue
                try:
                    depth = await self.client.query_depth(core, CHECK_DEPTH)
                except AWAY:
                    break
                bids, asks = _levels(depth.bids), _levels(depth.asks)
                self.pipeline.check_book(core, CHECK_DEPTH, bids, asks, depth.event_seq, self.fed.event_seq)
            else:
                if not cores:
                    await asyncio.sleep(RETRY_S)
                continue
            await asyncio.sleep(RETRY_S)

    # ---- showing ----------------------------------------------------------------------------------------------------

    async def _publish_loop(self) -> None:
        while True:
            wait_ns = self.publisher.wait_ns()
            if wait_ns is None:
                await self._dirty.wait()
            elif wait_ns:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._dirty.wait(), wait_ns / NS_PER_S)
            self._dirty.clear()
            try:
                await self.publisher.publish_due()
            except (redis.RedisError, OSError) as error:
                log.warning("market data cannot be published: %s", error)
                await asyncio.sleep(RETRY_S)
            if self.pipeline.reload and self.pipeline.watch.state is not FeedState.DISCONNECTED:
                self._reload.set()

    async def _clock_loop(self) -> None:
        seconds = 0
        while True:
            await asyncio.sleep(1.0 - self.clock.now_ns() % NS_PER_S / NS_PER_S)
            self.pipeline.on_second(self.clock.now_ns() // NS_PER_S - GRACE_S)
            seconds += 1
            if self.pipeline.dirty:
                self._dirty.set()
            try:
                if not self._history and seconds % HISTORY_EVERY_S == 0:
                    self._history = await self._in_thread(history_exists)
                    if self._history:
                        await self._load_window()
                elif seconds % WINDOW_EVERY_S == 0:
                    await self._load_window()
            except DatabaseError as error:
                log.warning("the day's bars cannot be read: %s", error)

    async def _status_loop(self) -> None:
        watch = self.pipeline.watch
        while True:
            before = watch.state
            try:
                status = await self.client.status()
                watch.engine_at(status.event_seq, self.clock.monotonic_ns())
            except AWAY as error:
                log.debug("no status of the engine: %s", error)  # the feed loop notices and says so
            if watch.state is not before:
                self.publisher.show_states()
                self._dirty.set()
            lag = {"cmd_seq": self.fed.cmd_seq, "stored_cmd_seq": self.stored.cmd_seq, "stores": self.stores}
            try:
                await self.publisher.publish_status(**lag)
            except (redis.RedisError, OSError) as error:
                log.warning("the feed's status cannot be published: %s", error)
            state = "running" if watch.fresh else str(watch.state)
            await asyncio.to_thread(
                heartbeat, "marketdata", state, feed=str(watch.state), **lag, **watch.counters.as_dict()
            )
            await asyncio.sleep(STATUS_EVERY_S)

    # ---- storing ----------------------------------------------------------------------------------------------------

    async def _store_loop(self) -> None:
        trimmed = 0.0
        while True:
            await asyncio.sleep(STORE_EVERY_S)
            try:
                await self._store()
                trimmed += STORE_EVERY_S
                if trimmed >= TRIM_EVERY_S:
                    trimmed = 0.0
                    await self._in_thread(prints_trim, list(self.pipeline.states))
            except DatabaseError as error:
                log.warning("candles cannot be stored, trying again: %s", error)
                await self._in_thread(_close_connection)
                await asyncio.sleep(RETRY_S)
                if not await self._until_stopped(self._lock_again, "the writer's lock"):
                    return

    async def _lock_again(self) -> bool:
        # The lock went with the lost connection.
        return await self._in_thread(writer_lock)

    async def _store(self) -> None:
        """Write everything up to the last whole batch, and its offset."""
        after = self.fed
        if after == self.stored:
            return
        bars, prints = dict(self._bars), list(self._prints)
        try:
            await self._in_thread(changes_store, self.stored, after, list(bars.values()), prints)
        except OffsetMovedError as error:
            if self._attempt is None or error.found != self._attempt[0].cmd_seq:
                raise HaltedError(
                    f"Another process moved the market data offset to command {error.found}; this one stops."
                ) from error
            # The attempt before this one was committed though its answer never came.
            self.stored, count = self._attempt
            del self._prints[:count]
            self._attempt = None
            return
        except (DatabaseError, asyncio.CancelledError):
            # Whether it was committed is not known: the next attempt finds out by the offset.
            self._attempt = (after, len(prints))
            raise
        self._attempt = None
        self.stored = after
        self.stores += 1
        del self._prints[: len(prints)]
        for key, row in bars.items():
            if self._bars.get(key) == row:
                del self._bars[key]


def _levels(levels: Any) -> list[tuple[int, int]]:
    return [(level[0], level[1]) for level in levels]


def _close_connection() -> None:
    # Looked up where it runs: Django keeps a connection for each thread, and only its own thread may close it.
    connection.close()
