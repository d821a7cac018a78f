"""Which units were sold, as the United Kingdom matches them (TCGA 1992 s.104 to s.106A): of one kind of share or crypto asset. Pure and exact.

    same day      all that was bought and all that was sold on a day are one purchase and one sale, matched first (s.105)
    30 days       then purchases of the next 30 days, the earliest sale and the earliest purchase first (s.106A)
    pool          then the pool, at its average cost (s.104)

Units that came without a cost go into the pool and make its cost unknown until it is empty; units that leave in kind take their share of the cost
along and are no sale. Owns the three rules. Leaves money and days to ``compliance/selectors/tax_facts.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from compliance.tax.lots import BUY, IN, NO_PURCHASE, SELL, ZERO, Left, Match, Matched, Move

WINDOW_DAYS = 30
SAME_DAY, THIRTY_DAYS, POOL = "same day", "30 days", "pool"
NO_POOL_COST = "cost not known: units without one are in the pool"


@dataclass(slots=True)
class _Side:
    """All purchases, or all sales, of a day: what is left to match, and the money of all of it."""

    qty: int = 0
    left: int = 0
    money: Fraction | None = ZERO
    why: str = ""

    def add(self, move: Move) -> None:
        self.qty += move.qty
        self.left += move.qty
        self.money = None if self.money is None or move.money is None else self.money + move.money
        self.why = self.why or move.why

    def share(self, qty: int) -> Fraction | None:
        return None if self.money is None else self.money * Fraction(qty, self.qty)


@dataclass(slots=True)
class _Pool:
    qty: int = 0
    cost: Fraction | None = ZERO
    why: str = ""

    def add(self, qty: int, cost: Fraction | None, why: str) -> None:
        self.qty += qty
        self.why = self.why or ("" if cost is not None else why)
        self.cost = None if self.cost is None or cost is None else self.cost + cost

    def take(self, qty: int) -> tuple[Fraction | None, str]:
        """The cost of so many units that are there, and why it is not known."""
        cost, why = (None if self.cost is None else self.cost * Fraction(qty, self.qty)), self.why
        self.qty -= qty
        if not self.qty:
            self.cost, self.why = ZERO, ""
        elif self.cost is not None and cost is not None:
            self.cost -= cost
        return cost, why


def pool(moves: Iterable[Move]) -> Matched:
    """Match the moves of one asset by the three rules. Sales of a day are one sale; ``left`` is the pool."""
    days: dict[date, dict[str, _Side]] = {}
    for move in moves:
        days.setdefault(move.day, {}).setdefault(move.kind, _Side()).add(move)
    found: list[tuple[date, int, Match]] = []
    order = sorted(days)

    def match(
        day: date, sale: _Side, bought: tuple[date, _Side] | None, qty: int, rule: int, cost: Fraction | None, why: str
    ) -> None:
        proceeds = sale.share(qty)
        name = (SAME_DAY, THIRTY_DAYS, POOL)[rule]
        why = "" if proceeds is not None and cost is not None else sale.why or why
        found.append((day, rule, Match(qty, day, bought[0] if bought else None, proceeds, cost, name, why=why)))

    for day in order:
        sale, purchase = days[day].get(SELL), days[day].get(BUY)
        if sale and purchase:
            qty = min(sale.left, purchase.left)
            sale.left -= qty
            purchase.left -= qty
            match(day, sale, (day, purchase), qty, 0, purchase.share(qty), purchase.why)
    for day in order:
        sale = days[day].get(SELL)
        for later in range(1, WINDOW_DAYS + 1) if sale and sale.left else ():
            then = day + timedelta(days=later)
            purchase = days.get(then, {}).get(BUY)
            if sale and sale.left and purchase and purchase.left:
                qty = min(sale.left, purchase.left)
                sale.left -= qty
                purchase.left -= qty
                match(day, sale, (then, purchase), qty, 1, purchase.share(qty), purchase.why)
    held, out = _Pool(), []
    for day in order:
        sides = days[day]
        if IN in sides:
            held.add(sides[IN].qty, None, NO_POOL_COST)
        if (purchase := sides.get(BUY)) and purchase.left:
            held.add(purchase.left, purchase.share(purchase.left), purchase.why)
        for kind in (SELL, "out"):
            side = sides.get(kind)
            if side is None or not side.left:
                continue
            qty = min(side.left, held.qty)
            for part, known in ((qty, True), (side.left - qty, False)):
                if not part:
                    continue
                cost, why = held.take(part) if known else (None, NO_PURCHASE)
                if kind == SELL:
                    match(day, side, None, part, 2, cost, why)
                else:
                    out.append(Left(part, None, cost))
    found.sort(key=lambda row: (row[0], row[1]))
    left = [Left(held.qty, None, held.cost)] if held.qty else []
    return Matched([row[2] for row in found], left, out)
