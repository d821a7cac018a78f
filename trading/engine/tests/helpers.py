"""An engine's runtime inside the test's own event loop, with a file layer and a clock the test controls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from brokerage.kernel.clock import NS_PER_S, ManualClock
from brokerage.kernel.files import OsFiles
from native import core as native
from native.layout import COMMAND_SIZE
from trading.engine import commands
from trading.engine.events import Accepted, Rejected, outcome_of
from trading.engine.runtime import EngineOptions, EngineRuntime, Request

START_NS = 1_790_000_000 * NS_PER_S
CORE = native.CoreConfig(
    max_assets=8,
    max_instruments=8,
    max_accounts=64,
    max_orders=4096,
    max_levels=4096,
    max_cl_ord_ids=4096,
    max_holds=64,
)


class FaultyFiles(OsFiles):
    """The real files until the test says otherwise."""

    def __init__(self) -> None:
        self.fail: dict[str, OSError] = {}
        self.free: int | None = None
        self.created: list[str] = []
        self.hold_sync: Any = None  # a threading.Event the next sync waits for

    def _maybe(self, call: str) -> None:
        if call in self.fail:
            raise self.fail[call]

    def open(self, path: Path, *, create: bool = False) -> int:
        if create:
            self._maybe("create")
            self.created.append(path.name)
        return super().open(path, create=create)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self._maybe("pwrite")
        return super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        if self.hold_sync is not None:
            self.hold_sync.wait(10)
        self._maybe("fdatasync")
        super().fdatasync(fd)

    def free_bytes(self, path: Path) -> int:
        return super().free_bytes(path) if self.free is None else self.free


def make_runtime(
    folder: Path,
    *,
    files: OsFiles | None = None,
    clock: ManualClock | None = None,
    durability: str = "fdatasync",
    **options: Any,
) -> EngineRuntime:
    """A runtime on a small journal; call start() inside the loop."""
    settings: dict[str, Any] = {"segment_size": 65_536, "low_water": 0, "core_config": CORE} | options
    return EngineRuntime(
        EngineOptions(folder, "", durability=durability, **settings),
        native=native,
        clock=clock or ManualClock(START_NS),
        files=files or OsFiles(),
    )


def send(runtime: EngineRuntime, *packed: bytes) -> asyncio.Future[list[Accepted | Rejected]]:
    """Submit commands as one request; the future has their outcomes when they are answered."""
    future: asyncio.Future[list[Accepted | Rejected]] = asyncio.get_running_loop().create_future()

    def respond(rows: list[tuple[int, int, int]], events: bytes) -> None:
        from native import layout

        outcomes: list[Accepted | Rejected] = []
        offset = 0
        for seq, count, reason in rows:
            told = tuple(layout.unpack_event(events, (offset + i) * layout.EVENT_SIZE) for i in range(count))
            offset += count
            outcomes.append(outcome_of(seq, told, reason))
        if not future.done():
            future.set_result(outcomes)

    data = b"".join(packed)
    runtime.submit(Request(data, len(data) // COMMAND_SIZE, respond))
    return future


async def list_market(runtime: EngineRuntime) -> None:
    """One spot instrument and three funded accounts."""
    done = await send(
        runtime,
        commands.asset_upsert(1, 6),
        commands.asset_upsert(2, 8),
        commands.instrument_upsert(1, 1, base_asset=2, quote_asset=1, tick_value=1, lot_minor=1, reference_price=100),
        *(commands.account_upsert(account) for account in (1, 2, 3)),
        *(commands.deposit(account, asset, 10**12, f"d{asset}") for account in (1, 2, 3) for asset in (1, 2)),
    )
    assert all(isinstance(outcome, Accepted) for outcome in done)
    await asyncio.sleep(0)  # the feed is told one turn after the answer


def order(
    account: int, side: int, price: int, qty: int, cl_ord_id: str = "", *, tif: int = 1, expire_ns: int = 0
) -> bytes:
    """A limit order."""
    return commands.order_new(account, 1, side, 2, tif, price, qty, stp=0, expire_ns=expire_ns, cl_ord_id=cl_ord_id)
