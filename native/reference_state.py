"""State of the reference core: what exists, what each order and position reserves, the events told so far.

What for: the part of the oracle that remembers. Owns: balances, holds, the margin row, the book's containers, how an
event of an
order is filled in. Leaves to others: the records (reference_records.py), deciding orders (reference_checks.py), trading
(reference_matching.py), money and administration (reference_admin.py).
Written from docs/engine.md alone; section numbers are those of that page.
"""

from __future__ import annotations

from native.layout import Event, EventFlag, EventType, pack_event
from native.reference_records import (
    BUY,
    MILLION,
    SELL,
    Account,
    Asset,
    Hold,
    Instrument,
    Order,
    Remembered,
    Row,
    Slots,
)


class State:
    """Everything the core knows, and the events of the commands being applied."""

    def __init__(self, config: object) -> None:
        self.max_assets: int = config.max_assets  # type: ignore[attr-defined]
        self.max_instruments: int = config.max_instruments  # type: ignore[attr-defined]
        self.max_accounts: int = config.max_accounts  # type: ignore[attr-defined]
        self.max_orders: int = config.max_orders  # type: ignore[attr-defined]
        self.max_levels: int = config.max_levels  # type: ignore[attr-defined]
        self.max_cl_ord_ids: int = config.max_cl_ord_ids  # type: ignore[attr-defined]
        self.max_holds: int = config.max_holds  # type: ignore[attr-defined]
        self.max_fills: int = config.max_fills_per_command or 1024  # type: ignore[attr-defined]
        self.max_cancels: int = config.max_cancels_per_command or 1024  # type: ignore[attr-defined]
        self.cmd_seq = self.event_seq = self.time_ns = self.trading_day = self.global_state = self.matches = 0
        self.assets: dict[int, Asset] = {}
        self.instruments: dict[int, Instrument] = {}
        self.accounts: dict[int, Account] = {0: Account(0, 0)}
        self.orders: dict[int, Order] = {}  # live ones, by order id
        self.holds: dict[int, Hold] = {}
        self.order_slots = Slots(self.max_orders)
        self.hold_slots = Slots(self.max_holds)
        self.remembered: dict[tuple[int, bytes], Remembered] = {}  # oldest first
        self.events: list[Event] = []

    # -- events -------------------------------------------------------------------------------------------------------

    def emit(self, kind: EventType, **fields: int) -> None:
        self.event_seq += 1
        blank = dict.fromkeys(Event._fields, 0)
        blank.update(fields, seq=self.event_seq, cmd_seq=self.cmd_seq, time_ns=self.time_ns, type=int(kind))
        self.events.append(Event(**blank))

    def order_fields(self, account: int, instrument: int) -> dict[str, int]:
        """The balances an order event shows; none when account or instrument is not known."""
        owner, listing = self.accounts.get(account), self.instruments.get(instrument)
        if owner is None or listing is None:
            return {}
        quote_a, quote_b = self.balance(account, listing.quote)
        if listing.margin:
            row = owner.rows.get(instrument, Row())
            base_a, base_b, flags = row.net, row.cost, int(EventFlag.MARGIN)
        else:
            base_a, base_b = self.balance(account, listing.base)
            flags = 0
        return {"base_a": base_a, "base_b": base_b, "quote_a": quote_a, "quote_b": quote_b, "flags": flags}

    def emit_order(self, kind: EventType, order: Order, flags: int = 0, **fields: int) -> None:
        """An event of an order: §8 says what price, qty, leaves mean; `fields` override them."""
        values = {"price": order.price, "qty": order.order_qty, "leaves": order.leaves, "cum_qty": order.cum_qty}
        values.update(side=order.side, version=order.version, account=order.account, instrument=order.instrument)
        values.update(order_id=order.order_id)
        values.update(self.order_fields(order.account, order.instrument))
        values["flags"] |= flags
        values.update(fields)
        self.emit(kind, **values)

    def packed_events(self) -> bytes:
        return b"".join(map(pack_event, self.events))

    # -- balances -----------------------------------------------------------------------------------------------------

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        owner = self.accounts.get(account)
        if owner is None:
            return 0, 0
        return owner.available.get(asset, 0), owner.held.get(asset, 0)

    def credit(self, account: int, asset: int, amount: int) -> None:
        """Add to available (negative: take away)."""
        owner = self.accounts[account]
        owner.available[asset] = owner.available.get(asset, 0) + amount

    def move_to_held(self, account: int, asset: int, amount: int) -> None:
        """available -> held (negative: back)."""
        owner = self.accounts[account]
        owner.available[asset] = owner.available.get(asset, 0) - amount
        owner.held[asset] = owner.held.get(asset, 0) + amount

    # -- what an order reserves (§2) ----------------------------------------------------------------------------------

    def spot_hold(self, order: Order, price: int, lots: int) -> int:
        listing = self.instruments[order.instrument]
        if order.side == SELL:
            return lots * listing.lot_minor
        notional = listing.notional(price, lots)
        return notional + notional * order.reserve_ppm // MILLION

    def margin_hold(self, listing: Instrument, cost: int, buys: int, sells: int, fees: int) -> int:
        exposure = max(abs(cost), cost + buys, sells - cost)
        return -(-listing.margin_ppm * exposure // MILLION) + fees

    def row(self, account: int, instrument: int) -> Row:
        return self.accounts[account].rows.setdefault(instrument, Row())

    def row_if(self, account: int, instrument: int) -> Row:
        """The row for reading only."""
        return self.accounts[account].rows.get(instrument, Row())

    def hold_asset(self, order: Order) -> int:
        listing = self.instruments[order.instrument]
        return listing.base if order.side == SELL and not listing.margin else listing.quote

    def reserve(self, order: Order, lots: int) -> None:
        """Make the order's reservation the one for `lots` at its limit; a margin row is re-held by the caller's
        settle()."""
        listing = self.instruments[order.instrument]
        order.covered = lots
        if not listing.margin:
            hold = self.spot_hold(order, order.price, lots)
            self.move_to_held(order.account, self.hold_asset(order), hold - order.held)
            order.held = hold
            return
        notional = listing.notional(order.price, lots)
        fee = notional * order.reserve_ppm // MILLION
        row = self.row(order.account, order.instrument)
        if order.side == BUY:
            row.buys += notional - order.notional_in_row
        else:
            row.sells += notional - order.notional_in_row
        row.fees += fee - order.fee_in_row
        order.notional_in_row, order.fee_in_row = notional, fee

    def settle(self, account: int, instrument: int) -> None:
        """Make a margin row's hold the one of the formula."""
        listing = self.instruments[instrument]
        if listing.margin:
            row = self.row(account, instrument)
            hold = self.margin_hold(listing, row.cost, row.buys, row.sells, row.fees)
            self.move_to_held(account, listing.quote, hold - row.hold)
            row.hold = hold

    # -- book and orders ----------------------------------------------------------------------------------------------

    def rest(self, order: Order) -> None:
        self.instruments[order.instrument].book(order.side).setdefault(order.price, []).append(order)
        order.resting = True

    def unrest(self, order: Order) -> None:
        book = self.instruments[order.instrument].book(order.side)
        book[order.price].remove(order)
        if not book[order.price]:
            del book[order.price]
        order.resting = False

    def finish(self, order: Order) -> None:
        """The order is done: out of the book, its slot free."""
        if order.resting:
            self.unrest(order)
        del self.orders[order.order_id]
        self.order_slots.give_back(order.order_id)

    def cancel(self, order: Order, reason: int, kind: EventType = EventType.ORDER_CANCELED) -> None:
        """Remove all that is left of an order and tell it."""
        was_resting, lots = order.resting, order.leaves
        order.leaves = 0
        self.reserve(order, 0)
        self.settle(order.account, order.instrument)
        self.finish(order)
        flags = EventFlag.TERMINAL | (EventFlag.BOOK if was_resting else 0)
        self.emit_order(kind, order, int(flags), reason=reason, qty=lots)

    def orders_by_slot(self) -> list[Order]:
        return sorted(self.orders.values(), key=lambda order: order.order_id & 0xFFFFFFFF)

    def open_orders(self, account: int) -> int:
        return sum(order.account == account for order in self.orders.values())

    def open_leaves(self, account: int, instrument: int, side: int) -> int:
        key = (account, instrument, side)
        return sum(o.leaves for o in self.orders.values() if (o.account, o.instrument, o.side) == key)

    def level_count(self) -> int:
        return sum(len(listing.bids) + len(listing.asks) for listing in self.instruments.values())

    # -- idempotency (§3.3) -------------------------------------------------------------------------------------------

    def remember(self, item: Remembered) -> None:
        if len(self.remembered) >= self.max_cl_ord_ids:
            del self.remembered[next(iter(self.remembered))]
        self.remembered[item.account, item.cl_ord_id] = item
