"""The journal: every command that was ever sequenced, durable before anybody hears of it.

What for: turn batches of commands into frames of the segment log, one frame and one sync per batch. Owns: frame types and their
payloads, the lock on the folder, the epoch (durable count of starts), the space reserve, and the writer thread. Leaves to others:
bytes of segments (brokerage/kernel/segment_log.py), replay (replay.py), what to do after a failure (runtime.py: stop).

    START    build id 16 | abi u32 | semantics u32 | durability u32 | spare u32 | core capacities (9 × u32, spare u32)
    COMMANDS n × 128 bytes | digest u64 when FLAG_DIGEST     frame seq = seq of the first command, time_ns = their time
    STOP     empty: clean stop
    A frame's seq is the next command's sequence at that moment, so START and STOP do not use one up.

Natural group commit: while one batch is being synced the next one gathers; there is no timer. Durability `os` leaves out the
sync: it survives a killed process, not a power cut, and every status says so.
"""

from __future__ import annotations

import fcntl
import os
import queue
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

from brokerage.kernel.clock import Clock
from brokerage.kernel.errors import BrokerageError
from brokerage.kernel.files import FileLayer, StorageError, create_zeroed, replace_file
from brokerage.kernel.segment_log import FRAME_HEADER_SIZE, Crc, Position, SegmentLog, Tail
from native import layout

FRAME_START, FRAME_COMMANDS, FRAME_STOP = 1, 2, 3
FLAG_DIGEST = 1
FLAG_UNSYNCED = 2
START_PAYLOAD = struct.Struct("<16sIIII9II")
DIGEST = struct.Struct("<Q")
DURABILITY = {"fdatasync": 0, "os": 1}
SEGMENT_SIZE = 64 << 20
LOW_WATER = 256 << 20


class JournalLockedError(BrokerageError):
    """Another engine has this journal."""


class FolderLock:
    """Exclusive lock on a journal's folder for the life of the process; the kernel frees it with the process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise JournalLockedError(
                f"another engine (process {owner}) has the journal in {folder}; stop it, or choose another JOURNAL_DIR"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._fd)


def next_epoch(files: FileLayer, folder: Path, seen: int) -> int:
    """Count this start: one more than any epoch in the file or the journal, durable before it is used."""
    path = folder / "epoch"
    stored = 0
    if path.name in files.listdir(folder):
        fd = files.open(path)
        try:
            text = files.pread(fd, 32, 0).strip()
        finally:
            files.close(fd)
        # An unreadable counter is no reason to stop: the journal's own epochs are the stronger record.
        stored = int(text) if text.isdigit() else 0
    epoch = max(stored, seen) + 1
    replace_file(files, path, b"%d\n" % epoch)
    return epoch


def pack_start(build_id: str, durability: str, core_config: Any) -> bytes:
    """Payload of a START frame."""
    return START_PAYLOAD.pack(
        build_id.encode()[:16], layout.ABI_VERSION, layout.SEMANTICS_VERSION, DURABILITY[durability], 0,
        *astuple(core_config), 0,
    )  # fmt: skip


class Journal:
    """The writing end. ``write`` belongs to one thread at a time."""

    def __init__(
        self,
        folder: Path,
        *,
        files: FileLayer,
        crc: Crc,
        log_id: bytes,
        build_id: str,
        clock: Clock,
        durability: str = "fdatasync",
        segment_size: int = SEGMENT_SIZE,
        low_water: int = LOW_WATER,
    ) -> None:
        self.folder = folder
        self.files = files
        self.clock = clock
        self.durability = durability
        self.low_water = low_water
        self.log = SegmentLog(
            folder, files=files, crc=crc, log_id=log_id, build_id=build_id.encode(), segment_size=segment_size,
            now_ns=clock.now_ns,
        )  # fmt: skip
        self.epoch = 0
        self.next_seq = 1
        self.low_space = False
        """New orders are refused while this is set; cancels are not."""
        self.sync_us: deque[int] = deque(maxlen=2048)
        self.frames = 0
        self.bytes_written = 0
        self._reserve = folder / "reserve"
        self._segment_lock = threading.Lock()
        self._preparing: threading.Thread | None = None
        self._prepare_failed = False

    @property
    def journal_id(self) -> str:
        """Hex id of this log, made once at its beginning."""
        return self.log.log_id.hex()

    def batch_max(self) -> int:
        """Most commands one frame can take."""
        return (self.log.payload_max() - DIGEST.size) // layout.COMMAND_SIZE

    # -- start and stop -----------------------------------------------------------------------------------------------

    def begin(self, tail: Tail | None, *, epoch: int, next_seq: int, build_id: str, core_config: Any) -> None:
        """Create the log, or go on behind ``tail``, and record this start durably."""
        if tail is None:
            self._with_reserve(self.log.create)
        else:
            self._with_reserve(lambda: self.log.resume(tail))
        self.epoch = epoch
        self.next_seq = next_seq
        payload = pack_start(build_id, self.durability, core_config)
        self._append(FRAME_START, 0, self.clock.now_ns(), payload)
        # Whatever the mode: a start is always synced.
        self.log.sync()
        self._make_reserve()

    def stop(self) -> None:
        """Record a clean stop and close."""
        self._append(FRAME_STOP, 0, self.clock.now_ns(), b"")
        self.log.sync()
        self.close()

    def close(self) -> None:
        """Close the files without writing anything."""
        thread = self._preparing
        if thread is not None:
            thread.join(timeout=5)
        self.log.close()

    # -- batches ------------------------------------------------------------------------------------------------------

    def write(self, commands: Any, first_seq: int, count: int, time_ns: int, digest: int | None) -> Position:
        """Make a batch durable (by the mode) and return the position behind it. StorageError: acknowledge nothing more."""
        if first_seq != self.next_seq:
            raise ValueError(f"the batch starts at {first_seq}, the journal goes on at {self.next_seq}")
        flags = 0 if self.durability == "fdatasync" else FLAG_UNSYNCED
        payload = commands
        if digest is not None:
            flags |= FLAG_DIGEST
            payload = bytes(commands) + DIGEST.pack(digest)
        position = self._append(FRAME_COMMANDS, flags, time_ns, payload)
        if self.durability == "fdatasync":
            begun = self.clock.monotonic_ns()
            self.log.sync()
            self.sync_us.append((self.clock.monotonic_ns() - begun) // 1000)
        self.next_seq = first_seq + count
        self.frames += 1
        self.bytes_written += len(payload) + FRAME_HEADER_SIZE
        if self.log.room() < self.log.segment_size // 2:
            self._prepare_ahead()
        return position

    def _append(self, kind: int, flags: int, time_ns: int, payload: Any) -> Position:
        needs_segment = self.log.room() < len(payload) + 2 * FRAME_HEADER_SIZE
        if not needs_segment:
            return self.log.append(self.next_seq, self.epoch, kind, flags, time_ns, payload)
        with self._segment_lock:
            self._with_reserve(self.log.prepare_next)
            return self.log.append(self.next_seq, self.epoch, kind, flags, time_ns, payload)

    # -- room ---------------------------------------------------------------------------------------------------------

    def check_space(self) -> None:
        """Set or clear ``low_space``; cheap, called about once a second."""
        try:
            free = self.files.free_bytes(self.folder)
        except OSError:
            return
        if free < self.low_water:
            self.low_space = True
        elif self.low_space and free >= 2 * self.low_water:
            self.low_space = self._prepare_failed = False
            self._make_reserve()

    def _make_reserve(self) -> None:
        """Keep one segment's room that only this journal can free, so that cancels can still be recorded on a full disk."""
        try:
            if self._reserve.name not in self.files.listdir(self.folder):
                if self.files.free_bytes(self.folder) < 2 * self.log.segment_size:
                    self.low_space = True
                    return
                self.files.close(create_zeroed(self.files, self._reserve, self.log.segment_size))
        except (OSError, StorageError):
            self.low_space = True

    def _with_reserve(self, make: Callable[[], None]) -> None:
        """Run something that makes a segment; when the disk is full give it the reserve and try that once more."""
        try:
            make()
        except StorageError as error:
            if not error.no_space or self._reserve.name not in self.files.listdir(self.folder):
                raise
            self.low_space = True
            self.files.remove(self._reserve)
            make()

    def _prepare_ahead(self) -> None:
        """Zero-fill the next segment in the background."""
        if self._prepare_failed or (self._preparing is not None and self._preparing.is_alive()):
            return
        if self.log.ahead_ready:
            return

        def prepare() -> None:
            with self._segment_lock:
                try:
                    self.log.prepare_next()
                except (OSError, StorageError):
                    # Not fatal yet: the present segment has room. New orders stop, the reserve is kept for the end.
                    self._prepare_failed = self.low_space = True

        self._preparing = threading.Thread(target=prepare, name="journal-ahead", daemon=True)
        self._preparing.start()


class JournalWriter:
    """The thread that writes and syncs. One batch at a time; ``done(batch, error)`` is called in this thread."""

    def __init__(self, journal: Journal, done: Callable[[Any, BaseException | None], None]) -> None:
        self.journal = journal
        self.done = done
        self.scheduling = "not started"
        self.busy_since_ns = 0
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, batch: Any) -> None:
        """Hand over a batch (attributes commands, first_seq, count, time_ns, digest, position)."""
        self.busy_since_ns = self.journal.clock.monotonic_ns()
        self._queue.put(batch)

    def stop(self) -> None:
        """Finish what was submitted and end the thread."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        self.scheduling = raise_priority()
        while (batch := self._queue.get()) is not None:
            error: BaseException | None = None
            try:
                write_batch(self.journal, batch)
            except BaseException as failure:  # the loop must hear of everything, or clients wait for ever
                error = failure
            self.busy_since_ns = 0
            self.done(batch, error)
            if error is not None:
                return


def write_batch(journal: Journal, batch: Any) -> None:
    """Make a batch durable and note where it ends."""
    batch.position = journal.write(batch.commands, batch.first_seq, batch.count, batch.time_ns, batch.digest)
    batch.last_offset = journal.log.last_offset


def raise_priority() -> str:
    """Real-time class for this thread, else a better nice value, else nothing; says which.

    The tail of an acknowledgement is set by the scheduler rather than the disk, and this thread never spins.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except (OSError, AttributeError):
        pass
    else:
        return "SCHED_FIFO 1"
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
    except OSError:
        return "normal"
    return "nice -10"
