"""The projector: engine events to PostgreSQL, exactly once, and after each commit to the private streams.

A reader thread takes batches from the feed; whatever has gathered while the last transaction ran is the next one (adaptive without a timer).
The offset moves in the same transaction as the rows and only from where this projector left it, so a lost connection, an unknown commit, a
second projector or a killed process can neither lose nor double anything. An event that cannot be stored stops the projector with an alert,
at exactly that command, while trading goes on.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection

from brokerage.platform.health import heartbeat
from brokerage.platform.realtime import publish_private_gap, publish_private_many
from trading.engine.events import FeedBatch, FeedItem
from trading.engine.gateway import EngineClient, EngineUnavailable
from trading.models import ProjectionState
from trading.projection.apply import Applier, Batch
from trading.projection.messages import private_messages
from trading.projection.rows import carried_load
from trading.projection.writer import FencedError, Writer

log = logging.getLogger(__name__)

ADVISORY_LOCK = 0x50524F4A
NAME = "projector"
BATCH_MAX = 4_000
QUEUE_MAX = 64
BEAT_S = 1.0
_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


class ForeignJournalError(Exception):
    """The tables were made from another journal than the engine's; the text says what to do."""


class HaltedError(Exception):
    """An event cannot be projected; trading goes on, the tables stay at the command before it."""


class Projector:
    """One projector. ``stopping`` is asked between transactions; ``on_ready`` is called once the offset and the feed are in place.

    ``up_to`` ends the work exactly behind that command. Other names and locks are for rebuilding and measuring, which tell nobody.
    """

    def __init__(
        self,
        client: EngineClient,
        *,
        stopping: Callable[[], bool],
        on_ready: Callable[[], None] = lambda: None,
        name: str = NAME,
        lock: int = ADVISORY_LOCK,
        up_to: int | None = None,
    ) -> None:
        self.client = client
        self._name, self._lock, self._up_to = name, lock, up_to
        self.stopping = stopping
        self.on_ready = on_ready
        self.projected = 0
        self._writer: Writer | None = None
        self._applier: Applier | None = None
        self._offset = 0
        self._journal_id = ""
        self._beaten = 0.0

    @property
    def offset(self) -> int:
        """Sequence of the last command that is stored."""
        return self._offset

    def _done(self) -> bool:
        return self.stopping() or (self._up_to is not None and self._offset >= self._up_to)

    # ---- life -------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Project until stopped; waits out an engine or a database that is away."""
        while not self._done():
            try:
                self._open()
                self._consume()
            except (EngineUnavailable, *_AWAY) as error:
                log.warning("waiting: %s", error)
                self._beat("waiting", detail=str(error).strip(), force=True)
                self._close()
                self._pause(0.5)
            except FencedError as error:
                log.warning("fenced: %s", error)
                self._beat("fenced", detail=str(error), force=True)
                self._close()
                self._pause(1.0)
            except (HaltedError, ForeignJournalError) as error:
                log.critical("halted: %s", error)
                self._note_halt(str(error))
                self._close()
                for _ in range(10):
                    self._beat("halted", detail=str(error), force=True)
                    self._pause(1.0)
        self._close()

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stopping() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _open(self) -> None:
        """Take the lock, read the offset and load what is carried."""
        connection.close()
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [self._lock])
            if not cursor.fetchone()[0]:
                raise FencedError("another projector holds the lock")
        state, _ = ProjectionState.objects.get_or_create(pk=1)
        self._offset, self._journal_id = state.cmd_seq, state.journal_id
        self._reload()
        if self._name == NAME:
            publish_private_gap()

    def _reload(self) -> None:
        self._applier = Applier(carried_load())
        self._writer = Writer(connection.connection)

    def _close(self) -> None:
        self._writer = self._applier = None
        try:
            connection.close()
        except DatabaseError:
            log.debug("connection was gone already")

    # ---- consuming --------------------------------------------------------------------------------------------------

    def _consume(self) -> None:
        gathered: queue.Queue[FeedBatch | BaseException] = queue.Queue(QUEUE_MAX)
        stopped = threading.Event()
        reader = threading.Thread(
            target=self._read, args=(self._offset + 1, gathered, stopped), name="feed", daemon=True
        )
        reader.start()
        ready = False
        try:
            while not self._done():
                items, epoch = self._gather(gathered)
                if not ready:
                    self.on_ready()
                    ready = True
                if items:
                    self._project(items, epoch)
                self._beat("running")
        finally:
            stopped.set()

    def _read(self, from_seq: int, gathered: queue.Queue[Any], stopped: threading.Event) -> None:
        """Reader thread: feed to queue. A full queue blocks here, and the engine then waits or cuts the feed: never the other way."""
        try:
            for batch in self.client.feed(from_seq):
                while not stopped.is_set():
                    try:
                        gathered.put(batch, timeout=0.2)
                        break
                    except queue.Full:
                        continue
                if stopped.is_set():
                    return
            raise EngineUnavailable("the feed ended")
        except BaseException as error:
            while not stopped.is_set():
                try:
                    gathered.put(error, timeout=0.2)
                    return
                except queue.Full:
                    continue

    def _gather(self, gathered: queue.Queue[Any]) -> tuple[list[FeedItem], int]:
        """Everything that waits, at most BATCH_MAX commands; blocks a moment for the first."""
        items: list[FeedItem] = []
        epoch = 0
        wait = 0.25
        while len(items) < BATCH_MAX:
            try:
                batch = gathered.get(timeout=wait) if wait else gathered.get_nowait()
            except queue.Empty:
                break
            wait = 0.0
            if isinstance(batch, BaseException):
                if items:
                    gathered.put(batch)  # first store what came before it
                    break
                raise batch
            if self._journal_id and batch.journal_id != self._journal_id:
                raise ForeignJournalError(
                    f"The tables were projected from journal {self._journal_id}, the engine runs on {batch.journal_id}: "
                    "give the engine its own journal back, or run manage.py rebuild_projection."
                )
            self._journal_id = batch.journal_id
            epoch = max(epoch, batch.epoch)
            items.extend(batch)
        return items, epoch

    def _project(self, items: list[FeedItem], epoch: int) -> None:
        """Apply and store; on an event that cannot be, halve until the one command is found."""
        last = self._up_to if self._up_to is not None else items[-1].command.seq
        items = [item for item in items if self._offset < item.command.seq <= last]
        if not items:
            return
        if items[0].command.seq != self._offset + 1:
            raise HaltedError(f"the feed jumped from command {self._offset} to {items[0].command.seq}")
        try:
            batch = self._store(items, epoch)
        except (*_AWAY, FencedError):
            raise
        except Exception as error:
            self._reload()
            if len(items) == 1:
                raise HaltedError(f"command {items[0].command.seq} cannot be projected: {error!r}") from error
            half = len(items) // 2
            self._project(items[:half], epoch)
            self._project(items[half:], epoch)
            return
        if self._name == NAME:
            publish_private_many(private_messages(batch))

    def _store(self, items: list[FeedItem], epoch: int) -> Batch:
        if self._applier is None or self._writer is None:
            raise FencedError("not open")
        batch = self._applier.apply(items)
        self._writer.write(batch, journal_id=self._journal_id, epoch=epoch, from_cmd_seq=self._offset)
        self._offset = batch.last_cmd_seq
        self.projected += batch.commands
        return batch

    def _note_halt(self, reason: str) -> None:
        try:
            ProjectionState.objects.filter(pk=1).update(halted_reason=reason[:2000])
        except DatabaseError:
            log.exception("the halt could not be noted")

    def _beat(self, state: str, *, force: bool = False, **detail: Any) -> None:
        now = time.monotonic()
        if force or now - self._beaten >= BEAT_S:
            self._beaten = now
            heartbeat(self._name, state, cmd_seq=self._offset, projected=self.projected, **detail)
