"""``python -m trading.engine.bench``: what a round trip to the engine costs here, beside what this machine's socket and disk cost.

Owns: the measurement of one real engine process over its socket from Python, in both durability modes, and the two yardsticks: an echo
over the same kind of socket, and one write + fdatasync of the same size. Prints a table; ``--json FILE`` writes the figures. Leaves to
others: the core's own figures (native/bench), REST and streams (tests/bench).

Wall-clock figures on a busy machine measure the other programs too: the load average is part of the result, and CPU time per command
of the engine process is given, which depends on it much less.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from brokerage.kernel.clock import SYSTEM_CLOCK
from native.layout import COMMAND_SIZE, Tif
from trading.engine import commands
from trading.engine.gateway import EngineClient
from trading.engine.testing import EngineProcess

_now = SYSTEM_CLOCK.monotonic_ns


def percentiles(samples: list[int]) -> dict[str, int]:
    """p10, p50, p90 and p99 of nanoseconds, in tenths of a microsecond as whole numbers would hide them: in nanoseconds."""
    ordered = sorted(samples)
    return {f"p{p}_ns": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (10, 50, 90, 99)} | {
        "n": len(ordered)
    }


def _timed(action: Any, n: int) -> dict[str, int]:
    samples = []
    for index in range(n):
        begun = _now()
        action(index)
        samples.append(_now() - begun)
    return percentiles(samples)


def _echo_server(path: str) -> None:
    import asyncio

    import uvloop

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)  # type: ignore[attr-defined]

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_unix_server(Echo, path)
        await server.serve_forever()

    uvloop.run(serve())


def measure_echo(n: int) -> dict[str, int]:
    """A frame of the size of a command there and back through a uvloop echo: the socket's share."""
    with tempfile.TemporaryDirectory(prefix="echo") as folder:
        path = os.path.join(folder, "echo.sock")
        process = multiprocessing.get_context("spawn").Process(target=_echo_server, args=(path,), daemon=True)
        process.start()
        try:
            end = _now() + 20_000_000_000
            while not os.path.exists(path) and _now() < end:
                process.join(0.02)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                data = bytes(16 + COMMAND_SIZE)

                def once(_: int) -> None:
                    sock.sendall(data)
                    sock.recv(4096)

                _timed(once, n // 10)
                return _timed(once, n)
        finally:
            process.terminate()
            process.join(5)


def measure_disk(folder: Path, n: int) -> dict[str, int]:
    """One pwrite of a one-command frame into a zero-filled file and fdatasync: the disk's share."""
    path = folder / "disk.probe"
    with path.open("wb") as file:
        file.write(bytes(max(n * 176, 1 << 20)))
        file.flush()
        os.fsync(file.fileno())
    fd = os.open(path, os.O_RDWR)
    data = b"x" * 176

    def once(index: int) -> None:
        os.pwrite(fd, data, index * 176)
        os.fdatasync(fd)

    try:
        return _timed(once, n)
    finally:
        os.close(fd)
        path.unlink()


def _cpu_us(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def _prepare(client: EngineClient) -> None:
    setup = [commands.asset_upsert(1, 6), commands.asset_upsert(2, 8)]
    setup.append(
        commands.instrument_upsert(1, 1, base_asset=2, quote_asset=1, tick_value=1, lot_minor=1, reference_price=100)
    )
    for account in (1, 2):
        setup += [commands.account_upsert(account)]
        setup += [commands.deposit(account, asset, 10**15, f"d{asset}") for asset in (1, 2)]
    client.submit_many(setup)


def measure_engine(folder: Path, durability: str, n: int) -> dict[str, Any]:
    """Round trips one at a time, and the rate of pipelined batches."""
    with EngineProcess(folder / durability, durability=durability, arguments=()) as engine:
        client = engine.client(timeout_s=30)
        _prepare(client)
        assert engine.process is not None  # noqa: S101
        pid = engine.process.pid

        def rest(index: int) -> None:
            client.submit(commands.order_new(1, 1, 1, 2, Tif.GTC, 50 + index % 40, 1, stp=0, cl_ord_id=f"r{index}"))

        def trade(index: int) -> None:
            client.submit(commands.order_new(1 + index % 2, 1, 2 - index % 2, 2, Tif.GTC, 100, 1, stp=0))

        _timed(rest, n // 10)
        result: dict[str, Any] = {"durability": durability}
        cpu = _cpu_us(pid)
        result["resting order"] = _timed(lambda index: rest(index + n), n)
        result["resting order"]["engine_cpu_us"] = (_cpu_us(pid) - cpu) // n
        result["order, every second one trades"] = _timed(trade, n)
        result["question (live order)"] = _timed(lambda index: client.query_order(1), n)
        many = [
            commands.order_new(1 + i % 2, 1, 2 - i % 2, 2, Tif.GTC, 100, 1, stp=0, cl_ord_id=f"m{i}")
            for i in range(4 * n)
        ]
        cpu, begun = _cpu_us(pid), _now()
        client.submit_many(many)
        elapsed = _now() - begun
        result["pipelined"] = {
            "commands": len(many),
            "per_s": len(many) * 1_000_000_000 // elapsed,
            "engine_cpu_us_per_1000": (_cpu_us(pid) - cpu) * 1000 // len(many),
        }
        details = client.status().details
        result["sync_us_p50"], result["journal_thread"] = details["sync_us_p50"], details["journal_thread"]
        return result


def measure(n: int) -> dict[str, Any]:
    """Everything."""
    with tempfile.TemporaryDirectory(prefix="engine-bench", dir=Path.cwd()) as name:
        folder = Path(name)
        return {
            "cpus": os.cpu_count(),
            "load_before": [str(round(value, 1)) for value in os.getloadavg()],
            "echo": measure_echo(n),
            "disk": measure_disk(folder, n),
            "engine": [measure_engine(folder, mode, n) for mode in ("os", "fdatasync")],
            "load_after": [str(round(value, 1)) for value in os.getloadavg()],
        }


def _us(ns: int) -> str:
    return f"{ns // 1000}.{ns % 1000 // 100}"


def _row(name: str, figures: dict[str, int]) -> str:
    return f"{name:<52}" + "".join(f"{_us(figures[f'p{p}_ns']):>10}" for p in (10, 50, 90, 99))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m trading.engine.bench")
    parser.add_argument("-n", type=int, default=3000, help="round trips per figure")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    found = measure(options.n)
    print(f"{found['cpus']} CPUs, load {' '.join(found['load_before'])} before, {' '.join(found['load_after'])} after")
    print(f"{'microseconds':<52}" + "".join(f"{f'p{p}':>10}" for p in (10, 50, 90, 99)))
    print(_row("echo over a Unix socket (yardstick)", found["echo"]))
    print(_row("write + fdatasync of one frame (yardstick)", found["disk"]))
    for engine in found["engine"]:
        for name in ("resting order", "order, every second one trades", "question (live order)"):
            print(_row(f"{engine['durability']}: {name}", engine[name]))
        rate = engine["pipelined"]
        print(
            f"{engine['durability']}: pipelined {rate['per_s']} commands/s, {rate['engine_cpu_us_per_1000']} us of engine CPU per 1000; "
            f"one at a time {engine['resting order']['engine_cpu_us']} us each; journal thread: {engine['journal_thread']}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
