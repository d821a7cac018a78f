"""How many trades a second the projector stores: a feed made by the real core, the real projector, real tables in a schema of their own.

Owns the synthetic flow and the measurement; floats here are seconds and rates, never money.
"""

from __future__ import annotations

import random
import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from native.core import Core, CoreConfig
from native.layout import (
    EVENT_DTYPE,
    CommandType,
    EventType,
    InstrumentKind,
    OrdType,
    Tif,
    pack_command,
    pack_instrument_data,
)
from trading.engine.events import FeedBatch
from trading.models import ProjectionState
from trading.projection.projector import Projector
from trading.projection.scratch import scratch

SCHEMA = "projection_bench"
LOCK = 0x42454E43
JOURNAL = "be" * 16
MID = 10_000
ACCOUNTS = 200
INSTRUMENTS = 14
BATCH = 64


@dataclass
class Flow:
    """A recorded feed and what it holds."""

    batches: list[FeedBatch]
    commands: int
    trades: int


def flow_make(trades: int, seed: int) -> Flow:
    """Random limit orders around one price on spot and margin instruments, until there are that many matches."""
    rng = random.Random(seed)  # noqa: S311 - a measurement, not a secret
    with Core(CoreConfig()) as core:
        batches: list[FeedBatch] = []
        pending = bytearray()
        seq, first, matched = 0, 1, 0

        def flush() -> None:
            nonlocal first, matched
            import numpy

            events = bytes(core.apply(bytes(pending)))
            kinds = numpy.frombuffer(events, EVENT_DTYPE)["type"]
            matched += int((kinds == EventType.ORDER_FILLED).sum()) // 2
            batches.append(FeedBatch(1, JOURNAL, first, seq - first + 1, bytes(pending), events))
            first = seq + 1
            pending.clear()

        def send(kind: int, **fields: Any) -> None:
            nonlocal seq
            seq += 1
            pending.extend(
                pack_command(int(kind), seq=seq, time_ns=1_700_000_000_000_000_000 + seq * 1_000_000, **fields)
            )
            if seq - first + 1 == BATCH:
                flush()

        for asset in range(1, INSTRUMENTS + 2):
            send(CommandType.ASSET_UPSERT, instrument=asset, side=6)
        for number in range(1, INSTRUMENTS + 1):
            spot = number % 2
            data = pack_instrument_data(maker_ppm=500, taker_ppm=1000, margin_ppm=0 if spot else 50_000)
            send(
                CommandType.INSTRUMENT_UPSERT, instrument=number, ord_type=InstrumentKind.SPOT if spot else InstrumentKind.MARGIN,
                order_id=((number + 1) << 32 if spot else 0) | 1, amount=100, aux=10, price=MID, cl_ord_id=data,
            )  # fmt: skip
        for account in range(1, ACCOUNTS + 1):
            send(CommandType.ACCOUNT_UPSERT, account=account)
            for asset in range(1, INSTRUMENTS + 2):
                send(CommandType.DEPOSIT, account=account, instrument=asset, amount=10**15, cl_ord_id=f"d{asset}")
        while matched < trades:
            send(
                CommandType.ORDER_NEW, account=rng.randint(1, ACCOUNTS), instrument=rng.randint(1, INSTRUMENTS), side=rng.choice((1, 2)),
                ord_type=OrdType.LIMIT, tif=Tif.GTC, stp=1, price=MID + rng.randint(-5, 5), qty=rng.randint(1, 100),
                cl_ord_id=f"{seed:x}-{seq:020x}",
            )  # fmt: skip
        if pending:
            flush()
        return Flow(batches, seq, matched)


class _Recorded:
    """A client whose feed is the recorded one."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    def feed(self, from_cmd_seq: int) -> Iterator[FeedBatch]:
        """The recorded batches, then silence."""
        for batch in self.flow.batches:
            if batch.first_seq >= from_cmd_seq:
                yield batch
        threading.Event().wait()


def bench_run(trades: int, seed: int) -> dict[str, Any]:
    """Project the flow and return the figures."""
    flow = flow_make(trades, seed)
    with scratch(SCHEMA):
        done = threading.Event()
        marks: dict[str, float] = {}

        def stopping() -> bool:
            return done.is_set() or projector.offset >= flow.commands

        projector = Projector(_Recorded(flow), stopping=stopping, name="projector-bench", lock=LOCK)  # type: ignore[arg-type]
        marks["cpu"] = time.process_time()
        marks["wall"] = time.perf_counter()
        projector.run()
        wall = time.perf_counter() - marks["wall"]
        cpu = time.process_time() - marks["cpu"]
        state = ProjectionState.objects.get(pk=1)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT core_asset, sum(amount) FROM accounts_ledgerentry GROUP BY core_asset HAVING sum(amount) <> 0"
            )
            unbalanced = cursor.fetchall()
            cursor.execute(
                "SELECT (SELECT count(*) FROM accounts_ledgerentry), (SELECT count(*) FROM trading_execution), (SELECT count(*) FROM trading_order)"
            )
            ledger, executions, orders = cursor.fetchone()
    if state.cmd_seq != flow.commands or state.halted_reason or unbalanced or executions != 2 * flow.trades:
        raise RuntimeError(
            f"the projection is wrong: at {state.cmd_seq} of {flow.commands}, {state.halted_reason!r}, unbalanced {unbalanced}"
        )
    return {
        "trades": flow.trades,
        "commands": flow.commands,
        "rows": {"ledger": ledger, "executions": executions, "orders": orders},
        "wall_s": round(wall, 3),
        "trades_per_s": round(flow.trades / wall),
        "commands_per_s": round(flow.commands / wall),
        "projector_cpu_us_per_trade": round(cpu / flow.trades * 1e6, 1),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "ledger_sums": "zero",
    }
