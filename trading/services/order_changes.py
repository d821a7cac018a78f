"""Changing live orders: cancel and replace, and telling the order as it stands afterwards.

The answer joins the stored row with the engine's events of the command; where the store is too far behind, what is not known is None.
Owns who learns that a dead order was one (its owner only). Leaves sending to ``order_entry.py``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from accounts.selectors.access import AccountRef
from brokerage.kernel.errors import EngineUnavailableError, RejectedError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from brokerage.platform.remembered import AWAY, database_failed
from marketdata.selectors.instruments import InstrumentRef, instrument_by_core
from native.layout import Event, EventType
from trading.engine import commands
from trading.engine.gateway import Rejected
from trading.selectors.executions import executions_of_command
from trading.selectors.orders import order_get
from trading.selectors.projection import projection_reaches
from trading.selectors.shapes import order_public_id
from trading.services.engine_access import get_engine_client
from trading.services.limits import cancelled_value, day_give_back, day_reserve, order_value_demand, product_demand
from trading.services.order_answer import OrderAnswer, Refusal, Row, fold, refusal_of
from trading.services.order_cache import order_recall, order_remember
from trading.services.order_entry import (
    account_demand,
    by_client_id,
    duplicate_of,
    price_ticks,
    qty_lots,
    refused,
    submit,
)

#: How long a replayed or cancelled order may wait for its stored row before it is told with less.
ROW_WAIT_MS = 1_000


def order_cancel(*, account: AccountRef, order_id: int) -> OrderAnswer:
    """Cancel a live order of the account. A dead one is 5002, a stranger's or unknown one 5001."""
    account_demand(account, entering=False)
    if order_id < 0:
        return OrderAnswer(refusal=_dead(account, order_id, RejectCode.TOO_LATE))
    public = order_public_id(order_id)
    outcome = submit(
        commands.order_cancel(account.core_account, order_id), f"Ask GET /api/v1/orders/{public}, or cancel it again."
    )
    if isinstance(outcome, Rejected):
        return OrderAnswer(refusal=_dead(account, order_id, outcome.reason))
    event = next(item for item in outcome.events if item.order_id == order_id)
    row, _ = _with_events(account, event, outcome.events)
    day_give_back(account, {order_id: cancelled_value(event)}, {order_id: row})
    return OrderAnswer(order=row, executions=[], cmd_seq=event.cmd_seq)


def _dead(account: AccountRef, order_id: int, code: int) -> Refusal:
    """The core does not remember whose a dead order was; here only its owner learns that it was one."""
    if code == RejectCode.TOO_LATE:
        row = order_get(account.core_account, order_id)
        if row is None and order_id > 0:
            status = _engine_cmd_seq()
            if status is not None and projection_reaches(status, wait_ms=ROW_WAIT_MS):
                row = order_get(account.core_account, order_id)
        if row is None:
            return Refusal(int(RejectCode.UNKNOWN_ORDER))
    return Refusal(int(code))


def _engine_cmd_seq() -> int | None:
    try:
        return int(get_engine_client().status().cmd_seq)
    except EngineUnavailableError:
        return None


def _with_events(account: AccountRef, event: Event, events: tuple[Event, ...]) -> tuple[Row, list[Row]]:
    """The stored row moved by this command's events; when the store is behind for long, what the events alone say."""
    instrument = instrument_by_core(event.instrument)
    if instrument is None:
        raise ApiProblem(RejectCode.PROJECTION_STALE)
    row = order_recall(account.core_account, event) or _stored(account, event.order_id)
    if (row is None or row["cum_qty"] != event.cum_qty) and projection_reaches(event.cmd_seq - 1, wait_ms=ROW_WAIT_MS):
        row = _stored(account, event.order_id)
    if row is None or (row["cum_qty"] != event.cum_qty and row["seq"] < event.seq):
        row = _bare_row(account, event)
    fills = fold(row, events, instrument)
    order_remember(row)
    return row, fills


def _stored(account: AccountRef, order_id: int) -> Row | None:
    """The stored row of an order that was just changed: what was done is told also when the database cannot be asked."""
    try:
        return order_get(account.core_account, order_id)
    except AWAY as error:
        database_failed(error)
        return None


def _bare_row(account: AccountRef, event: Event) -> Row:
    """An order of which only the present event is known: the rest is None, not invented."""
    names = (
        "cl_ord_id",
        "ord_type",
        "time_in_force",
        "stp",
        "notional_sum",
        "fee_sum",
        "expire_ns",
        "created_ns",
        "entry_seq",
        "source",
    )
    row: dict[str, Any] = dict.fromkeys(names)
    removed = event.qty if event.type in (EventType.ORDER_CANCELED, EventType.ORDER_EXPIRED) else 0
    row.update(
        order_id=event.order_id,
        core_account=account.core_account,
        core_instrument=event.instrument,
        side=event.side,
        flags=0,
        price=event.price,
        order_qty=event.cum_qty + event.leaves + removed,
        leaves_qty=event.leaves + removed,
        cum_qty=event.cum_qty,
        ord_status=1 if event.cum_qty else 0,
        reject_reason=0,
        cancel_reason=0,
        version=event.version,
        updated_ns=event.time_ns,
        seq=0,
    )
    return row


def order_replace(
    *,
    account: AccountRef,
    order_id: int,
    qty: Decimal | None = None,
    price: Decimal | None = None,
    expected_version: int = 0,
    cl_ord_id: str | None = None,
) -> OrderAnswer:
    """Change a live order's total quantity, price or both; what is None stays. Idempotent by ``cl_ord_id``."""
    account_demand(account, entering=True)
    if qty is None and price is None:
        raise RejectedError(
            RejectCode.MISSING_FIELD, "Give a new qty, a new price or both.", needed="qty or price", field="qty"
        )
    present = _present(account, order_id)
    if present is None:
        return OrderAnswer(refusal=_dead(account, order_id, RejectCode.TOO_LATE))
    core_instrument, old_price, old_qty, flags = present
    instrument = instrument_by_core(core_instrument)
    if instrument is None:
        raise ApiProblem(RejectCode.PROJECTION_STALE)
    cl_ord_id = cl_ord_id or ulid_new()
    new_price = price_ticks(price, instrument) if price is not None else old_price
    new_qty = qty_lots(qty, instrument) if qty is not None else old_qty
    command = commands.order_replace(
        account.core_account, order_id, new_price, new_qty, expected_version=expected_version, cl_ord_id=cl_ord_id
    )
    # Only what a change adds is new risk; the whole of it must be within what one order may be worth.
    added = (new_price * new_qty - old_price * old_qty) * instrument.tick_value
    counted = None
    if added > 0:
        product_demand(account, instrument, flags)
        order_value_demand(account, instrument, new_price * new_qty * instrument.tick_value, flags)
        counted = day_reserve(account, instrument, added, flags)
    try:
        outcome = submit(command, by_client_id(cl_ord_id))
    except ApiProblem as problem:
        if counted is not None and problem.code == RejectCode.ENGINE_UNAVAILABLE:
            counted.settle(0)
        raise
    duplicate = duplicate_of(outcome)
    if counted is not None and (duplicate is not None or isinstance(outcome, Rejected)):
        counted.settle(0)
    if duplicate is not None:
        return _replace_replayed(account, duplicate, instrument)
    if isinstance(outcome, Rejected):
        if outcome.reason in (RejectCode.UNKNOWN_ORDER, RejectCode.TOO_LATE):
            return OrderAnswer(refusal=_dead(account, order_id, outcome.reason))
        side = outcome.events[0].side if outcome.events else None
        return OrderAnswer(refusal=refused(outcome, side, instrument))
    event = next(item for item in outcome.events if item.order_id == order_id)
    row, fills = _with_events(account, event, outcome.events)
    if added < 0:
        day_give_back(account, {order_id: (core_instrument, -added)}, {order_id: row})
    return OrderAnswer(order=row, executions=fills, cmd_seq=event.cmd_seq)


def _present(account: AccountRef, order_id: int) -> tuple[int, int, int, int] | None:
    """(instrument, price, total quantity, flags) of an order of the account: from the engine while it lives, else from the
    store.
    """
    if order_id < 0:
        return None
    try:
        order = get_engine_client().query_order(order_id)
    except EngineUnavailableError as error:
        raise ApiProblem(RejectCode.ENGINE_UNAVAILABLE) from error
    if order is not None:
        if order.account != account.core_account:
            return None
        return order.instrument, order.price, order.order_qty, order.flags
    row = order_get(account.core_account, order_id)
    return (row["core_instrument"], row["price"], row["order_qty"], row["flags"]) if row is not None else None


def _replace_replayed(account: AccountRef, duplicate: Event, instrument: InstrumentRef) -> OrderAnswer:
    if duplicate.reason:
        refusal = refusal_of(
            duplicate.reason,
            needed=duplicate.qty,
            available=duplicate.leaves,
            price=duplicate.price,
            side=duplicate.side or None,
            instrument=instrument,
            cmd_seq=duplicate.ref_id,
        )
        return OrderAnswer(refusal=refusal, replayed=True)
    if not projection_reaches(duplicate.ref_id, wait_ms=ROW_WAIT_MS):
        raise ApiProblem(RejectCode.PROJECTION_STALE, "The order was replaced; its stored form is behind.")
    row = order_get(account.core_account, duplicate.order_id)
    if row is None:
        return OrderAnswer(refusal=Refusal(int(RejectCode.UNKNOWN_ORDER)), replayed=True)
    fills = executions_of_command(account.core_account, duplicate.order_id, duplicate.ref_id)
    return OrderAnswer(order=row, executions=fills, replayed=True, cmd_seq=duplicate.ref_id)
