"""Crash simulation: the real journal, sequencer, recovery and C core over a disk that loses power, and what must hold afterwards.

Owns: the run (submit, crash, recover, again), the client's ledger of acknowledgements, the invariants. A seed gives a run exactly.

Invariants after each recovery
  I1   every acknowledged command is there, byte for byte, at its sequence;
  I8   sequences have no gap (recovery checks it; the history compares it);
  I9   the recovered state equals a fresh core fed with the recovered commands (digest);
  I12  what is recovered is a prefix of what was applied since the last recovery: nothing unknown, and what one recovery reported absent
       never comes back.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brokerage.kernel.clock import NS_PER_S, ManualClock
from native import core as native
from native.layout import COMMAND_SIZE
from tests.crash.disk import PowerLoss, SimDisk
from trading.engine import commands
from trading.engine.journal import write_batch
from trading.engine.replay import read_back
from trading.engine.runtime import EngineOptions, EngineRuntime

CORE = native.CoreConfig(
    max_assets=8, max_instruments=8, max_accounts=16, max_orders=256, max_levels=256, max_cl_ord_ids=256, max_holds=16,
    max_fills_per_command=16, max_cancels_per_command=16,
)  # fmt: skip
START_NS = 1_790_000_000 * NS_PER_S


class InvariantBroken(AssertionError):
    """The simulation found what it looks for."""


@dataclass
class Plants:
    """Bugs that can be planted; each changes the code the way a mistake would."""

    ack_before_sync: bool = False
    prepare: Callable[[EngineRuntime], None] = field(default=lambda runtime: None)


@dataclass
class Report:
    """What one run did."""

    crashes: int = 0
    recoveries: int = 0
    acked: int = 0
    torn: int = 0
    snapshots_used: int = 0
    ops: int = 0
    sites: dict[str, int] = field(default_factory=dict)


class Simulation:
    """One seeded run."""

    def __init__(self, seed: int, lock_folder: Path, plants: Plants | None = None, *, fsync_lies: bool = False) -> None:
        self.random = random.Random(seed)
        self.disk = SimDisk(seed * 7919 + 1, fsync_lies=fsync_lies)
        self.folder = lock_folder
        self.plants = plants or Plants()
        self.clock = ManualClock(START_NS)
        self.report = Report()
        self.applied: list[bytes] = []  # every command since the last recovery's prefix, by sequence - 1
        self.acked = 0
        self.entry = 0
        self.runtime: EngineRuntime | None = None

    # -- commands -----------------------------------------------------------------------------------------------------

    def _command(self) -> bytes:
        pick = self.random
        account = pick.randint(1, 4)
        self.entry += 1
        draw = pick.random()
        if draw < 0.1:
            return commands.deposit(account, pick.randint(1, 2), pick.randint(1, 10**9), f"d{self.entry}")
        if draw < 0.75:
            # GTD orders make the engine's own commands part of the journal.
            tif, expire = (6, self.clock.now_ns() + NS_PER_S) if draw < 0.3 else (1, 0)
            return commands.order_new(
                account, 1, pick.randint(1, 2), 2, tif, pick.randint(90, 110), pick.randint(1, 9), expire_ns=expire,
                cl_ord_id=f"o{self.entry}",
            )  # fmt: skip
        return commands.mass_cancel(account)

    @staticmethod
    def _reference() -> list[bytes]:
        listing = commands.instrument_upsert(
            1, 1, base_asset=2, quote_asset=1, tick_value=1, lot_minor=1, reference_price=100, taker_ppm=500
        )
        return [commands.asset_upsert(1, 2), commands.asset_upsert(2, 2), listing] + [
            commands.account_upsert(account) for account in range(1, 5)
        ]

    # -- run ----------------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start the engine and check what it found."""
        options = EngineOptions(
            self.folder, "", segment_size=8192, snapshot_every=40, digest_every=16, core_config=CORE, low_water=0
        )
        runtime = EngineRuntime(options, native=native, clock=self.clock, files=self.disk)
        # Segments are made ahead in a thread in real life; here in turn, so that a seed gives one run.
        runtime.journal._prepare_ahead = lambda: None  # type: ignore[method-assign]
        self.runtime = runtime
        self.plants.prepare(runtime)
        self.report.recoveries += 1
        self.report.torn += bool(runtime.recovered.tail and runtime.recovered.tail.torn)
        self.report.snapshots_used += runtime.recovered.snapshot_seq > 0
        self._check(runtime)

    def _check(self, runtime: EngineRuntime) -> None:
        found: list[bytes] = []
        for _, first, count, packed, _ in read_back(
            self.folder, files=self.disk, native=native, core_config=CORE, from_seq=1, until=runtime.durable_position
        ):
            if first != len(found) + 1:
                raise InvariantBroken(f"I8: command {len(found) + 1} was expected, {first} came")
            found += [packed[i * COMMAND_SIZE : (i + 1) * COMMAND_SIZE] for i in range(count)]
        if len(found) < self.acked:
            raise InvariantBroken(f"I1: {self.acked} commands were acknowledged, {len(found)} are there")
        if found != self.applied[: len(found)]:
            raise InvariantBroken(
                f"I12: what was recovered ({len(found)}) is not what was applied ({len(self.applied)})"
            )
        with native.Core(CORE) as core:
            if found:
                core.apply(b"".join(found))
            if core.digest() != runtime.core.digest():
                raise InvariantBroken("I9: the recovered state is not that of the recovered commands")
            core.check()
        self.applied = found

    def batch(self, packed: list[bytes]) -> None:
        """One batch through sequencer and journal; acknowledged when the journal says so."""
        runtime = self.runtime
        assert runtime is not None
        built = runtime.sequencer.build([(None, command, 1) for command in packed])
        if built is None:
            return
        self.applied += [bytes(built.commands[i * COMMAND_SIZE : (i + 1) * COMMAND_SIZE]) for i in range(built.count)]
        if self.plants.ack_before_sync:
            self.acked = built.last_seq
        write_batch(runtime.journal, built)
        runtime.durable_position = built.position
        runtime.durable_last_offset = built.last_offset
        self.acked = built.last_seq
        self.report.acked = max(self.report.acked, self.acked)
        if built.last_seq - runtime.snapshot_seq >= runtime.options.snapshot_every:
            self._snapshot(runtime)

    def _snapshot(self, runtime: EngineRuntime) -> None:
        from trading.engine.snapshot import write_snapshot

        info, state = runtime._snapshot_info(), runtime.core.snapshot()
        write_snapshot(self.disk, self.folder / "snapshots", info, state, native)
        runtime.snapshot_seq = info.cmd_seq

    def power_loss(self) -> None:
        """The machine goes off and comes back."""
        if self.runtime is not None:
            self.runtime.core.close()
        self.runtime = None
        self.disk.lose_power()
        self.report.crashes += 1

    def life(self, batches: int, crash_in: int) -> None:
        """From a start to a crash before operation ``crash_in`` (or to the end of the batches), then off."""
        self.disk.crash_at = self.disk.ops + crash_in if crash_in else 0
        runtime: Any = None
        try:
            self.boot()
            runtime = self.runtime
            if not self.applied:
                self.batch(self._reference())
            for _ in range(batches):
                self.clock.advance(self.random.randint(1, NS_PER_S // 2))
                self.batch([self._command() for _ in range(self.random.choice((1, 1, 2, 5)))])
        except PowerLoss:
            pass
        finally:
            if runtime is None:
                runtime = self.runtime
            if runtime is not None:
                runtime.lock.release()
        self.power_loss()

    def run(self, lives: int, batches: int = 40, crash_range: int = 160) -> Report:
        """Several lives with a crash at a random operation each, then one in peace."""
        for _ in range(lives):
            self.life(batches, self.random.randint(1, crash_range))
        self.life(3, 0)
        self.report.ops = self.disk.ops
        self.report.sites = self.disk.sites
        return self.report
