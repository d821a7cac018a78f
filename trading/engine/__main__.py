"""``python -m trading.engine``: run the engine, or look at a journal (``--check``, ``--verify``, ``--dump FROM TO``).

Owns: the command line, signals, the event loop, the ready file, exit codes. Leaves to others: everything else.

Exit codes: 0 stopped cleanly · 2 wrong arguments · 3 halted (the journal could not be written) · 4 the journal is damaged or does not
belong here · 5 another engine has the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path

from brokerage.config import get_config
from brokerage.kernel.clock import SYSTEM_CLOCK
from brokerage.kernel.errors import DamageError
from brokerage.kernel.files import StorageError
from trading.engine.eventlog import RING_BYTES
from trading.engine.journal import LOW_WATER, SEGMENT_SIZE, JournalLockedError
from trading.engine.runtime import SNAPSHOT_EVERY, EngineOptions, EngineRuntime
from trading.engine.server import EngineServer
from trading.engine.services import Services

log = logging.getLogger("trading.engine")

EXIT_HALTED, EXIT_DAMAGED, EXIT_LOCKED = 3, 4, 5


def main(arguments: list[str] | None = None) -> int:
    """Parse, then run or inspect."""
    options, ready, tool = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        from native import core as native
    except Exception as error:
        print(f"the C core cannot be loaded: {error}", file=sys.stderr)
        return 2
    try:
        if tool is not None:
            from trading.engine import tools

            return tools.run(tool, options.journal_dir, native)
        try:
            services = _services()
        except (OSError, ValueError, TypeError) as error:
            print(f"ENGINE_KEYS cannot be used: {error}", file=sys.stderr)
            return 2
        return _serve(options, ready, native, services)
    except JournalLockedError as error:
        print(error, file=sys.stderr)
        return EXIT_LOCKED
    except DamageError as error:
        log.critical("HALT: %s", error)
        print(f"The journal in {options.journal_dir} cannot be used: {error}", file=sys.stderr)
        return EXIT_DAMAGED
    except StorageError as error:
        log.critical("HALT: %s", error)
        return EXIT_HALTED


def _parse(arguments: list[str] | None) -> tuple[EngineOptions, Path, tuple[str, list[int]] | None]:
    config = get_config()
    parser = argparse.ArgumentParser(prog="python -m trading.engine", description="The matching engine of the house.")
    parser.add_argument("--journal", type=Path, default=config.journal_dir, help="folder of the journal")
    parser.add_argument("--socket", default=config.engine_socket, help="path of the Unix socket")
    parser.add_argument(
        "--ready", type=Path, default=config.run_dir / "engine.ready", help="file that says it is ready"
    )
    parser.add_argument("--durability", choices=("fdatasync", "os"), default=config.durability)
    parser.add_argument("--segment-kib", type=int, default=SEGMENT_SIZE >> 10, help="size of a journal segment")
    parser.add_argument(
        "--low-water-kib", type=int, default=LOW_WATER >> 10, help="free space below which new orders stop"
    )
    parser.add_argument("--snapshot-every", type=int, default=SNAPSHOT_EVERY, help="commands between snapshots")
    parser.add_argument("--digest-every", type=int, default=65_536, help="commands between digests in the journal")
    parser.add_argument("--ring-kib", type=int, default=RING_BYTES >> 10, help="memory for recent events of the feed")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="read every frame: CRC, chain, sequence; change nothing")
    group.add_argument(
        "--verify", action="store_true", help="replay from the beginning and compare digests and snapshots"
    )
    group.add_argument("--dump", nargs=2, type=int, metavar=("FROM", "TO"), help="print commands and events of a range")
    found = parser.parse_args(arguments)
    if found.segment_kib < 64:
        parser.error("a segment has at least 64 KiB")
    options = EngineOptions(
        journal_dir=found.journal, socket_path=found.socket, durability=found.durability,
        segment_size=found.segment_kib << 10, low_water=found.low_water_kib << 10, snapshot_every=found.snapshot_every,
        digest_every=found.digest_every, ring_bytes=found.ring_kib << 10,
    )  # fmt: skip
    tool: tuple[str, list[int]] | None = None
    if found.check or found.verify:
        tool = ("check" if found.check else "verify", [])
    elif found.dump:
        tool = ("dump", found.dump)
    return options, found.ready, tool


def _services() -> Services | None:
    config = get_config()
    return Services(config.engine_keys) if config.engine_tokens else None


def _serve(options: EngineOptions, ready: Path, native: object, services: Services | None) -> int:
    import uvloop

    # The journal's thread must not wait the default 5 ms for the interpreter after a sync of 0.1 ms.
    sys.setswitchinterval(0.0002)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(options, ready, native, services))


async def _run(options: EngineOptions, ready: Path, native: object, services: Services | None) -> int:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def finish(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, finish, 0)
    # Lock before anything is removed or bound: a second engine must not touch the first one's socket.
    runtime = EngineRuntime(options, native=native, clock=SYSTEM_CLOCK)
    runtime.start()
    server = EngineServer(runtime, options.socket_path, services)

    def halted(reason: str) -> None:
        server.announce_halt(reason)
        loop.call_later(0.05, finish, EXIT_HALTED)

    runtime.on_halt = halted
    await server.start()
    _write_ready(ready)
    found = runtime.recovered
    log.info(
        "ready: epoch %d, journal %s, command %d (snapshot %d + %d commands in %d ms), durability %s, build %s",
        runtime.epoch, runtime.journal.journal_id, runtime.durable_cmd_seq, found.snapshot_seq, found.commands,
        runtime.recovery_ms, options.durability, runtime.build_id,
    )  # fmt: skip
    # What is here now lives as long as the process: keep the collector from walking it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    code = await ended
    ready.unlink(missing_ok=True)
    if code == 0:
        await server.stop()
        await runtime.stop()
        log.info("stopped at command %d", runtime.durable_cmd_seq)
    else:
        # Nothing may be written any more; what is on the disk is what the next start goes by.
        logging.shutdown()
        os._exit(code)
    return code


def _write_ready(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(path.name + ".tmp")
    temp.write_text(f"{os.getpid()}\n")
    temp.rename(path)


if __name__ == "__main__":
    sys.exit(main())
