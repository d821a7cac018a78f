"""A small house for tests: one core behind readable commands. The same calls drive the reference and the C core.

Owns: sequence and time stamping, the standard listing used by hand-computed cases. Leaves to others: what is expected.
"""

from __future__ import annotations

from typing import Any

from native import layout
from native.layout import CommandType, Event, EventType, InstrumentKind, OrdType, Stp, Tif

USD, BTC, EUR = 1, 2, 3
SPOT, MARGIN = 1, 2
BUY, SELL = 1, 2


class House:
    """Stamps and applies commands one by one; every call returns the events of its command."""

    def __init__(self, core: Any, *, check: bool = True) -> None:
        self.core = core
        self.check = check
        self.seq = 0
        self.now = 1_000

    def do(self, kind: int, **fields: Any) -> list[Event]:
        self.seq += 1
        command = layout.pack_command(int(kind), seq=self.seq, time_ns=self.now, **fields)
        events = list(layout.iter_events(bytes(self.core.apply(command))))
        assert events, "every command has an answer"
        assert [bool(event.flags & layout.EventFlag.LAST) for event in events] == [False] * (len(events) - 1) + [True]
        if self.check:
            self.core.check()
        return events

    def one(self, kind: int, **fields: Any) -> Event:
        (event,) = self.do(kind, **fields)
        return event

    # -- reference data -----------------------------------------------------------------------------------------------

    def asset(self, index: int, scale: int = 6) -> Event:
        return self.one(CommandType.ASSET_UPSERT, instrument=index, side=scale)

    def listing(
        self,
        index: int,
        kind: int = InstrumentKind.SPOT,
        *,
        base: int = BTC,
        quote: int = USD,
        tick_value: int = 1,
        lot_minor: int = 10,
        price: int = 0,
        max_qty: int = 0,
        state: int = 0,
        **data: int,
    ) -> Event:
        return self.one(
            CommandType.INSTRUMENT_UPSERT,
            instrument=index,
            ord_type=int(kind),
            tif=state,
            order_id=base << 32 | quote,
            amount=tick_value,
            aux=lot_minor,
            qty=max_qty,
            price=price,
            cl_ord_id=layout.pack_instrument_data(**data),
        )

    def account(self, index: int, group: int = 0) -> Event:
        return self.one(CommandType.ACCOUNT_UPSERT, account=index, aux=group)

    def deposit(self, account: int, asset: int, amount: int, entry: str | None = None) -> Event:
        cl_ord_id = entry or f"d{self.seq}"
        return self.one(CommandType.DEPOSIT, account=account, instrument=asset, amount=amount, cl_ord_id=cl_ord_id)

    def halt(self, scope: int, state: int, **fields: int) -> Event:
        return self.one(CommandType.HALT_SET, ord_type=scope, side=state, **fields)

    # -- orders -------------------------------------------------------------------------------------------------------

    def order(
        self,
        account: int,
        side: int,
        price: int,
        qty: int,
        *,
        instrument: int = SPOT,
        tif: int = Tif.GTC,
        stp: int = 0,
        **more: Any,
    ) -> list[Event]:
        kind = OrdType.LIMIT if price else OrdType.MARKET
        return self.do(
            CommandType.ORDER_NEW,
            account=account,
            side=side,
            price=price,
            qty=qty,
            instrument=instrument,
            tif=int(tif),
            stp=int(stp),
            ord_type=int(kind),
            **more,
        )

    def buy(self, account: int, price: int, qty: int, **more: Any) -> list[Event]:
        return self.order(account, BUY, price, qty, **more)

    def sell(self, account: int, price: int, qty: int, **more: Any) -> list[Event]:
        return self.order(account, SELL, price, qty, **more)

    def market(self, account: int, side: int, qty: int, tif: int = Tif.IOC, **more: Any) -> list[Event]:
        return self.order(account, side, 0, qty, tif=tif, **more)

    def cancel(self, account: int, order_id: int) -> Event:
        return self.one(CommandType.ORDER_CANCEL, account=account, order_id=order_id)

    def replace(self, account: int, order_id: int, price: int, qty: int, **more: Any) -> list[Event]:
        return self.do(CommandType.ORDER_REPLACE, account=account, order_id=order_id, price=price, qty=qty, **more)

    def depth(self, instrument: int = SPOT) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        bids, asks = self.core.depth(instrument, 50)
        return [tuple(level) for level in bids], [tuple(level) for level in asks]

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        return tuple(self.core.balance(account, asset))

    def position(self, account: int, instrument: int = MARGIN) -> tuple[int, ...]:
        return tuple(self.core.position(account, instrument))


def small_config(**changes: int) -> dict[str, int]:
    """Capacities large enough for hand-computed cases."""
    config = {
        "max_assets": 8, "max_instruments": 8, "max_accounts": 16, "max_orders": 64, "max_levels": 64,
        "max_cl_ord_ids": 64,
        "max_holds": 8, "max_fills_per_command": 16, "max_cancels_per_command": 16,
    }  # fmt: skip
    return config | changes


def standard(core: Any) -> House:
    """USD/6, BTC/8, EUR/6; spot 1 (maker 1000 ppm, taker 2000 ppm) and margin 2 (50 %, no fees), four rich accounts."""
    house = House(core)
    for asset in (USD, BTC, EUR):
        house.asset(asset)
    house.listing(SPOT, price=100, maker_ppm=1000, taker_ppm=2000)
    house.listing(MARGIN, InstrumentKind.MARGIN, base=0, price=100, margin_ppm=500_000)
    for account in (1, 2, 3, 4):
        house.account(account)
        house.deposit(account, USD, 1_000_000)
        house.deposit(account, BTC, 1_000_000)
    return house


def kinds(events: list[Event]) -> list[str]:
    """Names of the events, with the account where it is an order's."""
    return [EventType(event.type).name for event in events]


__all__ = ["BTC", "BUY", "EUR", "MARGIN", "SELL", "SPOT", "USD", "House", "Stp", "kinds", "small_config", "standard"]
