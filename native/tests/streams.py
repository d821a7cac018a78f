"""Seeded command streams for comparing the two cores.

What for: long random runs that keep hitting the interesting cases, because the generator looks at the reference's state
for live orders, known ids and present prices. Owns: the generator and its profiles; a seed gives the same commands.
Leaves to others: comparing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from native import layout
from native.layout import ANY, CommandFlag, CommandType, OrdType, Tif
from native.reference import ReferenceConfig, ReferenceCore

ASSETS = (1, 2, 3)
EXTREME = (-(2**63), -(2**62), -1, 0, 1, 2**31, 2**32 - 1, 2**40, 2**61, 2**62 - 1, 2**62, 2**62 + 1, 2**63 - 1)
IDS = [f"id-{number}" for number in range(40)]


@dataclass(frozen=True)
class Profile:
    """How a stream behaves."""

    accounts: int = 6
    prices: tuple[int, int] = (95, 105)
    qty_max: int = 20
    cash: int = 5_000_000
    # Every so many commands the range of prices jumps by up to `drift` ticks, so that books outgrow any window of prices.
    drift: int = 0
    drift_every: int = 150
    id_rate: float = 0.4
    extreme_rate: float = 0.02
    # Relative weights of the commands.
    new: int = 60
    cancel: int = 10
    replace: int = 14
    mass: int = 1
    money: int = 8
    listing: int = 2
    halt: int = 2
    time: int = 3
    config: dict[str, int] = field(default_factory=dict)

    def capacities(self) -> dict[str, int]:
        small = {
            "max_assets": 6,
            "max_instruments": 6,
            "max_accounts": 12,
            "max_orders": 200,
            "max_levels": 100,
            "max_cl_ord_ids": 60,
            "max_holds": 6,
            "max_fills_per_command": 8,
            "max_cancels_per_command": 5,
        }
        return small | self.config


PROFILES = {
    "everyday": Profile(),
    "crowded": Profile(prices=(99, 101), qty_max=6, accounts=4, cancel=4),
    "wide": Profile(prices=(1, 5000), qty_max=3, config={"max_levels": 500, "max_orders": 500}),
    "deep": Profile(
        prices=(80, 120),
        qty_max=5,
        accounts=8,
        cancel=4,
        replace=8,
        mass=0,
        time=1,
        halt=1,
        config={"max_orders": 600, "max_cl_ord_ids": 400},
    ),
    "drifting": Profile(
        prices=(500_000, 500_040),
        drift=12_000,
        drift_every=600,
        qty_max=5,
        cash=10**12,
        mass=0,
        cancel=3,
        time=1,
        halt=1,
        listing=1,
        money=4,
        config={"max_orders": 500, "max_levels": 500, "max_cl_ord_ids": 200},
    ),
    "poor": Profile(cash=3_000, money=20),
    "tiny": Profile(
        config={
            "max_orders": 6,
            "max_levels": 4,
            "max_cl_ord_ids": 5,
            "max_holds": 2,
            "max_fills_per_command": 2,
            "max_cancels_per_command": 1,
        }
    ),
    "huge": Profile(prices=(2**29, 2**30), qty_max=2**29, cash=2**61, extreme_rate=0.15),
    "messy": Profile(extreme_rate=0.3, id_rate=0.8, listing=15, halt=15, time=8, mass=4),
}


class Stream:
    """Makes commands one by one and applies each to the reference, so that the next can build on what happened."""

    def __init__(self, seed: int, profile: Profile) -> None:
        self.random = random.Random(seed)
        self.profile = profile
        self.reference = ReferenceCore(ReferenceConfig(**profile.capacities()))
        self.seq = 0
        self.now = 1_000
        self.day = 0
        self.shift = 0
        self.dead: list[int] = [0, 1, 1 << 32, 1 << 32 | 1, 2**64 - 1]
        self.setting_up = self._set_up()

    # -- the commands -------------------------------------------------------------------------------------------------

    def next(self) -> tuple[bytes, bytes]:
        """(command, the reference's events)."""
        command = self.make()
        return command, self.apply(command)

    def apply(self, command: bytes) -> bytes:
        events = self.reference.apply(command)
        for event in layout.iter_events(events):
            if event.order_id and self.random.random() < 0.2:
                self.dead.append(event.order_id)
        del self.dead[:-50]
        return events

    def make(self) -> bytes:
        self.seq += 1
        if self.profile.drift and self.seq % self.profile.drift_every == 0:
            self.shift = self.random.randint(-4, 4) * self.profile.drift
        self.now += self.random.choice((0, 0, 1, 3, 10))
        fields = next(self.setting_up, None) or self._any()
        kind = fields.pop("type")
        if self.random.random() < self.profile.extreme_rate / 4:
            name = self.random.choice(("price", "qty", "amount", "aux"))
            fields[name] = self.random.choice(EXTREME)
        if self.random.random() < self.profile.extreme_rate / 10:
            fields[self.random.choice(("side", "ord_type", "tif", "stp"))] = self.random.choice((0, 1, 2, 3, 5, 7, 255))
        if self.random.random() < self.profile.extreme_rate / 30:
            fields["version"] = self.random.choice((0, 2, 65535))
        fields.setdefault("source", self.random.randrange(4))
        return layout.pack_command(kind, seq=self.seq, time_ns=self.now, **fields)

    def _set_up(self) -> Any:
        rich = self.profile.cash
        for asset in ASSETS:
            yield {"type": CommandType.ASSET_UPSERT, "instrument": asset, "side": 6}
        for index in (1, 2, 3, 4):
            yield self._listing(index, fresh=True)
        for account in range(1, self.profile.accounts + 1):
            group = 1 if account == 2 else 0
            yield {"type": CommandType.ACCOUNT_UPSERT, "account": account, "aux": group}
            for asset in ASSETS:
                share = rich // 8 if rich > 2**40 else rich
                yield self._money(CommandType.DEPOSIT, account, asset, share, f"seed-{asset}")

    def _any(self) -> dict[str, Any]:
        p = self.profile
        if self.random.random() < 0.2:
            again = self._open_again()
            if again is not None:
                return again
        make = self.random.choices(
            (
                self._new,
                self._cancel,
                self._replace,
                self._mass,
                self._any_money,
                self._any_listing,
                self._halt,
                self._time,
            ),
            (p.new, p.cancel, p.replace, p.mass, p.money, p.listing, p.halt, p.time),
        )[0]
        return make()

    def _account(self) -> int:
        if self.random.random() < 0.01:
            return self.random.choice((0, 11, 12, 99, ANY))
        return self.random.randint(1, self.profile.accounts)

    def _instrument(self) -> int:
        if self.random.random() < 0.01:
            return self.random.choice((0, 5, 6, ANY))
        return self.random.choice((1, 1, 2, 3, 3, 4))

    def _price(self) -> int:
        if self.random.random() < self.profile.extreme_rate / 3:
            return self.random.choice(EXTREME)
        price = self.random.randint(*self.profile.prices)
        # A few orders go to where prices were, or may be again.
        if self.random.random() < 0.1:
            price += self.random.randint(-self.profile.drift, self.profile.drift)
        return price + self.shift

    def _qty(self) -> int:
        if self.random.random() < self.profile.extreme_rate / 3:
            return self.random.choice(EXTREME)
        if self.random.random() < 0.05:
            return self.random.randint(1, 12 * self.profile.qty_max)  # through several levels, into the match limit
        return self.random.randint(1, self.profile.qty_max)

    def _id(self) -> str | bytes:
        if self.random.random() >= self.profile.id_rate:
            return ""
        if self.random.random() < 0.01:
            return self.random.choice((b"a b", b"a\0b", b"\0a", b"x" * 36, b"x" * 37, b"\xff", b"x" * 40))
        return self.random.choice(IDS)

    def _order_id(self, account: int) -> tuple[int, int]:
        """(account, order id), usually of a live order and its owner."""
        live = list(self.reference.state.orders.values())
        if live and self.random.random() < 0.85:
            order = self.random.choice(live)
            return (order.account if self.random.random() < 0.95 else account), order.order_id
        return account, self.random.choice(self.dead)

    def _repeat(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Sometimes the very command that first used the id, so that duplicates happen."""
        known = self.reference.state.remembered.get((fields["account"], str(fields["cl_ord_id"]).encode()))
        if known is None or self.random.random() < 0.3:
            return fields
        names = (
            "type",
            "flags",
            "instrument",
            "side",
            "ord_type",
            "tif",
            "stp",
            "order_id",
            "price",
            "qty",
            "amount",
            "aux",
        )
        return dict(zip(names, known.body, strict=True)) | {
            "account": fields["account"],
            "cl_ord_id": fields["cl_ord_id"],
        }

    def _new(self) -> dict[str, Any]:
        market = self.random.random() < 0.12
        tif = self.random.choice((Tif.GTC, Tif.GTC, Tif.GTC, Tif.DAY, Tif.IOC, Tif.FOK, Tif.GTD))
        flags = 0
        if self.random.random() < 0.1:
            flags |= CommandFlag.POST_ONLY
        if self.random.random() < 0.1:
            flags |= CommandFlag.REDUCE_ONLY
        if market and self.random.random() < 0.97:
            tif, flags = self.random.choice((Tif.IOC, Tif.FOK)), flags & CommandFlag.REDUCE_ONLY
        elif tif in (Tif.IOC, Tif.FOK) and self.random.random() < 0.9:
            flags &= CommandFlag.REDUCE_ONLY
        return self._repeat({
            "type": CommandType.ORDER_NEW, "account": self._account(), "instrument": self._instrument(),
            "side": self.random.choice((1, 2)), "ord_type": OrdType.MARKET if market else OrdType.LIMIT,
            "tif": tif, "flags": flags,
            "stp": self.random.choice((0, 0, 0, 1, 2, 3, 4)), "price": 0 if market else self._price(),
            "qty": self._qty(), "cl_ord_id": self._id(),
            "amount": self.now + self.random.choice((0, 1, 5, 50, 500, 500)) if tif == Tif.GTD else 0,
        })  # fmt: skip

    def _cancel(self) -> dict[str, Any]:
        account, order_id = self._order_id(self._account())
        if self.random.random() < 0.25:
            name = self.random.choice(IDS)
            known = list(self.reference.state.remembered)
            if known and self.random.random() < 0.8:
                account, raw = self.random.choice(known)
                name = raw.decode()
            by_id = CommandFlag.CANCEL_BY_CL_ORD_ID
            return {"type": CommandType.ORDER_CANCEL, "account": account, "flags": by_id, "cl_ord_id": name}
        return {
            "type": CommandType.ORDER_CANCEL,
            "account": account,
            "order_id": order_id,
            "instrument": self.random.choice((0, 1, 3)),
        }

    def _replace(self) -> dict[str, Any]:
        account, order_id = self._order_id(self._account())
        order = self.reference.state.orders.get(order_id)
        price, qty, aux = self._price(), self._qty(), 0
        if order is not None:
            if self.random.random() < 0.5:
                price = order.price
            qty += self.random.choice((0, order.cum_qty))
            aux = self.random.choice((0, order.version, order.version, order.version + 1))
        return self._repeat({
            "type": CommandType.ORDER_REPLACE, "account": account, "order_id": order_id, "price": price,
            "qty": min(qty, 2**63 - 1),
            "aux": aux, "cl_ord_id": self._id(), "instrument": self.random.choice((0, 0, 1, 3)),
        })  # fmt: skip

    def _mass(self) -> dict[str, Any]:
        return {
            "type": CommandType.MASS_CANCEL,
            "account": self.random.choice((ANY, self._account())),
            "instrument": self.random.choice((ANY, self._instrument())),
            "side": self.random.choice((0, 0, 1, 2)),
        }

    def _money(self, kind: int, account: int, asset: int, amount: int, name: str | bytes) -> dict[str, Any]:
        return {"type": kind, "account": account, "instrument": asset, "amount": amount, "cl_ord_id": name}

    def _any_money(self) -> dict[str, Any]:
        kind = self.random.choice(
            (CommandType.DEPOSIT, CommandType.DEPOSIT, CommandType.WITHDRAW, CommandType.HOLD, CommandType.HOLD,
             CommandType.HOLD_RELEASE, CommandType.HOLD_SETTLE, CommandType.TRANSFER)
        )  # fmt: skip
        account = self._account() if self.random.random() < 0.95 else 0
        if kind in (CommandType.HOLD_RELEASE, CommandType.HOLD_SETTLE):
            holds = list(self.reference.state.holds.values())
            if holds and self.random.random() < 0.8:
                hold = self.random.choice(holds)
                return {"type": kind, "account": hold.account, "order_id": hold.hold_id}
            return {"type": kind, "account": account, "order_id": self.random.choice(self.dead)}
        amount = (
            self.random.choice(EXTREME)
            if self.random.random() < 0.03
            else self.random.randint(1, self.profile.cash // 4)
        )
        asset = self.random.choice((1, 1, 2, 3, self.random.randrange(7)))
        fields = self._money(kind, account, asset, amount, self._id() or f"m{self.seq}")
        if kind == CommandType.TRANSFER:
            fields["order_id"] = self._account()
        return self._repeat(fields)

    def _listing(self, index: int, *, fresh: bool = False) -> dict[str, Any]:
        margin = index in (3, 4)
        quote, base = (1, 0) if index == 3 else (2, 0) if index == 4 else (1, 1 + index)
        low, high = self.profile.prices
        collar = self.random.choice((0, 0, 50_000, 1_000_000)) if not self.profile.drift else 0
        rates = {"maker_ppm": 100 * index, "taker_ppm": 300}
        if not fresh and self.random.random() < 0.3:
            rates = {"maker_ppm": self.random.choice((0, 500)), "taker_ppm": self.random.choice((0, 700, 1_000_000))}
        data = layout.pack_instrument_data(
            **rates,
            margin_ppm=(100_000 if fresh else self.random.choice((100_000, 50_000, 1_000_000))) if margin else 0,
            collar_ppm=collar,
            min_qty=self.random.choice((1, 1, 1, 2)),
            max_notional=self.random.choice((0, 0, 0, self.random.randint(low, 20 * high))),
        )
        return {
            "type": CommandType.INSTRUMENT_UPSERT, "instrument": index, "ord_type": 2 if margin else 1,
            "order_id": base << 32 | quote,
            "amount": 7 if index == 4 else 1, "aux": 3, "qty": self.random.choice((0, 0, 0, self.profile.qty_max)),
            "price": (low + high) // 2 if fresh else self.random.choice((0, 0, low, high)), "cl_ord_id": data,
        }  # fmt: skip

    def _any_listing(self) -> dict[str, Any]:
        roll = self.random.random()
        if roll < 0.5:
            return self._listing(self.random.choice((1, 2, 3, 4)))
        if roll < 0.6:
            return {
                "type": CommandType.ASSET_UPSERT,
                "instrument": self.random.randrange(7),
                "side": self.random.choice((6, 6, 6, 13)),
            }
        if roll < 0.8:
            groups = (0, 0, 1, 3, -1, 2**32)
            return {"type": CommandType.ACCOUNT_UPSERT, "account": self._account(), "aux": self.random.choice(groups)}
        return {
            "type": CommandType.LIMITS_SET,
            "account": self._account(),
            "qty": self.random.choice((0, 0, 3, 10, -1)),
            "amount": self.random.choice((0, 0, 0, 20 * self.profile.prices[1], -1)),
        }

    def _halt(self) -> dict[str, Any]:
        # Back to active more often than not, or nothing would happen any more.
        return {
            "type": CommandType.HALT_SET,
            "ord_type": self.random.choice((1, 2, 3, 3)),
            "side": self.random.choice((0, 0, 0, 0, 0, 0, 1, 2, 3, 4)),
            "account": self._account(),
            "instrument": self._instrument(),
        }

    def _open_again(self) -> dict[str, Any] | None:
        """Undo a halt or close, so that most of a stream finds an open market."""
        state = self.reference.state
        halt = {"type": CommandType.HALT_SET, "side": 0}
        if state.global_state:
            return halt | {"ord_type": 1}
        shut = [index for index, listing in state.instruments.items() if listing.state]
        if shut:
            return halt | {"ord_type": 2, "instrument": self.random.choice(shut)}
        stopped = [index for index, account in state.accounts.items() if account.state]
        if stopped:
            return halt | {"ord_type": 3, "account": self.random.choice(stopped)}
        return None

    def _time(self) -> dict[str, Any]:
        roll = self.random.random()
        if roll < 0.6:
            self.now += self.random.choice((0, 1, 5, 100))
            return {"type": CommandType.TIME}
        if roll < 0.8:
            return {"type": CommandType.SESSION_CLOSE, "instrument": self._instrument()}
        if roll < 0.9:
            return {"type": self.random.choice((0, 9, 50, 65535))}
        self.day += self.random.choice((0, 1, 1, 2))
        return {"type": CommandType.DAY_ROLL, "amount": self.day}
