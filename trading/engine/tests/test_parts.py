"""Small parts of the engine: command builders, outcomes, wire, the ring, snapshots, the tools' output."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brokerage.kernel.clock import ManualClock
from brokerage.kernel.errors import EngineUnavailableError, ProtocolError
from native import layout
from native.layout import ANY, CommandFlag, CommandType, EventType, Reject
from trading.engine import commands, eventlog, wire
from trading.engine import snapshot as snap
from trading.engine.eventlog import EventLog, Ring, feed_frame
from trading.engine.events import Accepted, FeedBatch, Rejected, outcome_of
from trading.engine.replies import FeedCutError, HaltedError, parse_answer, parse_feed, raise_error
from trading.engine.testing import ROOT, EngineProcess

# -- commands ---------------------------------------------------------------------------------------------------------

CASES = {
    "order_new": (
        lambda: commands.order_new(1, 2, 1, 2, 6, 3, 4, flags=1, stp=2, expire_ns=9, cl_ord_id="x", source=5, correlation=7),
        {
            "type": CommandType.ORDER_NEW, "account": 1, "instrument": 2, "side": 1, "ord_type": 2, "tif": 6, "price": 3, "qty": 4,
            "flags": 1, "stp": 2, "amount": 9, "cl_ord_id": b"x", "source": 5, "correlation": 7,
        },
    ),
    "order_cancel": (
        lambda: commands.order_cancel(1, 2**62),
        {"type": CommandType.ORDER_CANCEL, "account": 1, "order_id": 2**62},
    ),
    "order_cancel_by_cl_ord_id": (
        lambda: commands.order_cancel_by_cl_ord_id(1, "abc"),
        {
            "type": CommandType.ORDER_CANCEL, "account": 1, "flags": CommandFlag.CANCEL_BY_CL_ORD_ID, "cl_ord_id": b"abc",
        },
    ),
    "order_replace": (
        lambda: commands.order_replace(1, 2, 3, 4, expected_version=5, cl_ord_id="r"),
        {
            "type": CommandType.ORDER_REPLACE, "account": 1, "order_id": 2, "price": 3, "qty": 4, "aux": 5, "cl_ord_id": b"r",
        },
    ),
    "mass_cancel": (
        lambda: commands.mass_cancel(side=2),
        {"type": CommandType.MASS_CANCEL, "account": ANY, "instrument": ANY, "side": 2},
    ),
    "deposit": (
        lambda: commands.deposit(1, 2, 3, "d"),
        {"type": CommandType.DEPOSIT, "account": 1, "instrument": 2, "amount": 3, "cl_ord_id": b"d"},
    ),
    "transfer": (
        lambda: commands.transfer(1, 9, 2, 3, "t"),
        {
            "type": CommandType.TRANSFER, "account": 1, "order_id": 9, "instrument": 2, "amount": 3, "cl_ord_id": b"t",
        },
    ),
    "hold_settle": (
        lambda: commands.hold_settle(1, 77),
        {"type": CommandType.HOLD_SETTLE, "account": 1, "order_id": 77},
    ),
    "halt_set": (
        lambda: commands.halt_set(3, 2, account=4),
        {"type": CommandType.HALT_SET, "ord_type": 3, "side": 2, "account": 4},
    ),
    "limits_set": (
        lambda: commands.limits_set(1, max_open_orders=2, max_order_notional=3),
        {"type": CommandType.LIMITS_SET, "account": 1, "qty": 2, "amount": 3},
    ),
    "account_upsert": (
        lambda: commands.account_upsert(1, stp_group=8),
        {"type": CommandType.ACCOUNT_UPSERT, "account": 1, "aux": 8},
    ),
    "asset_upsert": (
        lambda: commands.asset_upsert(1, 6),
        {"type": CommandType.ASSET_UPSERT, "instrument": 1, "side": 6},
    ),
    "session_close": (
        lambda: commands.session_close(3),
        {"type": CommandType.SESSION_CLOSE, "instrument": 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("_case", CASES)
def test_builders_put_every_argument_where_the_core_reads_it(_case: str) -> None:
    build, expected = CASES[_case]
    command = layout.unpack_command(build())
    assert command == layout.Command(**expected)._replace(cl_ord_id=expected.get("cl_ord_id", b"").ljust(40, b"\0"))


def test_a_listing_carries_its_rates_in_the_id_field() -> None:
    packed = commands.instrument_upsert(
        3, 2, base_asset=0, quote_asset=1, tick_value=5, lot_minor=6, min_qty=2, max_qty=9, max_notional=8, maker_ppm=100,
        taker_ppm=200, margin_ppm=300, collar_ppm=400, reference_price=7,
    )  # fmt: skip
    command = layout.unpack_command(packed)
    assert (command.order_id, command.amount, command.aux, command.qty, command.price) == (1, 5, 6, 9, 7)
    assert layout.unpack_instrument_data(command.cl_ord_id) == layout.InstrumentData(100, 200, 300, 400, 2, 8)


BAD: list[Callable[[], bytes]] = [
    lambda: commands.order_new(-1, 1, 1, 2, 1, 1, 1),
    lambda: commands.order_new(1, 1, 1, 2, 1, 2**63, 1),
    lambda: commands.order_new(1, 1, 300, 2, 1, 1, 1),
    lambda: commands.order_new(1, 1, 1, 2, 1, 1, 1, cl_ord_id="ü"),
    lambda: commands.order_new(1, 1, 1, 2, 1, 1, 1, cl_ord_id="x" * 41),
    lambda: commands.order_new(1, 1, 1, 2, 1, 1.5, 1),  # type: ignore[arg-type]
    lambda: commands.instrument_upsert(1, 1, base_asset=1 << 32, quote_asset=1, tick_value=1, lot_minor=1),
    lambda: commands.instrument_upsert(1, 1, base_asset=2, quote_asset=1, tick_value=1, lot_minor=1, maker_ppm=1 << 40),
]


@pytest.mark.parametrize("build", BAD)
def test_a_number_or_id_that_does_not_fit_is_refused_before_it_is_sent(build: Callable[[], bytes]) -> None:
    with pytest.raises(commands.CommandError) as caught:
        build()
    assert caught.value.code == Reject.MALFORMED


# -- outcomes and frames ----------------------------------------------------------------------------------------------


def event(kind: int, seq: int = 1, cmd_seq: int = 1, **fields: int) -> layout.Event:
    return layout.Event(
        **dict.fromkeys(layout.Event._fields, 0) | {"type": kind, "seq": seq, "cmd_seq": cmd_seq} | fields
    )


def test_outcomes() -> None:
    accepted = event(EventType.ORDER_ACCEPTED)
    assert outcome_of(7, (accepted,)) == Accepted(7, (accepted,))
    refused = event(EventType.REPLACE_REJECTED, reason=5006, qty=3, leaves=2, price=9)
    assert outcome_of(7, (refused,)) == Rejected(7, 5006, 3, 2, 9, (refused,))
    first = event(EventType.DUPLICATE, ref_id=4)
    assert outcome_of(7, (first,)) == Accepted(4, (first,), True)
    again = event(EventType.DUPLICATE, ref_id=4, reason=4001, qty=8)
    assert outcome_of(7, (again,)) == Rejected(4, 4001, 8, 0, 0, (again,), True)
    assert outcome_of(0, (), 9013) == Rejected(0, 9013, 0, 0, 0, ())


def test_answers_of_the_wrong_size_are_a_protocol_error() -> None:
    good = wire.ANSWER_HEAD.pack(1, 0) + wire.ANSWER_ROW.pack(1, 1, 0) + layout.pack_event(event(1))
    assert len(parse_answer(good)) == 1
    with pytest.raises(ProtocolError):
        parse_answer(good + b"x")


def test_error_frames_become_their_exceptions() -> None:
    cases = [
        (wire.HALT, b"disk", HaltedError),
        (wire.ERROR, wire.ERROR_HEAD.pack(wire.ERR_SLOW) + b"slow", FeedCutError),
        (wire.ERROR, wire.ERROR_HEAD.pack(wire.ERR_BUSY) + b"busy", EngineUnavailableError),
        (wire.ERROR, wire.ERROR_HEAD.pack(wire.ERR_VERSION) + b"old", ProtocolError),
        (99, b"", ProtocolError),
    ]
    for kind, payload, expected in cases:
        with pytest.raises(expected):
            raise_error(kind, payload)


def _batch(first: int, count: int) -> tuple[bytes, bytes]:
    packed = b"".join(layout.pack_command(1, seq=seq) for seq in range(first, first + count))
    events = b"".join(
        layout.pack_event(event(1, seq * 2 + i, seq)) for seq in range(first, first + count) for i in (0, 1)
    )
    return packed, events


def test_a_feed_batch_is_cut_to_what_was_asked_for() -> None:
    payload = memoryview(feed_frame(3, 10, 5, *_batch(10, 5)))[wire.FRAME_SIZE :]
    for wanted in range(10, 15):
        batch = parse_feed(payload, "j", wanted)
        assert batch is not None
        assert (batch.first_seq, len(batch), batch.last_seq, batch.epoch) == (wanted, 15 - wanted, 14, 3)
        assert [item.command.seq for item in batch] == list(range(wanted, 15))
        assert all([e.cmd_seq for e in item.events] == [item.command.seq] * 2 for item in batch)
    assert parse_feed(payload, "j", 15) is None
    with pytest.raises(ProtocolError, match="skipped from command 9"):
        parse_feed(payload, "j", 9)
    with pytest.raises(ProtocolError, match="wrong size"):
        parse_feed(payload[:-1], "j", 10)


def test_an_empty_feed_batch_is_falsy() -> None:
    assert not FeedBatch(1, "j", 5, 0, b"", b"")


# -- ring and subscribers ---------------------------------------------------------------------------------------------


def test_the_ring_finds_batches_and_forgets_the_oldest() -> None:
    ring = Ring(1, 1000)
    for first in range(1, 400, 3):
        ring.append(first, 3, bytes(100))
    assert ring.next_seq == 400
    assert ring.bytes <= 1000
    assert ring.first_seq == 400 - 30
    assert ring.covers(ring.first_seq)
    assert ring.covers(400)
    assert not ring.covers(ring.first_seq - 1)
    assert not ring.covers(401)
    for seq in range(ring.first_seq, 400):
        found = [after for after, _ in ring.frames_from(seq)]
        assert found[0] == seq - (seq - 1) % 3 + 3
        assert found[-1] == 400
    assert list(ring.frames_from(400)) == []
    assert list(ring.frames_from(1)) == []


class Reader:
    """A subscriber's socket as the feed sees it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.cuts: list[int] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def cut(self, code: int, text: str) -> None:
        self.cuts.append(code)

    def seqs(self) -> list[int]:
        found: list[int] = []
        for frame in self.frames:
            batch = parse_feed(memoryview(frame)[wire.FRAME_SIZE :], "j", -1)
            assert batch is not None
            found += [item.command.seq for item in batch]
        return found


async def test_a_paused_reader_gets_the_rest_later_and_one_that_fell_out_is_cut() -> None:
    clock = ManualClock()
    log = EventLog(next_seq=1, clock=clock, read_back=lambda seq: iter(()), ring_bytes=20_000)
    slow, quick = Reader(), Reader()
    subscriber = log.subscribe(slow.send, slow.cut, 1)
    log.subscribe(quick.send, quick.cut, -1)
    assert subscriber is not None
    for first in range(1, 9, 2):
        log.append(1, first, 2, *_batch(first, 2))
        if first == 3:
            log.set_paused(subscriber, True)
    assert slow.seqs() == [1, 2, 3, 4]
    log.set_paused(subscriber, False)
    assert slow.seqs() == quick.seqs() == list(range(1, 9))
    log.set_paused(subscriber, True)
    for first in range(9, 99, 2):
        log.append(1, first, 2, *_batch(first, 2))
    log.check_stalled()
    assert slow.cuts == [wire.ERR_SLOW]
    assert quick.seqs() == list(range(1, 99))
    assert log.subscribers
    assert subscriber not in log.subscribers


async def test_a_reader_that_takes_nothing_for_too_long_is_cut() -> None:
    clock = ManualClock()
    log = EventLog(next_seq=1, clock=clock, read_back=lambda seq: iter(()))
    reader = Reader()
    subscriber = log.subscribe(reader.send, reader.cut, 1)
    assert subscriber is not None
    log.set_paused(subscriber, True)
    clock.advance(eventlog.STALL_S * 10**9)
    log.check_stalled()
    assert reader.cuts == []
    clock.advance(1)
    log.check_stalled()
    assert reader.cuts == [wire.ERR_SLOW]


async def test_old_commands_are_read_back_until_the_ring_has_the_next() -> None:
    asked: list[int] = []

    def read_back(seq: int):  # type: ignore[no-untyped-def]
        asked.append(seq)
        first = seq - (seq - 1) % 5
        for start in range(first, 41, 5):
            yield 1, start, 5, *_batch(start, 5)

    log = EventLog(next_seq=41, clock=ManualClock(), read_back=read_back)
    reader = Reader()
    log.subscribe(reader.send, reader.cut, 8)
    for first in range(41, 51, 5):
        log.append(1, first, 5, *_batch(first, 5))
    for _ in range(100):
        if reader.seqs() and reader.seqs()[-1] == 50:
            break
        await asyncio.sleep(0.02)
    assert reader.seqs() == list(range(6, 51))
    assert asked == [8]
    await log.close()


# -- snapshots --------------------------------------------------------------------------------------------------------


def test_every_flipped_byte_of_a_snapshot_is_noticed() -> None:
    info = snap.SnapshotInfo("j" * 32, 1, 5, 9, 7, 1, 2, 1, 4096, 0, "00" * 16, "b", 1, 1, {"max_assets": 8})
    data = snap.pack_snapshot(info, b"state" * 20)
    again, state = snap.parse_snapshot(data, "s")
    assert bytes(state) == b"state" * 20
    assert again == snap.SnapshotInfo(**{**info.__dict__, "state_size": 100})
    for byte in range(len(data)):
        changed = bytearray(data)
        changed[byte] ^= 1
        with pytest.raises(snap.SnapshotDamagedError):
            snap.parse_snapshot(bytes(changed), "s")
    for size in range(len(data)):
        with pytest.raises(snap.SnapshotDamagedError):
            snap.parse_snapshot(data[:size], "s")


# -- tools ------------------------------------------------------------------------------------------------------------


def test_the_tools_tell_what_is_in_a_journal(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "e", arguments=("--segment-kib", "64", "--digest-every", "50")) as engine:
        client = engine.client()
        client.submit_many([commands.asset_upsert(1, 6), commands.account_upsert(1)])
        client.submit_many([commands.deposit(1, 1, 5, f"d{i}") for i in range(700)])
        engine.stop()

        def tool(*arguments: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "trading.engine", "--journal", str(engine.journal), *arguments],
                cwd=ROOT, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout

        checked = tool("--check")
        assert "703 commands, chain sound" in checked
        assert "0 torn bytes" in checked
        verified = tool("--verify")
        assert "replayed 703 commands" in verified
        assert "1 of 1 snapshots agree, every invariant holds" in verified
        dumped = tool("--dump", "3", "4")
        assert "3 ACCOUNT_UPSERT account=1" in dumped
        assert "DEPOSIT account=1 instrument=1 amount=5 cl_ord_id=d0" in dumped
        assert "BALANCE_CHANGED" in dumped
        assert "cl_ord_id=d1\n" not in dumped
