"""Orders: place, preview, replace, cancel, cancel all. One straight line from an edge to the engine's gateway.

Nothing is written here and, for a new order, nothing is read from the database before the engine has answered:
accounts and instruments come from caches, the answer is folded from the engine's own events. A refusal by the core is
data (``Refusal``); bad input raises RejectedError with its number; an engine that is away or did not answer raises
ApiProblem 9010 or 9011. Owns the conversion to core units and the three outcomes. Leaves matching, money and limits
to the core and stored rows to the projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from accounts.selectors.access import AccountRef
from brokerage.kernel.errors import EngineUnavailableError, RejectedError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import OrderSource, OrdType, Side, StpMode, TimeInForce
from brokerage.kernel.units import format_plain
from brokerage.platform.problems import ApiProblem
from marketdata.selectors.instruments import InstrumentRef
from native.layout import ANY, Event, EventFlag, EventType
from trading.engine import commands
from trading.engine.gateway import Preview, Rejected
from trading.selectors.executions import executions_of_command
from trading.selectors.orders import order_get
from trading.selectors.projection import projection_reaches
from trading.selectors.shapes import FLAG_REDUCE_ONLY
from trading.services.engine_access import get_engine_client
from trading.services.limits import (
    Reservation,
    cancelled_value,
    day_give_back,
    day_left,
    day_reserve,
    order_value_demand,
    product_name,
)
from trading.services.order_answer import (
    OrderAnswer,
    OrderTerms,
    Refusal,
    fold,
    refusal_of,
    row_from_duplicate,
    row_new,
)
from trading.services.order_cache import order_remember
from trading.services.order_changes import ROW_WAIT_MS, order_cancel, order_replace
from trading.services.order_entry import (
    account_demand,
    by_client_id,
    command_of,
    duplicate_of,
    refused,
    submit,
    terms_of,
)

__all__ = [
    "PreviewAnswer",
    "order_cancel",
    "order_cancel_all",
    "order_place",
    "order_preview",
    "order_replace",
]

#: A mass cancel is repeated while the engine says there is more; the open-order cap makes this plenty.
MASS_ROUNDS_MAX = 64


@dataclass(frozen=True, slots=True)
class PreviewAnswer:
    """What an order would do now, in core units; ``refusal`` when it would be refused."""

    terms: OrderTerms
    refusal: Refusal | None
    fills: int
    fill_qty: int
    fill_notional: int
    fee: int
    worst_price: int
    rest_qty: int
    hold: int
    day_limit: Decimal | None = None
    day_left: Decimal | None = None


def order_place(
    *,
    account: AccountRef,
    instrument: InstrumentRef,
    side: Side,
    ord_type: OrdType,
    time_in_force: TimeInForce | None,
    qty: Decimal,
    price: Decimal | None = None,
    post_only: bool = False,
    reduce_only: bool = False,
    stp: StpMode = StpMode.CANCEL_NEWEST,
    expire_at: int | None = None,
    cl_ord_id: str | None = None,
    source: int = OrderSource.API,
) -> OrderAnswer:
    """Enter an order. Idempotent by ``cl_ord_id`` (made here when None): the same body again gets the first answer,
    another body 1003.
    """
    may_be_known = cl_ord_id is not None
    cl_ord_id = cl_ord_id or ulid_new()
    terms = terms_of(
        account,
        instrument,
        side,
        ord_type,
        time_in_force,
        qty,
        price,
        post_only,
        reduce_only,
        stp,
        expire_at,
        cl_ord_id,
        source,
    )
    counted = _count(account, terms, may_be_known=may_be_known)
    try:
        outcome = submit(command_of(terms), by_client_id(cl_ord_id))
    except ApiProblem as problem:
        if counted is not None and problem.code == RejectCode.ENGINE_UNAVAILABLE:
            counted.settle(0)  # it was not sent; of what may have been, the value goes on counting
        raise
    duplicate = duplicate_of(outcome)
    if counted is not None and (duplicate is not None or isinstance(outcome, Rejected)):
        counted.settle(0)
    if duplicate is not None:
        return _replayed(terms, duplicate)
    if isinstance(outcome, Rejected):
        return OrderAnswer(refusal=refused(outcome, terms.side, instrument))
    accepted = outcome.events[0]
    row = row_new(terms, accepted)
    fills = fold(row, outcome.events, instrument)
    if counted is not None:
        counted.settle((row["notional_sum"] + row["price"] * row["leaves_qty"]) * instrument.tick_value)
    order_remember(row)
    return OrderAnswer(order=row, executions=fills)


def _count(account: AccountRef, terms: OrderTerms, *, may_be_known: bool) -> Reservation | None:
    """Count an order's value against the limits; a request the engine knows already is not refused for what it used up itself."""
    try:
        value = _value(terms)
        order_value_demand(account, terms.instrument, value, terms.flags)
        return day_reserve(account, terms.instrument, value, terms.flags)
    except RejectedError as refusal:
        if refusal.code != RejectCode.DAY_LIMIT or not may_be_known:
            raise
        try:
            known = get_engine_client().query_cl_ord_id(terms.core_account, terms.cl_ord_id)
        except EngineUnavailableError as error:
            raise ApiProblem(RejectCode.ENGINE_UNAVAILABLE) from error
        if known is None:
            raise
        return None


def _value(terms: OrderTerms, preview: Preview | None = None) -> int:
    """What an order is worth in minor units of its quote asset: by its limit; a market order by what it would trade at now."""
    if terms.price:
        return terms.price * terms.qty * terms.instrument.tick_value
    return (preview or _ask(terms)).fill_notional


def _ask(terms: OrderTerms) -> Preview:
    try:
        return get_engine_client().preview(command_of(terms))
    except EngineUnavailableError as error:
        raise ApiProblem(RejectCode.ENGINE_UNAVAILABLE) from error


def _replayed(terms: OrderTerms, duplicate: Event) -> OrderAnswer:
    """The first answer again: the order as it was then, from its fills of that command once they are stored."""
    if duplicate.reason:
        refusal = refusal_of(
            duplicate.reason,
            needed=duplicate.qty,
            available=duplicate.leaves,
            price=duplicate.price,
            side=terms.side,
            instrument=terms.instrument,
            cmd_seq=duplicate.ref_id,
        )
        return OrderAnswer(refusal=refusal, replayed=True)
    row = row_from_duplicate(terms, duplicate)
    if not projection_reaches(duplicate.ref_id, wait_ms=ROW_WAIT_MS):
        return OrderAnswer(order=row, executions=None if duplicate.cum_qty else [], replayed=True)
    fills = executions_of_command(terms.core_account, duplicate.order_id, duplicate.ref_id)
    stored = order_get(terms.core_account, duplicate.order_id)
    row["notional_sum"] = sum(fill["last_px"] * fill["last_qty"] for fill in fills)
    row["fee_sum"] = sum(fill["fee"] for fill in fills)
    if stored is not None:
        row["created_ns"] = row["updated_ns"] = stored["created_ns"]
        row["seq"] = stored["seq"] if stored["seq"] and stored["entry_seq"] == duplicate.ref_id else None
        if row["leaves_qty"] == 0 and row["cum_qty"] != row["order_qty"]:
            row["cancel_reason"] = stored["cancel_reason"]
    return OrderAnswer(order=row, executions=fills, replayed=True)


def order_preview(
    *,
    account: AccountRef,
    instrument: InstrumentRef,
    side: Side,
    ord_type: OrdType,
    time_in_force: TimeInForce | None,
    qty: Decimal,
    price: Decimal | None = None,
    post_only: bool = False,
    reduce_only: bool = False,
    stp: StpMode = StpMode.CANCEL_NEWEST,
    expire_at: int | None = None,
) -> PreviewAnswer:
    """What the order would do if it were sent now, by the core's own dry run; changes nothing."""
    terms = terms_of(
        account,
        instrument,
        side,
        ord_type,
        time_in_force,
        qty,
        price,
        post_only,
        reduce_only,
        stp,
        expire_at,
        "",
        OrderSource.API,
    )
    result = _ask(terms)
    value = _value(terms, result)
    order_value_demand(account, instrument, value, terms.flags)
    day = day_left(account, product_name(instrument)) if not terms.flags & FLAG_REDUCE_ONLY else None
    refusal = None
    if day is not None and Decimal(value).scaleb(-instrument.quote.scale) > day[1]:
        refusal = Refusal(
            int(RejectCode.DAY_LIMIT),
            f"{format_plain(Decimal(value).scaleb(-instrument.quote.scale))} {instrument.quote.code}",
            f"{format_plain(day[1])} {instrument.quote.code}",
        )
    elif result.reason:
        refusal = refusal_of(
            result.reason, needed=result.needed, available=result.available, price=0, side=side, instrument=instrument
        )
    return PreviewAnswer(
        terms=terms,
        refusal=refusal,
        fills=result.fills,
        fill_qty=result.fill_qty,
        fill_notional=result.fill_notional,
        fee=result.fee,
        worst_price=result.worst_price,
        rest_qty=result.rest_qty,
        hold=result.hold,
        day_limit=day[0] if day is not None else None,
        day_left=day[1] if day is not None else None,
    )


def order_cancel_all(
    *, account: AccountRef, instrument: InstrumentRef | None = None, side: Side | None = None
) -> list[int]:
    """Cancel every open order of the account, of one instrument or side if given; return the ids of those that went."""
    account_demand(account, entering=False)
    command = commands.mass_cancel(
        account=account.core_account,
        instrument=instrument.core_instrument if instrument is not None else ANY,
        side=int(side) if side is not None else 0,
    )
    gone: list[int] = []
    removed: dict[int, tuple[int, int]] = {}
    for _ in range(MASS_ROUNDS_MAX):
        outcome = submit(command, "Ask GET /api/v1/orders?status=open, or send it again: it is safe to repeat.")
        if isinstance(outcome, Rejected):
            raise RejectedError(outcome.reason)
        cancelled = [event for event in outcome.events if event.type == EventType.ORDER_CANCELED]
        gone += [event.order_id for event in cancelled]
        removed |= {event.order_id: cancelled_value(event) for event in cancelled}
        if not (outcome.events and outcome.events[-1].flags & EventFlag.MORE):
            day_give_back(account, removed)
            return gone
    raise ApiProblem(
        RejectCode.CAPACITY, "There were more open orders than one request cancels.", next_step="Send it again."
    )
