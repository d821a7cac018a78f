"""The cycle that makes an acknowledgement true, and everything that must stop it."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from brokerage.kernel.clock import NS_PER_DAY, NS_PER_S, ManualClock
from brokerage.kernel.files import StorageError
from native import layout
from native.layout import CancelReason, EventType, TradingState
from trading.engine import commands
from trading.engine import snapshot as snap
from trading.engine.events import Accepted, Rejected
from trading.engine.journal import JournalLockedError
from trading.engine.queries import state_of
from trading.engine.runtime import PENDING_MAX
from trading.engine.tests.helpers import START_NS, FaultyFiles, list_market, make_runtime, order, send


async def test_nothing_is_told_before_the_journal_has_it(tmp_path: Path) -> None:
    files = FaultyFiles()
    runtime = make_runtime(tmp_path, files=files)
    runtime.start()
    await list_market(runtime)
    files.hold_sync = threading.Event()
    answer = send(runtime, order(1, 1, 100, 5))
    fed: list[bytes] = []
    runtime.events.subscribe(fed.append, lambda code, text: None, -1)
    asked: list[int] = []
    await asyncio.sleep(0.1)
    # The core has it already; neither an answer, nor an event, nor a question may show it.
    runtime.query(lambda: asked.append(runtime.core.stats().live_orders))
    await asyncio.sleep(0.1)
    assert not answer.done()
    assert fed == asked == []
    assert (state_of(runtime)["cmd_seq"], state_of(runtime)["live_orders"]) == (runtime.durable_cmd_seq, None)
    assert runtime.core.stats().live_orders == 1
    files.hold_sync.set()
    outcome = (await answer)[0]
    assert isinstance(outcome, Accepted)
    await asyncio.sleep(0.05)
    assert len(fed) == 1
    assert asked == [1]
    await runtime.stop()


async def test_what_comes_while_the_disk_works_is_one_next_batch(tmp_path: Path) -> None:
    files = FaultyFiles()
    runtime = make_runtime(tmp_path, files=files)
    runtime.start()
    await list_market(runtime)
    files.hold_sync = threading.Event()
    before = runtime.batches
    answers = [send(runtime, order(1, 1, 90, 1))]
    await asyncio.sleep(0.05)
    answers += [send(runtime, order(1, 1, 90, 1)) for _ in range(200)]
    files.hold_sync.set()
    outcomes = [(await answer)[0] for answer in answers]
    assert runtime.batches == before + 2
    assert [o.cmd_seq for o in outcomes] == list(range(outcomes[0].cmd_seq, outcomes[0].cmd_seq + 201))
    await runtime.stop()


@pytest.mark.parametrize("durability", ["fdatasync", "os"])
@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
async def test_a_failing_disk_halts_and_nothing_more_is_acknowledged(
    tmp_path: Path, durability: str, call: str
) -> None:
    if (durability, call) == ("os", "fdatasync"):
        # In this mode a batch is not synced; the sync of a start is, and then the engine does not start.
        files = FaultyFiles()
        files.fail["fdatasync"] = OSError(errno.EIO, "planned")
        with pytest.raises(StorageError):
            make_runtime(tmp_path, files=files, durability=durability)
        return
    files = FaultyFiles()
    runtime = make_runtime(tmp_path, files=files, durability=durability)
    reasons: list[str] = []
    runtime.on_halt = reasons.append
    runtime.start()
    await list_market(runtime)
    acked = runtime.durable_cmd_seq
    files.fail[call] = OSError(errno.EIO, "planned")
    lost = send(runtime, order(1, 1, 100, 5, "lost"))
    await asyncio.sleep(0.2)
    assert "journal cannot be written" in reasons[0]
    files.fail.clear()
    # Never tried again, although the disk would work now.
    later = send(runtime, order(1, 1, 100, 5, "later"))
    await asyncio.sleep(0.2)
    assert not lost.done()
    assert not later.done()
    assert len(reasons) == 1
    assert state_of(runtime)["halt_reason"] == reasons[0]
    assert runtime.durable_cmd_seq == acked
    await runtime.stop()

    again = make_runtime(tmp_path)
    again.start()
    assert again.durable_cmd_seq in (acked, acked + 1)
    assert again.epoch == runtime.epoch + 1
    await again.stop()


async def test_little_room_refuses_new_orders_but_not_cancels(tmp_path: Path) -> None:
    files = FaultyFiles()
    runtime = make_runtime(tmp_path, files=files, low_water=1 << 20)
    runtime.start()
    await list_market(runtime)
    resting = (await send(runtime, order(1, 1, 100, 5)))[0]
    files.free = (1 << 20) - 1
    runtime.journal.check_space()
    packed = order(1, 1, 100, 5) + commands.order_cancel(1, resting.events[0].order_id)
    assert runtime.refusal(packed, 2) == [9013, 0]
    assert state_of(runtime)["low_space"] is True
    cancelled = (await send(runtime, packed[128:]))[0]
    assert cancelled.events[0].type == EventType.ORDER_CANCELED
    files.free = 2 << 20
    runtime.journal.check_space()
    assert runtime.refusal(packed, 2) is None
    await runtime.stop()


async def test_a_full_disk_uses_the_reserve_so_that_cancels_are_still_recorded(tmp_path: Path) -> None:
    files = FaultyFiles()
    runtime = make_runtime(tmp_path, files=files)
    reasons: list[str] = []
    runtime.on_halt = reasons.append
    runtime.start()
    await list_market(runtime)
    assert (tmp_path / "reserve").exists()
    # From now on the disk only has the room the reserve gives back.
    real_remove = files.remove

    def remove(path: Path) -> None:
        real_remove(path)
        if path.name == "reserve":
            files.fail.pop("create", None)

    files.remove = remove  # type: ignore[method-assign]
    files.fail["create"] = OSError(errno.ENOSPC, "No space left on device")
    sent = 0
    while runtime.journal.log.position.segment == 1:
        done = await asyncio.wait_for(send(runtime, *[commands.order_cancel(1, 99)] * 50), 5)
        sent += len(done)
        assert sent < 2000
    assert not (tmp_path / "reserve").exists()
    assert runtime.journal.low_space is True
    files.fail["create"] = OSError(errno.ENOSPC, "No space left on device")
    # And when that is used up too: halt, not a lie.
    for _ in range(40):
        answer = send(runtime, *[commands.order_cancel(1, 99)] * 50)
        await asyncio.sleep(0.02)
        if reasons:
            break
    assert "No space left" in reasons[0]
    assert not answer.done()
    files.fail.clear()
    await runtime.stop()
    again = make_runtime(tmp_path)
    assert again.durable_cmd_seq >= sent
    again.start()
    await again.stop()


async def test_more_waiting_commands_than_allowed_are_refused_and_not_lost_silently(tmp_path: Path) -> None:
    files = FaultyFiles()
    runtime = make_runtime(tmp_path, files=files)
    runtime.start()
    await list_market(runtime)
    files.hold_sync = threading.Event()
    first = send(runtime, order(1, 1, 100, 1))
    await asyncio.sleep(0.05)
    many = [commands.order_cancel(1, 99)] * 256
    waiting = [send(runtime, *many) for _ in range(PENDING_MAX // 256)]
    over = await send(runtime, *many)
    assert [(type(o), o.reason, o.cmd_seq) for o in over if isinstance(o, Rejected)] == [(Rejected, 9013, 0)] * 256
    files.hold_sync.set()
    assert isinstance((await first)[0], Accepted)
    assert sum([len(await answer) for answer in waiting]) == PENDING_MAX
    await runtime.stop()


# -- time -------------------------------------------------------------------------------------------------------------


async def test_a_gtd_order_expires_without_any_command_coming(tmp_path: Path) -> None:
    clock = ManualClock(START_NS)
    runtime = make_runtime(tmp_path, clock=clock)
    runtime.start()
    await list_market(runtime)
    await send(runtime, order(1, 1, 100, 5, tif=6, expire_ns=START_NS + NS_PER_S))
    await asyncio.sleep(0)  # what was answered is told one turn later
    frames: list[bytes] = []
    runtime.events.subscribe(frames.append, lambda code, text: None, -1)
    clock.advance(NS_PER_S - 1)
    await asyncio.sleep(0.3)
    assert runtime.core.stats().live_orders == 1
    clock.advance(1)
    await asyncio.sleep(0.4)
    assert runtime.core.stats().live_orders == 0
    assert len(frames) == 1
    await runtime.stop()


async def test_an_order_whose_time_is_up_does_not_trade_any_more(tmp_path: Path) -> None:
    clock = ManualClock(START_NS)
    runtime = make_runtime(tmp_path, clock=clock)
    runtime.start()
    await list_market(runtime)
    await send(runtime, order(1, 1, 100, 5, tif=6, expire_ns=START_NS + NS_PER_S))
    clock.advance(NS_PER_S)
    outcome = (await send(runtime, order(2, 2, 100, 5)))[0]
    assert [e.type for e in outcome.events] == [EventType.ORDER_ACCEPTED]
    await runtime.stop()


async def test_thousands_of_orders_due_at_once_expire_before_anybody_trades(tmp_path: Path) -> None:
    clock = ManualClock(START_NS)
    runtime = make_runtime(tmp_path, clock=clock, segment_size=4 << 20)
    runtime.start()
    await list_market(runtime)
    for start in range(0, 3000, 500):
        await send(
            runtime,
            *[order(1, 1, 90 - i % 20, 1, tif=6, expire_ns=START_NS + NS_PER_S + start + i) for i in range(500)],
        )
    assert runtime.core.stats().live_orders == 3000
    clock.advance(2 * NS_PER_S)
    outcome = (await send(runtime, order(2, 2, 70, 5)))[0]
    assert [e.type for e in outcome.events] == [EventType.ORDER_ACCEPTED]
    assert runtime.core.stats().live_orders == 1
    await runtime.stop()


async def test_the_day_rolls_at_utc_midnight_and_only_once(tmp_path: Path) -> None:
    clock = ManualClock(START_NS)
    runtime = make_runtime(tmp_path, clock=clock)
    runtime.start()
    await list_market(runtime)
    day = START_NS // NS_PER_DAY
    assert runtime.core.stats().trading_day == day
    seq = runtime.durable_cmd_seq
    clock.set((day + 1) * NS_PER_DAY - 1)
    await asyncio.sleep(0.25)
    assert runtime.durable_cmd_seq == seq
    clock.set((day + 1) * NS_PER_DAY)
    await asyncio.sleep(0.3)
    assert (runtime.core.stats().trading_day, runtime.durable_cmd_seq) == (day + 1, seq + 1)
    # The clock goes back over midnight: no second roll, and time does not run backwards.
    clock.set((day + 1) * NS_PER_DAY - NS_PER_S * 3600)
    outcome = (await send(runtime, order(1, 1, 100, 1)))[0]
    assert outcome.events[0].time_ns == (day + 1) * NS_PER_DAY
    clock.set((day + 1) * NS_PER_DAY + 5)
    await asyncio.sleep(0.25)
    assert runtime.durable_cmd_seq == outcome.cmd_seq
    assert runtime.sequencer.clock_jumps >= 2
    await runtime.stop()


async def test_a_restart_with_the_clock_behind_goes_on_from_the_last_time(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, clock=ManualClock(START_NS + 3600 * NS_PER_S))
    runtime.start()
    await list_market(runtime)
    last = runtime.sequencer.time_ns
    await runtime.stop()
    again = make_runtime(tmp_path, clock=ManualClock(START_NS))
    again.start()
    outcome = (await send(again, order(1, 1, 100, 1)))[0]
    assert outcome.events[0].time_ns == last
    await again.stop()


# -- recovery, snapshots ----------------------------------------------------------------------------------------------


async def trade(runtime: object, count: int, tag: str = "") -> None:
    for i in range(count):
        await send(runtime, order(1 + i % 3, 1 + i % 2, 95 + i % 10, 1 + i % 4, f"{tag}{i}"))  # type: ignore[arg-type]


async def test_replay_equals_live_with_and_without_snapshots(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, snapshot_every=40, digest_every=25)
    runtime.start()
    await list_market(runtime)
    await trade(runtime, 150)
    await asyncio.sleep(0.2)
    digest, seq = runtime.core.digest(), runtime.durable_cmd_seq
    taken = snap.list_snapshots(runtime.files, tmp_path / "snapshots")
    assert len(taken) >= 2
    runtime.journal.close()
    runtime.lock.release()
    runtime.halted = "left alone"

    by_snapshot = make_runtime(tmp_path)
    assert by_snapshot.recovered.snapshot_seq == taken[0]
    assert by_snapshot.recovered.commands == seq - taken[0]
    assert (by_snapshot.core.digest(), by_snapshot.durable_cmd_seq) == (digest, seq)
    by_snapshot.lock.release()
    for path in (tmp_path / "snapshots").iterdir():
        path.unlink()
    whole = make_runtime(tmp_path)
    assert whole.recovered.commands == seq
    assert whole.recovered.digests >= 5
    assert whole.core.digest() == digest
    whole.core.check()
    whole.lock.release()


async def test_a_damaged_snapshot_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, snapshot_every=40)
    runtime.start()
    await list_market(runtime)
    await trade(runtime, 120)
    digest = runtime.core.digest()
    await runtime.stop()
    files = sorted((tmp_path / "snapshots").iterdir())
    assert len(files) >= 2
    for byte in (0, 9, 40, files[-1].stat().st_size // 2, files[-1].stat().st_size - 1):
        original = files[-1].read_bytes()
        changed = bytearray(original)
        changed[byte] ^= 4
        files[-1].write_bytes(changed)
        again = make_runtime(tmp_path)
        assert again.recovered.snapshot_seq == int(files[-2].stem.split("-")[1])
        assert again.core.digest() == digest
        again.lock.release()
        files[-1].write_bytes(original)


async def test_a_journal_that_lost_its_end_behind_a_snapshot_is_refused(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    runtime.start()
    await list_market(runtime)
    early = (tmp_path / "segment-00000001.log").read_bytes()
    await trade(runtime, 20)
    await runtime.stop()
    (tmp_path / "segment-00000001.log").write_bytes(early)
    with pytest.raises(Exception, match="a snapshot names a place that the journal does not have"):
        make_runtime(tmp_path)
    for path in tmp_path.glob("segment-*"):
        path.unlink()
    with pytest.raises(Exception, match="the journal is gone"):
        make_runtime(tmp_path)


async def test_a_core_that_decides_otherwise_is_noticed_on_replay(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, digest_every=10)
    runtime.start()
    await list_market(runtime)
    real = runtime.core.digest
    runtime.sequencer.core = _OtherDigest(runtime.core)
    await trade(runtime, 30)
    runtime.sequencer.core = runtime.core
    assert real() == runtime.core.digest()
    runtime.options = runtime.options.__class__(tmp_path, "", snapshot_every=10**9)
    runtime.snapshot_seq = runtime.durable_cmd_seq
    await runtime.stop()
    with pytest.raises(Exception, match="replay differs from the journal at command"):
        make_runtime(tmp_path)


class _OtherDigest:
    """A core whose digests are those of another build."""

    def __init__(self, core: object) -> None:
        self._core = core

    def __getattr__(self, name: str) -> object:
        return getattr(self._core, name)

    def digest(self) -> int:
        return self._core.digest() ^ 1  # type: ignore[attr-defined, no-any-return]


async def test_two_engines_on_one_journal_are_refused(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    runtime.start()
    with pytest.raises(JournalLockedError, match="another engine"):
        make_runtime(tmp_path)
    await runtime.stop()
    make_runtime(tmp_path).lock.release()


async def test_every_start_has_a_higher_epoch_even_when_the_counter_file_is_lost(tmp_path: Path) -> None:
    seen = []
    for attempt in range(5):
        if attempt == 3:
            (tmp_path / "epoch").unlink()
        if attempt == 4:
            (tmp_path / "epoch").write_text("not a number")
        runtime = make_runtime(tmp_path)
        runtime.start()
        seen.append(runtime.epoch)
        await runtime.stop()
    assert seen == [1, 2, 3, 4, 5]


async def test_halted_instruments_and_sessions_work_through_the_process(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    runtime.start()
    await list_market(runtime)
    resting = (await send(runtime, order(1, 1, 100, 5, tif=0)))[0]
    closed = (await send(runtime, commands.session_close(1)))[0]
    assert [(e.type, e.reason) for e in closed.events] == [
        (EventType.ORDER_EXPIRED, CancelReason.DAY_END),
        (EventType.SESSION_CLOSED, 0),
    ]
    assert closed.events[0].order_id == resting.events[0].order_id
    refused = (await send(runtime, order(1, 1, 100, 5)))[0]
    assert isinstance(refused, Rejected)
    assert refused.reason == layout.Reject.INSTRUMENT_CLOSED
    opened = (await send(runtime, commands.halt_set(2, TradingState.ACTIVE, instrument=1)))[0]
    assert opened.events[0].type == EventType.HALT_SET
    assert isinstance((await send(runtime, order(1, 1, 100, 5)))[0], Accepted)
    await runtime.stop()
