"""A real daphne: slow clients are bounded and cut while others miss nothing; handshakes and restarts as a browser sees them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import socket
import time
from pathlib import Path

import pytest
import redis
import websockets

from tests.bench.hub_bench import daphne_start, rss_kb
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
STALLED, HEALTHY = 5, 3
ROUNDS, PAD = 300, 16_000


@pytest.fixture(scope="module")
def server():
    """daphne with the real consumer and hub, one made-up instrument."""
    port = free_port()
    process = daphne_start(port, os.environ)
    until = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    yield process, port
    process.terminate()
    process.wait(20)


@pytest.fixture
def valkey():
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    client.set("md:status", "{}", ex=600)
    yield client
    client.delete("md:status")
    client.close()


def _publish(valkey, number, pad=0):
    text = json.dumps({"type": "quote", "symbol": "BENCH", "seq": number, "pad": "x" * pad}, separators=(",", ":"))
    return valkey.publish("md:BENCH", text)


def _stalled(port):
    """A client that subscribes and never reads again. Small kernel buffers, so that they hide nothing."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", port))
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = (
        "GET /ws HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    )
    raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    raw.recv(100)
    data = b'{"op":"subscribe","topics":["quote:BENCH"]}'
    raw.sendall(bytes([0x81, 0x80 | len(data)]) + b"\0\0\0\0" + data)
    return raw


def _still_held(port, clients):
    """How many of these clients the server at ``port`` still has a socket for (rows of the kernel with an owner)."""
    theirs = {raw.getsockname()[1] for raw in clients}
    held = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        local, remote = (int(words[at].rpartition(":")[2], 16) for at in (1, 2))
        held += local == port and remote in theirs and words[9] != "0"
    return held


async def _healthy(port, seen, ready):
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws", compression=None) as client:
        await client.send('{"op":"subscribe","topics":["quote:BENCH"]}')
        async for text in client:
            frame = json.loads(text)
            if frame["type"] == "hb":
                await client.send(json.dumps({"op": "hb", "n": frame["n"]}))
            elif frame["type"] == "subscribed":
                ready.set()
            elif frame["type"] == "quote":
                seen.append(frame["seq"])


@pytest.mark.slow
async def test_stalled_clients_cost_bounded_memory_and_are_cut_while_others_get_everything(server, valkey):
    process, port = server
    seen = [[] for _ in range(HEALTHY)]
    ready = [asyncio.Event() for _ in range(HEALTHY)]
    tasks = [asyncio.create_task(_healthy(port, seen[n], ready[n])) for n in range(HEALTHY)]
    async with asyncio.timeout(60):
        for event in ready:
            await event.wait()
        while not _publish(valkey, 0):
            await asyncio.sleep(0.05)
    stalled = [_stalled(port) for _ in range(STALLED)]
    await asyncio.sleep(1.0)
    assert _still_held(port, stalled) == STALLED
    before_kb = rss_kb(process.pid)
    started = time.monotonic()
    for number in range(1, ROUNDS + 1):
        await asyncio.to_thread(_publish, valkey, number, PAD)
        await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        while any(numbers[-1] != ROUNDS for numbers in seen):
            await asyncio.sleep(0.05)
    grown_kb = rss_kb(process.pid) - before_kb
    # Without the rule each stalled socket would have cost ROUNDS × PAD = 4.8 MB.
    assert grown_kb < STALLED * 1024, f"{grown_kb} KB more"
    assert all(numbers == sorted(set(numbers)) for numbers in seen)
    # 10 s held back, a close frame that is not read, then the connection is dropped.
    async with asyncio.timeout(60):
        while _still_held(port, stalled):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(_publish, valkey, ROUNDS + int((time.monotonic() - started) * 10))
    for raw in stalled:
        raw.close()
    for task in tasks:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_foreign_origin_gets_403(server):
    _, port = server
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(f"ws://127.0.0.1:{port}/ws", origin="https://evil.test"):
            pass
    assert refused.value.response.status_code == 403


async def test_the_sites_own_origin_is_served(server):
    _, port = server
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws", origin=f"http://127.0.0.1:{port}") as client:
        assert json.loads(await client.recv())["type"] == "hello"


async def test_a_server_that_stops_says_when_to_come_back():
    port = free_port()
    process = daphne_start(port, os.environ)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    client = await websockets.connect(f"ws://127.0.0.1:{port}/ws", compression=None)
                    break
                except OSError:
                    await asyncio.sleep(0.1)
        assert json.loads(await client.recv())["type"] == "hello"
        process.terminate()
        bye = json.loads(await asyncio.wait_for(client.recv(), 10))
        assert bye["type"] == "bye"
        assert bye["retry_after_s"] >= 1
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(client.recv(), 10)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 4000
    finally:
        process.terminate()
        process.wait(20)


def _flooder(port, address, frames):
    """Send frames without reading; True when the connection was dropped before all were sent."""
    raw = socket.create_connection(("127.0.0.1", port), source_address=(address, 0))
    raw.settimeout(3)
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    head = f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
    raw.sendall((head + "Sec-WebSocket-Version: 13\r\n\r\n").encode())
    status = int(raw.recv(200).split()[1])
    if status != 101:
        return status, False
    data = b'{"op":"ping","n":1}'
    frame = bytes([0x81, 0x80 | len(data)]) + b"\0\0\0\0" + data
    try:
        for sent in range(0, frames, 100):
            raw.sendall(frame * min(100, frames - sent))
        while raw.recv(65536):
            pass
    except TimeoutError:
        return status, False
    except OSError:
        return status, True
    finally:
        raw.close()
    return status, True


@pytest.mark.slow
async def test_who_floods_is_dropped_and_shut_out_for_a_moment_while_others_stay(server, valkey):
    _, port = server
    seen, ready = [], asyncio.Event()
    task = asyncio.create_task(_healthy(port, seen, ready))
    async with asyncio.timeout(30):
        await ready.wait()
    # A burst within the rules stays.
    assert await asyncio.to_thread(_flooder, port, "127.0.0.8", 15) == (101, False)
    begun = time.monotonic()
    assert await asyncio.to_thread(_flooder, port, "127.0.0.9", 200_000) == (101, True)
    assert time.monotonic() - begun < 5
    assert (await asyncio.to_thread(_flooder, port, "127.0.0.9", 1))[0] == 429
    _publish(valkey, 77)
    async with asyncio.timeout(10):
        while 77 not in seen:
            await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
