"""Snapshots: the core's state at one command sequence, with the place in the journal where it goes on.

Owns: the file format, writing (temporary file, sync, rename, sync of the folder), verifying by loading, choosing the newest good
one, keeping at least two. Leaves to others: the state's bytes (native core), when to take one (runtime.py).

    file = magic 8 | header length u32 | header (JSON) | state | SHA-256 of everything before

A snapshot is only a shorter way to a state which the journal can reproduce: a damaged one is passed over with a warning, one that
names a place the journal does not have means that the journal lost its end, and stops the engine.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brokerage.kernel.errors import DamageError
from brokerage.kernel.files import FileLayer, replace_file
from brokerage.kernel.segment_log import Position
from native import layout

log = logging.getLogger(__name__)

MAGIC = b"BRKSNAP\n"
KEEP = 3
_LENGTH = struct.Struct("<I")
_NAME = re.compile(r"snapshot-([0-9]{20})\.bin")


class SnapshotDamagedError(DamageError):
    """A snapshot file is not what was written."""


@dataclass(frozen=True)
class SnapshotInfo:
    """What a snapshot is of, and where the journal goes on."""

    journal_id: str
    epoch: int
    cmd_seq: int
    event_seq: int
    time_ns: int
    trading_day: int
    digest: int
    segment: int
    offset: int
    last_offset: int
    chain: str
    build_id: str
    abi: int
    semantics: int
    core_config: dict[str, int]
    state_size: int = 0

    @property
    def position(self) -> Position:
        """Place in the journal behind the last command of the snapshot."""
        return Position(self.segment, self.offset, bytes.fromhex(self.chain))


def snapshot_path(folder: Path, cmd_seq: int) -> Path:
    """File of the snapshot at a sequence."""
    return folder / f"snapshot-{cmd_seq:020d}.bin"


def list_snapshots(files: FileLayer, folder: Path) -> list[int]:
    """Command sequences of the snapshots there are, newest first."""
    return sorted((int(m[1]) for name in files.listdir(folder) if (m := _NAME.fullmatch(name))), reverse=True)


def pack_snapshot(info: SnapshotInfo, state: bytes) -> bytes:
    """The bytes of a snapshot file."""
    header = json.dumps(asdict(info) | {"state_size": len(state)}, sort_keys=True).encode()
    body = b"".join((MAGIC, _LENGTH.pack(len(header)), header, state))
    return body + hashlib.sha256(body).digest()


def parse_snapshot(data: bytes, name: str) -> tuple[SnapshotInfo, memoryview]:
    """Header and state; SnapshotDamagedError names what is wrong."""
    if len(data) < len(MAGIC) + 4 + 32 or data[:8] != MAGIC:
        raise SnapshotDamagedError(f"{name}: not a snapshot")
    view = memoryview(data)
    if hashlib.sha256(view[:-32]).digest() != data[-32:]:
        raise SnapshotDamagedError(f"{name}: the checksum does not match")
    size = _LENGTH.unpack_from(data, 8)[0]
    info = SnapshotInfo(**json.loads(data[12 : 12 + size]))
    state = view[12 + size : -32]
    if len(state) != info.state_size:
        raise SnapshotDamagedError(f"{name}: {len(state)} bytes of state, {info.state_size} expected")
    return info, state


def read_snapshot(files: FileLayer, folder: Path, cmd_seq: int) -> tuple[SnapshotInfo, memoryview]:
    """Read one file."""
    path = snapshot_path(folder, cmd_seq)
    fd = files.open(path)
    try:
        data = files.pread(fd, files.size(fd), 0)
    finally:
        files.close(fd)
    return parse_snapshot(data, path.name)


def restore(native: Any, info: SnapshotInfo, state: Any) -> Any:
    """A core from a snapshot, compared with the digest it had. SnapshotDamagedError when it is not the same."""
    if info.abi != layout.ABI_VERSION or info.semantics != layout.SEMANTICS_VERSION:
        raise SnapshotDamagedError(f"the snapshot at {info.cmd_seq} is of structs {info.abi}, rules {info.semantics}")
    try:
        core = native.Core.restore(native.CoreConfig(**info.core_config), state)
    except ValueError as error:
        raise SnapshotDamagedError(f"the snapshot at {info.cmd_seq} cannot be loaded: {error}") from error
    if core.digest() != info.digest:
        core.close()
        raise SnapshotDamagedError(f"the snapshot at {info.cmd_seq} has another digest than when it was taken")
    return core


def write_snapshot(files: FileLayer, folder: Path, info: SnapshotInfo, state: bytes, native: Any) -> None:
    """Write durably, verify by loading what is on the disk, then remove the oldest beyond KEEP."""
    replace_file(files, snapshot_path(folder, info.cmd_seq), pack_snapshot(info, state))
    stored, bytes_back = read_snapshot(files, folder, info.cmd_seq)
    restore(native, stored, bytes_back).close()
    for old in list_snapshots(files, folder)[KEEP:]:
        files.remove(snapshot_path(folder, old))


def newest_good(
    files: FileLayer, folder: Path, native: Any, journal_id: str, at_most: int | None = None
) -> tuple[SnapshotInfo, Any] | None:
    """The newest snapshot that verifies and loads, as (info, core); damaged ones are passed over with a warning."""
    for cmd_seq in list_snapshots(files, folder):
        if at_most is not None and cmd_seq > at_most:
            continue
        try:
            info, state = read_snapshot(files, folder, cmd_seq)
            if info.journal_id != journal_id:
                raise SnapshotDamagedError(f"the snapshot at {cmd_seq} belongs to journal {info.journal_id}")
            return info, restore(native, info, state)
        except (SnapshotDamagedError, OSError) as error:
            log.warning("snapshot passed over: %s", error)
    return None
