"""How many frames the hub delivers per second of its process's CPU time, under daphne, through the real Valkey.

    python -m tests.bench.hub_bench [--sockets 300] [--rounds 60] [--json FILE]

Starts a daphne of its own with the real consumer and hub (``hub_app.py``) and connects sockets to it. Closed loop: a quote of ordinary
size is published on the bus, and the next one when every socket has it. CPU time is what the kernel counts for the daphne process between the
first and the last round, so the figure hardly depends on what else the machine does; the delivery times do.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
QUOTE = {
    "type": "quote", "symbol": "BENCH", "bid": "64000.00", "bid_qty": "0.5000", "ask": "64000.50", "ask_qty": "1.2500", "last": "64000.00",
    "last_qty": "0.0100", "open_24h": "63500.00", "high_24h": "64500.00", "low_24h": "63100.00", "volume_24h": "1234.5678",
    "change_pct_24h": "0.79", "state": "active",
}  # fmt: skip


class Counter(asyncio.Protocol):
    """A WebSocket client that counts quote frames and answers heartbeats; as cheap as Python allows, so that the server is what is measured."""

    def __init__(self, round_done: Any) -> None:
        self.quotes = 0
        self.bytes = 0
        self.open = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()
        self._http = True
        self._round_done = round_done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self.transport = transport
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        head = ("GET /ws HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade")
        lines = (*head, f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", "")
        transport.write("\r\n".join(lines).encode())  # type: ignore[attr-defined]

    def send(self, message: dict[str, Any]) -> None:
        """Send one masked text frame."""
        data = json.dumps(message).encode()
        head = (
            bytes([0x81, 0x80 | len(data)]) if len(data) < 126 else bytes([0x81, 0xFE]) + len(data).to_bytes(2, "big")
        )
        self.transport.write(head + b"\0\0\0\0" + data)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take the handshake's answer, then frames."""
        self._buffer += data
        self.bytes += len(data)
        if self._http:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in self._buffer[:16]:
                self.open.set_exception(RuntimeError(bytes(self._buffer[:40]).decode("latin-1")))
                return
            del self._buffer[: end + 4]
            self._http = False
            self.send({"op": "subscribe", "topics": ["quote:BENCH"]})
        while len(self._buffer) >= 2:
            size, start = self._buffer[1], 2
            if size == 126:
                size, start = int.from_bytes(self._buffer[2:4], "big"), 4
            if len(self._buffer) < start + size:
                return
            self._frame(self._buffer[0] & 0x0F, bytes(self._buffer[start : start + size]))
            del self._buffer[: start + size]

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self.transport.write(bytes([0x8A, 0x80 | len(payload)]) + b"\0\0\0\0" + payload)  # type: ignore[attr-defined]
        elif payload.startswith(b'{"type":"quote"'):
            self.quotes += 1
            self._round_done()
        elif payload.startswith(b'{"type":"hb"'):
            self.send({"op": "hb", "n": json.loads(payload)["n"]})
        elif payload.startswith(b'{"type":"subscribed"'):
            self.open.set_result(None)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_kb(pid: int) -> int:
    """Resident memory of a process."""
    return next(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )


async def measure(port: int, pid: int, valkey: redis.Redis, sockets: int, rounds: int) -> dict[str, Any]:
    """Connect, publish round after round, count."""
    loop = asyncio.get_running_loop()
    waiting = 0
    done = asyncio.Event()

    def got() -> None:
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            done.set()

    empty_kb = rss_kb(pid)
    connect_cpu, begun = cpu_s(pid), time.perf_counter()
    clients: list[Counter] = []
    for _ in range(sockets):
        _, client = await loop.create_connection(lambda: Counter(got), "127.0.0.1", port)
        await asyncio.wait_for(client.open, 30)
        clients.append(client)
    connect_cpu, connect_s = cpu_s(pid) - connect_cpu, time.perf_counter() - begun
    full_kb = rss_kb(pid)
    taken: list[float] = []

    async def one(number: int) -> float:
        nonlocal waiting
        waiting = sockets
        done.clear()
        text = json.dumps({**QUOTE, "seq": number, "ts": "2026-11-21T12:00:00.000000Z"}, separators=(",", ":"))
        start = time.perf_counter()
        await asyncio.to_thread(valkey.publish, "md:BENCH", text)
        await asyncio.wait_for(done.wait(), 60)
        return time.perf_counter() - start

    for number in range(5):
        await one(number)
    cpu, begun = cpu_s(pid), time.perf_counter()
    for number in range(rounds):
        taken.append(await one(number))
    cpu, wall = cpu_s(pid) - cpu, time.perf_counter() - begun
    frames = sockets * rounds
    assert all(client.quotes >= rounds for client in clients)
    for client in clients:
        client.transport.close()
    return {
        "sockets": sockets,
        "rounds": rounds,
        "frames": frames,
        "frames_per_cpu_s": round(frames / cpu),
        "cpu_us_per_frame": round(cpu / frames * 1e6, 1),
        "frames_per_wall_s": round(frames / wall),
        "delivery_to_all_p50_ms": round(statistics.median(taken) * 1000, 2),
        "delivery_to_all_p99_ms": round(sorted(taken)[int(len(taken) * 0.99)] * 1000, 2),
        "connect_cpu_us": round(connect_cpu / sockets * 1e6),
        "connects_per_wall_s": round(sockets / connect_s),
        "rss_kb_per_socket": round((full_kb - empty_kb) / sockets, 1),
        "load": os.getloadavg()[0],
    }


def daphne_start(port: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A daphne of the product's own on loopback with ``hub_app``; who starts it waits for it and ends it."""
    command = [
        sys.executable,
        "-m",
        "brokerage.serve",
        "-b",
        "127.0.0.1",
        "-p",
        str(port),
        "tests.bench.hub_app:application",
    ]
    return subprocess.Popen(
        command, cwd=ROOT, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def run(sockets: int = 300, rounds: int = 60) -> dict[str, Any]:
    """Start what is needed, measure, stop it."""
    with contextlib.ExitStack() as stack:
        environment = dict(os.environ)
        if not environment.get("REDIS_URL"):
            from brokerage.launch.embedded import EmbeddedServers

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbench"))
            servers = stack.enter_context(EmbeddedServers(Path(folder)))
            environment |= {"REDIS_URL": servers.redis_url, "DATABASE_URL": servers.database_url}
        valkey = redis.Redis.from_url(environment["REDIS_URL"])
        port = free_port()
        server = daphne_start(port, environment)
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if server.poll() is not None:
                    raise SystemExit("daphne ended at once")
                time.sleep(0.1)
            if not valkey.exists("md:status"):
                valkey.set("md:status", "{}", ex=600)
            return asyncio.run(measure(port, server.pid, valkey, sockets, rounds))
        finally:
            server.terminate()
            server.wait(20)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="", help="not used: the bench brings its own server")
    parser.add_argument("--sockets", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    result = run(options.sockets, options.rounds)
    text = json.dumps(result, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
