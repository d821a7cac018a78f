"""The reference core: slow, obvious, and the judge of the fast one.

What for: an oracle. It is written from docs/engine.md alone and is compared with the C core command by command: event
bytes, depth, balances,
positions, digest, preview. Owns: the interface (the same names as native/core.py's Core). Leaves to others: the
rules, in
reference_records.py and reference_state.py (what there is), reference_checks.py (whether an order is accepted),
reference_matching.py,
reference_orders.py (order commands, preview) and reference_admin.py (money, listing, time).
Never used to run the house.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

from native import layout, reference_admin, reference_orders
from native.layout import ANY, Event, EventType
from native.reference_orders import Preview
from native.reference_records import BUY, SELL, Order, ReferenceConfig, Row
from native.reference_state import State

FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
WORD = 2**64


class ReferenceSequenceError(Exception):
    """A command's seq is not last + 1, or its time runs backwards. `events` are those of the commands before it."""

    def __init__(self, applied: int, events: bytes) -> None:
        super().__init__(f"command {applied} of the batch does not continue the sequence or goes back in time")
        self.applied = applied
        self.events = events


class Level(NamedTuple):
    price: int
    qty: int
    orders: int


class OrderView(NamedTuple):
    order_id: int
    account: int
    instrument: int
    side: int
    ord_type: int
    tif: int
    version: int
    flags: int
    price: int
    order_qty: int
    leaves: int
    cum_qty: int
    expire_ns: int
    held: int
    entry_seq: int


class Stats(NamedTuple):
    cmd_seq: int
    event_seq: int
    time_ns: int
    live_orders: int
    accounts: int
    instruments: int
    assets: int
    holds: int
    cl_ord_ids: int
    trading_day: int
    global_state: int
    matches: int


def _view(order: Order) -> OrderView:
    return OrderView._make(getattr(order, name) for name in OrderView._fields)


class ReferenceCore:
    """Same commands in, same events out as native.core.Core."""

    def __init__(self, config: Any = None) -> None:
        self.config = config or ReferenceConfig()
        self.state = State(self.config)

    def clone(self) -> ReferenceCore:
        """An independent copy, in place of snapshot and restore."""
        return copy.deepcopy(self)

    def apply(self, commands: Any) -> bytes:
        """Apply packed commands in order; all their events, packed."""
        state = self.state
        state.events = []
        for index, command in enumerate(layout.iter_commands(commands)):
            if command.seq != state.cmd_seq + 1 or command.time_ns < state.time_ns:
                raise ReferenceSequenceError(index, state.packed_events())
            reference_admin.run_command(state, command)
        return state.packed_events()

    # -- queries ------------------------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        s = self.state
        return Stats(
            s.cmd_seq, s.event_seq, s.time_ns, len(s.orders), len(s.accounts), len(s.instruments), len(s.assets),
            len(s.holds), len(s.remembered), s.trading_day, s.global_state, s.matches,
        )  # fmt: skip

    def depth(self, instrument: int, n: int = 20) -> tuple[list[Level], list[Level]]:
        listing = self.state.instruments.get(instrument)
        if listing is None or n <= 0:
            return [], []
        sides = []
        for side in (BUY, SELL):
            queues = [(price, listing.book(side)[price]) for price in listing.prices(side)[:n]]
            sides.append([Level(price, sum(order.leaves for order in queue), len(queue)) for price, queue in queues])
        return sides[0], sides[1]

    def order(self, order_id: int) -> OrderView | None:
        order = self.state.orders.get(order_id)
        return _view(order) if order else None

    def orders_of(self, account: int = ANY, after: int = 0, limit: int = 1000) -> list[OrderView]:
        """In slot order, those in slots after that of order id `after`."""
        slot = after & 0xFFFFFFFF
        chosen = [
            _view(order)
            for order in self.state.orders_by_slot()
            if account in (ANY, order.account) and order.order_id & 0xFFFFFFFF > slot
        ]
        return chosen[:limit]

    def cl_ord_id(self, account: int, cl_ord_id: str | bytes) -> Event | None:
        raw = cl_ord_id.encode("ascii", "replace") if isinstance(cl_ord_id, str) else cl_ord_id
        known = self.state.remembered.get((account, raw))
        if known is None:
            return None
        fields = dict.fromkeys(Event._fields, 0) | {"type": int(EventType.DUPLICATE)}
        return Event(**fields | reference_orders.duplicate_fields(self.state, known))

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        return self.state.balance(account, asset)

    def position(self, account: int, instrument: int) -> tuple[int, ...]:
        owner = self.state.accounts.get(account)
        return (owner.rows.get(instrument, Row()) if owner else Row()).words()

    def clearing(self, asset: int) -> int:
        known = self.state.assets.get(asset)
        return known.clearing if known else 0

    def preview(self, command: Any) -> Preview:
        return reference_orders.preview(self.state, layout.unpack_command(command))

    def next_expiry(self) -> int:
        return min((order.expire_ns for order in self.state.orders.values() if order.expire_ns), default=0)

    def reference_price(self, instrument: int) -> int:
        listing = self.state.instruments.get(instrument)
        return listing.reference_price if listing else 0

    # -- digest (§10) and invariants (§9) -----------------------------------------------------------------------------

    def digest(self) -> int:
        value = FNV_OFFSET
        for word in self._words():
            value = ((value ^ (word % WORD)) * FNV_PRIME) % WORD
        return value

    def _words(self) -> Iterator[int]:
        s = self.state
        yield from (s.cmd_seq, s.event_seq, s.time_ns, s.trading_day, s.global_state, s.matches)
        for _, asset in sorted(s.assets.items()):
            yield from (asset.index, asset.scale, asset.clearing, asset.moved)
        for _, i in sorted(s.instruments.items()):
            yield from (i.index, i.kind, i.state, i.base, i.quote, i.tick_value, i.lot_minor, i.min_qty, i.max_qty)
            yield from (i.max_notional, i.collar_ppm, i.maker_ppm, i.taker_ppm, i.margin_ppm, i.reference_price)
            for side in (BUY, SELL):
                for price in i.prices(side):
                    for o in i.book(side)[price]:
                        packed = o.flags | o.tif << 32 | o.ord_type << 40 | o.version << 48 | o.stp << 56
                        yield from (o.order_id, o.account, o.price, o.leaves, o.order_qty, o.cum_qty, packed)
                        yield from (o.expire_ns, o.held, o.entry_seq)
        for _, a in sorted(s.accounts.items()):
            yield from (a.index, a.state, a.stp_group, a.order_cap, a.max_notional, s.open_orders(a.index), a.took_loss)
            for index in sorted(s.assets):
                if any(s.balance(a.index, index)):
                    yield from (index, *s.balance(a.index, index))
            for index, row in sorted(a.rows.items()):
                if any(row.words()):
                    yield from (index, *row.words())
        for hold in sorted(s.holds.values(), key=lambda hold: hold.hold_id & 0xFFFFFFFF):
            yield from (hold.hold_id, hold.account, hold.asset, hold.amount)
        for item in s.remembered.values():
            yield from (item.account, item.day, item.order_id, item.cmd_seq, item.reason)
        yield from s.order_slots.words()
        yield from s.hold_slots.words()

    def check(self) -> None:
        """Raise AssertionError for the first invariant of §9 that does not hold."""
        s = self.state
        for index, listing in s.instruments.items():
            bid, ask = listing.best(BUY), listing.best(SELL)
            _sound(bid is None or ask is None or bid < ask, f"instrument {index} is crossed")
            for side in (BUY, SELL):
                for price, queue in listing.book(side).items():
                    _sound(bool(queue) and all(o.price == price and o.side == side for o in queue), "queue")
                    _sound([o.entry_seq for o in queue] == sorted(o.entry_seq for o in queue), "time priority")
            if listing.margin:
                _sound(sum(a.rows.get(index, Row()).net for a in s.accounts.values()) == 0, "net positions")
        for order in s.orders.values():
            _sound(order.resting and order.leaves > 0 and order.leaves + order.cum_qty == order.order_qty, "live order")
        for asset in s.assets.values():
            total = sum(sum(s.balance(account, asset.index)) for account in s.accounts)
            _sound(total + asset.clearing == asset.moved, f"asset {asset.index}: money appeared or vanished")
            rows = [
                row for a in s.accounts.values() for i, row in a.rows.items() if s.instruments[i].quote == asset.index
            ]
            _sound(asset.clearing == -sum(row.cost for row in rows), f"clearing of asset {asset.index}")
        for index, account in s.accounts.items():
            self._check_account(index, account.took_loss)

    def _check_account(self, index: int, took_loss: bool) -> None:
        s = self.state
        mine = [order for order in s.orders.values() if order.account == index]
        for asset in s.assets:
            available, held = s.balance(index, asset)
            expected = sum(order.held for order in mine if s.hold_asset(order) == asset)
            expected += sum(hold.amount for hold in s.holds.values() if (hold.account, hold.asset) == (index, asset))
            expected += sum(r.hold for i, r in s.accounts[index].rows.items() if s.instruments[i].quote == asset)
            _sound(held == expected, f"held of account {index} in asset {asset}: {held} is not {expected}")
            _sound(available >= 0 or took_loss or index == 0, f"account {index} is overdrawn in asset {asset}")
        for i, row in s.accounts[index].rows.items():
            listing = s.instruments[i]
            orders = [order for order in mine if order.instrument == i]
            notionals = {
                side: sum(listing.notional(o.price, o.leaves) for o in orders if o.side == side) for side in (BUY, SELL)
            }
            fees = sum(listing.notional(o.price, o.leaves) * o.reserve_ppm // 10**6 for o in orders)
            _sound((row.buys, row.sells, row.fees) == (notionals[BUY], notionals[SELL], fees), "sums of a margin row")
            hold = s.margin_hold(listing, row.cost, row.buys, row.sells, row.fees)
            _sound(row.hold == hold, "hold of a margin row")


def _sound(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


__all__ = ["Level", "OrderView", "Preview", "ReferenceConfig", "ReferenceCore", "ReferenceSequenceError", "Stats"]
