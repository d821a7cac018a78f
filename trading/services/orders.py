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
from typing import Any

from accounts.selectors.access import AccountRef
from brokerage.kernel.errors import EngineUnavailableError, RejectedError, UnitsError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import OrdType, Side, StpMode, TimeInForce
from brokerage.kernel.units import RoundingMode, format_plain, from_units, lots_from_qty, ticks_from_price, to_units
from brokerage.platform.problems import ApiProblem
from marketdata.selectors.instruments import InstrumentRef, instrument_by_core
from native.layout import ANY, Event, EventFlag, EventType
from trading.engine import commands
from trading.engine.gateway import EngineUnavailable, Outcome, Rejected, Unknown
from trading.selectors.executions import executions_of_command
from trading.selectors.orders import order_get
from trading.selectors.projection import projection_reaches
from trading.selectors.shapes import FLAG_POST_ONLY, FLAG_REDUCE_ONLY, order_public_id
from trading.services.engine_access import get_engine_client
from trading.services.order_answer import (
    OrderAnswer,
    OrderTerms,
    Refusal,
    Row,
    fold,
    live,
    refusal_of,
    row_from_duplicate,
    row_new,
)

SOURCE_API = 1
SOURCE_PORTAL = 2

#: A mass cancel is repeated while the engine says there is more; the open-order cap makes this plenty.
MASS_ROUNDS_MAX = 64
#: How long a replayed or cancelled order may wait for its stored row before it is told with less.
ROW_WAIT_MS = 1_000


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


def _account_demand(account: AccountRef, *, entering: bool) -> None:
    """Refuse who may not trade (2012) and, for entering, an account that is not active (2015). Cancelling is open to
    a suspended account.
    """
    if not account.may_trade:
        raise RejectedError(RejectCode.PERMISSION_DENIED, "You may see this account but not trade with it.")
    if entering and account.status != "active":
        raise ApiProblem(
            RejectCode.ACCOUNT_NOT_ACTIVE,
            f"The account is {account.status}.",
            needed="active",
            available=account.status,
        )


def _nearest(error: UnitsError, value: Decimal, step: Decimal) -> ApiProblem:
    """The refusal of a number off its increment, with the nearest numbers that are on it."""
    below, above = (to_units(value, step, mode) for mode in (RoundingMode.FLOOR, RoundingMode.CEILING))
    choices = " or ".join(format_plain(from_units(units, step)) for units in (below, above) if units > 0)
    return ApiProblem(
        error.code,
        error.detail,
        needed=error.needed,
        available=error.available,
        field=error.field,
        next_step=f"Use {choices}." if choices else None,
    )


def _ticks(price: Decimal, instrument: InstrumentRef) -> int:
    try:
        return ticks_from_price(price, instrument.tick_size)
    except UnitsError as error:
        if error.code in (RejectCode.PRICE_OFF_INCREMENT, RejectCode.TOO_MANY_DECIMALS):
            raise _nearest(error, price, instrument.tick_size) from error
        raise


def _lots(qty: Decimal, instrument: InstrumentRef) -> int:
    try:
        return lots_from_qty(qty, instrument.lot_size)
    except UnitsError as error:
        if error.code in (RejectCode.QTY_OFF_LOT, RejectCode.TOO_MANY_DECIMALS):
            raise _nearest(error, qty, instrument.lot_size) from error
        raise


def _terms(
    account: AccountRef,
    instrument: InstrumentRef,
    side: Side,
    ord_type: OrdType,
    time_in_force: TimeInForce | None,
    qty: Decimal,
    price: Decimal | None,
    post_only: bool,
    reduce_only: bool,
    stp: StpMode,
    expire_at: int | None,
    cl_ord_id: str,
    source: int,
) -> OrderTerms:
    _account_demand(account, entering=True)
    if time_in_force is None:
        time_in_force = TimeInForce.IOC if ord_type is OrdType.MARKET else TimeInForce.GTC
    return OrderTerms(
        core_account=account.core_account,
        instrument=instrument,
        side=side,
        ord_type=ord_type,
        time_in_force=time_in_force,
        stp=stp,
        flags=(FLAG_POST_ONLY if post_only else 0) | (FLAG_REDUCE_ONLY if reduce_only else 0),
        # A missing price is 0, which the core refuses for a limit order (1006), as it refuses one for a market order.
        price=_ticks(price, instrument) if price is not None else 0,
        qty=_lots(qty, instrument),
        expire_ns=expire_at or 0,
        cl_ord_id=cl_ord_id,
        source=source,
    )


def _command(terms: OrderTerms) -> bytes:
    return commands.order_new(
        terms.core_account,
        terms.instrument.core_instrument,
        int(terms.side),
        int(terms.ord_type),
        int(terms.time_in_force),
        terms.price,
        terms.qty,
        flags=terms.flags,
        stp=int(terms.stp),
        expire_ns=terms.expire_ns,
        cl_ord_id=terms.cl_ord_id,
        source=terms.source,
    )


def _submit(command: bytes, resolve: str) -> Outcome:
    """Send one command; ApiProblem 9010 when it was not sent, 9011 when nobody knows, with ``resolve`` as the way
    out.
    """
    try:
        outcome = get_engine_client().submit(command)
    except (EngineUnavailable, EngineUnavailableError) as error:
        raise ApiProblem(RejectCode.ENGINE_UNAVAILABLE) from error
    if isinstance(outcome, Unknown):
        raise ApiProblem(RejectCode.OUTCOME_UNKNOWN, next_step=resolve)
    return outcome


def _by_client_id(cl_ord_id: str) -> str:
    return f"Ask GET /api/v1/orders/by-client-id/{cl_ord_id}, or send the same request with the same id again."


def _duplicate(outcome: Outcome) -> Event | None:
    first = outcome.events[0] if outcome.events else None
    return first if first is not None and first.type == EventType.DUPLICATE else None


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
    source: int = SOURCE_API,
) -> OrderAnswer:
    """Enter an order. Idempotent by ``cl_ord_id`` (made here when None): the same body again gets the first answer,
    another body 1003.
    """
    cl_ord_id = cl_ord_id or ulid_new()
    terms = _terms(
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
    outcome = _submit(_command(terms), _by_client_id(cl_ord_id))
    duplicate = _duplicate(outcome)
    if duplicate is not None:
        return _replayed(terms, duplicate)
    if isinstance(outcome, Rejected):
        return OrderAnswer(refusal=_refused(outcome, terms.side, instrument))
    accepted = outcome.events[0]
    row = row_new(terms, accepted)
    return OrderAnswer(order=row, executions=fold(row, outcome.events, instrument))


def _refused(outcome: Rejected, side: int | None, instrument: InstrumentRef | None) -> Refusal:
    return refusal_of(
        outcome.reason,
        needed=outcome.needed,
        available=outcome.available,
        price=outcome.price,
        side=side,
        instrument=instrument,
        cmd_seq=outcome.cmd_seq,
    )


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
    terms = _terms(
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
        SOURCE_API,
    )
    try:
        result = get_engine_client().preview(_command(terms))
    except (EngineUnavailable, EngineUnavailableError) as error:
        raise ApiProblem(RejectCode.ENGINE_UNAVAILABLE) from error
    refusal = None
    if result.reason:
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
    )


def order_cancel(*, account: AccountRef, order_id: int) -> OrderAnswer:
    """Cancel a live order of the account. A dead one is 5002, a stranger's or unknown one 5001."""
    _account_demand(account, entering=False)
    if order_id < 0:
        return OrderAnswer(refusal=_dead(account, order_id, RejectCode.TOO_LATE))
    public = order_public_id(order_id)
    outcome = _submit(
        commands.order_cancel(account.core_account, order_id), f"Ask GET /api/v1/orders/{public}, or cancel it again."
    )
    if isinstance(outcome, Rejected):
        return OrderAnswer(refusal=_dead(account, order_id, outcome.reason))
    event = next(item for item in outcome.events if item.order_id == order_id)
    row, _ = _with_events(account, event, outcome.events)
    return OrderAnswer(order=row, executions=[])


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
    except (EngineUnavailable, EngineUnavailableError):
        return None


def _with_events(account: AccountRef, event: Event, events: tuple[Event, ...]) -> tuple[Row, list[Row]]:
    """The stored row moved by this command's events; when the store is behind for long, what the events alone say."""
    instrument = instrument_by_core(event.instrument)
    if instrument is None:
        raise ApiProblem(RejectCode.PROJECTION_STALE)
    row = order_get(account.core_account, event.order_id)
    if (row is None or row["cum_qty"] != event.cum_qty) and projection_reaches(event.cmd_seq - 1, wait_ms=ROW_WAIT_MS):
        row = order_get(account.core_account, event.order_id)
    if row is None or (row["cum_qty"] != event.cum_qty and row["seq"] < event.seq):
        row = _bare_row(account, event)
    return row, fold(row, events, instrument)


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
    _account_demand(account, entering=True)
    if qty is None and price is None:
        raise RejectedError(
            RejectCode.MISSING_FIELD, "Give a new qty, a new price or both.", needed="qty or price", field="qty"
        )
    present = _present(account, order_id)
    if present is None:
        return OrderAnswer(refusal=_dead(account, order_id, RejectCode.TOO_LATE))
    core_instrument, old_price, old_qty = present
    instrument = instrument_by_core(core_instrument)
    if instrument is None:
        raise ApiProblem(RejectCode.PROJECTION_STALE)
    cl_ord_id = cl_ord_id or ulid_new()
    command = commands.order_replace(
        account.core_account,
        order_id,
        _ticks(price, instrument) if price is not None else old_price,
        _lots(qty, instrument) if qty is not None else old_qty,
        expected_version=expected_version,
        cl_ord_id=cl_ord_id,
    )
    outcome = _submit(command, _by_client_id(cl_ord_id))
    duplicate = _duplicate(outcome)
    if duplicate is not None:
        return _replace_replayed(account, duplicate, instrument)
    if isinstance(outcome, Rejected):
        if outcome.reason in (RejectCode.UNKNOWN_ORDER, RejectCode.TOO_LATE):
            return OrderAnswer(refusal=_dead(account, order_id, outcome.reason))
        side = outcome.events[0].side if outcome.events else None
        return OrderAnswer(refusal=_refused(outcome, side, instrument))
    event = next(item for item in outcome.events if item.order_id == order_id)
    row, fills = _with_events(account, event, outcome.events)
    return OrderAnswer(order=row, executions=fills)


def _present(account: AccountRef, order_id: int) -> tuple[int, int, int] | None:
    """(instrument, price, total quantity) of an order of the account: from the engine while it lives, else from the
    store.
    """
    if order_id < 0:
        return None
    try:
        order = get_engine_client().query_order(order_id)
    except (EngineUnavailable, EngineUnavailableError) as error:
        raise ApiProblem(RejectCode.ENGINE_UNAVAILABLE) from error
    if order is not None:
        return (order.instrument, order.price, order.order_qty) if order.account == account.core_account else None
    row = order_get(account.core_account, order_id)
    return (row["core_instrument"], row["price"], row["order_qty"]) if row is not None else None


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
    return OrderAnswer(order=row, executions=fills, replayed=True)


def order_cancel_all(
    *, account: AccountRef, instrument: InstrumentRef | None = None, side: Side | None = None
) -> list[int]:
    """Cancel every open order of the account, of one instrument or side if given; return the ids of those that went."""
    _account_demand(account, entering=False)
    command = commands.mass_cancel(
        account=account.core_account,
        instrument=instrument.core_instrument if instrument is not None else ANY,
        side=int(side) if side is not None else 0,
    )
    gone: list[int] = []
    for _ in range(MASS_ROUNDS_MAX):
        outcome = _submit(command, "Ask GET /api/v1/orders?status=open, or send it again: it is safe to repeat.")
        if isinstance(outcome, Rejected):
            raise RejectedError(outcome.reason)
        gone += [event.order_id for event in outcome.events if event.type == EventType.ORDER_CANCELED]
        if not (outcome.events and outcome.events[-1].flags & EventFlag.MORE):
            return gone
    raise ApiProblem(
        RejectCode.CAPACITY, "There were more open orders than one request cancels.", next_step="Send it again."
    )


__all__ = [
    "SOURCE_API",
    "SOURCE_PORTAL",
    "PreviewAnswer",
    "live",
    "order_cancel",
    "order_cancel_all",
    "order_place",
    "order_preview",
    "order_replace",
]
