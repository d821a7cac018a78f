"""The demo market: makers and takers with accounts of their own, trading through the same gateway, book and ledger as everyone.

Owns the demo accounts' orders: it cancels what an earlier run left and starts afresh, so it can be killed and started at any time.
Leaves behaviour to ``trading/demo/model.py`` and accounts, funding and the engine to their services.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from brokerage.kernel.clock import Clock
from brokerage.kernel.terms import OrderSource
from native.layout import Event, EventFlag, EventType, OrdType, Reject, Stp, Tif
from trading.demo.model import InstrumentSpec, MarketModel, Quote
from trading.engine import commands
from trading.engine.gateway import EngineClient, EngineUnavailable, Outcome, Rejected, Unknown

log = logging.getLogger(__name__)

MAKERS = 3
TICK_S = 0.05
#: A market that is closed or halted is left alone for this long before it is tried again.
PAUSE_S = 20.0
PAUSE_CODES = {Reject.INSTRUMENT_CLOSED, Reject.INSTRUMENT_HALTED, Reject.GLOBAL_HALT, Reject.REDUCE_ONLY_STATE}
GONE_CODES = {Reject.UNKNOWN_ORDER, Reject.TOO_LATE}


@dataclass(frozen=True)
class DemoInstrument:
    """An instrument as the runner needs it: core number and the model's view."""

    core_instrument: int
    spec: InstrumentSpec


@dataclass
class Slot:
    """One order a maker keeps in the book; ``order_id`` 0 while there is none."""

    maker: int
    instrument: int
    side: int
    order_id: int = 0
    price: int = 0
    leaves: int = 0
    cum: int = 0
    pending: bool = False


@dataclass
class DemoStats:
    """Counters shown in the heartbeat."""

    sent: int = 0
    fills: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    unknown: int = 0


class DemoMarket:
    """Drive one seeded market over an engine client.

    ``maker_accounts`` and ``taker_accounts`` are core account numbers, funded beforehand. ``rate`` is asked each second: commands per second.
    """

    def __init__(
        self,
        client: EngineClient,
        instruments: list[DemoInstrument],
        *,
        maker_accounts: list[int],
        taker_accounts: list[int],
        seed: int,
        clock: Clock,
        rate: Callable[[], int],
    ) -> None:
        self.client = client
        self.instruments = instruments
        self.makers = maker_accounts
        self.takers = taker_accounts
        self.clock = clock
        self.rate = rate
        self.stats = DemoStats()
        self.model = MarketModel([item.spec for item in instruments], seed, self._now_s())
        self._run = f"{clock.now_ns():x}"
        self._count = 0
        self._slots: dict[tuple[int, int, int], list[Slot]] = {}
        self._by_order: dict[int, Slot] = {}
        self._inventory: dict[tuple[int, int], int] = {}
        self._passive: deque[tuple[int, int]] = deque()  # (account, order id) of ordinary investors' resting orders
        self._paused: dict[int, float] = {}
        self._next_maker: dict[int, int] = {}
        self._budget = 0.0

    def _now_s(self) -> float:
        return self.clock.now_ns() / 1e9

    def _id(self) -> str:
        self._count += 1
        return f"D{self._run}-{self._count:x}"

    # ---- start ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Cancel what an earlier run left, take today's prices as the start and quote every open market once."""
        for account in (*self.makers, *self.takers):
            self._cancel_all(account)
        for index, item in enumerate(self.instruments):
            depth = self.client.query_depth(item.core_instrument, 1)
            if depth.bids and depth.asks:
                self.model.latents[index].log_price = _log_mid(depth.bids[0][0], depth.asks[0][0])
        for index in range(len(self.instruments)):
            for maker in range(len(self.makers)):
                self._send(self._quote(index, maker, limit=64))

    def _cancel_all(self, account: int) -> None:
        for _ in range(1000):
            outcome = self.client.submit(commands.mass_cancel(account=account))
            last = outcome.events[-1] if outcome.events else None
            if last is None or not last.flags & EventFlag.MORE:
                return

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def run(self, stopping: Callable[[], bool], beat: Callable[[DemoStats], None]) -> None:
        """Trade until ``stopping()``; survives an engine that goes away and comes back."""
        began = False
        beaten = 0.0
        while not stopping():
            try:
                if not began:
                    self.begin()
                    began = True
                self.tick(TICK_S)
            except EngineUnavailable as error:
                log.warning("engine away, waiting: %s", error)
                began = False
                self._forget()
                time.sleep(1.0)
            if time.monotonic() - beaten > 2.0:
                beaten = time.monotonic()
                beat(self.stats)
            time.sleep(TICK_S)

    def _forget(self) -> None:
        self._slots.clear()
        self._by_order.clear()
        self._passive.clear()

    def tick(self, dt: float) -> None:
        """Do one tick's worth of actions: ``rate × dt`` commands on average."""
        self._budget = min(self._budget + self.rate() * dt, max(1.0, self.rate() * 0.5))
        now = self._now_s()
        self.model.step(now)
        batch: list[tuple[bytes, Slot | None]] = []
        while self._budget >= 1.0:
            index = self.model.pick()
            if self._paused.get(index, 0.0) > now:
                self._budget -= 1.0
                continue
            self.model.move(index, now)
            actions = self._act(index)
            self._budget -= max(1, len(actions))
            batch.extend(actions)
        if batch:
            self._send(batch)

    def _act(self, index: int) -> list[tuple[bytes, Slot | None]]:
        draw = self.model.rng.random()
        if draw < 0.62:
            maker = self._next_maker.get(index, 0)
            self._next_maker[index] = (maker + 1) % len(self.makers)
            return self._quote(index, maker, limit=4)
        item = self.instruments[index]
        account = self.model.rng.choice(self.takers)
        if draw < 0.84:
            take = self.model.take(index)
            tif = Tif.IOC
            return [(self._new(account, item, take.side, take.price, take.qty, tif), None)]
        if draw < 0.92 or not self._passive:
            limit = self.model.noise_limit(index)
            return [(self._new(account, item, limit.side, limit.price, limit.qty, Tif.GTC), None)]
        owner, order_id = self._passive.popleft()
        return [(commands.order_cancel(owner, order_id), None)]

    def _new(self, account: int, item: DemoInstrument, side: int, price: int, qty: int, tif: int) -> bytes:
        return commands.order_new(
            account,
            item.core_instrument,
            side,
            OrdType.LIMIT if price else OrdType.MARKET,
            tif,
            price,
            qty,
            stp=Stp.CANCEL_OLDEST,
            cl_ord_id=self._id(),
            source=OrderSource.DEMO,
        )

    # ---- makers -----------------------------------------------------------------------------------------------------

    def _quote(self, index: int, maker: int, *, limit: int) -> list[tuple[bytes, Slot | None]]:
        """Return at most ``limit`` commands that bring a maker's worst-placed orders to where the model wants them."""
        item = self.instruments[index]
        account = self.makers[maker]
        wanted = self.model.ladder(index, maker, self._inventory.get((account, item.core_instrument), 0))
        changes: list[tuple[float, bytes, Slot]] = []
        for side in (1, 2):
            quotes = [quote for quote in wanted if quote.side == side]
            slots = self._slots.setdefault((index, maker, side), [Slot(maker, index, side) for _ in quotes])
            for level, (quote, slot) in enumerate(zip(quotes, slots, strict=True)):
                change = self._change(account, item, slot, quote, level)
                if change is not None:
                    changes.append((change[0], change[1], slot))
        changes.sort(key=lambda change: -change[0])
        chosen = changes[:limit]
        for _, _, slot in chosen:
            slot.pending = True
        return [(command, slot) for _, command, slot in chosen]

    def _change(
        self, account: int, item: DemoInstrument, slot: Slot, quote: Quote, level: int
    ) -> tuple[float, bytes] | None:
        """Return (urgency, command) when the slot's order should change."""
        if slot.pending:
            return None
        if not slot.order_id:
            return 1e9 - level, self._new(account, item, quote.side, quote.price, quote.qty, Tif.GTC)
        off = abs(quote.price - slot.price)
        tolerance = max(1.0, slot.price * item.spec.half_spread * 0.25)
        thin = slot.leaves * 5 < quote.qty * 2
        if off < tolerance and not thin:
            return None
        command = commands.order_replace(
            account, slot.order_id, quote.price, slot.cum + quote.qty, cl_ord_id=self._id()
        )
        return off / tolerance + (5.0 if thin else 0.0), command

    # ---- answers ----------------------------------------------------------------------------------------------------

    def _send(self, batch: list[tuple[bytes, Slot | None]]) -> None:
        if not batch:
            return
        outcomes = self.client.submit_many([command for command, _ in batch])
        self.stats.sent += len(batch)
        for (_, slot), outcome in zip(batch, outcomes, strict=True):
            self._apply(outcome, slot)

    def _apply(self, outcome: Outcome, slot: Slot | None) -> None:
        if slot is not None:
            slot.pending = False
        if isinstance(outcome, Unknown):
            self.stats.unknown += 1
            # Not known whether it rests: the whole market is quoted anew after a sweep.
            raise EngineUnavailable(f"unknown outcome: {outcome.why}")
        if isinstance(outcome, Rejected):
            self.stats.refused[outcome.reason] = self.stats.refused.get(outcome.reason, 0) + 1
        for event in outcome.events:
            self._on_event(event, slot)

    def _on_event(self, event: Event, slot: Slot | None) -> None:
        kind = event.type
        if kind == EventType.ORDER_FILLED:
            self._on_fill(event)
            return
        if kind in (EventType.ORDER_REJECTED, EventType.REPLACE_REJECTED):
            if event.reason in PAUSE_CODES:
                self._pause(event.instrument)
            elif slot is not None and kind == EventType.REPLACE_REJECTED and event.reason in GONE_CODES:
                # An investor took it meanwhile: start that level anew.
                self._clear(slot)
            return
        if kind == EventType.ORDER_ACCEPTED:
            if slot is not None:
                slot.order_id, slot.price = event.order_id, event.price
                slot.leaves, slot.cum = event.leaves, 0
                self._by_order[slot.order_id] = slot
            elif event.flags & EventFlag.BOOK:
                self._passive.append((event.account, event.order_id))
            return
        if kind == EventType.ORDER_RESTED and slot is None and event.account in self.takers:
            self._passive.append((event.account, event.order_id))
            return
        owner = self._by_order.get(event.order_id)
        if owner is None:
            return
        if kind == EventType.ORDER_REPLACED:
            owner.price, owner.leaves, owner.cum = event.price, event.leaves, event.cum_qty
        elif kind in (EventType.ORDER_CANCELED, EventType.ORDER_EXPIRED):
            owner.leaves = event.leaves
            if event.flags & EventFlag.TERMINAL:
                self._clear(owner)

    def _on_fill(self, event: Event) -> None:
        account = event.account
        signed = event.qty if event.side == 1 else -event.qty
        key = (account, event.instrument)
        self._inventory[key] = self._inventory.get(key, 0) + signed
        self.stats.fills += 1
        slot = self._by_order.get(event.order_id)
        if slot is not None:
            slot.leaves, slot.cum = event.leaves, event.cum_qty
            if event.flags & EventFlag.TERMINAL:
                self._clear(slot)

    def _clear(self, slot: Slot) -> None:
        self._by_order.pop(slot.order_id, None)
        slot.order_id = slot.price = slot.leaves = slot.cum = 0

    def _pause(self, core_instrument: int) -> None:
        for index, item in enumerate(self.instruments):
            if item.core_instrument == core_instrument:
                self._paused[index] = self._now_s() + PAUSE_S


def _log_mid(bid: int, ask: int) -> float:
    return math.log((bid + ask) / 2)
