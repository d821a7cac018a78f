"""Events to rows: what each engine event means for orders, fills, ledger, balances and positions. Pure but for the carried state.

Ledger: the legs of one command sum to zero per asset. A spot fill moves quote one way and base the other between the two clients (each
side's event posts its own legs); a margin fill posts realised profit against clearing; fees go to the house; money in and out against external.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from accounts.models import LedgerEntry
from native.layout import CL_ORD_ID_MAX, Command, CommandType, Event, EventFlag, EventType, Reject, cl_ord_id_text
from trading.engine.events import FeedItem
from trading.models import Order
from trading.projection.rows import Carried, OrderRow, PositionRow, Settlement

CLIENT, HOUSE, CLEARING, EXTERNAL = (int(book) for book in LedgerEntry.Book)
TRADE, FEE, PNL, DEPOSIT, WITHDRAWAL, TRANSFER, ADJUSTMENT = (int(kind) for kind in LedgerEntry.Kind)
_MONEY_KIND = {
    CommandType.DEPOSIT: DEPOSIT,
    CommandType.WITHDRAW: WITHDRAWAL,
    CommandType.HOLD_SETTLE: WITHDRAWAL,
    CommandType.TRANSFER: TRANSFER,
}
BUY = 1


def _storable(raw: bytes) -> str:
    """An id that may be malformed, as text a column takes: printable ASCII, other bytes shown as ``?``, no longer than an id."""
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else "?" for byte in raw.rstrip(b"\0")[:CL_ORD_ID_MAX])


class UnknownInstrumentError(LookupError):
    """An event names an instrument that neither the tables nor the journal so far describe."""


@dataclass
class Batch:
    """Rows of a run of commands, ready to be written in one transaction."""

    first_cmd_seq: int = 0
    last_cmd_seq: int = 0
    last_event_seq: int = 0
    commands: int = 0
    executions: list[tuple[object, ...]] = field(default_factory=list)
    order_events: list[tuple[object, ...]] = field(default_factory=list)
    ledger: list[tuple[object, ...]] = field(default_factory=list)
    orders: dict[int, OrderRow] = field(default_factory=dict)
    balances: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)
    positions: dict[tuple[int, int], PositionRow] = field(default_factory=dict)
    listings: dict[int, Settlement] = field(default_factory=dict)


def position_fill(row: PositionRow, side: int, qty: int, notional: int) -> None:
    """Average-cost rule in whole minor units: reducing removes ``|cost| × reduced / |net|`` truncated, all of it when closed."""
    signed = qty if side == BUY else -qty
    if row.net == 0 or (row.net > 0) == (signed > 0):
        row.net += signed
        row.cost += notional if side == BUY else -notional
        return
    reduced = min(qty, abs(row.net))
    part = notional if reduced == qty else notional * reduced // qty
    removed = abs(row.cost) if reduced == abs(row.net) else abs(row.cost) * reduced // abs(row.net)
    long = row.net > 0
    row.realised_pnl += part - removed if long else removed - part
    row.cost += -removed if long else removed
    row.net += -reduced if long else reduced
    if qty > reduced:
        row.net += signed + (reduced if long else -reduced)
        row.cost += (notional - part) if side == BUY else -(notional - part)


class Applier:
    """Apply feed items to carried state, collecting rows."""

    def __init__(self, state: Carried) -> None:
        self.state = state
        self._on: dict[int, Callable[[Batch, Command, Event], None]] = {
            EventType.ORDER_ACCEPTED: self._accepted,
            EventType.ORDER_REJECTED: self._rejected,
            EventType.ORDER_RESTED: self._rested,
            EventType.ORDER_FILLED: self._filled,
            EventType.ORDER_CANCELED: self._canceled,
            EventType.ORDER_EXPIRED: self._canceled,
            EventType.ORDER_REPLACED: self._replaced,
            EventType.CANCEL_REJECTED: self._refused_change,
            EventType.REPLACE_REJECTED: self._refused_change,
            EventType.BALANCE_CHANGED: self._balance,
            EventType.INSTRUMENT_UPSERTED: self._instrument,
        }

    def apply(self, items: Iterable[FeedItem]) -> Batch:
        """Return the rows of consecutive commands."""
        batch = Batch()
        for command, events in items:
            if not batch.commands:
                batch.first_cmd_seq = command.seq
            batch.commands += 1
            batch.last_cmd_seq = command.seq
            for event in events:
                handler = self._on.get(event.type)
                if handler is not None:
                    handler(batch, command, event)
            if events:
                batch.last_event_seq = events[-1].seq
        return batch

    # ---- orders -----------------------------------------------------------------------------------------------------

    def _settlement(self, event: Event) -> Settlement:
        try:
            return self.state.instruments[event.instrument]
        except KeyError:
            raise UnknownInstrumentError(f"event {event.seq}: instrument {event.instrument} is not known") from None

    def _row(self, event: Event) -> OrderRow:
        try:
            return self.state.orders[event.order_id]
        except KeyError:
            raise LookupError(f"event {event.seq}: order {event.order_id} is not live in the projection") from None

    def _touch(self, batch: Batch, row: OrderRow, event: Event) -> None:
        row.updated_ns = event.time_ns
        row.seq = event.seq
        batch.orders[row.order_id] = row
        if row.leaves_qty == 0 and row.ord_status not in (Order.Status.NEW, Order.Status.PARTIALLY_FILLED):
            self.state.orders.pop(row.order_id, None)

    def _step(self, batch: Batch, event: Event, order_id: int) -> None:
        batch.order_events.append(
            (
                event.seq,
                order_id,
                event.account,
                event.cmd_seq,
                event.type,
                event.reason,
                event.price,
                event.qty,
                event.leaves,
                event.cum_qty,
                event.time_ns,
            )
        )

    def _balances(self, batch: Batch, event: Event, settlement: Settlement) -> None:
        batch.balances[event.account, settlement.quote] = (event.quote_a, event.quote_b, event.seq)
        if settlement.spot:
            batch.balances[event.account, settlement.base] = (event.base_a, event.base_b, event.seq)

    def _accepted(self, batch: Batch, command: Command, event: Event) -> None:
        row = OrderRow(
            order_id=event.order_id,
            core_account=event.account,
            core_instrument=event.instrument,
            cl_ord_id=cl_ord_id_text(command.cl_ord_id),
            side=command.side,
            ord_type=command.ord_type,
            time_in_force=command.tif,
            flags=command.flags,
            stp=command.stp,
            price=event.price,
            order_qty=event.qty,
            leaves_qty=event.leaves,
            cum_qty=0,
            notional_sum=0,
            fee_sum=0,
            ord_status=Order.Status.NEW,
            reject_reason=0,
            reject_needed=0,
            reject_available=0,
            reject_price=0,
            cancel_reason=0,
            version=event.version,
            expire_ns=command.amount,
            source=command.source,
            entry_seq=command.seq,
            created_ns=event.time_ns,
            updated_ns=event.time_ns,
            seq=event.seq,
        )
        self.state.orders[row.order_id] = row
        self._touch(batch, row, event)
        self._step(batch, event, row.order_id)
        self._balances(batch, event, self._settlement(event))

    def _rejected(self, batch: Batch, command: Command, event: Event) -> None:
        # A refused order never had an id: minus its command's sequence lists it beside the others. What was refused for its form may hold
        # anything, so every field is made to fit; an account the engine did not know then must not find it in its list later.
        nobody = event.reason in (Reject.UNKNOWN_ACCOUNT, Reject.BAD_VERSION) or event.account >= 1 << 31
        row = OrderRow(
            order_id=-command.seq,
            core_account=0 if nobody else event.account,
            core_instrument=event.instrument if event.instrument < 1 << 31 else 0,
            cl_ord_id=_storable(command.cl_ord_id),
            side=command.side,
            ord_type=command.ord_type,
            time_in_force=command.tif,
            flags=command.flags & 0x7FFFFFFF,
            stp=command.stp,
            price=command.price,
            order_qty=command.qty,
            leaves_qty=0,
            cum_qty=0,
            notional_sum=0,
            fee_sum=0,
            ord_status=Order.Status.REJECTED,
            reject_reason=event.reason,
            reject_needed=event.qty,
            reject_available=event.leaves,
            reject_price=event.price,
            cancel_reason=0,
            version=1,
            expire_ns=command.amount,
            source=command.source & 0x7FFFFFFF,
            entry_seq=command.seq,
            created_ns=event.time_ns,
            updated_ns=event.time_ns,
            seq=event.seq,
        )
        batch.orders[row.order_id] = row
        if row.core_account:
            self._step(batch, event, row.order_id)

    def _rested(self, batch: Batch, command: Command, event: Event) -> None:
        self._touch(batch, self._row(event), event)
        self._step(batch, event, event.order_id)

    def _filled(self, batch: Batch, command: Command, event: Event) -> None:
        row = self._row(event)
        settlement = self._settlement(event)
        row.leaves_qty = event.leaves
        row.cum_qty = event.cum_qty
        row.notional_sum += event.price * event.qty
        row.fee_sum += event.amount
        row.ord_status = Order.Status.FILLED if event.leaves == 0 else Order.Status.PARTIALLY_FILLED
        self._touch(batch, row, event)
        self._step(batch, event, event.order_id)
        batch.executions.append(
            (
                event.seq,
                event.order_id,
                event.ref_id,
                event.account,
                event.instrument,
                event.side,
                event.price,
                event.qty,
                event.amount,
                settlement.quote,
                "m" if event.flags & EventFlag.MAKER else "t",
                event.pnl,
                event.leaves,
                event.cum_qty,
                event.cmd_seq,
                event.time_ns,
            )
        )
        self._balances(batch, event, settlement)
        self._position(batch, event, settlement)
        self._legs(batch, event, settlement)

    def _position(self, batch: Batch, event: Event, settlement: Settlement) -> None:
        key = (event.account, event.instrument)
        row = self.state.positions.get(key)
        if row is None:
            row = self.state.positions[key] = PositionRow()
        if settlement.spot:
            position_fill(row, event.side, event.qty, event.price * event.qty * settlement.tick_value)
        else:
            row.net, row.cost = event.base_a, event.base_b
            row.realised_pnl += event.pnl
        row.seq = event.seq
        batch.positions[key] = row

    def _legs(self, batch: Batch, event: Event, settlement: Settlement) -> None:
        def leg(number: int, book: int, account: int, asset: int, amount: int, kind: int) -> None:
            if amount:
                batch.ledger.append(
                    (
                        event.seq * 16 + number,
                        event.seq,
                        event.cmd_seq,
                        number,
                        book,
                        account,
                        asset,
                        amount,
                        kind,
                        event.order_id,
                        event.time_ns,
                    )
                )

        if settlement.spot:
            notional = event.price * event.qty * settlement.tick_value
            base = event.qty * settlement.lot_minor
            buy = event.side == BUY
            leg(0, CLIENT, event.account, settlement.quote, -notional if buy else notional, TRADE)
            leg(1, CLIENT, event.account, settlement.base, base if buy else -base, TRADE)
        else:
            leg(0, CLIENT, event.account, settlement.quote, event.pnl, PNL)
            leg(1, CLEARING, 0, settlement.quote, -event.pnl, PNL)
        leg(2, CLIENT, event.account, settlement.quote, -event.amount, FEE)
        leg(3, HOUSE, 0, settlement.quote, event.amount, FEE)
        if event.amount:
            available, held = self.state.house.get(settlement.quote, (0, 0))
            self.state.house[settlement.quote] = (available + event.amount, held)
            batch.balances[0, settlement.quote] = (available + event.amount, held, event.seq)

    def _canceled(self, batch: Batch, command: Command, event: Event) -> None:
        row = self._row(event)
        row.leaves_qty = event.leaves
        if event.flags & EventFlag.TERMINAL:
            expired = event.type == EventType.ORDER_EXPIRED
            row.ord_status = Order.Status.EXPIRED if expired else Order.Status.CANCELED
            row.cancel_reason = event.reason
        else:
            # Self-trade prevention took part of it away: the order itself became smaller.
            row.order_qty = event.leaves + row.cum_qty
        self._touch(batch, row, event)
        self._step(batch, event, event.order_id)
        self._balances(batch, event, self._settlement(event))

    def _replaced(self, batch: Batch, command: Command, event: Event) -> None:
        row = self._row(event)
        row.price = event.price
        row.order_qty = event.qty
        row.leaves_qty = event.leaves
        row.cum_qty = event.cum_qty
        row.version = event.version
        self._touch(batch, row, event)
        self._step(batch, event, event.order_id)
        self._balances(batch, event, self._settlement(event))

    def _refused_change(self, batch: Batch, command: Command, event: Event) -> None:
        row = self.state.orders.get(event.order_id)
        if row is not None and row.core_account == event.account:
            self._step(batch, event, event.order_id)

    # ---- money and listings -----------------------------------------------------------------------------------------

    def _balance(self, batch: Batch, command: Command, event: Event) -> None:
        asset = event.instrument
        batch.balances[event.account, asset] = (event.quote_a, event.quote_b, event.seq)
        if event.account == 0:
            self.state.house[asset] = (event.quote_a, event.quote_b)
        if not event.amount:
            return
        kind = _MONEY_KIND.get(CommandType(command.type), ADJUSTMENT)
        book = CLIENT if event.account else HOUSE
        tail = (kind, event.order_id or event.ref_id, event.time_ns)
        batch.ledger.append(
            (event.seq * 16, event.seq, event.cmd_seq, 0, book, event.account, asset, event.amount, *tail)
        )
        if kind != TRANSFER:
            batch.ledger.append(
                (event.seq * 16 + 1, event.seq, event.cmd_seq, 1, EXTERNAL, 0, asset, -event.amount, *tail)
            )

    def _instrument(self, batch: Batch, command: Command, event: Event) -> None:
        """A listing in the journal is the truth about what an instrument settles in."""
        settlement = Settlement(
            command.ord_type, command.order_id >> 32, command.order_id & 0xFFFFFFFF, command.amount, command.aux
        )
        self.state.instruments[command.instrument] = settlement
        batch.listings[command.instrument] = settlement
