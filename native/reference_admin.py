"""Money, reference data, halts and time in the reference core (§6, §7).

What for: the part of the oracle that is not about single orders. Owns: deposits to transfers, upserts, limits, halts,
mass cancel, expiry,
session close, day roll. Leaves to others: orders (reference_orders.py), the records (reference_state.py).
"""

from __future__ import annotations

from collections.abc import Callable

from native.layout import (
    ABI_VERSION,
    ANY,
    CancelReason,
    Command,
    CommandType,
    EventFlag,
    EventType,
    HaltScope,
    InstrumentKind,
    Reject,
    Tif,
    TradingState,
    unpack_instrument_data,
)
from native.reference_checks import Refusal
from native.reference_orders import (
    emit_duplicate,
    known_id,
    order_cancel,
    order_new,
    order_replace,
    remember_refusal,
)
from native.reference_records import (
    LIMIT,
    MILLION,
    Account,
    Asset,
    Hold,
    Instrument,
    Order,
    Remembered,
    body_of,
    cl_ord_id_of,
)
from native.reference_state import State

MONEY = (CommandType.DEPOSIT, CommandType.WITHDRAW, CommandType.HOLD, CommandType.TRANSFER)


def refuse(state: State, c: Command, refusal: Refusal) -> None:
    state.emit(
        EventType.COMMAND_REJECTED,
        reason=refusal.reason,
        account=c.account,
        instrument=c.instrument,
        order_id=c.order_id,
        qty=refusal.qty,
        leaves=refusal.leaves,
    )


# -- money
# -----------------------------------------------------------------------------------------------------------------


def tell_balance(
    state: State, account: int, asset: int, *, amount: int, held: int = 0, hold_id: int = 0, ref_id: int = 0
) -> None:
    available, held_now = state.balance(account, asset)
    state.emit(
        EventType.BALANCE_CHANGED,
        account=account,
        instrument=asset,
        order_id=hold_id,
        ref_id=ref_id,
        amount=amount,
        price=held,
        quote_a=available,
        quote_b=held_now,
    )


def check_range(*numbers: int) -> None:
    if any(abs(number) > LIMIT for number in numbers):
        raise Refusal(Reject.OVERFLOW)


def money(state: State, c: Command) -> None:
    """DEPOSIT, WITHDRAW, HOLD, TRANSFER: idempotent by cl_ord_id."""
    cl_ord_id = b""
    try:
        if c.account not in state.accounts:
            raise Refusal(Reject.UNKNOWN_ACCOUNT)
        known = known_id(state, c)
        if not cl_ord_id_of(c):
            raise Refusal(Reject.MALFORMED)
        if known is not None:
            emit_duplicate(state, known)
            return
        cl_ord_id = cl_ord_id_of(c) or b""
        hold_id = move_money(state, c)
    except Refusal as refusal:
        refuse(state, c, refusal)
        if cl_ord_id:
            remember_refusal(state, c, cl_ord_id, refusal, order_id=0, is_order=False)
        return
    state.remember(
        Remembered(
            c.account, cl_ord_id, body_of(c), state.trading_day, state.cmd_seq, 0, hold_id, 0, 0,
            c.instrument, 0, 0, 0, 0, False,
        )
    )  # fmt: skip


def move_money(state: State, c: Command) -> int:
    """Check and do it; the hold id of a HOLD, else 0."""
    if c.type == CommandType.TRANSFER and (c.order_id not in state.accounts or c.order_id == c.account):
        raise Refusal(Reject.UNKNOWN_ACCOUNT)
    asset = state.assets.get(c.instrument)
    if asset is None:
        raise Refusal(Reject.UNKNOWN_ASSET)
    if c.amount <= 0:
        raise Refusal(Reject.BAD_AMOUNT)
    available, held = state.balance(c.account, asset.index)
    if c.type != CommandType.DEPOSIT and c.amount > available:
        raise Refusal(Reject.INSUFFICIENT_FUNDS, qty=c.amount, leaves=available)
    if c.type == CommandType.DEPOSIT:
        check_range(available + held + c.amount, asset.moved + c.amount)
        asset.moved += c.amount
        state.credit(c.account, asset.index, c.amount)
        tell_balance(state, c.account, asset.index, amount=c.amount)
    elif c.type == CommandType.WITHDRAW:
        check_range(asset.moved - c.amount)
        asset.moved -= c.amount
        state.credit(c.account, asset.index, -c.amount)
        tell_balance(state, c.account, asset.index, amount=-c.amount)
    elif c.type == CommandType.TRANSFER:
        check_range(sum(state.balance(c.order_id, asset.index)) + c.amount)
        state.credit(c.account, asset.index, -c.amount)
        state.credit(c.order_id, asset.index, c.amount)
        tell_balance(state, c.account, asset.index, amount=-c.amount, ref_id=c.order_id)
        tell_balance(state, c.order_id, asset.index, amount=c.amount, ref_id=c.account)
    else:
        if not state.hold_slots.room():
            raise Refusal(Reject.CAPACITY, qty=state.max_holds)
        hold = Hold(state.hold_slots.take(), c.account, asset.index, c.amount)
        state.holds[hold.hold_id] = hold
        state.move_to_held(c.account, asset.index, c.amount)
        tell_balance(state, c.account, asset.index, amount=0, held=c.amount, hold_id=hold.hold_id)
        return hold.hold_id
    return 0


def end_hold(state: State, c: Command) -> None:
    """HOLD_RELEASE and HOLD_SETTLE."""
    hold = state.holds.get(c.order_id)
    if hold is None or hold.account != c.account:
        raise Refusal(Reject.UNKNOWN_HOLD)
    asset = state.assets[hold.asset]
    release = c.type == CommandType.HOLD_RELEASE
    if not release:
        check_range(asset.moved - hold.amount)
    state.move_to_held(c.account, hold.asset, -hold.amount)
    if not release:
        state.credit(c.account, hold.asset, -hold.amount)
        asset.moved -= hold.amount
    del state.holds[hold.hold_id]
    state.hold_slots.give_back(hold.hold_id)
    amount = 0 if release else -hold.amount
    tell_balance(state, c.account, hold.asset, amount=amount, held=-hold.amount, hold_id=hold.hold_id)


# -- reference data and risk
# -----------------------------------------------------------------------------------------------


def asset_upsert(state: State, c: Command) -> None:
    if not 1 <= c.instrument < state.max_assets:
        raise Refusal(Reject.UNKNOWN_ASSET)
    if c.side > 12:
        raise Refusal(Reject.UNSUPPORTED)
    known = state.assets.get(c.instrument)
    if known is not None and known.scale != c.side:
        raise Refusal(Reject.LISTING_FROZEN)
    state.assets.setdefault(c.instrument, Asset(c.instrument, c.side))
    state.emit(EventType.ASSET_UPSERTED, account=c.account, instrument=c.instrument)


def in_use(state: State, listing: Instrument) -> bool:
    """Live orders or margin positions freeze the rates."""
    if listing.bids or listing.asks:
        return True
    rows = (account.rows.get(listing.index) for account in state.accounts.values())
    return any(row is not None and (row.net or row.cost) for row in rows)


def instrument_upsert(state: State, c: Command) -> None:
    data = unpack_instrument_data(c.cl_ord_id.ljust(40, b"\0"))
    base, quote = c.order_id >> 32, c.order_id & 0xFFFFFFFF
    margin = c.ord_type == InstrumentKind.MARGIN
    if not 1 <= c.instrument < state.max_instruments:
        raise Refusal(Reject.UNKNOWN_INSTRUMENT)
    if quote not in state.assets or (base not in state.assets and not (margin and base == 0)):
        raise Refusal(Reject.UNKNOWN_ASSET)
    rates = (data.maker_ppm, data.taker_ppm, data.margin_ppm, data.collar_ppm)
    if (
        c.amount < 1
        or c.aux < 1
        or data.min_qty < 1
        or c.ord_type not in set(InstrumentKind)
        or c.tif not in set(TradingState)
        or min(c.qty, data.max_notional, c.price) < 0
        or c.price > LIMIT
        or any(not 0 <= rate <= MILLION for rate in rates)
        or (margin and data.margin_ppm < 1)
        or base == quote
    ):
        raise Refusal(Reject.BAD_LISTING)
    listing = state.instruments.get(c.instrument)
    if listing is None:
        listing = Instrument(c.instrument, c.ord_type, c.tif, base, quote, c.amount, c.aux)
        state.instruments[c.instrument] = listing
    else:
        fixed = (listing.kind, listing.base, listing.quote, listing.tick_value, listing.lot_minor)
        if fixed != (c.ord_type, base, quote, c.amount, c.aux):
            raise Refusal(Reject.LISTING_FROZEN)
        if (listing.maker_ppm, listing.taker_ppm, listing.margin_ppm) != rates[:3] and in_use(state, listing):
            raise Refusal(Reject.LISTING_FROZEN)
    listing.maker_ppm, listing.taker_ppm, listing.margin_ppm, listing.collar_ppm = rates
    listing.min_qty, listing.max_qty, listing.max_notional = data.min_qty, c.qty, data.max_notional
    if c.price:
        listing.reference_price = c.price
    state.emit(EventType.INSTRUMENT_UPSERTED, account=c.account, instrument=c.instrument)


def account_upsert(state: State, c: Command) -> None:
    if not 1 <= c.account < state.max_accounts:
        raise Refusal(Reject.UNKNOWN_ACCOUNT)
    if not 0 <= c.aux < 2**32:
        raise Refusal(Reject.UNSUPPORTED)
    group = c.aux or c.account
    state.accounts.setdefault(c.account, Account(c.account, group)).stp_group = group
    state.emit(EventType.ACCOUNT_UPSERTED, account=c.account, instrument=c.instrument)


def limits_set(state: State, c: Command) -> None:
    if c.account == 0 or c.account not in state.accounts:
        raise Refusal(Reject.UNKNOWN_ACCOUNT)
    if c.qty < 0 or c.amount < 0:
        raise Refusal(Reject.UNSUPPORTED)
    owner = state.accounts[c.account]
    owner.order_cap, owner.max_notional = c.qty, c.amount
    state.emit(EventType.LIMITS_SET, account=c.account, qty=c.qty, amount=c.amount)


def halt_set(state: State, c: Command) -> None:
    if c.ord_type == HaltScope.INSTRUMENT and c.instrument not in state.instruments:
        raise Refusal(Reject.UNKNOWN_INSTRUMENT)
    if c.ord_type == HaltScope.ACCOUNT and (c.account == 0 or c.account not in state.accounts):
        raise Refusal(Reject.UNKNOWN_ACCOUNT)
    if c.ord_type not in set(HaltScope) or c.side not in set(TradingState):
        raise Refusal(Reject.UNSUPPORTED)
    if c.ord_type == HaltScope.GLOBAL:
        state.global_state = c.side
    elif c.ord_type == HaltScope.INSTRUMENT:
        state.instruments[c.instrument].state = c.side
    else:
        state.accounts[c.account].state = c.side
    state.emit(EventType.HALT_SET, account=c.account, instrument=c.instrument, side=c.side, price=c.ord_type)


# -- many orders at once, time
# ---------------------------------------------------------------------------------------------


def remove_many(state: State, orders: list[Order], reason: CancelReason, kind: EventType) -> tuple[int, int]:
    """Remove at most max_cancels of them: (how many, EVF_MORE when some are left)."""
    for order in orders[: state.max_cancels]:
        state.cancel(order, reason, kind)
    more = EventFlag.MORE if len(orders) > state.max_cancels else EventFlag(0)
    return min(len(orders), state.max_cancels), int(more)


def mass_cancel(state: State, c: Command) -> None:
    if c.account != ANY and c.account not in state.accounts:
        raise Refusal(Reject.UNKNOWN_ACCOUNT)
    if c.instrument != ANY and c.instrument not in state.instruments:
        raise Refusal(Reject.UNKNOWN_INSTRUMENT)
    if c.side > 2:
        raise Refusal(Reject.UNSUPPORTED)
    chosen = [
        order
        for order in state.orders_by_slot()
        if c.account in (ANY, order.account) and c.instrument in (ANY, order.instrument) and c.side in (0, order.side)
    ]
    done, more = remove_many(state, chosen, CancelReason.MASS, EventType.ORDER_CANCELED)
    state.emit(
        EventType.MASS_CANCEL_DONE, account=c.account, instrument=c.instrument, side=c.side, qty=done, flags=more
    )


def time_passes(state: State, c: Command) -> None:
    due = [order for order in state.orders_by_slot() if order.tif == Tif.GTD and order.expire_ns <= c.time_ns]
    due.sort(key=lambda order: order.expire_ns)  # stable: the same time stays in slot order
    done, more = remove_many(state, due, CancelReason.GTD, EventType.ORDER_EXPIRED)
    state.emit(EventType.TIME, qty=done, flags=more)


def session_close(state: State, c: Command) -> None:
    if c.instrument not in state.instruments:
        raise Refusal(Reject.UNKNOWN_INSTRUMENT)
    state.instruments[c.instrument].state = int(TradingState.CLOSED)
    due = [order for order in state.orders_by_slot() if order.tif == Tif.DAY and order.instrument == c.instrument]
    done, more = remove_many(state, due, CancelReason.DAY_END, EventType.ORDER_EXPIRED)
    state.emit(EventType.SESSION_CLOSED, instrument=c.instrument, qty=done, flags=more)


def day_roll(state: State, c: Command) -> None:
    if not state.trading_day < c.amount < 2**32:
        raise Refusal(Reject.MALFORMED)
    ending = state.trading_day
    state.remembered = {key: item for key, item in state.remembered.items() if item.day >= ending}
    state.trading_day = c.amount
    state.emit(EventType.DAY_ROLLED, amount=c.amount)


# -- dispatch
# --------------------------------------------------------------------------------------------------------------

ORDERS: dict[int, Callable[[State, Command], None]] = {
    CommandType.ORDER_NEW: order_new,
    CommandType.ORDER_CANCEL: order_cancel,
    CommandType.ORDER_REPLACE: order_replace,
}
OTHERS: dict[int, Callable[[State, Command], None]] = {
    CommandType.MASS_CANCEL: mass_cancel,
    CommandType.HOLD_RELEASE: end_hold,
    CommandType.HOLD_SETTLE: end_hold,
    CommandType.ASSET_UPSERT: asset_upsert,
    CommandType.INSTRUMENT_UPSERT: instrument_upsert,
    CommandType.ACCOUNT_UPSERT: account_upsert,
    CommandType.LIMITS_SET: limits_set,
    CommandType.HALT_SET: halt_set,
    CommandType.TIME: time_passes,
    CommandType.SESSION_CLOSE: session_close,
    CommandType.DAY_ROLL: day_roll,
}


def run_command(state: State, c: Command) -> None:
    """One command: its events are appended, the last one carries EVF_LAST."""
    state.cmd_seq, state.time_ns = c.seq, c.time_ns
    if c.type in ORDERS:
        ORDERS[c.type](state, c)
    else:
        try:
            if c.version != ABI_VERSION:
                raise Refusal(Reject.BAD_VERSION)
            if c.type in MONEY:
                money(state, c)
            elif c.type in OTHERS:
                OTHERS[c.type](state, c)
            else:
                raise Refusal(Reject.UNSUPPORTED)
        except Refusal as refusal:
            refuse(state, c, refusal)
    state.events[-1] = state.events[-1]._replace(flags=state.events[-1].flags | EventFlag.LAST)
