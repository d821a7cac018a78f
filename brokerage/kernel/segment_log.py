"""Append-only log in segments: zero-filled ahead, every frame with a CRC and the hash of the frame before it.

What for: the engine's journal. Owns: the layout of segments and frames, appending, sealing, reading, and the verdict on a bad
byte: a torn tail may be cut, anything else is damage and is told with the sequence. Leaves to others: what the payloads mean,
when to sync (``append`` does not, ``sync`` does), threads, locks on the folder.

    segment file  = header (4096 bytes) | frame | frame | … | zeros
    segment header= magic 8 | version u32 | header_size u32 | log_id 16 | index u64 | first_seq u64 | size u64 | prev_hash 16
                    | build_id 16 | created_ns u64 | crc32c u32
    frame         = len u32 | crc32c u32 | seq u64 | epoch u32 | type u16 | flags u16 | prev_hash 16 | time_ns u64 | payload
    All little-endian. The payload's length is a multiple of 8. The CRC starts from the CRC of the log id, so frames of
    another log never verify, and covers everything after it. prev_hash = first 16 bytes of SHA-256 of the frame before;
    of the first frame of a segment: of the segment's header, whose own prev_hash is that of the last frame before.

Invariants: a frame is appended only after the frame before it is synced or will be lost with it; a segment is renamed to its
name only after its zeros and header are durable; the next segment exists only when the one before ends in a durable SEAL.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from brokerage.kernel.errors import DamageError, JournalDamagedError
from brokerage.kernel.files import FileLayer, StorageError, create_zeroed, sync_data, write_full

MAGIC = b"BRKLOG\r\n"
VERSION = 1
HEADER_SIZE = 4096
SEGMENT_HEADER = struct.Struct("<8sII16sQQQ16s16sQ")
FRAME_HEADER = struct.Struct("<IIQIHH16sQ")
FRAME_HEADER_SIZE = 48
CRC_START = 8  # the CRC covers a frame from here
TYPE_SEAL = 0xFFFF
GENESIS_HASH = bytes(16)
SEGMENT_SIZE_MIN = HEADER_SIZE + 4096
_U32 = struct.Struct("<I")
_NAME = re.compile(r"segment-([0-9]{8})\.log")
_NOT_ZERO = re.compile(rb"[^\0]")

Crc = Callable[[Any, int], int]


class LogRefusedError(DamageError):
    """A segment does not belong here or cannot be read: wrong log, wrong order, bad header. The text names the file."""


class Position(NamedTuple):
    """A place between two frames: the next frame is (or will be) at ``offset`` and names ``chain`` as its prev_hash."""

    segment: int
    offset: int
    chain: bytes


class Frame(NamedTuple):
    """One frame as read. ``after`` is the position behind it."""

    seq: int
    epoch: int
    type: int
    flags: int
    time_ns: int
    payload: bytes
    after: Position


class Tail(NamedTuple):
    """Where a scan ended. ``torn`` bytes behind the position are not zero and belong to no later frame."""

    position: Position
    last_offset: int
    seq: int
    torn: int
    sealed: bool


@dataclass(frozen=True)
class SegmentHeader:
    """What a segment says about itself."""

    log_id: bytes
    index: int
    first_seq: int
    size: int
    prev_hash: bytes
    build_id: bytes
    created_ns: int

    def pack(self, crc: Crc) -> bytes:
        """4096 bytes."""
        body = SEGMENT_HEADER.pack(
            MAGIC, VERSION, HEADER_SIZE, self.log_id, self.index, self.first_seq, self.size, self.prev_hash,
            self.build_id, self.created_ns,
        )  # fmt: skip
        return (body + _U32.pack(crc(body, 0))).ljust(HEADER_SIZE, b"\0")

    @classmethod
    def parse(cls, data: bytes, name: str, crc: Crc) -> SegmentHeader:
        """Header of 4096 bytes; LogRefusedError names what is wrong with it."""
        if len(data) < HEADER_SIZE:
            raise LogRefusedError(f"{name}: the header is cut short ({len(data)} bytes)")
        if data[:8] != MAGIC:
            raise LogRefusedError(f"{name}: not a log segment (bad magic)")
        size = SEGMENT_HEADER.size
        if _U32.unpack_from(data, size)[0] != crc(data[:size], 0) or data[size + 4 : HEADER_SIZE].strip(b"\0"):
            raise LogRefusedError(f"{name}: the segment header is damaged (CRC)")
        _, version, header_size, log_id, index, first_seq, length, prev, build, created = SEGMENT_HEADER.unpack_from(
            data
        )
        if version != VERSION or header_size != HEADER_SIZE:
            raise LogRefusedError(f"{name}: written in format {version}, this program reads {VERSION}")
        return cls(log_id, index, first_seq, length, prev, build, created)


def short_hash(data: Any) -> bytes:
    """First 16 bytes of SHA-256."""
    return hashlib.sha256(data).digest()[:16]


def segment_name(index: int) -> str:
    """File name of a segment."""
    return f"segment-{index:08d}.log"


def pack_frame(
    seq: int,
    epoch: int,
    frame_type: int,
    flags: int,
    prev_hash: bytes,
    time_ns: int,
    payload: Any,
    *,
    crc: Crc,
    seed: int,
) -> bytes:
    """The bytes of one frame."""
    if len(payload) % 8:
        raise ValueError("a payload is a multiple of 8 bytes long")
    head = FRAME_HEADER.pack(len(payload), 0, seq, epoch, frame_type, flags, prev_hash, time_ns)
    body = b"".join((head[CRC_START:], payload))
    return b"".join((head[:4], _U32.pack(crc(body, seed)), body))


class LogReader:
    """Reads a log's folder. Never writes. One scan at a time."""

    def __init__(self, folder: Path, *, files: FileLayer, crc: Crc, log_id: bytes | None = None) -> None:
        self.folder = folder
        self.files = files
        self.crc = crc
        self.tail: Tail | None = None
        """Set when ``frames`` ran to the end of the log."""
        indices = sorted(int(m[1]) for name in files.listdir(folder) if (m := _NAME.fullmatch(name)))
        if indices != list(range(1, len(indices) + 1)):
            missing = next(i for i, index in enumerate(indices, 1) if i != index)
            raise LogRefusedError(f"{segment_name(missing)} is missing; there are later segments")
        self.count = len(indices)
        self.log_id = log_id or b""
        """Of the first segment when none was given; empty when there is no log."""
        if indices:
            first = self._header(1)
            self.log_id = log_id or first.log_id
            if first.prev_hash != GENESIS_HASH:
                raise LogRefusedError(f"{segment_name(1)}: it says that another segment comes before it")
        self.seed = crc(self.log_id, 0)

    def _read(self, index: int, size: int | None) -> bytes:
        fd = self.files.open(self.folder / segment_name(index))
        try:
            return self.files.pread(fd, self.files.size(fd) if size is None else size, 0)
        finally:
            self.files.close(fd)

    def _header(self, index: int, data: bytes | None = None) -> SegmentHeader:
        name = segment_name(index)
        header = SegmentHeader.parse(data or self._read(index, HEADER_SIZE), name, self.crc)
        if self.log_id and header.log_id != self.log_id:
            raise LogRefusedError(f"{name}: it belongs to log {header.log_id.hex()}, this is log {self.log_id.hex()}")
        if header.index != index:
            raise LogRefusedError(f"{name}: it says it is segment {header.index}")
        return header

    def start(self) -> Position:
        """The position of the first frame of the log."""
        return Position(1, HEADER_SIZE, short_hash(self._read(1, HEADER_SIZE)))

    def has_frame_before(self, place: Position, frame_offset: int) -> bool:
        """True when the frame at ``frame_offset`` (the header: 0) ends exactly at ``place`` and hashes to its chain."""
        if not 1 <= place.segment <= self.count:
            return False
        data = self._read(place.segment, place.offset)
        return len(data) == place.offset and short_hash(data[frame_offset:]) == place.chain

    def frames(
        self, start: Position | None = None, *, seq: int = 0, last_offset: int = 0, until: Position | None = None
    ) -> Iterator[Frame]:
        """Yield frames from ``start``; afterwards ``tail`` tells how the log ends.

        ``seq`` and ``last_offset`` are those of the frame before ``start``.

        With ``until`` nothing behind that place is looked at: a log that is being written can be read up to what is durable.
        JournalDamagedError for bytes that cannot be a torn tail.
        """
        place = start or self.start()
        index = place.segment
        while True:
            last = until is not None and index == until.segment
            data = self._read(index, until.offset if last and until else None)
            header = self._header(index, data[:HEADER_SIZE])
            if not last and len(data) != header.size:
                raise JournalDamagedError(seq + 1, f"{segment_name(index)} has {len(data)} of {header.size} bytes")
            if place.offset == HEADER_SIZE and place.chain != short_hash(data[:HEADER_SIZE]):
                raise LogRefusedError(
                    f"{segment_name(index)} is not the one that was here before: its header hash differs"
                )
            sealed = False
            offset, chain = place.offset, place.chain
            while until is None or not last or offset < until.offset:
                frame = None if sealed else self._frame(data, index, offset, chain, seq)
                if frame is None:
                    break
                last_offset = offset
                offset, chain, seq = frame.after.offset, frame.after.chain, frame.seq
                sealed = frame.type == TYPE_SEAL
                yield frame
            place = Position(index, offset, chain)
            if last:
                if until is not None and place != until:
                    raise JournalDamagedError(
                        seq + 1, f"{segment_name(index)} ends at {offset}, {until.offset} was expected"
                    )
                return
            if not self._finish_segment(index, data, Tail(place, last_offset, seq, 0, sealed)):
                return
            index += 1
            last_offset = 0
            head = self._read(index, HEADER_SIZE)
            if self._header(index, head).prev_hash != chain:
                raise LogRefusedError(f"{segment_name(index)} does not continue {segment_name(index - 1)}")
            place = Position(index, HEADER_SIZE, short_hash(head))

    def _finish_segment(self, index: int, data: bytes, tail: Tail) -> bool:
        """Judge what follows the last good frame of a segment. True: go on with the next segment."""
        place, seq, sealed = tail.position, tail.seq, tail.sealed
        name = segment_name(index)
        # A seal carries the sequence of the frame behind it, so after one (in this segment or the one before) that very sequence is missing.
        behind_seal = sealed or (place.offset == HEADER_SIZE and index > 1)
        missing = seq if behind_seal else seq + 1
        rest = _NOT_ZERO.search(data, place.offset)
        last = index == self.count and not self._appeared(index + 1)
        if rest is not None and (sealed or not last):
            raise JournalDamagedError(missing, f"{name} has a damaged frame at byte {place.offset}")
        if not last and not sealed:
            raise JournalDamagedError(missing, f"{name} ends without its seal, but there is a later segment")
        if last:
            if rest is not None and (later := self._later(data, place.offset, seq)) is not None:
                raise JournalDamagedError(
                    missing, f"{name}: the frame at byte {place.offset} is damaged; a later good one is at byte {later}"
                )
            torn = len(data[place.offset :].rstrip(b"\0")) if rest is not None else 0
            self.tail = tail._replace(torn=torn)
        return not last

    def _appeared(self, index: int) -> bool:
        """Another segment was made since this reader looked."""
        if segment_name(index) in self.files.listdir(self.folder):
            self.count = max(self.count, index)
            return True
        return False

    def _frame(self, data: bytes, index: int, offset: int, chain: bytes, seq: int) -> Frame | None:
        """The frame at ``offset``, or None when there is none that verifies and links."""
        if offset + FRAME_HEADER_SIZE > len(data):
            return None
        length, crc, number, epoch, kind, flags, prev, time_ns = FRAME_HEADER.unpack_from(data, offset)
        end = offset + FRAME_HEADER_SIZE + length
        if length % 8 or kind == 0 or end > len(data) or prev != chain or number < seq:
            return None
        if self.crc(data[offset + CRC_START : end], self.seed) != crc:
            return None
        after = Position(index, end, short_hash(data[offset:end]))
        return Frame(number, epoch, kind, flags, time_ns, data[offset + FRAME_HEADER_SIZE : end], after)

    def _later(self, data: bytes, offset: int, seq: int) -> int | None:
        """Byte of the first good frame at or behind ``offset``, whatever it links to; None when there is none.

        One at ``offset`` itself has a good CRC and the wrong link: no torn write looks like that, whatever its sequence.
        """
        place = offset
        while (match := _NOT_ZERO.search(data, place)) is not None:
            place = max(match.start() & ~7, place)
            if place + FRAME_HEADER_SIZE > len(data):
                return None
            length, crc, number, _, kind, _, _, _ = FRAME_HEADER.unpack_from(data, place)
            end = place + FRAME_HEADER_SIZE + length
            fits = length % 8 == 0 and kind and end <= len(data)
            expected = place == offset or seq <= number <= seq + (1 << 40)
            if fits and expected and self.crc(data[place + CRC_START : end], self.seed) == crc:
                return place
            place += 8
        return None


class SegmentLog:
    """The writing end of a log. One thread; the owner holds a lock on the folder."""

    def __init__(
        self,
        folder: Path,
        *,
        files: FileLayer,
        crc: Crc,
        log_id: bytes,
        build_id: bytes,
        segment_size: int,
        now_ns: Callable[[], int],
    ) -> None:
        if segment_size < SEGMENT_SIZE_MIN or segment_size % 8:
            raise ValueError(f"a segment has at least {SEGMENT_SIZE_MIN} bytes")
        self.folder = folder
        self.files = files
        self.crc = crc
        self.log_id = log_id
        self.build_id = build_id[:16].ljust(16, b"\0")
        self.segment_size = segment_size
        self.now_ns = now_ns
        self.seed = crc(log_id, 0)
        self.position = Position(0, 0, GENESIS_HASH)
        self.seq = 0
        self.last_offset = 0
        """Where the frame before ``position`` starts; 0 = it is the segment's header."""
        self._fd = -1
        self._size = 0
        self._name = ""
        self._ahead = folder / "next.segment"
        self.ahead_ready = False
        """The next segment is zero-filled already."""

    # -- opening ------------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Start an empty log."""
        self._remove_ahead()
        self._new_segment(1, 1, GENESIS_HASH)

    def resume(self, tail: Tail) -> None:
        """Go on behind the tail a LogReader found: erase what is torn, durably, before anything is appended."""
        self._remove_ahead()
        self.position, self.seq, self.last_offset = tail.position, tail.seq, tail.last_offset
        path = self.folder / segment_name(tail.position.segment)
        self._name = path.name
        self._fd = self.files.open(path)
        self._size = self.files.size(self._fd)
        if tail.torn:
            write_full(self.files, self._fd, bytes(tail.torn), tail.position.offset, path.name)
            sync_data(self.files, self._fd, path.name)
        if tail.sealed:
            self._next_segment(tail.seq)

    def _remove_ahead(self) -> None:
        if self._ahead.name in self.files.listdir(self.folder):
            self.files.remove(self._ahead)
            self.files.fsync_dir(self.folder)

    # -- writing ------------------------------------------------------------------------------------------------------

    def payload_max(self) -> int:
        """Largest payload of one frame: it and a seal fit an empty segment."""
        return self.segment_size - HEADER_SIZE - 2 * FRAME_HEADER_SIZE

    def append(self, seq: int, epoch: int, frame_type: int, flags: int, time_ns: int, payload: Any) -> Position:
        """Write one frame (not durable yet) and return the position behind it. StorageError: stop using this log."""
        if not 0 < frame_type < TYPE_SEAL or seq < self.seq:
            raise ValueError("a frame has a type and does not go back in sequence")
        if len(payload) > self.payload_max():
            raise ValueError(f"a payload of {len(payload)} bytes does not fit a segment of {self.segment_size}")
        if self.position.offset + 2 * FRAME_HEADER_SIZE + len(payload) > self._size:
            self._seal(seq, epoch, time_ns)
            self._next_segment(seq)
        return self._write(seq, epoch, frame_type, flags, time_ns, payload)

    def _write(self, seq: int, epoch: int, frame_type: int, flags: int, time_ns: int, payload: Any) -> Position:
        index, offset, chain = self.position
        frame = pack_frame(seq, epoch, frame_type, flags, chain, time_ns, payload, crc=self.crc, seed=self.seed)
        write_full(self.files, self._fd, frame, offset, self._name)
        self.seq = seq
        self.last_offset = offset
        self.position = Position(index, offset + len(frame), short_hash(frame))
        return self.position

    def sync(self) -> None:
        """Make everything appended durable."""
        sync_data(self.files, self._fd, self._name)

    def close(self) -> None:
        """Close the file. Does not sync."""
        if self._fd >= 0:
            self.files.close(self._fd)
            self._fd = -1

    # -- segments -----------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Bytes left in the present segment."""
        return self._size - self.position.offset

    def prepare_next(self) -> None:
        """Zero-fill the next segment ahead of need; may run in another thread. StorageError when there is no room."""
        if not self.ahead_ready:
            temp = self.folder / "next.tmp"
            if temp.name in self.files.listdir(self.folder):
                self.files.remove(temp)
            self.files.close(create_zeroed(self.files, temp, self.segment_size))
            self.files.rename(temp, self._ahead)
            self.ahead_ready = True

    def _seal(self, seq: int, epoch: int, time_ns: int) -> None:
        self._write(seq, epoch, TYPE_SEAL, 0, time_ns, b"")
        self.sync()

    def _next_segment(self, first_seq: int) -> None:
        self.close()
        self._new_segment(self.position.segment + 1, first_seq, self.position.chain)

    def _new_segment(self, index: int, first_seq: int, prev_hash: bytes) -> None:
        """Zeros and header are durable before the file gets its name; the name is durable before a frame is written."""
        path = self.folder / segment_name(index)
        self._name = path.name
        try:
            self.prepare_next()
            self._fd = self.files.open(self._ahead)
            self._size = self.files.size(self._fd)
            header = SegmentHeader(
                self.log_id, index, first_seq, self._size, prev_hash, self.build_id, self.now_ns()
            ).pack(self.crc)
            write_full(self.files, self._fd, header, 0, path.name)
            self.files.fsync(self._fd)
            self.files.rename(self._ahead, path)
            self.ahead_ready = False
            self.files.fsync_dir(self.folder)
        except OSError as error:
            raise StorageError(f"cannot start {path.name}", error) from error
        self.last_offset = 0
        self.position = Position(index, HEADER_SIZE, short_hash(header))
