"""Order commands in the reference core: new, cancel, replace, their idempotency (§3.3), and preview.

What for: what is told and remembered about an order command. Owns: ORDER_NEW, ORDER_CANCEL, ORDER_REPLACE,
EV_DUPLICATE, preview.
Leaves to others: the checks (reference_checks.py), trading (reference_matching.py), mass cancel and expiry
(reference_admin.py).
"""

from __future__ import annotations

from typing import NamedTuple

from native.layout import ABI_VERSION, CancelReason, Command, CommandFlag, EventFlag, EventType, OrdType, Reject, Tif
from native.reference_checks import Refusal, judge_new, judge_replace, live_order
from native.reference_matching import enter
from native.reference_records import Order, Remembered, body_of, cl_ord_id_of
from native.reference_state import State


class Preview(NamedTuple):
    reason: int = 0
    fills: int = 0
    fill_qty: int = 0
    fill_notional: int = 0
    fee: int = 0
    worst_price: int = 0
    rest_qty: int = 0
    hold: int = 0
    needed: int = 0
    available: int = 0


def order_new(state: State, c: Command) -> None:
    """CMD_ORDER_NEW."""
    cl_ord_id = b""
    try:
        if c.version != ABI_VERSION:
            raise Refusal(Reject.BAD_VERSION)
        if c.account == 0 or c.account not in state.accounts:
            raise Refusal(Reject.UNKNOWN_ACCOUNT)
        known = known_id(state, c)
        if known is not None:
            emit_duplicate(state, known)
            return
        # From here on every outcome is remembered.
        cl_ord_id = cl_ord_id_of(c) or b""
        order, _, _ = judge_new(state, c, state.time_ns)
    except Refusal as refusal:
        emit_refused_new(state, c, refusal)
        if cl_ord_id:
            remember_refusal(state, c, cl_ord_id, refusal, order_id=0)
        return
    listing = state.instruments[order.instrument]
    order.order_id = state.order_slots.take()
    state.orders[order.order_id] = order
    state.reserve(order, order.covered)
    state.settle(order.account, order.instrument)
    enter(state, order, listing, EventType.ORDER_ACCEPTED, 0)
    if cl_ord_id:
        remember_order(state, c, cl_ord_id, order)


def emit_refused_new(state: State, c: Command, refusal: Refusal) -> None:
    state.emit(
        EventType.ORDER_REJECTED,
        reason=refusal.reason,
        side=c.side,
        account=c.account,
        instrument=c.instrument,
        price=refusal.price,
        qty=refusal.qty,
        leaves=refusal.leaves,
        **state.order_fields(c.account, c.instrument),
    )


def known_id(state: State, c: Command) -> Remembered | None:
    """§3.3: refuses a malformed id and one used for another body; the first answer when it is the same command
    again."""
    cl_ord_id = cl_ord_id_of(c)
    if cl_ord_id is None:
        raise Refusal(Reject.MALFORMED)
    known = state.remembered.get((c.account, cl_ord_id)) if cl_ord_id else None
    if known is not None and known.body != body_of(c):
        raise Refusal(Reject.DUPLICATE_CL_ORD_ID)
    return known


def remember_order(state: State, c: Command, cl_ord_id: bytes, order: Order) -> None:
    state.remember(
        Remembered(
            c.account, cl_ord_id, body_of(c), state.trading_day, state.cmd_seq, 0, order.order_id, order.side,
            order.version, order.instrument, order.order_qty, order.leaves, order.cum_qty, order.price, True,
        )
    )  # fmt: skip


def remember_refusal(
    state: State, c: Command, cl_ord_id: bytes, refusal: Refusal, order_id: int, is_order: bool = True
) -> None:
    state.remember(
        Remembered(
            c.account, cl_ord_id, body_of(c), state.trading_day, state.cmd_seq, int(refusal.reason), order_id,
            c.side if is_order else 0, 0, c.instrument, refusal.qty, refusal.leaves, 0, refusal.price if is_order else
            0, is_order,
        )
    )  # fmt: skip


def duplicate_fields(state: State, known: Remembered) -> dict[str, int]:
    fields = {
        "reason": known.reason, "side": known.side, "version": known.version, "account": known.account,
        "instrument": known.instrument, "order_id": known.order_id, "ref_id": known.cmd_seq, "qty": known.qty,
        "leaves": known.leaves, "cum_qty": known.cum_qty, "price": known.price,
    }  # fmt: skip
    if known.is_order:
        fields.update(state.order_fields(known.account, known.instrument))
    elif known.instrument in state.assets:
        fields["quote_a"], fields["quote_b"] = state.balance(known.account, known.instrument)
    return fields


def emit_duplicate(state: State, known: Remembered) -> None:
    state.emit(EventType.DUPLICATE, **duplicate_fields(state, known))


def emit_refused_change(state: State, kind: EventType, c: Command, refusal: Refusal) -> None:
    """CANCEL_REJECTED or REPLACE_REJECTED (§10a)."""
    order = state.orders.get(c.order_id)
    mine = order if order is not None and order.account == c.account else None
    instrument = mine.instrument if mine else c.instrument
    state.emit(
        kind,
        reason=refusal.reason,
        side=mine.side if mine else 0,
        version=mine.version if mine else 0,
        account=c.account,
        instrument=instrument,
        order_id=c.order_id,
        price=refusal.price,
        qty=refusal.qty,
        leaves=refusal.leaves,
        **state.order_fields(c.account, instrument),
    )


def order_cancel(state: State, c: Command) -> None:
    """CMD_ORDER_CANCEL."""
    try:
        if c.version != ABI_VERSION:
            raise Refusal(Reject.BAD_VERSION)
        if c.account == 0 or c.account not in state.accounts:
            raise Refusal(Reject.UNKNOWN_ACCOUNT)
        order_id = c.order_id
        if c.flags & CommandFlag.CANCEL_BY_CL_ORD_ID:
            known = state.remembered.get((c.account, cl_ord_id_of(c) or b""))
            if known is None or not known.is_order or known.reason:
                raise Refusal(Reject.UNKNOWN_ORDER)
            order_id = known.order_id
        order = live_order(state, c.account, order_id)
    except Refusal as refusal:
        emit_refused_change(state, EventType.CANCEL_REJECTED, c, refusal)
        return
    state.cancel(order, CancelReason.USER)


def order_replace(state: State, c: Command) -> None:
    """CMD_ORDER_REPLACE."""
    cl_ord_id = b""
    try:
        if c.version != ABI_VERSION:
            raise Refusal(Reject.BAD_VERSION)
        if c.account == 0 or c.account not in state.accounts:
            raise Refusal(Reject.UNKNOWN_ACCOUNT)
        known = known_id(state, c)
        if known is not None:
            emit_duplicate(state, known)
            return
        cl_ord_id = cl_ord_id_of(c) or b""
        order = judge_replace(state, c)
    except Refusal as refusal:
        emit_refused_change(state, EventType.REPLACE_REJECTED, c, refusal)
        if cl_ord_id:
            remember_refusal(state, c, cl_ord_id, refusal, order_id=c.order_id)
        return
    listing = state.instruments[order.instrument]
    old_price, old_leaves = order.price, order.leaves
    keeps = c.price == order.price and c.qty <= order.order_qty
    if not keeps:
        state.unrest(order)
        order.entry_seq = state.cmd_seq
    order.price, order.order_qty, order.leaves = c.price, c.qty, c.qty - order.cum_qty
    order.version = order.version % 255 + 1
    state.reserve(order, order.leaves)
    state.settle(order.account, order.instrument)
    changed = {"ref_id": old_price, "amount": old_leaves}
    if keeps:
        flags = EventFlag.BOOK | EventFlag.PRIORITY_KEPT
        state.emit_order(EventType.ORDER_REPLACED, order, int(flags), **changed)
    else:
        enter(state, order, listing, EventType.ORDER_REPLACED, EventFlag.BOOK, **changed)
    if cl_ord_id:
        remember_order(state, c, cl_ord_id, order)


def preview(state: State, c: Command) -> Preview:
    """What an ORDER_NEW would do now (core_preview)."""
    try:
        if c.version != ABI_VERSION:
            raise Refusal(Reject.BAD_VERSION)
        if c.account == 0 or c.account not in state.accounts:
            raise Refusal(Reject.UNKNOWN_ACCOUNT)
        if known_id(state, c) is not None:
            raise Refusal(Reject.DUPLICATE_CL_ORD_ID)
        order, run, needed = judge_new(state, c, max(state.time_ns, c.time_ns))
    except Refusal as refusal:
        return Preview(reason=int(refusal.reason), needed=refusal.price or refusal.qty, available=refusal.leaves)
    may_rest = order.ord_type == OrdType.LIMIT and order.tif not in (Tif.IOC, Tif.FOK)
    rest = order.order_qty - run.qty if may_rest and run.ended_by in ("price", "filled") else 0
    available = state.balance(order.account, state.hold_asset(order))[0]
    notional, fee = min(run.notional, 2**63 - 1), min(run.fee, 2**63 - 1)
    return Preview(0, run.fills, run.qty, notional, fee, run.worst_price, rest, needed, needed, available)
