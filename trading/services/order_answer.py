"""From the engine's events of one command to the order as it stands: the same columns the projection writes, without
the database.

Pure. Owns the folding of one order's events into a row and the refusal of a command. Leaves sending to ``orders.py``,
JSON to ``trading/selectors/shapes.py`` and the stored rows to ``trading/projection``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from brokerage.kernel.terms import OrdStatus, OrdType, Side, StpMode, TimeInForce
from marketdata.selectors.instruments import InstrumentRef
from native.layout import Event, EventFlag, EventType
from trading.selectors.shapes import reject_numbers

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused, in the words of its numbers."""

    code: int
    needed: str | None = None
    available: str | None = None
    cmd_seq: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """What became of a command for one order. Exactly one of ``order`` and ``refusal`` is set.

    ``executions`` are the fills of this command; None when they are not known here (a replayed answer while the
    projection is behind).
    """

    order: Row | None = None
    executions: list[Row] | None = field(default_factory=list)
    refusal: Refusal | None = None
    replayed: bool = False
    #: The engine's number of a cancel or replace that was done; 0 for others.
    cmd_seq: int = 0


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What the sender asked for, in core units."""

    core_account: int
    instrument: InstrumentRef
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    stp: StpMode
    flags: int
    price: int
    qty: int
    expire_ns: int
    cl_ord_id: str
    source: int


def row_new(terms: OrderTerms, accepted: Event) -> Row:
    """The row of an order at its acceptance."""
    return {
        "order_id": accepted.order_id,
        "core_account": terms.core_account,
        "core_instrument": terms.instrument.core_instrument,
        "cl_ord_id": terms.cl_ord_id,
        "side": int(terms.side),
        "ord_type": int(terms.ord_type),
        "time_in_force": int(terms.time_in_force),
        "flags": terms.flags,
        "stp": int(terms.stp),
        "price": accepted.price,
        "order_qty": accepted.qty,
        "leaves_qty": accepted.qty,
        "cum_qty": 0,
        "notional_sum": 0,
        "fee_sum": 0,
        "ord_status": int(OrdStatus.NEW),
        "reject_reason": 0,
        "cancel_reason": 0,
        "version": accepted.version,
        "expire_ns": terms.expire_ns,
        "source": terms.source,
        "entry_seq": accepted.cmd_seq,
        "created_ns": accepted.time_ns,
        "updated_ns": accepted.time_ns,
        "seq": accepted.seq,
    }


def row_apply(row: Row, event: Event) -> None:
    """Move a row by one event of its order."""
    kind = event.type
    if kind == EventType.ORDER_FILLED:
        row["cum_qty"], row["leaves_qty"] = event.cum_qty, event.leaves
        if row["notional_sum"] is not None:
            row["notional_sum"] += event.price * event.qty
            row["fee_sum"] += event.amount
        row["ord_status"] = int(OrdStatus.PARTIALLY_FILLED if event.leaves else OrdStatus.FILLED)
    elif kind in (EventType.ORDER_CANCELED, EventType.ORDER_EXPIRED):
        row["cancel_reason"] = event.reason
        row["leaves_qty"] = event.leaves
        if event.flags & EventFlag.TERMINAL:
            expired = kind == EventType.ORDER_EXPIRED
            row["ord_status"] = int(OrdStatus.EXPIRED if expired else OrdStatus.CANCELED)
        else:
            # A decrement by self-trade prevention: the order goes on, smaller.
            row["order_qty"] = event.leaves + event.cum_qty
    elif kind == EventType.ORDER_REPLACED:
        row["price"], row["order_qty"], row["leaves_qty"] = event.price, event.qty, event.leaves
        row["cum_qty"], row["version"] = event.cum_qty, event.version
    row["seq"], row["updated_ns"] = event.seq, event.time_ns


def fold(row: Row, events: Iterable[Event], instrument: InstrumentRef) -> list[Row]:
    """Apply the later events of the row's order; return its fills among them."""
    fills = []
    for event in events:
        if event.order_id != row["order_id"] or event.account != row["core_account"] or event.seq <= row["seq"]:
            continue
        row_apply(row, event)
        if event.type == EventType.ORDER_FILLED:
            fills.append(execution_row(event, instrument))
    return fills


def execution_row(event: Event, instrument: InstrumentRef) -> Row:
    """The row of one fill."""
    return {
        "exec_id": event.seq,
        "order_id": event.order_id,
        "contra_order_id": event.ref_id,
        "core_account": event.account,
        "core_instrument": event.instrument,
        "side": event.side,
        "last_px": event.price,
        "last_qty": event.qty,
        "fee": event.amount,
        "fee_core_asset": instrument.quote.core_asset,
        "liquidity": "m" if event.flags & EventFlag.MAKER else "t",
        "realised_pnl": event.pnl,
        "leaves_qty": event.leaves,
        "cum_qty": event.cum_qty,
        "cmd_seq": event.cmd_seq,
        "time_ns": event.time_ns,
    }


def row_from_duplicate(terms: OrderTerms, duplicate: Event) -> Row:
    """The order as the engine remembers the first answer: exact quantities, but nothing of money (None)."""
    row = row_new(terms, duplicate)
    row["price"] = duplicate.price
    row["cum_qty"], row["leaves_qty"] = duplicate.cum_qty, duplicate.leaves
    row["notional_sum"] = row["fee_sum"] = None if duplicate.cum_qty else 0
    row["entry_seq"] = duplicate.ref_id
    # The event's own time and sequence are of this question, not of the order.
    row["created_ns"] = row["updated_ns"] = row["seq"] = None
    if duplicate.leaves:
        row["ord_status"] = int(OrdStatus.PARTIALLY_FILLED if duplicate.cum_qty else OrdStatus.NEW)
    else:
        row["ord_status"] = int(OrdStatus.FILLED if duplicate.cum_qty == duplicate.qty else OrdStatus.CANCELED)
    return row


def refusal_of(
    code: int,
    *,
    needed: int,
    available: int,
    price: int,
    side: int | None,
    instrument: InstrumentRef | None,
    cmd_seq: int = 0,
) -> Refusal:
    """A refusal of the core in decimals."""
    shown, there = reject_numbers(
        code, needed=needed, available=available, price=price, side=side, instrument=instrument
    )
    return Refusal(int(code), shown, there, cmd_seq)
