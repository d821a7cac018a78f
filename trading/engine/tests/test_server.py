"""The engine process from outside: outcomes, feed, garbage, floods, slow readers, second engines, kill -9."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from native import layout
from native.layout import EventType, Reject, Tif
from trading.engine import commands, wire
from trading.engine.events import Accepted, Rejected, Unknown
from trading.engine.gateway import AsyncEngineClient, EngineClient, EngineUnavailable
from trading.engine.replies import FeedCutError
from trading.engine.testing import ROOT, EngineProcess

USD, BTC = 1, 2


def list_market(client: EngineClient, accounts: int = 3) -> None:
    for command in (
        commands.asset_upsert(USD, 6),
        commands.asset_upsert(BTC, 8),
        commands.instrument_upsert(
            1, 1, base_asset=BTC, quote_asset=USD, tick_value=1, lot_minor=10_000, reference_price=100, taker_ppm=500
        ),
        *(commands.account_upsert(a) for a in range(1, accounts + 1)),
        *(commands.deposit(a, asset, 10**13, f"dep-{asset}") for a in range(1, accounts + 1) for asset in (USD, BTC)),
    ):
        assert isinstance(client.submit(command), Accepted)


def limit(account: int, side: int, price: int, qty: int, cl_ord_id: str = "", tif: int = Tif.GTC) -> bytes:
    return commands.order_new(account, 1, side, 2, tif, price, qty, stp=0, cl_ord_id=cl_ord_id)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path / "engine") as process:
        yield process


@pytest.fixture
def client(engine: EngineProcess) -> EngineClient:
    client = engine.client()
    list_market(client)
    return client


def connect(engine: EngineProcess, *, hello: bool = True) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(engine.socket)
    if hello:
        sock.sendall(wire.client_hello())
        assert sock.recv(4096)[4:6] == struct.pack("<H", wire.HELLO)
    return sock


def read_to_end(sock: socket.socket) -> bytes:
    data = b""
    try:
        while part := sock.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


# -- outcomes and questions -------------------------------------------------------------------------------------------


def test_an_order_trades_and_both_sides_are_told(client: EngineClient) -> None:
    resting = client.submit(limit(1, 1, 100, 5, "a1"))
    taking = client.submit(limit(2, 2, 100, 3, "b1"))
    assert isinstance(resting, Accepted)
    assert isinstance(taking, Accepted)
    assert [e.type for e in taking.events] == [EventType.ORDER_ACCEPTED, EventType.ORDER_FILLED, EventType.ORDER_FILLED]
    depth = client.query_depth(1, 5)
    assert (depth.bids, depth.asks) == ([(100, 2, 1)], [])
    assert depth.cmd_seq == taking.cmd_seq
    assert depth.event_seq == taking.events[-1].seq
    orders = client.query_orders(1)
    assert [(o.leaves, o.cum_qty, o.price) for o in orders] == [(2, 3, 100)]
    assert client.query_order(orders[0].order_id) == orders[0]
    assert client.query_order(999) is None
    assert client.query_orders(2) == []
    assert {b.asset: b.available + b.held for b in client.query_balances(1)}[BTC] == 10**13 + 30_000
    assert client.check() == ""


def test_a_refusal_carries_its_numbers(client: EngineClient) -> None:
    refused = client.submit(limit(1, 1, 10**7, 10**7))
    assert isinstance(refused, Rejected)
    assert refused.reason == Reject.INSUFFICIENT_FUNDS
    assert refused.needed == 10**14 + 10**14 * 500 // 10**6
    assert refused.available == 10**13
    assert refused.cmd_seq > 0


def test_the_same_id_gives_the_first_answer_and_another_body_is_refused(client: EngineClient) -> None:
    first = client.submit(limit(1, 1, 100, 5, "same"))
    again = client.submit(limit(1, 1, 100, 5, "same"))
    other = client.submit(limit(1, 1, 101, 5, "same"))
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.duplicate, again.cmd_seq) == (True, first.cmd_seq)
    assert isinstance(other, Rejected)
    assert other.reason == Reject.DUPLICATE_CL_ORD_ID
    assert len(client.query_orders(1)) == 1


def test_resolve_finds_what_became_of_an_id(client: EngineClient) -> None:
    done = client.submit(limit(1, 1, 100, 5, "known"))
    refused = client.submit(limit(1, 1, 10**7, 10**7, "poor"))
    found, poor = client.resolve(1, "known"), client.resolve(1, "poor")
    assert isinstance(found, Accepted)
    assert found.cmd_seq == done.cmd_seq
    assert isinstance(poor, Rejected)
    assert (poor.reason, poor.cmd_seq) == (Reject.INSUFFICIENT_FUNDS, refused.cmd_seq)
    assert client.resolve(1, "never") is None
    assert client.resolve(2, "known") is None


def test_preview_says_what_the_order_then_does(client: EngineClient) -> None:
    client.submit(limit(1, 2, 100, 5))
    order = limit(2, 1, 101, 8, "p")
    preview = client.preview(order)
    before = client.digest()
    assert client.digest() == before
    done = client.submit(order)
    assert isinstance(done, Accepted)
    assert (preview.reason, preview.fill_qty, preview.rest_qty, preview.worst_price) == (0, 5, 3, 100)
    assert preview.fee == done.events[2].amount


def test_commands_of_the_sequencer_are_refused_to_clients(client: EngineClient) -> None:
    before = client.status().cmd_seq
    bad = [layout.pack_command(kind, amount=10**6) for kind in (layout.CommandType.DAY_ROLL, layout.CommandType.TIME)]
    outcomes = client.submit_many([bad[0], limit(1, 1, 99, 1), bad[1]])
    assert [type(o) for o in outcomes] == [Rejected, Accepted, Rejected]
    assert [o.reason for o in outcomes if isinstance(o, Rejected)] == [Reject.UNSUPPORTED] * 2
    assert client.status().cmd_seq == before + 1


def test_any_128_bytes_get_an_answer(client: EngineClient) -> None:
    import random

    pick = random.Random(5)
    for _ in range(300):
        command = bytearray(pick.randbytes(128))
        command[0:2] = b"\1\0" if pick.random() < 0.8 else command[0:2]
        if pick.random() < 0.8:
            command[2:4] = struct.pack("<H", pick.choice([1, 2, 3, 4, 10, 12, 13, 15, 20, 22, 24, 31, 99]))
        outcome = client.submit(bytes(command))
        assert isinstance(outcome, Accepted | Rejected)
    assert client.check() == ""


def test_many_threads_share_one_client(client: EngineClient) -> None:
    seen: list[int] = []

    def work(number: int) -> None:
        for i in range(50):
            outcome = client.submit(limit(1 + number % 3, 1, 50, 1, f"t{number}-{i}"))
            assert isinstance(outcome, Accepted)
            seen.append(outcome.cmd_seq)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen)) == 400


def test_a_retry_storm_places_one_order(client: EngineClient) -> None:
    outcomes: list[object] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(client.submit(limit(1, 1, 100, 5, "storm")))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({o.cmd_seq for o in outcomes if isinstance(o, Accepted)}) == 1
    assert len(outcomes) == 20
    assert len(client.query_orders(1)) == 1


async def test_the_asynchronous_client_says_the_same(engine: EngineProcess, client: EngineClient) -> None:
    async with AsyncEngineClient(engine.socket) as other:
        outcomes = await other.submit_many([limit(1, 1, 100 - i % 10, 1, f"a{i}") for i in range(700)])
        assert [type(o) for o in outcomes] == [Accepted] * 700
        assert await other.query_depth(1, 20) == client.query_depth(1, 20)
        assert await other.query_balances(1) == client.query_balances(1)
        assert await other.digest() == client.digest()
        assert await other.resolve(1, "a5") == client.resolve(1, "a5")
        got = 0
        async for batch in other.feed(1, idle_s=0.3):
            if not batch:
                break
            got += len(batch)
        assert got == client.status().cmd_seq


# -- feed -------------------------------------------------------------------------------------------------------------


def collect(client: EngineClient, start: int, until: int) -> list[tuple[layout.Command, list[layout.Event]]]:
    items: list[tuple[layout.Command, list[layout.Event]]] = []
    for batch in client.feed(start, idle_s=5):
        items += [(item.command, item.events) for item in batch]
        if batch.last_seq >= until:
            return items
    raise AssertionError("the feed ended")


def test_the_feed_from_the_beginning_is_what_was_acknowledged(client: EngineClient) -> None:
    told = {}
    for i in range(60):
        outcome = client.submit(limit(1 + i % 3, 1 + i % 2, 95 + i % 10, 1 + i % 4, f"f{i}"))
        told[outcome.cmd_seq] = outcome.events
    last = client.status().cmd_seq
    items = collect(client, 1, last)
    assert [c.seq for c, _ in items] == list(range(1, last + 1))
    assert [e.seq for _, events in items for e in events] == list(range(1, client.status().event_seq + 1))
    assert {c.seq: tuple(events) for c, events in items if c.seq in told} == told


def test_the_feed_starts_anywhere_and_goes_on_live(client: EngineClient) -> None:
    client.submit_many([limit(1, 1, 50, 1) for _ in range(20)])
    last = client.status().cmd_seq
    for start in (2, last - 7, last, last + 1):
        feed = client.feed(start, idle_s=5)
        outcome = client.submit(limit(1, 1, 51, 1))
        got: list[int] = []
        for batch in feed:
            got += [item.command.seq for item in batch]
            if got and got[-1] >= outcome.cmd_seq:
                break
        assert got == list(range(start, outcome.cmd_seq + 1))
        last = outcome.cmd_seq
    feed = client.feed(-1, idle_s=5)
    outcome = client.submit(limit(1, 1, 51, 1))
    assert [item.command.seq for item in next(feed)] == [outcome.cmd_seq]


def test_a_place_ahead_of_the_engine_is_refused(client: EngineClient) -> None:
    ahead = client.status().cmd_seq + 2
    with pytest.raises(FeedCutError, match=f"{ahead} was asked for") as caught:
        next(client.feed(ahead))
    assert caught.value.code == wire.ERR_SEQUENCE
    with pytest.raises(FeedCutError):
        next(client.feed(0))


def test_after_a_restart_the_feed_is_read_back_from_the_journal_and_joins_live(tmp_path: Path) -> None:
    with EngineProcess(
        tmp_path / "e", arguments=("--segment-kib", "64", "--snapshot-every", "300", "--digest-every", "100")
    ) as engine:
        client = engine.client()
        list_market(client)
        for i in range(12):
            client.submit_many([limit(1 + k % 3, 1 + k % 2, 95 + k % 10, 1, f"{i}-{k}") for k in range(100)])
        last = client.status().cmd_seq
        before = collect(client, 1, last)
        engine.kill()
        engine.start()
        client = engine.client()
        assert client.status().details["recovered"]["snapshot_seq"] > 0
        assert collect(client, 1, last) == before
        feeds = {start: client.feed(start, idle_s=10) for start in (1, 299, 700, last)}
        outcome = client.submit(limit(1, 1, 50, 1))
        for start, feed in feeds.items():
            got: list[int] = []
            while not got or got[-1] < outcome.cmd_seq:
                got += [item.command.seq for item in next(feed)]
            assert got == list(range(start, outcome.cmd_seq + 1))


def test_a_subscriber_that_stops_reading_is_cut_and_nobody_waits(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "e", arguments=("--segment-kib", "4096", "--ring-kib", "512")) as engine:
        client = engine.client()
        list_market(client)
        slow = connect(engine)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(wire.frame(wire.SUBSCRIBE, 0, wire.SUBSCRIBE_BODY.pack(-1)))
        healthy = client.feed(-1, idle_s=5)
        while client.status().subscribers < 2:
            time.sleep(0.01)
        got = 0
        while client.status().details["subscribers_cut"] == 0:
            outcomes = client.submit_many([limit(1, 1, 50, 1, "", Tif.IOC) for _ in range(1000)])
            assert all(isinstance(o, Accepted) for o in outcomes)
            while got < outcomes[-1].cmd_seq:
                batch = next(healthy)
                assert batch, "the healthy subscriber was left without events"
                got = batch.last_seq
            assert got < 200_000
        time.sleep(0.2)
        rest = read_to_end(slow)
        assert client.status().subscribers == 1
        assert len(rest) < 64 << 20


# -- bad peers --------------------------------------------------------------------------------------------------------


HELLO = wire.client_hello()
GARBAGE = {
    "text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(64),
    "huge length": struct.pack("<IHHQ", 1 << 31, wire.HELLO, 0, 0),
    "frame longer than any": HELLO + struct.pack("<IHHQ", wire.CLIENT_FRAME_MAX + 1, wire.SUBMIT, 0, 1),
    "no hello": wire.frame(wire.SUBMIT, 1, bytes(128)),
    "hello of the wrong size": wire.frame(wire.HELLO, 0, b"BRKENG\r\n"),
    "wrong magic": wire.frame(wire.HELLO, 0, wire.CLIENT_HELLO.pack(b"BRKENG\n\n", 1, 1, 0)),
    "wrong protocol version": wire.frame(wire.HELLO, 0, wire.CLIENT_HELLO.pack(wire.MAGIC, 99, 1, 0)),
    "wrong struct version": wire.frame(wire.HELLO, 0, wire.CLIENT_HELLO.pack(wire.MAGIC, 1, 99, 0)),
    "second hello": HELLO + HELLO,
    "unknown type": HELLO + wire.frame(77, 1, b"x"),
    "flags": HELLO + struct.pack("<IHHQ", 12 + 128, wire.SUBMIT, 5, 1) + bytes(128),
    "half a command": HELLO + wire.frame(wire.SUBMIT, 1, bytes(100)),
    "no command": HELLO + wire.frame(wire.SUBMIT, 1),
    "too many commands": HELLO + wire.frame(wire.SUBMIT, 1, bytes(128 * (wire.SUBMIT_MAX + 1))),
    "query without a kind": HELLO + wire.frame(wire.QUERY, 1, b"\1"),
    "unknown query": HELLO + wire.frame(wire.QUERY, 1, wire.query(200)),
    "query with wrong arguments": HELLO + wire.frame(wire.QUERY, 1, wire.query(wire.Q_DEPTH, b"\1")),
    "subscription of the wrong size": HELLO + wire.frame(wire.SUBSCRIBE, 0, b"\1"),
    "two subscriptions": HELLO + 2 * wire.frame(wire.SUBSCRIBE, 0, wire.SUBSCRIBE_BODY.pack(1)),
}


def test_protocol_garbage_loses_its_connection_and_nothing_else(engine: EngineProcess, client: EngineClient) -> None:
    before = client.digest()
    for name, data in GARBAGE.items():
        sock = connect(engine, hello=False)
        sock.sendall(data)
        answer = read_to_end(sock)
        sock.close()
        assert struct.pack("<H", wire.ERROR) in answer, name
        assert client.digest() == before, name
    assert client.status().details["subscribers"] == 0
    assert isinstance(client.submit(limit(1, 1, 100, 1)), Accepted)


def test_random_bytes_for_a_while(engine: EngineProcess, client: EngineClient) -> None:
    import random

    pick = random.Random(11)
    for _ in range(150):
        sock = connect(engine, hello=False)
        data = HELLO if pick.random() < 0.7 else b""
        for _ in range(pick.randint(1, 6)):
            size = pick.choice((12, 13, 20, 140, 141, 268, pick.randint(0, 5000)))
            data += struct.pack("<IHHQ", size, pick.randint(0, 6), 0, 1) + pick.randbytes(max(size - 12, 0))
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        read_to_end(sock)
        sock.close()
    assert client.check() == ""


def test_half_a_frame_and_silence_are_cut_in_time(engine: EngineProcess, client: EngineClient) -> None:
    silent = connect(engine, hello=False)
    half = connect(engine)
    half.sendall(wire.frame(wire.SUBMIT, 1, bytes(128))[:50])
    silent.settimeout(8)
    half.settimeout(15)
    assert b"no hello" in read_to_end(silent)
    assert isinstance(client.submit(limit(1, 1, 100, 1)), Accepted)
    assert b"half a frame" in read_to_end(half)


def test_a_flood_that_reads_no_answers_is_held_back_and_others_are_served(
    engine: EngineProcess, client: EngineClient
) -> None:
    flood = connect(engine)
    flood.settimeout(1)
    frame = wire.frame(wire.SUBMIT, 1, *[limit(1, 1, 50, 1, "", Tif.IOC)] * 256)
    sent = 0
    try:
        while sent < 400 << 20:
            sent += flood.send(frame)
    except (TimeoutError, OSError):
        pass
    # The engine stopped reading long before it had taken all that.
    assert sent < 100 << 20
    begun = time.monotonic()
    assert isinstance(client.submit(limit(1, 1, 100, 1)), Accepted)
    assert time.monotonic() - begun < 2
    rss = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{engine.process.pid}/status").read_text())[1])  # type: ignore[union-attr, index]
    assert rss < 1 << 20, f"{rss} KiB"
    flood.close()


def test_pipelined_requests_are_all_answered(engine: EngineProcess, client: EngineClient) -> None:
    sock = connect(engine)
    for number in range(1, 301):
        sock.sendall(wire.frame(wire.SUBMIT, number, limit(1, 1, 50, 1, f"pipe{number}")))
    data, seen = b"", {}
    while len(seen) < 300:
        data += sock.recv(65536)
        while len(data) >= 4 and len(data) >= 4 + wire.LENGTH.unpack_from(data)[0]:
            size, kind, _, number = wire.FRAME.unpack_from(data)
            assert kind == wire.ANSWER
            seen[number] = wire.ANSWER_ROW.unpack_from(data, 16 + 8)[0]
            data = data[4 + size :]
    assert sorted(seen) == list(range(1, 301))
    assert [seen[n] for n in sorted(seen)] == sorted(seen.values())


def test_only_this_user_and_root_may_connect(engine: EngineProcess) -> None:
    assert os.stat(engine.socket).st_mode & 0o777 == 0o600
    assert os.stat(Path(engine.socket).parent).st_mode & 0o077 == 0
    if os.getuid() != 0:
        pytest.skip("only root can become another user to try it")
    os.chmod(Path(engine.socket).parent, 0o755)  # noqa: S103
    os.chmod(Path(engine.socket).parent.parent, 0o755)  # noqa: S103
    os.chmod(engine.socket, 0o666)  # noqa: S103
    code = (
        "import os,socket,sys;os.setuid(65534);s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);"
        "s.settimeout(5);print(s.recv(4096))"
    )
    done = subprocess.run([sys.executable, "-c", code, engine.socket], capture_output=True, text=True, timeout=20)
    assert "user 65534 may not use this engine" in done.stdout


# -- going away and coming back ---------------------------------------------------------------------------------------


def test_no_engine_is_unavailable_not_unknown(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable):
        EngineClient(str(tmp_path / "none.sock")).submit(limit(1, 1, 100, 1))


def test_a_stopped_engine_means_unknown_then_resolve_tells(tmp_path: Path) -> None:
    import signal

    with EngineProcess(tmp_path / "e") as engine:
        client = engine.client()
        list_market(client)
        impatient = engine.client(timeout_s=0.3)
        impatient.submit(limit(1, 1, 90, 1, "warm"))
        assert engine.process is not None
        engine.process.send_signal(signal.SIGSTOP)
        outcome = impatient.submit(limit(1, 1, 91, 1, "lost"))
        assert isinstance(outcome, Unknown)
        engine.process.send_signal(signal.SIGCONT)
        for _ in range(100):
            if (found := client.resolve(1, "lost")) is not None:
                break
            time.sleep(0.05)
        assert isinstance(found, Accepted)
        # Sending it again under the same id is safe.
        again = client.submit(limit(1, 1, 91, 1, "lost"))
        assert isinstance(again, Accepted)
        assert again.duplicate
        assert len(client.query_orders(1)) == 2


def test_a_pooled_connection_of_a_dead_engine_is_replaced(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "e") as engine:
        client = engine.client()
        list_market(client)
        first = client.status()
        engine.kill()
        with pytest.raises(EngineUnavailable):
            client.submit(limit(1, 1, 100, 1, "x"))
        engine.start()
        assert isinstance(client.submit(limit(1, 1, 100, 1, "x")), Accepted)
        assert client.status().epoch == first.epoch + 1
        assert client.status().journal_id == first.journal_id


def test_a_second_engine_on_the_journal_is_refused_by_name(engine: EngineProcess, client: EngineClient) -> None:
    second = subprocess.run(
        [
            sys.executable, "-m", "trading.engine", "--journal", str(engine.journal), "--socket", engine.socket,
            "--ready", str(engine.folder / "second.ready"),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert second.returncode == 5
    assert f"another engine (process {engine.process.pid}) has the journal" in second.stderr  # type: ignore[union-attr]
    # The first one's socket was not touched.
    assert isinstance(engine.client().submit(limit(1, 1, 100, 1)), Accepted)


def test_a_clean_stop_leaves_nothing_to_replay(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "e") as engine:
        client = engine.client()
        list_market(client)
        digest = client.digest()
        assert (engine.folder / "engine.ready").exists()
        assert engine.stop() == 0
        assert not (engine.folder / "engine.ready").exists()
        assert not os.path.exists(engine.socket)
        engine.start()
        status = engine.client().status()
        assert status.details["recovered"]["commands"] == 0
        assert status.details["recovered"]["clean_stop"] is True
        assert engine.client().digest() == digest


def test_a_journal_damaged_in_the_middle_stops_the_start_with_the_sequence(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "e") as engine:
        client = engine.client()
        list_market(client)
        outcome = client.submit(limit(1, 1, 100, 7, "marked-order"))
        client.submit(limit(1, 1, 100, 1))
        engine.kill()
        segment = next(engine.journal.glob("segment-*.log"))
        data = bytearray(segment.read_bytes())
        data[data.index(b"marked-order")] ^= 1
        segment.write_bytes(data)
        engine.start(wait=False)
        assert engine.wait() == 4
        assert f"journal damaged at sequence {outcome.cmd_seq}" in engine.log()
        tool = subprocess.run(
            [sys.executable, "-m", "trading.engine", "--journal", str(engine.journal), "--check"],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert tool.returncode == 4
        assert f"sequence {outcome.cmd_seq}" in tool.stderr
