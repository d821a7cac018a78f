"""Power loss at every operation, and the planted bugs that prove the harness would notice.

`CRASH_SEEDS` (default 30) sets how many random runs are made; each prints nothing unless it fails, and then its seed.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brokerage.kernel import segment_log
from brokerage.kernel.errors import BrokerageError
from brokerage.kernel.files import StorageError
from tests.crash.disk import SimDisk
from tests.crash.simulation import InvariantBroken, Plants, Simulation
from trading.engine.runtime import EngineRuntime

SEEDS = int(os.environ.get("CRASH_SEEDS", "30"))


def test_random_crashes_lose_nothing_acknowledged_and_bring_nothing_back(tmp_path: Path) -> None:
    sites: Counter[str] = Counter()
    crashes = torn = snapshots = 0
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            report = Simulation(seed, folder).run(6)
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
        crashes += report.crashes
        torn += report.torn
        snapshots += report.snapshots_used
        sites.update(report.sites)
    print(f"\n{crashes} crashes at {dict(sites)}, {torn} torn tails, {snapshots} recoveries by snapshot")
    # A run that never met what it is about proves nothing.
    assert {"pwrite", "fdatasync", "fsync", "rename", "fsync_dir", "create"} <= set(sites)
    assert torn >= SEEDS // 10
    assert snapshots >= SEEDS


def test_a_crash_before_every_single_operation_of_a_life(tmp_path: Path) -> None:
    """Start, segments, snapshots, seals: power goes before operation 1, 2, 3, … of the second life."""
    probe = Simulation(1, tmp_path)
    probe.life(12, 0)
    first = probe.disk.ops
    probe.life(25, 0)
    operations = probe.disk.ops - first
    assert operations > 60
    for crash_in in range(1, operations + 1):
        run = Simulation(1, tmp_path)
        run.disk.random.seed(crash_in)
        run.life(12, 0)
        run.life(25, crash_in)
        # And again during the recovery from that.
        run.life(2, crash_in % 9 + 1)
        run.life(2, 0)
        assert run.acked > 0


def test_crashing_recovery_ten_times_changes_nothing(tmp_path: Path) -> None:
    for seed in range(6):
        run = Simulation(seed, tmp_path)
        run.life(20, 97 + seed)
        acked = run.acked
        for attempt in range(1, 11):
            run.life(0, attempt)
        run.life(1, 0)
        assert run.acked >= acked


def _runs(tmp_path: Path, plants: Plants | None = None, *, seeds: int = 60, **options: Any) -> int:
    """How many seeds until the harness notices; fails the test when none does."""
    for seed in range(seeds):
        folder = tmp_path / f"p{seed}"
        folder.mkdir()
        try:
            Simulation(seed, folder, plants, **options).run(6)
        except (InvariantBroken, BrokerageError):
            return seed + 1
    pytest.fail(f"the planted bug was not noticed in {seeds} seeds")


def test_planted_acknowledging_before_the_sync_is_noticed(tmp_path: Path) -> None:
    _runs(tmp_path, Plants(ack_before_sync=True))


def test_planted_syncs_that_do_nothing_are_noticed(tmp_path: Path) -> None:
    _runs(tmp_path, fsync_lies=True)


def test_planted_missing_sync_of_the_folder_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimDisk, "fsync_dir", lambda self, path: None)
    _runs(tmp_path)


def test_planted_missing_crc_check_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def frame(self: Any, data: bytes, index: int, offset: int, chain: bytes, seq: int) -> Any:
        if offset + segment_log.FRAME_HEADER_SIZE > len(data):
            return None
        length, _, number, epoch, kind, flags, prev, time_ns = segment_log.FRAME_HEADER.unpack_from(data, offset)
        end = offset + segment_log.FRAME_HEADER_SIZE + length
        if length % 8 or kind == 0 or end > len(data) or prev != chain:
            return None
        after = segment_log.Position(index, end, segment_log.short_hash(data[offset:end]))
        return segment_log.Frame(
            number, epoch, kind, flags, time_ns, data[offset + segment_log.FRAME_HEADER_SIZE : end], after
        )

    monkeypatch.setattr(segment_log.LogReader, "_frame", frame)
    _runs(tmp_path, seeds=200)


def _without_erasing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = segment_log.SegmentLog.resume
    monkeypatch.setattr(segment_log.SegmentLog, "resume", lambda self, tail: real(self, tail._replace(torn=0)))


def test_planted_missing_erase_of_the_tail_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_erasing(monkeypatch)
    _runs(tmp_path, seeds=400)


def test_planted_missing_chain_check_and_erase_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = segment_log.LogReader._frame
    monkeypatch.setattr(
        segment_log.LogReader,
        "_frame",
        lambda self, data, index, offset, chain, seq: real(
            self, data, index, offset, data[offset + 24 : offset + 40], seq
        ),
    )
    _without_erasing(monkeypatch)
    _runs(tmp_path, seeds=400)


def test_planted_dropping_of_the_last_command_of_a_batch_is_noticed(tmp_path: Path) -> None:
    def prepare(runtime: EngineRuntime) -> None:
        real = runtime.journal.write

        def short(packed: Any, first_seq: int, count: int, time_ns: int, digest: int | None) -> Any:
            keep = packed if count < 3 else packed[:-128]
            return real(keep, first_seq, count, time_ns, digest)

        runtime.journal.write = short  # type: ignore[method-assign]

    _runs(tmp_path, Plants(prepare=prepare))


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failing_operation_is_an_error_and_what_was_acknowledged_is_there_afterwards(
    tmp_path: Path, code: int
) -> None:
    failures = 0
    for fail_in in range(1, 130, 3):
        run = Simulation(fail_in, tmp_path)
        run.life(8, 0)
        run.disk.fail_errno = code
        run.disk.fail_at = run.disk.ops + fail_in
        try:
            run.life(30, 0)
        except (StorageError, OSError):
            failures += 1
            run.power_loss()
        run.life(3, 0)
    assert failures > 10
