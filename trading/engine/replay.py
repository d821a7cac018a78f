"""From the journal back to the state: recovery at start, and reading past commands with their events for the feed and the tools.

Owns: newest good snapshot + frames → core; the checks on the way (sequence without gaps, rules and struct version, digests). Leaves
to others: what a bad byte means (segment_log.py decides torn tail or damage), opening the journal for writing (journal.py).
Recovery writes nothing itself, so it can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brokerage.kernel.errors import DamageError, JournalDamagedError
from brokerage.kernel.files import FileLayer
from brokerage.kernel.segment_log import TYPE_SEAL, Frame, LogReader, LogRefusedError, Position, Tail
from native import layout
from trading.engine import journal as j
from trading.engine import snapshot as snap


class DivergedError(DamageError):
    """Replaying the journal gives another state than the one recorded in it: this build decides differently. Do not trade."""

    def __init__(self, sequence: int, stored: int, found: int) -> None:
        super().__init__(
            f"replay differs from the journal at command {sequence}: digest {found:016x}, recorded {stored:016x}; "
            "this build of the core does not reproduce what was decided"
        )
        self.sequence = sequence


@dataclass
class Recovered:
    """The state at the end of a journal and how it was reached. ``tail`` is None for a new journal."""

    core: Any
    core_config: Any
    log_id: bytes | None
    tail: Tail | None
    epoch: int
    cmd_seq: int
    event_seq: int
    time_ns: int
    trading_day: int
    snapshot_seq: int
    frames: int
    commands: int
    digests: int
    clean_stop: bool


class Replayer:
    """Applies frames to a core and checks them. Use for one pass."""

    def __init__(self, native: Any, core: Any, core_config: Any) -> None:
        self.native = native
        self.core = core
        self.core_config = core_config
        stats = core.stats()
        self.cmd_seq = stats.cmd_seq
        self.epoch = 0
        self.frames = self.commands = self.digests = 0
        self.clean_stop = True

    def apply(self, frame: Frame) -> tuple[bytes, Any] | None:
        """(commands, events view) of a frame of commands, None for another frame. The view is valid until the next call."""
        self.frames += 1
        if frame.epoch < self.epoch:
            raise JournalDamagedError(self.cmd_seq + 1, f"epoch {frame.epoch} after epoch {self.epoch}")
        self.epoch = frame.epoch
        if frame.type == j.FRAME_COMMANDS:
            return self._commands(frame)
        if frame.type == j.FRAME_START:
            check_start(frame, self.core_config)
        elif frame.type not in (j.FRAME_STOP, TYPE_SEAL):
            raise JournalDamagedError(frame.seq, f"a frame of unknown type {frame.type}: written by a newer program?")
        if frame.type != TYPE_SEAL:
            self.clean_stop = frame.type == j.FRAME_STOP
        return None

    def _commands(self, frame: Frame) -> tuple[bytes, Any]:
        self.clean_stop = False
        has_digest = bool(frame.flags & j.FLAG_DIGEST)
        commands = frame.payload[: -j.DIGEST.size] if has_digest else frame.payload
        count, rest = divmod(len(commands), layout.COMMAND_SIZE)
        if frame.seq != self.cmd_seq + 1 or rest or not count:
            raise JournalDamagedError(
                self.cmd_seq + 1, f"a frame of {len(commands)} bytes claims to begin with command {frame.seq}"
            )
        try:
            events = self.core.apply(commands)
        except self.native.CoreSequenceError as error:
            raise JournalDamagedError(self.cmd_seq + 1, str(error)) from error
        self.cmd_seq += count
        self.commands += count
        if has_digest:
            stored = j.DIGEST.unpack_from(frame.payload, len(commands))[0]
            found = self.core.digest()
            if stored != found:
                raise DivergedError(self.cmd_seq, stored, found)
            self.digests += 1
        return commands, events


def check_start(frame: Frame, core_config: Any = None) -> dict[str, Any]:
    """What a START frame says; JournalDamagedError when this program must not replay it."""
    if len(frame.payload) != j.START_PAYLOAD.size:
        raise JournalDamagedError(frame.seq, "a start record has the wrong size")
    build, abi, semantics, durability, _, *capacities = j.START_PAYLOAD.unpack(frame.payload)
    capacities = capacities[:9]
    if abi != layout.ABI_VERSION or semantics != layout.SEMANTICS_VERSION:
        raise LogRefusedError(
            f"the journal was decided by structs {abi}, rules {semantics}; this program has structs {layout.ABI_VERSION}, "
            f"rules {layout.SEMANTICS_VERSION}: use the program that wrote it"
        )
    if core_config is not None and list(asdict(core_config).values()) != capacities:
        raise LogRefusedError(f"the capacities of the core change at command {frame.seq}; that is not supported")
    names = ("fdatasync", "os")
    return {
        "build_id": build.rstrip(b"\0").decode("ascii", "replace"),
        "durability": names[durability] if durability < len(names) else str(durability),
        "capacities": capacities,
    }


def stored_config(native: Any, reader: LogReader) -> Any:
    """The capacities the journal was begun with: they decide outcomes, so they belong to it."""
    first = next(iter(reader.frames()), None)
    if first is None or first.type != j.FRAME_START:
        return None
    return native.CoreConfig(*check_start(first)["capacities"])


def recover(folder: Path, *, files: FileLayer, native: Any, core_config: Any = None, crc: Any = None) -> Recovered:
    """Bring a core to the end of the journal. Raises DamageError (with the sequence) rather than leave anything out.

    ``core_config`` counts for a new journal only.
    """
    crc = crc or native.crc32c
    snapshots = folder / "snapshots"
    files.make_dir(snapshots)
    reader = LogReader(folder, files=files, crc=crc)
    if reader.count == 0:
        left = snap.list_snapshots(files, snapshots)
        if left:
            raise LogRefusedError(
                f"there is a snapshot at command {left[0]}, but the journal is gone: restore the segments"
            )
        config = core_config or native.CoreConfig()
        core = native.Core(config)
        return Recovered(core, config, None, None, 0, 0, 0, 0, 0, 0, 0, 0, 0, True)
    config = stored_config(native, reader) or core_config or native.CoreConfig()
    found = snap.newest_good(files, snapshots, native, reader.log_id.hex())
    start: Position | None = None
    last_offset = snapshot_seq = epoch = 0
    if found is not None:
        info, core = found
        if not reader.has_frame_before(info.position, info.last_offset):
            core.close()
            raise JournalDamagedError(
                info.cmd_seq, "a snapshot names a place that the journal does not have: its end was lost or replaced"
            )
        start, last_offset, snapshot_seq, epoch = info.position, info.last_offset, info.cmd_seq, info.epoch
    else:
        core = native.Core(config)
    replayer = Replayer(native, core, config)
    replayer.epoch = epoch
    try:
        for frame in reader.frames(start, seq=snapshot_seq, last_offset=last_offset):
            replayer.apply(frame)
    except BaseException:
        core.close()
        raise
    stats = core.stats()
    return Recovered(
        core, config, reader.log_id, reader.tail, replayer.epoch, stats.cmd_seq, stats.event_seq, stats.time_ns,
        stats.trading_day, snapshot_seq, replayer.frames, replayer.commands, replayer.digests, replayer.clean_stop,
    )  # fmt: skip


def read_back(
    folder: Path, *, files: FileLayer, native: Any, core_config: Any, from_seq: int, until: Position
) -> Iterator[tuple[int, int, int, bytes, bytes]]:
    """Yield (epoch, first_seq, count, commands, events) of batches from the one that holds ``from_seq`` up to ``until``.

    In a core of its own; safe in another thread while the journal is being written, because it looks at nothing behind ``until``.
    """
    reader = LogReader(folder, files=files, crc=native.crc32c)
    start: Position | None = None
    seq = last_offset = 0
    found = snap.newest_good(files, folder / "snapshots", native, reader.log_id.hex(), at_most=from_seq - 1)
    core = None
    if found is not None:
        info, core = found
        start, seq, last_offset = info.position, info.cmd_seq, info.last_offset
        if (start.segment, start.offset) > (until.segment, until.offset):
            core.close()
            core, start, seq, last_offset = None, None, 0, 0
    core = core or native.Core(core_config)
    try:
        replayer = Replayer(native, core, core_config)
        for frame in reader.frames(start, seq=seq, last_offset=last_offset, until=until):
            first = replayer.cmd_seq + 1
            result = replayer.apply(frame)
            if result is not None and replayer.cmd_seq >= from_seq:
                yield frame.epoch, first, replayer.cmd_seq - first + 1, result[0], bytes(result[1])
    finally:
        core.close()
