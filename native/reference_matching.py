"""Matching in the reference core (§4): price-time priority, self-trade prevention, what a fill does to both sides.

What for: everything that happens to an accepted order at entry. Owns: entry, matches, decrements, the margin position
arithmetic of §2.
Leaves to others: whether the order is accepted (reference_checks.py), balances and the book's containers
(reference_state.py).
"""

from __future__ import annotations

import copy

from native.layout import CancelReason, EventFlag, EventType, OrdType, Stp, Tif
from native.reference_checks import best_crossing, other, same_owner
from native.reference_records import BUY, LIMIT, MILLION, Instrument, Order
from native.reference_state import State


def enter(state: State, order: Order, listing: Instrument, kind: EventType, flags: int, **fields: int) -> None:
    """Tell the entry (accepted or replaced), trade what crosses, rest or cancel the remainder."""
    may_rest = order.ord_type == OrdType.LIMIT and order.tif not in (Tif.IOC, Tif.FOK)
    if best_crossing(listing, order.side, order.price) is not None:
        state.emit_order(kind, order, int(flags | EventFlag.CROSSES), **fields)
    elif may_rest:
        state.rest(order)
        state.emit_order(kind, order, int(flags | EventFlag.BOOK), **fields)
        return
    else:
        state.emit_order(kind, order, int(flags), **fields)
    match(state, order, listing)
    if order.order_id not in state.orders:
        return
    if may_rest:
        state.rest(order)
        state.emit_order(EventType.ORDER_RESTED, order, int(EventFlag.BOOK))
    else:
        market = order.ord_type == OrdType.MARKET
        state.cancel(order, CancelReason.MARKET_REMAINDER if market else CancelReason.IOC_REMAINDER)


def match(state: State, taker: Order, listing: Instrument) -> None:
    """Trade until filled, nothing is within the limit, max_fills, or self-trade prevention stops it. A finished taker
    is gone."""
    steps = 0
    while taker.leaves:
        price = best_crossing(listing, taker.side, taker.price)
        if price is None:
            return
        if steps == state.max_fills:
            state.cancel(taker, CancelReason.FILL_LIMIT)
            return
        steps += 1
        maker = listing.book(other(taker.side))[price][0]
        if taker.stp != Stp.NONE and same_owner(state, taker.account, maker.account):
            if prevent(state, taker, maker):
                return
        elif not trade(state, taker, maker, listing):
            state.cancel(taker, CancelReason.FILL_LIMIT)
            return


def prevent(state: State, taker: Order, maker: Order) -> bool:
    """Self-trade prevention; True when the taker stops."""
    if taker.stp == Stp.CANCEL_NEWEST:
        state.cancel(taker, CancelReason.SELF_TRADE)
        return True
    if taker.stp == Stp.CANCEL_OLDEST:
        state.cancel(maker, CancelReason.SELF_TRADE)
        return False
    if taker.stp == Stp.CANCEL_BOTH:
        state.cancel(maker, CancelReason.SELF_TRADE)
        state.cancel(taker, CancelReason.SELF_TRADE)
        return True
    lots = min(taker.leaves, maker.leaves)
    decrement(state, maker, lots)
    decrement(state, taker, lots)
    if taker.leaves and taker.ord_type == OrdType.MARKET:
        state.cancel(taker, CancelReason.MARKET_REMAINDER)
    return taker.leaves == 0


def decrement(state: State, order: Order, lots: int) -> None:
    was_resting = order.resting
    order.leaves -= lots
    order.order_qty -= lots
    # The money of a MARKET order covers only the lots before this one.
    state.reserve(order, min(order.covered, order.leaves) if order.ord_type == OrdType.MARKET else order.leaves)
    state.settle(order.account, order.instrument)
    flags = EventFlag.BOOK if was_resting else EventFlag(0)
    if order.leaves == 0:
        state.finish(order)
        flags |= EventFlag.TERMINAL
    state.emit_order(EventType.ORDER_CANCELED, order, int(flags), reason=CancelReason.SELF_TRADE, qty=lots)


def trade(state: State, taker: Order, maker: Order, listing: Instrument) -> bool:
    """One match at the maker's price. False, with nothing changed, when a balance would leave the range."""
    price, lots = maker.price, min(taker.leaves, maker.leaves)
    if not stays_in_range(state, taker, maker, listing, price, lots):
        return False
    listing.reference_price = price
    state.matches += 1
    for order, contra, rate, extra_flags in (
        (maker, taker, listing.maker_ppm, EventFlag.MAKER | EventFlag.BOOK),
        (taker, maker, listing.taker_ppm, EventFlag(0)),
    ):
        fee, pnl = fill(state, order, listing, price, lots, rate)
        flags = extra_flags
        if order.leaves == 0:
            state.finish(order)
            flags |= EventFlag.TERMINAL
        state.emit_order(
            EventType.ORDER_FILLED,
            order,
            int(flags),
            ref_id=contra.order_id,
            price=price,
            qty=lots,
            amount=fee,
            pnl=pnl,
        )
    return True


def stays_in_range(state: State, taker: Order, maker: Order, listing: Instrument, price: int, lots: int) -> bool:
    """Try the match on copies of what it touches."""
    trial = copy.copy(state)
    touched = {taker.account, maker.account, 0}
    trial.accounts = {index: copy.deepcopy(state.accounts[index]) for index in touched}
    trial.assets = {index: copy.copy(asset) for index, asset in state.assets.items()}
    fill(trial, copy.copy(maker), listing, price, lots, listing.maker_ppm)
    fill(trial, copy.copy(taker), listing, price, lots, listing.taker_ppm)
    numbers = [trial.assets[listing.quote].clearing]
    for account in touched:
        for asset in {listing.quote} if listing.margin else {listing.quote, listing.base}:
            available, held = trial.balance(account, asset)
            numbers += [available, available + held]
    return all(abs(number) <= LIMIT for number in numbers)


def fill(state: State, order: Order, listing: Instrument, price: int, lots: int, rate: int) -> tuple[int, int]:
    """One side of a match: (fee, realised profit and loss)."""
    notional = listing.notional(price, lots)
    fee = notional * rate // MILLION
    order.leaves -= lots
    order.cum_qty += lots
    state.reserve(order, order.covered - lots)
    state.credit(0, listing.quote, fee)
    pnl = 0
    if listing.margin:
        pnl = move_position(state, order, listing, price, lots)
        state.credit(order.account, listing.quote, pnl - fee)
        state.settle(order.account, order.instrument)
    elif order.side == BUY:
        state.credit(order.account, listing.quote, -notional - fee)
        state.credit(order.account, listing.base, lots * listing.lot_minor)
    else:
        # What the sell held left available and held; it is the buyer's now.
        state.credit(order.account, listing.base, -lots * listing.lot_minor)
        state.credit(order.account, listing.quote, notional - fee)
    return fee, pnl


def move_position(state: State, order: Order, listing: Instrument, price: int, lots: int) -> int:
    """Change net and cost by a fill (§2); returns the realised profit and loss."""
    row, owner = state.row(order.account, order.instrument), state.accounts[order.account]
    sign = 1 if order.side == BUY else -1
    cost_before, pnl = row.cost, 0
    reduces = row.net * sign < 0
    closed = min(lots, abs(row.net)) if reduces else 0
    if closed:
        removed = abs(row.cost) * closed // abs(row.net)
        # Selling a long earns what it sold for less its cost; buying back a short the other way round.
        pnl = -sign * (listing.notional(price, closed) - removed)
        row.cost += sign * removed
        row.net += sign * closed
    row.cost += sign * listing.notional(price, lots - closed)
    row.net += sign * (lots - closed)
    state.assets[listing.quote].clearing -= row.cost - cost_before
    if pnl < 0:
        owner.took_loss = True
    return pnl
