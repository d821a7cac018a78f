"""The base of both streams: origin, caps, rate limit, heartbeats, flow control, garbage."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from brokerage.platform.sockets import (
    CLOSE_ABUSE,
    CLOSE_OLD,
    CLOSE_RESTART,
    CLOSE_SLOW,
    SocketError,
    SocketLimits,
    StreamSocket,
    heart,
    origin_allowed,
)
from tests.ws import WsClient

LIMITS = SocketLimits(window_bytes=10_000, probe_bytes=2_000)
NS = 1_000_000_000


class Echo(StreamSocket):
    """Sends ``data`` frames on demand and remembers the sockets made."""

    made: list[Echo] = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pending = 0
        Echo.made.append(self)

    async def on_message(self, message):
        if message.get("op") == "boom":
            raise SocketError("bad", "no")
        self.pending += message.get("send", 0)
        self.wake()

    async def pump(self):
        while self.pending and self.may_send:
            self.pending -= 1
            await self.send_text('{"type":"data","x":"' + "y" * 480 + '"}')


@pytest.fixture(autouse=True)
def _clear():
    Echo.made.clear()


async def _open(limits=LIMITS, **options):
    client = WsClient(Echo.as_asgi(limits=limits), **options)
    assert await client.connect()
    return client, Echo.made[-1]


@pytest.mark.parametrize(
    ("_case", "headers", "allowed"),
    [
        ("a program sends no origin", {}, True),
        ("same host", {"origin": "http://shop.test:8000", "host": "shop.test:8000"}, True),
        ("same host, other case", {"origin": "https://Shop.Test", "host": "shop.test"}, True),
        ("another host", {"origin": "https://evil.test", "host": "shop.test"}, False),
        ("another port", {"origin": "https://shop.test:81", "host": "shop.test"}, False),
        ("a host that only begins alike", {"origin": "https://shop.test.evil.test", "host": "shop.test"}, False),
        ("opaque", {"origin": "null", "host": "shop.test"}, False),
        ("a file", {"origin": "file://shop.test", "host": "shop.test"}, False),
        ("no host at all", {"origin": "http://", "host": ""}, False),
        ("not a URL", {"origin": "http://[bad", "host": "shop.test"}, False),
    ],
)
def test_origin(_case, headers, allowed):
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    assert origin_allowed(raw) is allowed


def test_trusted_origins_may_connect(settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://portal.test"]
    assert origin_allowed({b"origin": b"https://portal.test", b"host": b"api.test"})


async def test_a_foreign_origin_is_refused_before_it_is_accepted():
    client = WsClient(Echo.as_asgi(limits=LIMITS), headers={"Origin": "https://evil.test", "Host": "shop.test"})
    assert not await client.connect()
    assert not client.accepted


async def test_sockets_of_one_address_are_capped_and_given_back():
    limits = replace(LIMITS, per_ip=2)
    first, _ = await _open(limits)
    await _open(limits)
    third = WsClient(Echo.as_asgi(limits=limits))
    assert not await third.connect()
    other = WsClient(Echo.as_asgi(limits=limits), ip="10.0.0.2")
    assert await other.connect()
    await first.leave()
    again = WsClient(Echo.as_asgi(limits=limits))
    assert await again.connect()
    assert heart().per_ip["10.0.0.1"] == 2


async def test_sockets_of_the_process_are_capped():
    limits = replace(LIMITS, per_process=1)
    await _open(limits)
    assert not await WsClient(Echo.as_asgi(limits=limits), ip="10.0.0.9").connect()


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"', "null", "\x00", '{"op":' + "[" * 3000, "NaN", ""])
async def test_garbage_is_answered_by_an_error_frame(text):
    client, _ = await _open()
    await client.send(text)
    assert (await client.get("error"))["code"] == "malformed"
    await client.send({"op": "ping", "n": 3})
    assert (await client.get("pong"))["n"] == 3


async def test_binary_frames_and_large_ones_are_refused():
    client, _ = await _open()
    await client.send_bytes(b"\xff\xfe")
    assert (await client.get("error"))["code"] == "malformed"
    await client.send("x" * 4097)
    assert (await client.get("error"))["code"] == "too_large"
    await client.send("{}" + " " * 4094)
    await client.send({"op": "ping"})
    await client.get("pong")


async def test_repeated_garbage_closes():
    client, _ = await _open()
    for _ in range(5):
        await client.send("{")
    assert await client.closed() == CLOSE_ABUSE
    assert sum(frame["type"] == "error" for frame in client.frames) == 5


async def test_a_burst_passes_and_a_flood_is_told_and_cut():
    client, _ = await _open()
    for _ in range(20):
        await client.send({"op": "ping"})
    await client.until(lambda: sum(frame["type"] == "pong" for frame in client.frames) == 20)
    assert not any(frame["type"] == "error" for frame in client.frames)
    for _ in range(30):
        await client.send({"op": "ping"})
    assert await client.closed() == CLOSE_ABUSE
    assert any(frame.get("code") == "too_fast" for frame in client.frames)


async def test_a_client_that_answers_gets_everything_however_much():
    client, socket = await _open()
    await client.send({"send": 400})
    await client.until(lambda: sum(frame["type"] == "data" for frame in client.frames) == 400)
    assert socket.unanswered_bytes < LIMITS.window_bytes + 600  # the frame that fills the window may pass it


async def test_a_client_that_does_not_answer_gets_one_window_and_is_closed():
    client, socket = await _open(answer=False)
    await client.send({"send": 400})
    await asyncio.sleep(0.2)
    sent = sum(frame["type"] == "data" for frame in client.frames)
    assert LIMITS.window_bytes <= sent * 500 < LIMITS.window_bytes + 1_000
    before = client.bytes
    for _ in range(20):
        socket.wake()
        await asyncio.sleep(0)
    assert client.bytes == before
    now = socket._held_ns
    socket.tick(now + LIMITS.held_s * NS)
    assert client.code is None
    socket.tick(now + LIMITS.held_s * NS + 1)
    assert await client.closed() == CLOSE_SLOW


async def test_an_answer_lets_the_data_flow_again():
    client, _socket = await _open(answer=False)
    await client.send({"send": 400})
    await asyncio.sleep(0.1)
    held = client.bytes
    last = max(frame["n"] for frame in client.frames if frame["type"] == "hb")
    await client.send({"op": "hb", "n": last})
    await client.until(lambda: client.bytes > held + 5_000)


async def test_answers_to_heartbeats_that_were_never_sent_count_for_nothing():
    client, socket = await _open(answer=False)
    await client.send({"send": 400})
    await asyncio.sleep(0.1)
    held = client.bytes
    for number in (10**9, -1, "1", None, True, 1.5, []):
        await client.send({"op": "hb", "n": number})
    await asyncio.sleep(0.1)
    assert client.bytes - held < 200
    assert not socket.may_send


async def test_timed_heartbeats_come_and_two_missed_ones_close():
    client, socket = await _open(answer=False)
    start = socket._opened_ns
    socket.tick(start + 14 * NS)
    await asyncio.sleep(0)
    assert not any(frame["type"] == "hb" for frame in client.frames)
    socket.tick(start + 15 * NS)
    assert (await client.get("hb"))["n"] == 1
    socket.tick(start + 44 * NS)
    assert client.code is None
    socket.tick(start + 46 * NS)
    assert await client.closed() == CLOSE_SLOW


async def test_a_socket_is_closed_after_a_day():
    client, socket = await _open()
    socket._hb_next_ns = 10**19
    socket.tick(socket._opened_ns + 86_401 * NS)
    assert await client.closed() == CLOSE_OLD


async def test_a_server_that_stops_says_goodbye():
    client, _ = await _open()
    client.task.cancel()
    bye = await client.get("bye")
    assert bye["retry_after_s"] >= 1
    assert await client.closed() == CLOSE_RESTART


async def test_everything_is_given_back_when_a_client_leaves():
    client, _socket = await _open()
    await client.leave()
    assert heart().sockets == set()
    assert not heart().per_ip
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "socket-writer"] == []
