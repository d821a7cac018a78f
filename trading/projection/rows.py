"""The mutable state a projection carries: live orders, positions, house balances and what instruments settle in.

Loaded from the tables at the projected sequence, kept while events are applied, thrown away and loaded again after a failed transaction.
Owns no SQL beyond that load; ``apply.py`` changes it, ``writer.py`` stores it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from accounts.models import Balance
from native.layout import InstrumentKind
from risk.models import Position
from trading.models import Order, ProjectedListing

OPEN = (Order.Status.NEW, Order.Status.PARTIALLY_FILLED)


@dataclass(slots=True)
class OrderRow:
    """One row of trading_order, fields in the order of COLUMNS."""

    order_id: int
    core_account: int
    core_instrument: int
    cl_ord_id: str
    side: int
    ord_type: int
    time_in_force: int
    flags: int
    stp: int
    price: int
    order_qty: int
    leaves_qty: int
    cum_qty: int
    notional_sum: int
    fee_sum: int
    ord_status: int
    reject_reason: int
    reject_needed: int
    reject_available: int
    reject_price: int
    cancel_reason: int
    version: int
    expire_ns: int
    source: int
    entry_seq: int
    created_ns: int
    updated_ns: int
    seq: int


ORDER_COLUMNS = tuple(OrderRow.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an instrument settles in: core numbers and the two factors of money."""

    kind: int
    base: int
    quote: int
    tick_value: int
    lot_minor: int

    @property
    def spot(self) -> bool:
        """True for spot instruments."""
        return self.kind == InstrumentKind.SPOT


@dataclass(slots=True)
class PositionRow:
    """Net lots, open cost and realised result; see risk.models.Position."""

    net: int = 0
    cost: int = 0
    realised_pnl: int = 0
    seq: int = 0


@dataclass
class Carried:
    """All carried state."""

    orders: dict[int, OrderRow] = field(default_factory=dict)
    positions: dict[tuple[int, int], PositionRow] = field(default_factory=dict)
    house: dict[int, tuple[int, int]] = field(default_factory=dict)  # asset -> (available, held) of account 0
    instruments: dict[int, Settlement] = field(default_factory=dict)


def carried_load() -> Carried:
    """Read the state the tables stand at."""
    state = Carried()
    for values in Order.objects.filter(ord_status__in=OPEN).values_list(*ORDER_COLUMNS).iterator(chunk_size=5000):
        row = OrderRow(*values)
        row.notional_sum = int(row.notional_sum)
        state.orders[row.order_id] = row
    for account, instrument, net, cost, realised, seq in Position.objects.values_list(
        "core_account", "core_instrument", "net", "cost", "realised_pnl", "seq"
    ).iterator(chunk_size=5000):
        state.positions[account, instrument] = PositionRow(net, cost, realised, seq)
    for asset, available, held in Balance.objects.filter(core_account=0).values_list("core_asset", "available", "held"):
        state.house[asset] = (available, held)
    for listing in ProjectedListing.objects.all():
        state.instruments[listing.core_instrument] = Settlement(
            listing.kind, listing.base_asset, listing.quote_asset, listing.tick_value, listing.lot_minor
        )
    return state
