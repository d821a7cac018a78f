"""The segment log: what is written is read, a torn tail is cut, and every other wrong byte is refused by name."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from brokerage.kernel.errors import DamageError, JournalDamagedError
from brokerage.kernel.files import OS_FILES, OsFiles, StorageError, replace_file
from brokerage.kernel.segment_log import (
    FRAME_HEADER_SIZE,
    HEADER_SIZE,
    TYPE_SEAL,
    Frame,
    LogReader,
    LogRefusedError,
    SegmentLog,
    Tail,
    segment_name,
)

LOG_ID = bytes(range(16))
SEGMENT = 8192


def crc(data: object, start: int) -> int:
    return zlib.crc32(data, start)  # type: ignore[arg-type]


def open_log(
    folder: Path, tail: Tail | None = None, *, log_id: bytes = LOG_ID, files: OsFiles = OS_FILES
) -> SegmentLog:
    log = SegmentLog(
        folder, files=files, crc=crc, log_id=log_id, build_id=b"test", segment_size=SEGMENT, now_ns=lambda: 7
    )
    log.create() if tail is None else log.resume(tail)
    return log


def payload(seq: int) -> bytes:
    return bytes([seq % 251 + 1]) * 128


def fill(folder: Path, count: int, first: int = 1, log: SegmentLog | None = None) -> SegmentLog:
    log = log or open_log(folder)
    for seq in range(first, first + count):
        log.append(seq, 3, 2, 0, 1000 + seq, payload(seq))
        log.sync()
    return log


def read(folder: Path, log_id: bytes | None = None) -> tuple[list[Frame], Tail]:
    reader = LogReader(folder, files=OS_FILES, crc=crc, log_id=log_id)
    frames = list(reader.frames())
    assert reader.tail is not None
    return [f for f in frames if f.type != TYPE_SEAL], reader.tail


def test_frames_come_back_in_order_over_several_segments(tmp_path: Path) -> None:
    fill(tmp_path, 60).close()
    frames, tail = read(tmp_path)
    assert [f.seq for f in frames] == list(range(1, 61))
    assert all(f.payload == payload(f.seq) and f.epoch == 3 and f.time_ns == 1000 + f.seq for f in frames)
    assert tail.position.segment == 3
    assert tail.torn == 0
    assert {p.name for p in tmp_path.glob("segment-*")} == {segment_name(i) for i in (1, 2, 3)}


def test_resuming_goes_on_where_the_log_ended(tmp_path: Path) -> None:
    fill(tmp_path, 30).close()
    _, tail = read(tmp_path)
    fill(tmp_path, 40, 31, open_log(tmp_path, tail)).close()
    frames, _ = read(tmp_path)
    assert [f.seq for f in frames] == list(range(1, 71))


def test_reading_from_a_place_and_up_to_a_place(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    places = []
    for seq in range(1, 61):
        places.append(log.append(seq, 1, 2, 0, 0, payload(seq)))
    log.sync()
    log.close()
    reader = LogReader(tmp_path, files=OS_FILES, crc=crc)
    for start in range(0, 60, 7):
        for until in range(start, 60, 11):
            found = [f.seq for f in reader.frames(places[start], seq=start + 1, until=places[until]) if f.type == 2]
            assert found == list(range(start + 2, until + 2))


def test_a_payload_of_the_largest_size_fits_and_one_larger_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append(1, 1, 2, 0, 0, bytes(log.payload_max()))
    log.append(2, 1, 2, 0, 0, bytes(log.payload_max()))
    with pytest.raises(ValueError, match="does not fit"):
        log.append(3, 1, 2, 0, 0, bytes(log.payload_max() + 8))
    with pytest.raises(ValueError, match="multiple of 8"):
        log.append(3, 1, 2, 0, 0, bytes(9))
    log.sync()
    log.close()
    assert [f.seq for f in read(tmp_path)[0]] == [1, 2]


def _expected(folder: Path, name: str, byte: int, bounds: list[tuple[str, int, int, int]], end: int) -> object:
    """What one wrong byte must lead to: ('refused'|'damaged', seq) or ('cut', last good seq)."""
    if byte < HEADER_SIZE:
        return "refused", None
    for where, begin, stop, seq in bounds:
        if where == name and begin <= byte < stop:
            return ("cut", seq - 1) if (where, stop) == (bounds[-1][0], end) else ("damaged", seq)
    # Zeros behind the last frame.
    return ("cut", bounds[-1][3]) if name == bounds[-1][0] else ("damaged", None)


def test_every_flipped_byte_is_noticed_and_told_with_its_sequence(tmp_path: Path) -> None:
    fill(tmp_path, 34).close()
    frames, tail = read(tmp_path)
    bounds = []
    place = {1: HEADER_SIZE, 2: HEADER_SIZE}
    for frame in frames:
        bounds.append((segment_name(frame.after.segment), place[frame.after.segment], frame.after.offset, frame.seq))
        place[frame.after.segment] = frame.after.offset
    assert tail.position.segment == 2
    seen = set()
    for path in sorted(tmp_path.glob("segment-*.log")):
        original = path.read_bytes()
        # Every byte of frames and header; of the zeros behind them every 61st.
        used = place[int(path.stem[-8:])] + FRAME_HEADER_SIZE
        for byte in [*range(used), *range(used, SEGMENT, 61)]:
            changed = bytearray(original)
            changed[byte] ^= 1 << byte % 8
            path.write_bytes(changed)
            verdict, seq = _expected(tmp_path, path.name, byte, bounds, tail.position.offset)
            seen.add(verdict)
            if verdict == "refused":
                with pytest.raises(LogRefusedError, match=path.name):
                    read(tmp_path)
            elif verdict == "damaged":
                with pytest.raises(JournalDamagedError) as caught:
                    read(tmp_path)
                assert seq is None or caught.value.sequence == seq
            else:
                found, cut = read(tmp_path)
                assert [f.seq for f in found] == list(range(1, seq + 1))
                assert [f.payload for f in found] == [payload(f.seq) for f in found]
                assert cut.torn > 0
        path.write_bytes(original)
    assert seen == {"refused", "damaged", "cut"}
    assert len(read(tmp_path)[0]) == 34


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 20).close()
    path = tmp_path / segment_name(1)
    original = path.read_bytes()
    for size in [*range(0, 4200, 13), *range(4200, SEGMENT, 5)]:
        path.write_bytes(original[:size])
        with pytest.raises(DamageError):
            read(tmp_path)
    path.write_bytes(original)
    assert len(read(tmp_path)[0]) == 20


def test_a_tail_that_lost_any_of_its_bytes_is_cut_and_stays_gone(tmp_path: Path) -> None:
    log = fill(tmp_path, 5)
    start = log.position.offset
    log.append(6, 3, 2, 0, 0, payload(6))
    log.close()
    path = tmp_path / segment_name(1)
    original = path.read_bytes()
    size = FRAME_HEADER_SIZE + 128
    for kept in range(size):
        path.write_bytes(original[: start + kept] + bytes(SEGMENT - start - kept))
        frames, tail = read(tmp_path)
        assert [f.seq for f in frames] == [1, 2, 3, 4, 5]
        open_log(tmp_path, tail).close()
        # Erased, not only skipped: what was not acknowledged must not come back later.
        assert path.read_bytes()[start:].strip(b"\0") == b""
        assert read(tmp_path)[1].torn == 0


def test_a_good_frame_that_does_not_link_is_damage_even_at_the_end(tmp_path: Path) -> None:
    log = fill(tmp_path, 5)
    log.position = log.position._replace(chain=b"x" * 16)
    log.append(6, 3, 2, 0, 0, payload(6))
    log.close()
    with pytest.raises(JournalDamagedError) as caught:
        read(tmp_path)
    assert caught.value.sequence == 6


def test_segments_of_another_log_or_in_the_wrong_place_are_refused_by_name(tmp_path: Path) -> None:
    ours, other, forked = tmp_path / "ours", tmp_path / "other", tmp_path / "forked"
    for folder in (ours, other, forked):
        folder.mkdir()
    fill(ours, 60).close()
    fill(other, 60, log=open_log(other, log_id=b"o" * 16)).close()
    log = open_log(forked)
    for seq in range(1, 61):
        log.append(seq, 3, 2, 0, 0, payload(seq + 1))
    log.sync()
    log.close()
    second = ours / segment_name(2)
    original = second.read_bytes()

    second.write_bytes((other / segment_name(2)).read_bytes())
    with pytest.raises(LogRefusedError, match=r"segment-00000002.*belongs to log 6f6f"):
        read(ours)
    second.write_bytes((ours / segment_name(3)).read_bytes())
    with pytest.raises(LogRefusedError, match=r"segment-00000002.*says it is segment 3"):
        read(ours)
    second.write_bytes((forked / segment_name(2)).read_bytes())
    with pytest.raises(LogRefusedError, match="does not continue segment-00000001"):
        read(ours)
    second.unlink()
    with pytest.raises(LogRefusedError, match=r"segment-00000002.log is missing"):
        read(ours)
    second.write_bytes(original)
    with pytest.raises(LogRefusedError, match="this is log 6f6f"):
        read(ours, log_id=b"o" * 16)
    assert len(read(ours)[0]) == 60


def test_a_segment_made_ahead_but_never_used_is_thrown_away(tmp_path: Path) -> None:
    log = fill(tmp_path, 3)
    log.prepare_next()
    log.close()
    assert (tmp_path / "next.segment").exists()
    frames, tail = read(tmp_path)
    assert len(frames) == 3
    open_log(tmp_path, tail).close()
    assert not (tmp_path / "next.segment").exists()


class Failing(OsFiles):
    """Fails one call the way a disk does."""

    def __init__(self, call: str, error: int | None) -> None:
        self.call = call
        self.error = error

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self.call == "pwrite":
            if self.error is None:
                return super().pwrite(fd, data[: len(data) // 2], offset)
            raise OSError(self.error, "planned")
        return super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        if self.call == "fdatasync":
            raise OSError(self.error, "planned")
        super().fdatasync(fd)


@pytest.mark.parametrize(("call", "error"), [("pwrite", None), ("pwrite", 5), ("pwrite", 28), ("fdatasync", 5)])
def test_a_failed_or_short_write_is_an_error_never_a_success(tmp_path: Path, call: str, error: int | None) -> None:
    files = Failing("", error)
    log = open_log(tmp_path, files=files)
    log.append(1, 1, 2, 0, 0, payload(1))
    log.sync()
    files.call = call

    def write() -> None:
        log.append(2, 1, 2, 0, 0, payload(2))
        log.sync()

    with pytest.raises(StorageError) as caught:
        write()
    assert caught.value.no_space is (error == 28)


def test_replacing_a_file_leaves_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "epoch"
    for text in (b"1\n", b"2\n"):
        replace_file(OS_FILES, path, text)
        assert path.read_bytes() == text
    assert [p.name for p in tmp_path.iterdir()] == ["epoch"]
