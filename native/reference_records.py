"""Records of the reference core: assets, instruments, accounts, orders, holds, ids. Plain data and the sums they can
do alone.

What for: the nouns of docs/engine.md as dataclasses. Owns: their fields, id slots (§6), the form and body of a client
order id (§3.3).
Leaves to others: everything that changes them (reference_state.py and the rules above it).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from native.layout import Command, InstrumentKind, Side

MILLION = 1_000_000
LIMIT = 2**62
GENERATION_MAX = 2**31 - 1
BUY, SELL = int(Side.BUY), int(Side.SELL)


@dataclass(frozen=True)
class ReferenceConfig:
    """The same capacities as core_config."""

    max_assets: int = 64
    max_instruments: int = 256
    max_accounts: int = 65_536
    max_orders: int = 1_048_576
    max_levels: int = 262_144
    max_cl_ord_ids: int = 1_048_576
    max_holds: int = 65_536
    max_fills_per_command: int = 1024
    max_cancels_per_command: int = 1024


@dataclass
class Asset:
    index: int
    scale: int
    clearing: int = 0
    moved: int = 0  # deposits - withdrawals


@dataclass
class Instrument:
    index: int
    kind: int
    state: int
    base: int
    quote: int
    tick_value: int
    lot_minor: int
    min_qty: int = 1
    max_qty: int = 0
    max_notional: int = 0
    collar_ppm: int = 0
    maker_ppm: int = 0
    taker_ppm: int = 0
    margin_ppm: int = 0
    reference_price: int = 0
    bids: dict[int, list[Order]] = field(default_factory=dict)  # price -> queue, oldest first
    asks: dict[int, list[Order]] = field(default_factory=dict)

    @property
    def margin(self) -> bool:
        return self.kind == InstrumentKind.MARGIN

    def book(self, side: int) -> dict[int, list[Order]]:
        return self.bids if side == BUY else self.asks

    def prices(self, side: int) -> list[int]:
        """Prices of a side, best first."""
        return sorted(self.book(side), reverse=side == BUY)

    def best(self, side: int) -> int | None:
        prices = self.prices(side)
        return prices[0] if prices else None

    def notional(self, price: int, qty: int) -> int:
        return price * qty * self.tick_value


@dataclass
class Row:
    """Margin position of one account in one instrument (§2)."""

    net: int = 0
    cost: int = 0
    buys: int = 0
    sells: int = 0
    fees: int = 0
    hold: int = 0

    def words(self) -> tuple[int, ...]:
        return (self.net, self.cost, self.buys, self.sells, self.fees, self.hold)


@dataclass
class Account:
    index: int
    stp_group: int
    state: int = 0
    order_cap: int = 0
    max_notional: int = 0
    took_loss: bool = False
    available: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)


@dataclass
class Order:
    order_id: int
    account: int
    instrument: int
    side: int
    ord_type: int
    tif: int
    stp: int
    flags: int
    price: int
    order_qty: int
    leaves: int
    expire_ns: int
    entry_seq: int
    reserve_ppm: int
    cum_qty: int = 0
    version: int = 1
    resting: bool = False
    # What its money covers: its leaves, but for a MARKET order the fillable lots of the dry run not traded yet.
    covered: int = 0
    held: int = 0  # spot only
    notional_in_row: int = 0  # margin only: its part of the row's B or S, and of F
    fee_in_row: int = 0


@dataclass
class Hold:
    hold_id: int
    account: int
    asset: int
    amount: int


@dataclass
class Remembered:
    """The first answer to an idempotent command."""

    account: int
    cl_ord_id: bytes
    body: tuple[int, ...]
    day: int
    cmd_seq: int
    reason: int
    order_id: int
    side: int
    version: int
    instrument: int
    qty: int
    leaves: int
    cum_qty: int
    price: int
    is_order: bool


class Slots:
    """Ids of orders or holds: generation << 32 | slot (§6)."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.highest = 0
        self.generation: dict[int, int] = {}
        self.free: list[int] = []  # the last one is taken first

    def room(self) -> bool:
        return bool(self.free) or self.highest < self.capacity

    def take(self) -> int:
        if self.free:
            slot = self.free.pop()
        else:
            self.highest += 1
            slot = self.highest
            self.generation[slot] = 1
        return self.generation[slot] << 32 | slot

    def give_back(self, number: int) -> None:
        slot = number & 0xFFFFFFFF
        self.generation[slot] += 1
        if self.generation[slot] <= GENERATION_MAX:
            self.free.append(slot)

    def was_issued(self, number: int) -> bool:
        """True for an id given out once and given back since."""
        slot, generation = number & 0xFFFFFFFF, number >> 32
        return slot in self.generation and 1 <= generation < self.generation[slot]

    def words(self) -> list[int]:
        words = [self.highest]
        for slot in reversed(self.free):
            words += [slot, self.generation[slot]]
        return words


def cl_ord_id_of(command: Command) -> bytes | None:
    """The id without its padding, b"" when there is none, None when it is malformed."""
    raw = command.cl_ord_id.ljust(40, b"\0")
    text = raw.split(b"\0", 1)[0]
    padded = text.ljust(40, b"\0") == raw
    if not padded or len(text) > 36 or any(not 0x21 <= char <= 0x7E for char in text):
        return None
    return text


def body_of(command: Command) -> tuple[int, ...]:
    """What must be the same for the same id to be the same command."""
    c = command
    return (
        c.type,
        c.flags,
        c.instrument,
        c.side,
        c.ord_type,
        c.tif,
        c.stp,
        c.order_id,
        c.price,
        c.qty,
        c.amount,
        c.aux,
    )
