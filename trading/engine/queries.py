"""Questions to the core, answered in bytes.

Owns: turning the arguments of a QUERY frame into a call of the core and its result into a RESULT payload. Called only when the core
holds nothing that is not durable (runtime.py sees to that). Leaves to others: frames (wire.py), who may ask (anybody on the socket).
Every list is bounded.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from brokerage.kernel.errors import ProtocolError
from native import layout
from trading.engine import wire

DEPTH_MAX = 10_000
ORDERS_MAX = 10_000


def answer(runtime: Any, kind: int, arguments: Any) -> bytes:
    """RESULT payload of a query; ProtocolError for one that cannot be understood."""
    handler = _HANDLERS.get(kind)
    if handler is None:
        raise ProtocolError(f"unknown query {kind}")
    try:
        return handler(runtime, arguments)
    except struct.error as error:
        raise ProtocolError(f"query {kind}: arguments of {len(arguments)} bytes do not fit") from error


def _depth(runtime: Any, arguments: Any) -> bytes:
    instrument, n = wire.ARG_DEPTH.unpack(arguments)
    bids, asks = runtime.core.depth(instrument, min(n, DEPTH_MAX))
    return wire.pack_depth(runtime.durable_cmd_seq, runtime.durable_event_seq, bids, asks)


def _order(runtime: Any, arguments: Any) -> bytes:
    order = runtime.core.order(wire.ARG_ORDER.unpack(arguments)[0])
    return wire.ORDER_ROW.pack(*order) if order is not None else b""


def _orders(runtime: Any, arguments: Any) -> bytes:
    account, limit, after = wire.ARG_ORDERS.unpack(arguments)
    return b"".join(wire.ORDER_ROW.pack(*o) for o in runtime.core.orders_of(account, after, min(limit, ORDERS_MAX)))


def _cl_ord_id(runtime: Any, arguments: Any) -> bytes:
    account, raw = wire.ARG_CL_ORD_ID.unpack(arguments)
    event = runtime.core.cl_ord_id(account, raw.rstrip(b"\0"))
    return layout.pack_event(event) if event is not None else b""


def _balances(runtime: Any, arguments: Any) -> bytes:
    account = wire.ARG_ACCOUNT.unpack(arguments)[0]
    core = runtime.core
    rows = ((asset, *core.balance(account, asset)) for asset in range(1, core.config.max_assets))
    return b"".join(wire.BALANCE_ROW.pack(*row) for row in rows if row[1] or row[2])


def _positions(runtime: Any, arguments: Any) -> bytes:
    account = wire.ARG_ACCOUNT.unpack(arguments)[0]
    core = runtime.core
    rows = ((instrument, *core.position(account, instrument)) for instrument in range(1, core.config.max_instruments))
    return b"".join(wire.POSITION_ROW.pack(*row) for row in rows if any(row[1:]))


def _preview(runtime: Any, arguments: Any) -> bytes:
    if len(arguments) != layout.COMMAND_SIZE:
        raise ProtocolError("a preview takes one command")
    command = bytearray(arguments)
    layout.stamp_command(command, 0, 0, runtime.sequencer.now())
    return wire.PREVIEW_ROW.pack(*runtime.core.preview(command))


def _digest(runtime: Any, arguments: Any) -> bytes:
    return wire.DIGEST_ROW.pack(runtime.durable_cmd_seq, runtime.durable_event_seq, runtime.core.digest())


def _check(runtime: Any, arguments: Any) -> bytes:
    """Empty when every invariant of the core holds, else its text."""
    try:
        runtime.core.check()
    except runtime.native.CoreBroken as error:
        return str(error).encode()
    return b""


def state_of(runtime: Any) -> dict[str, Any]:
    """Everything worth knowing about an engine, of durable state only."""
    stats = runtime.core.stats() if runtime._inflight is None else None
    busy = runtime.writer.busy_since_ns
    sync = sorted(runtime.journal.sync_us)
    found = runtime.recovered
    return {
        "epoch": runtime.epoch,
        "journal_id": runtime.journal.journal_id,
        "build_id": runtime.build_id,
        "protocol": wire.PROTOCOL_VERSION,
        "abi": layout.ABI_VERSION,
        "semantics": layout.SEMANTICS_VERSION,
        "durability": runtime.options.durability,
        "cmd_seq": runtime.durable_cmd_seq,
        "event_seq": runtime.durable_event_seq,
        "time_ns": runtime.sequencer.time_ns,
        "started_ns": runtime.started_ns,
        "halt_reason": runtime.halted,
        "low_space": runtime.journal.low_space,
        "live_orders": stats.live_orders if stats else None,
        "accounts": stats.accounts if stats else None,
        "instruments": stats.instruments if stats else None,
        "assets": stats.assets if stats else None,
        "holds": stats.holds if stats else None,
        "matches": stats.matches if stats else None,
        "trading_day": runtime.sequencer.trading_day,
        "global_state": stats.global_state if stats else None,
        "pending_commands": runtime._pending_commands,
        "batches": runtime.batches,
        "segment": runtime.journal.log.position.segment,
        # Where the durable journal ends, and the hash of its last frame, which binds all before it.
        "durable": {
            "segment": runtime.durable_position.segment,
            "offset": runtime.durable_position.offset,
            "chain": runtime.durable_position.chain.hex(),
        },
        "journal_bytes": runtime.journal.bytes_written,
        "sync_us_p50": sync[len(sync) // 2] if sync else None,
        "sync_us_p99": sync[len(sync) * 99 // 100] if sync else None,
        "sync_stalled_ms": (runtime.clock.monotonic_ns() - busy) // 1_000_000 if busy else 0,
        "journal_thread": runtime.writer.scheduling,
        "snapshot_seq": runtime.snapshot_seq,
        "subscribers": len(runtime.events.subscribers),
        "subscribers_cut": runtime.events.cut_slow,
        "ring_first_seq": runtime.events.ring.first_seq,
        "ring_bytes": runtime.events.ring.bytes,
        "refused_low_space": runtime.refused_low_space,
        "refused_overload": runtime.refused_overload,
        "clock_jumps": runtime.sequencer.clock_jumps,
        "recovered": {
            "snapshot_seq": found.snapshot_seq,
            "frames": found.frames,
            "commands": found.commands,
            "digests": found.digests,
            "torn_bytes": found.tail.torn if found.tail else 0,
            "clean_stop": found.clean_stop,
            "ms": runtime.recovery_ms,
        },
    }


def status(runtime: Any) -> bytes:
    """Status as JSON; does not wait for the journal, so that a stalled disk can be seen."""
    return json.dumps(state_of(runtime)).encode()


_HANDLERS: dict[int, Callable[[Any, Any], bytes]] = {
    wire.Q_DEPTH: _depth,
    wire.Q_ORDER: _order,
    wire.Q_ORDERS: _orders,
    wire.Q_CL_ORD_ID: _cl_ord_id,
    wire.Q_BALANCES: _balances,
    wire.Q_POSITIONS: _positions,
    wire.Q_PREVIEW: _preview,
    wire.Q_DIGEST: _digest,
    wire.Q_CHECK: _check,
}
