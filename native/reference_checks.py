"""The checks of an order in the reference core: §3 in its order, and the dry run of §5.

What for: says whether a new order or a replace is accepted, without changing anything. Owns: every refusal of an
order after its
idempotency, the collar, reduce-only and funds rules. Leaves to others: idempotency and events (reference_orders.py),
trading
(reference_matching.py), the records (reference_state.py). Every rule is written where the page has it.
"""

from __future__ import annotations

from dataclasses import dataclass

from native.layout import (
    Command,
    CommandFlag,
    OrdType,
    Reject,
    Stp,
    Tif,
    TradingState,
)
from native.reference_records import BUY, LIMIT, MILLION, SELL, Account, Instrument, Order
from native.reference_state import State

STOPPED = (TradingState.HALTED, TradingState.CLOSED)


class Refusal(Exception):
    """A check failed; the numbers are those of the event."""

    def __init__(self, reason: Reject, *, price: int = 0, qty: int = 0, leaves: int = 0) -> None:
        self.reason, self.price, self.qty, self.leaves = reason, price, qty, leaves


@dataclass
class DryRun:
    fills: int = 0
    qty: int = 0
    notional: int = 0
    fee: int = 0
    worst_price: int = 0
    ended_by: str = "filled"  # filled, price, limit, self_trade


def crosses(side: int, limit: int | None, opposite: int) -> bool:
    """Does an order of `side` with that limit (None = any price) reach the opposite price?"""
    return limit is None or (limit >= opposite if side == BUY else limit <= opposite)


def other(side: int) -> int:
    return SELL if side == BUY else BUY


def best_crossing(listing: Instrument, side: int, limit: int | None) -> int | None:
    """The best opposite price when it is within the limit."""
    best = listing.best(other(side))
    return best if best is not None and crosses(side, limit, best) else None


def collar(listing: Instrument, side: int) -> int | None:
    """The worst price the collar lets a side trade at; None: no bound (§3.8)."""
    reference = listing.reference_price
    if not reference or not listing.collar_ppm:
        return None
    band = reference * listing.collar_ppm // MILLION
    return min(LIMIT, reference + band) if side == BUY else max(1, reference - band)


def same_owner(state: State, one: int, another: int) -> bool:
    return state.accounts[one].stp_group == state.accounts[another].stp_group


def dry_run(
    state: State, listing: Instrument, account: int, side: int, stp: int, limit: int | None, qty: int
) -> DryRun:
    """The walk of §4 without effects (§5)."""
    run, steps = DryRun(), 0
    for price in listing.prices(other(side)):
        if not crosses(side, limit, price):
            break
        for maker in listing.book(other(side))[price]:
            if run.qty == qty:
                return run
            if steps == state.max_fills:
                run.ended_by = "limit"
                return run
            if stp != Stp.NONE and same_owner(state, account, maker.account):
                if stp != Stp.CANCEL_OLDEST:
                    run.ended_by = "self_trade"
                    return run
                steps += 1
                continue
            steps += 1
            lots = min(maker.leaves, qty - run.qty)
            notional = listing.notional(price, lots)
            run.fills += 1
            run.qty += lots
            run.notional += notional
            run.fee += notional * listing.taker_ppm // MILLION
            run.worst_price = price
    if run.qty < qty:
        run.ended_by = "price"
    return run


def check_states(state: State, listing: Instrument, owner: Account) -> None:
    """§3.6."""
    if state.global_state in STOPPED:
        raise Refusal(Reject.GLOBAL_HALT)
    if listing.state == TradingState.CLOSED:
        raise Refusal(Reject.INSTRUMENT_CLOSED)
    if listing.state == TradingState.HALTED:
        raise Refusal(Reject.INSTRUMENT_HALTED)
    if owner.state in STOPPED:
        raise Refusal(Reject.ACCOUNT_HALTED)


def check_qty_bounds(listing: Instrument, qty: int) -> None:
    """§3.7."""
    if qty < listing.min_qty:
        raise Refusal(Reject.QTY_BELOW_MIN, qty=listing.min_qty)
    if listing.max_qty > 0 and qty > listing.max_qty:
        raise Refusal(Reject.QTY_ABOVE_MAX, qty=listing.max_qty)


def check_collar(listing: Instrument, side: int, price: int) -> None:
    """§3.8 for a limit price."""
    bound = collar(listing, side)
    if bound is not None and (price > bound if side == BUY else price < bound):
        raise Refusal(Reject.PRICE_COLLAR, price=bound)


def check_notional(listing: Instrument, owner: Account, notional: int) -> None:
    """§3.10."""
    if notional > LIMIT:
        raise Refusal(Reject.OVERFLOW)
    if listing.max_notional > 0 and notional > listing.max_notional:
        raise Refusal(Reject.MAX_NOTIONAL, qty=listing.max_notional, leaves=notional)
    if owner.max_notional > 0 and notional > owner.max_notional:
        raise Refusal(Reject.ACCOUNT_MAX_NOTIONAL, qty=owner.max_notional, leaves=notional)


def reduce_only_code(state: State, listing: Instrument, owner: Account, flags: int) -> Reject | None:
    """Which reduce-only rule applies first, if any (§3.11)."""
    if flags & CommandFlag.REDUCE_ONLY:
        return Reject.REDUCE_ONLY
    if owner.state == TradingState.REDUCE_ONLY:
        return Reject.ACCOUNT_REDUCE_ONLY
    if TradingState.REDUCE_ONLY in (listing.state, state.global_state):
        return Reject.REDUCE_ONLY_STATE
    return None


def check_level(state: State, listing: Instrument, side: int, price: int) -> None:
    """The last rule of §3.12."""
    if price not in listing.book(side) and state.level_count() >= state.max_levels:
        raise Refusal(Reject.CAPACITY, qty=state.max_levels)


def extra_hold(state: State, order: Order, price: int, lots: int, at_best_bid: bool) -> int:
    """What more would be held if the order covered `lots` at `price`; refuses numbers beyond 2^62."""
    listing = state.instruments[order.instrument]
    asset = state.hold_asset(order)
    held_now = state.balance(order.account, asset)[1]
    if not listing.margin:
        hold = state.spot_hold(order, price, lots)
        extra = hold - order.held
    else:
        row = state.row_if(order.account, order.instrument)
        counted = price
        best = listing.best(BUY)
        if at_best_bid and order.side == SELL and best is not None:
            # It may trade above its limit, which costs more margin and fee than the limit says.
            counted = max(price, best)
        notional = listing.notional(counted, lots)
        fees = row.fees - order.fee_in_row + notional * order.reserve_ppm // MILLION
        buys, sells = row.buys, row.sells
        if order.side == BUY:
            buys += notional - order.notional_in_row
        else:
            sells += notional - order.notional_in_row
        if abs(row.cost) + buys + sells > LIMIT:
            raise Refusal(Reject.OVERFLOW)
        hold = state.margin_hold(listing, row.cost, buys, sells, fees)
        extra = hold - row.hold
    if hold > LIMIT or held_now + extra > LIMIT:
        raise Refusal(Reject.OVERFLOW)
    return extra


def check_form_new(c: Command, now: int) -> None:
    """§3.5."""
    market = c.ord_type == OrdType.MARKET
    allowed = CommandFlag.POST_ONLY | CommandFlag.REDUCE_ONLY
    at_once = market or c.tif in (Tif.IOC, Tif.FOK)
    if (
        c.side not in (BUY, SELL)
        or c.ord_type not in set(OrdType)
        or c.tif not in set(Tif)
        or c.stp not in set(Stp)
        or c.flags & ~int(allowed)
        or (market and c.tif not in (Tif.IOC, Tif.FOK))
        or (c.flags & CommandFlag.POST_ONLY and at_once)
        or c.order_id != 0
        or c.aux != 0
    ):
        raise Refusal(Reject.UNSUPPORTED)
    if c.qty <= 0:
        raise Refusal(Reject.BAD_QTY)
    if (c.price != 0) if market else (c.price <= 0):
        raise Refusal(Reject.BAD_PRICE)
    if (c.amount <= now) if c.tif == Tif.GTD else (c.amount != 0):
        raise Refusal(Reject.BAD_EXPIRE)


def judge_new(state: State, c: Command, now: int) -> tuple[Order, DryRun, int]:
    """Steps 4 to 15: the order as accepted (no id yet, nothing changed), its dry run and the funds it needs; or Refusal."""
    listing = state.instruments.get(c.instrument)
    if listing is None:
        raise Refusal(Reject.UNKNOWN_INSTRUMENT)
    check_form_new(c, now)
    owner = state.accounts[c.account]
    check_states(state, listing, owner)
    check_qty_bounds(listing, c.qty)
    market = c.ord_type == OrdType.MARKET
    at_once = market or c.tif in (Tif.IOC, Tif.FOK)
    if market:
        if listing.reference_price == 0:
            raise Refusal(Reject.NO_REFERENCE_PRICE)
        run = dry_run(state, listing, c.account, c.side, c.stp, collar(listing, c.side), c.qty)
        if run.qty == 0:
            raise Refusal(Reject.NO_LIQUIDITY)
        price, lots = run.worst_price, run.qty
    else:
        check_collar(listing, c.side, c.price)
        price, lots = c.price, c.qty
    check_notional(listing, owner, listing.notional(price, lots))
    check_reduce_new(state, listing, owner, c)
    if not at_once and owner.order_cap and state.open_orders(c.account) >= owner.order_cap:
        raise Refusal(Reject.MAX_OPEN_ORDERS, qty=owner.order_cap)
    if len(state.orders) >= state.max_orders:
        raise Refusal(Reject.CAPACITY, qty=state.max_orders)
    if not at_once:
        check_level(state, listing, c.side, price)
    if c.flags & CommandFlag.POST_ONLY:
        best = best_crossing(listing, c.side, price)
        if best is not None:
            raise Refusal(Reject.WOULD_CROSS, price=best)
    if not market:
        run = dry_run(state, listing, c.account, c.side, c.stp, c.price, c.qty)
    if c.tif == Tif.FOK and run.qty < c.qty:
        if run.ended_by == "limit":
            raise Refusal(Reject.FILL_LIMIT, qty=state.max_fills)
        raise Refusal(Reject.UNFILLABLE, qty=c.qty, leaves=run.qty)
    order = Order(
        order_id=0,
        account=c.account,
        instrument=c.instrument,
        side=c.side,
        ord_type=c.ord_type,
        tif=c.tif,
        stp=c.stp,
        flags=c.flags,
        price=price,
        order_qty=c.qty,
        leaves=c.qty,
        expire_ns=c.amount,
        entry_seq=state.cmd_seq,
        reserve_ppm=max(listing.maker_ppm, listing.taker_ppm),
    )
    order.covered = lots
    extra = extra_hold(state, order, price, lots, at_best_bid=True)
    available = state.balance(c.account, state.hold_asset(order))[0]
    if extra > available:
        raise Refusal(Reject.INSUFFICIENT_FUNDS, qty=extra, leaves=available)
    return order, run, extra


def check_reduce_new(state: State, listing: Instrument, owner: Account, c: Command) -> None:
    """§3.11 for a new order."""
    code = reduce_only_code(state, listing, owner, c.flags)
    if code is None:
        return
    if not listing.margin:
        if c.side != SELL:
            raise Refusal(code)
        return
    net = state.row_if(c.account, c.instrument).net
    opposite = (net > 0 and c.side == SELL) or (net < 0 and c.side == BUY)
    allowed = max(0, abs(net) - state.open_leaves(c.account, c.instrument, c.side)) if opposite else 0
    if c.qty > allowed:
        raise Refusal(code, qty=allowed)


def live_order(state: State, account: int, order_id: int) -> Order:
    """The account's live order, or 5001 / 5002."""
    order = state.orders.get(order_id)
    if order is not None and order.account == account:
        return order
    if order is None and state.order_slots.was_issued(order_id):
        raise Refusal(Reject.TOO_LATE)
    raise Refusal(Reject.UNKNOWN_ORDER)


def judge_replace(state: State, c: Command) -> Order:
    """The checks of a replace after the id; the order when it may be replaced."""
    order = live_order(state, c.account, c.order_id)
    listing, owner = state.instruments[order.instrument], state.accounts[c.account]
    if c.flags or c.side or c.ord_type or c.tif or c.stp or c.amount:
        raise Refusal(Reject.UNSUPPORTED)
    if c.qty <= 0:
        raise Refusal(Reject.BAD_QTY)
    if c.price <= 0:
        raise Refusal(Reject.BAD_PRICE)
    check_states(state, listing, owner)
    if c.aux not in (0, order.version):
        raise Refusal(Reject.STALE_REPLACE, qty=order.version)
    if c.qty <= order.cum_qty:
        raise Refusal(Reject.QTY_BELOW_FILLED, qty=order.cum_qty)
    check_qty_bounds(listing, c.qty)
    if c.price != order.price:
        check_collar(listing, order.side, c.price)
    leaves = c.qty - order.cum_qty
    check_notional(listing, owner, listing.notional(c.price, leaves))
    keeps = c.price == order.price and c.qty <= order.order_qty
    code = reduce_only_code(state, listing, owner, order.flags)
    if code is not None and not keeps:
        raise Refusal(code)
    if c.price != order.price:
        check_level(state, listing, order.side, c.price)
    if order.flags & CommandFlag.POST_ONLY:
        best = best_crossing(listing, order.side, c.price)
        if best is not None:
            raise Refusal(Reject.WOULD_CROSS, price=best)
    extra = extra_hold(state, order, c.price, leaves, at_best_bid=not keeps)
    available = state.balance(c.account, state.hold_asset(order))[0]
    if extra > 0 and extra > available:
        raise Refusal(Reject.INSUFFICIENT_FUNDS, qty=extra, leaves=available)
    return order
