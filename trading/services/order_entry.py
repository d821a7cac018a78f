"""What every command of an order goes through: who may, core units, the way to the engine and its three outcomes.

Owns the conversion of decimals with refusals that name the nearest valid values, and the sending. Leaves what a command does to ``orders.py`` and
``order_changes.py``.
"""

from __future__ import annotations

from decimal import Decimal

from accounts.selectors.access import AccountRef
from brokerage.kernel.errors import EngineUnavailableError, RejectedError, UnitsError
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import OrdType, Side, StpMode, TimeInForce
from brokerage.kernel.units import RoundingMode, format_plain, from_units, lots_from_qty, ticks_from_price, to_units
from brokerage.platform.problems import ApiProblem
from marketdata.selectors.instruments import InstrumentRef
from native.layout import Event, EventType
from trading.engine import commands
from trading.engine.gateway import Accepted, Rejected, Unknown
from trading.selectors.shapes import FLAG_POST_ONLY, FLAG_REDUCE_ONLY
from trading.services.engine_access import get_engine_client
from trading.services.limits import product_demand
from trading.services.order_answer import OrderTerms, Refusal, refusal_of


def account_demand(account: AccountRef, *, entering: bool) -> None:
    """Refuse who may not trade (2012) and, for entering, an account that is not active (2015) or whose owner
    compliance does not let trade (7010, 7011). Cancelling stays open to all of them.
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
    if entering and not account.trading_allowed:
        # Compliance wrote it down; it came with the account, so nothing is asked here.
        raise RejectedError(RejectCode.KYC_RESTRICTED if account.kyc_tier else RejectCode.KYC_REQUIRED)


def nearest(error: UnitsError, value: Decimal, step: Decimal) -> ApiProblem:
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


def price_ticks(price: Decimal, instrument: InstrumentRef) -> int:
    """A price in ticks; off the increment is refused with the nearest prices that are on it."""
    try:
        return ticks_from_price(price, instrument.tick_size)
    except UnitsError as error:
        if error.code in (RejectCode.PRICE_OFF_INCREMENT, RejectCode.TOO_MANY_DECIMALS):
            raise nearest(error, price, instrument.tick_size) from error
        raise


def qty_lots(qty: Decimal, instrument: InstrumentRef) -> int:
    """A quantity in lots; off the lot is refused with the nearest quantities that are on it."""
    try:
        return lots_from_qty(qty, instrument.lot_size)
    except UnitsError as error:
        if error.code in (RejectCode.QTY_OFF_LOT, RejectCode.TOO_MANY_DECIMALS):
            raise nearest(error, qty, instrument.lot_size) from error
        raise


def terms_of(
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
    """What the sender asked for in core units, with the time in force that a type implies."""
    account_demand(account, entering=True)
    flags = (FLAG_POST_ONLY if post_only else 0) | (FLAG_REDUCE_ONLY if reduce_only else 0)
    product_demand(account, instrument, flags)
    if time_in_force is None:
        time_in_force = TimeInForce.IOC if ord_type is OrdType.MARKET else TimeInForce.GTC
    return OrderTerms(
        core_account=account.core_account,
        instrument=instrument,
        side=side,
        ord_type=ord_type,
        time_in_force=time_in_force,
        stp=stp,
        flags=flags,
        # A missing price is 0, which the core refuses for a limit order (1006), as it refuses one for a market order.
        price=price_ticks(price, instrument) if price is not None else 0,
        qty=qty_lots(qty, instrument),
        expire_ns=expire_at or 0,
        cl_ord_id=cl_ord_id,
        source=source,
    )


def command_of(terms: OrderTerms) -> bytes:
    """The packed command."""
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


def submit(command: bytes, resolve: str) -> Accepted | Rejected:
    """Send one command; ApiProblem 9010 when it was not sent, 9011 when nobody knows, with ``resolve`` as the way
    out.
    """
    try:
        outcome = get_engine_client().submit(command)
    except EngineUnavailableError as error:
        raise ApiProblem(RejectCode.ENGINE_UNAVAILABLE) from error
    if isinstance(outcome, Unknown):
        raise ApiProblem(RejectCode.OUTCOME_UNKNOWN, next_step=resolve)
    return outcome


def by_client_id(cl_ord_id: str) -> str:
    """The way out of an unknown outcome."""
    return f"Ask GET /api/v1/orders/by-client-id/{cl_ord_id}, or send the same request with the same id again."


def duplicate_of(outcome: Accepted | Rejected) -> Event | None:
    """The engine\'s answer to an id it knows, when this is one."""
    first = outcome.events[0] if outcome.events else None
    return first if first is not None and first.type == EventType.DUPLICATE else None


def refused(outcome: Rejected, side: int | None, instrument: InstrumentRef | None) -> Refusal:
    """The refusal of a command in decimals."""
    return refusal_of(
        outcome.reason,
        needed=outcome.needed,
        available=outcome.available,
        price=outcome.price,
        side=side,
        instrument=instrument,
        cmd_seq=outcome.cmd_seq,
    )
