"""Which units were sold: disposals matched to acquisitions of one asset in one account, first in first out, with wash sales. Pure and exact.

    moves of an asset, any order -> joined -> fifo: the oldest units go first -> matches, and what is left with what it cost

Wash sales (26 CFR 1.1091-1, securities only): losses in the order of disposition take replacement units in the order of acquisition, unit for
unit, bought from 30 days before to 30 days after; the loss is added to what the replacement cost and its holding period goes with it (IRC
1223(3)). A unit replaces once; units of the same purchase do not replace one another (Rev. Rul. 56-602); units sold earlier or in the same sale
do not either; a gain stays a gain. Units of one purchase that are held equally long share what is put off into them.

What is not known is None with the reason in ``why``, and never guessed. Quantities are whole smallest units of the asset, money is a Fraction in
one currency. Nothing is rounded here but what a wash sale moves (to a trillionth of the currency; nothing is lost by it). The pool of the United
Kingdom is in ``pool.py``; which day a fill belongs to and what its money is worth, in ``compliance/selectors/tax_facts.py``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction

BUY, SELL, IN, OUT = "buy", "sell", "in", "out"
WINDOW = timedelta(days=30)
ZERO = Fraction(0)
FIRST, WASHED = "first in, first out", "first in, first out; wash sale"
#: A loss is put off in whole units of this part of the currency, the nearest, and what is put off is in the replacement to the last of them. Without
#: it a chain of wash sales would drag along fractions of hundreds of digits.
PUT_OFF_UNITS = 10**12
#: Lines of an asset. Losses put off again and again within days cut purchases into ever more lines; beyond this they are not worked out.
LINES_MAX = 20_000
NO_COST = "cost not known: it came without one"
NO_PURCHASE = "cost not known: no purchase of it is recorded here"


class TooManyLinesError(Exception):
    """An asset's sales come to more than LINES_MAX lines with its wash sales."""


@dataclass(frozen=True, slots=True)
class Move:
    """Units that came or went. ``money`` is what a purchase cost with its fees, or what a sale brought less its fees; None with ``why`` where it
    is not known. IN and OUT (deposits, withdrawals, transfers in kind) have none. ``order`` is the order it was a fill of.
    """

    time_ns: int
    #: Its place among moves of the same time.
    seq: int
    day: date
    kind: str
    qty: int
    money: Fraction | None
    order: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Units sold and the units they are taken to be. ``acquired`` is None where that is not known or they came from a pool."""

    qty: int
    sold: date
    acquired: date | None
    proceeds: Fraction | None
    cost: Fraction | None
    rule: str
    #: A loss that is put off into the units that replaced these.
    disallowed: Fraction = ZERO
    #: Days that the holding period reaches back further, through wash sales.
    back: int = 0
    order: int = 0
    why: str = ""

    @property
    def gain(self) -> Fraction | None:
        """What is recognised; None while anything of it is not known."""
        return None if self.proceeds is None or self.cost is None else self.proceeds - self.cost + self.disallowed

    @property
    def held_from(self) -> date | None:
        """The day the holding period counts from."""
        return self.acquired - timedelta(days=self.back) if self.acquired else None

    @property
    def long(self) -> bool | None:
        """Held for more than one year, counted from the day after the acquisition (Rev. Rul. 66-7); None where that day is not known."""
        began = self.held_from
        return None if began is None else self.sold >= _year_after(began + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Left:
    """Units still there, or carried out of the account: what they cost and which put-off losses are in them."""

    qty: int
    acquired: date | None
    cost: Fraction | None
    deferred: Fraction = ZERO
    back: int = 0


@dataclass(frozen=True, slots=True)
class Matched:
    """All of an asset: what was sold, what is left, what went out without being sold."""

    matches: list[Match]
    left: list[Left]
    out: list[Left]


def _year_after(day: date) -> date:
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return date(day.year + 1, 3, 1)


def joined(moves: Iterable[Move]) -> list[Move]:
    """In their order, with fills of one order that follow each other on one day as one: how a fill was cut up changes nothing."""
    found: list[Move] = []
    for move in sorted(moves, key=lambda one: (one.time_ns, one.seq)):
        last = found[-1] if found else None
        if (
            last is not None
            and move.kind in (BUY, SELL)
            and (last.kind, last.order, last.day) == (move.kind, move.order, move.day)
        ):
            money = None if last.money is None or move.money is None else last.money + move.money
            found[-1] = replace(last, qty=last.qty + move.qty, money=money, why=last.why or move.why)
        else:
            found.append(move)
    return found


# ---- first in, first out ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    """Units of a purchase that share one fate: each cost ``unit``, and ``extra`` of a loss that was put off."""

    qty: int
    unit: Fraction | None
    extra: Fraction = ZERO
    back: int = 0

    def split(self, qty: int) -> _Part:
        """Take units off the front."""
        self.qty -= qty
        return _Part(qty, self.unit, self.extra, self.back)


@dataclass(slots=True)
class _Lot:
    """A purchase: parts that replaced something sold at a loss, then the rest."""

    move: Move
    rest: _Part
    replaced: deque[_Part] = field(default_factory=deque)

    def parts(self) -> list[_Part]:
        return [*self.replaced, *([self.rest] if self.rest.qty else [])]

    def add(self, part: _Part) -> None:
        """Units that replaced something. Shares of one purchase held equally long are not told apart: they share what was put off into them."""
        last = self.replaced[-1] if self.replaced else None
        if last is None or last.back != part.back:
            self.replaced.append(part)
            return
        last.extra = (last.extra * last.qty + part.extra * part.qty) / (last.qty + part.qty)
        last.qty += part.qty

    def take(self, qty: int) -> _Part | None:
        """At most so many units, of one part; None when there are none left."""
        if self.replaced:
            part = self.replaced[0]
            if part.qty <= qty:
                return self.replaced.popleft()
            return part.split(qty)
        return self.rest.split(min(qty, self.rest.qty)) if self.rest.qty else None


class _Fifo:
    """The lots of an asset while its moves are gone through."""

    def __init__(self, moves: list[Move], *, wash: bool) -> None:
        self.moves, self.wash = moves, wash
        self.lots = [
            _Lot(one, _Part(one.qty, None if one.money is None else one.money / one.qty))
            for one in moves
            if one.kind in (BUY, IN)
        ]
        self.days = [lot.move.day for lot in self.lots]
        # next_free[i]: the first lot from i on that may still replace something; found by following it.
        self.next_free = list(range(len(self.lots) + 1))
        self.come = self.gone = 0
        self.matches: list[Match] = []
        self.out: list[Left] = []

    def run(self) -> Matched:
        for move in self.moves:
            if move.kind in (BUY, IN):
                self.come += 1
            else:
                self.leave(move)
        left = [self.left_of(lot, part) for lot in self.lots for part in lot.parts()]
        return Matched(self.matches, left, self.out)

    @staticmethod
    def left_of(lot: _Lot, part: _Part) -> Left:
        cost = None if part.unit is None else part.unit * part.qty
        return Left(part.qty, lot.move.day if lot.move.kind == BUY else None, cost, part.extra * part.qty, part.back)

    def leave(self, move: Move) -> None:
        """Take units off the oldest lots; all of a sale are taken before its losses look for what replaced them."""
        taken: list[tuple[_Lot | None, _Part]] = []
        wanted = move.qty
        while wanted and self.gone < self.come:
            lot = self.lots[self.gone]
            part = lot.take(wanted)
            if part is None:
                self.gone += 1
                continue
            taken.append((lot, part))
            wanted -= part.qty
        if wanted:
            taken.append((None, _Part(wanted, None)))
        for lot, part in taken:
            if move.kind == SELL:
                self.sell(move, lot, part)
            else:
                self.out.append(self.left_of(lot, part) if lot else Left(part.qty, None, None))

    def sell(self, move: Move, lot: _Lot | None, part: _Part) -> None:
        proceeds = None if move.money is None else move.money * part.qty / move.qty
        bought = lot.move if lot and lot.move.kind == BUY else None
        cost = None if part.unit is None or bought is None else (part.unit + part.extra) * part.qty
        why = move.why or (bought.why if bought else NO_COST if lot else NO_PURCHASE)
        match = Match(
            part.qty, move.day, bought.day if bought else None, proceeds, cost, FIRST,
            back=part.back, order=move.order, why="" if proceeds is not None and cost is not None else why,
        )  # fmt: skip
        if not (self.wash and lot and bought and proceeds is not None and cost is not None and proceeds < cost):
            self.matches.append(match)
            return
        if len(self.matches) > LINES_MAX:
            raise TooManyLinesError
        count, put_off = self.replace(
            match, lot, (cost - proceeds) / match.qty, (match.sold - bought.day).days + match.back
        )
        for qty, amount in ((count, put_off), (match.qty - count, ZERO)):
            if qty:
                share = Fraction(qty, match.qty)
                rule = WASHED if amount else FIRST
                self.matches.append(
                    replace(match, qty=qty, proceeds=proceeds * share, cost=cost * share, disallowed=amount, rule=rule)
                )

    def find(self, at: int) -> int:
        chain = self.next_free
        while chain[at] != at:
            chain[at] = chain[chain[at]]
            at = chain[at]
        return at

    def replace(self, match: Match, sold_lot: _Lot, loss: Fraction, held: int) -> tuple[int, Fraction]:
        """Move a loss, so much a unit, and the days these were held into the units that replaced them; (how many did, how much it is)."""
        wanted, put_off = match.qty, ZERO
        at = self.find(bisect_left(self.days, match.sold - WINDOW))
        while wanted and at < len(self.lots) and self.days[at] <= match.sold + WINDOW:
            lot = self.lots[at]
            same = (lot.move.order, lot.move.day) == (sold_lot.move.order, sold_lot.move.day)
            if lot.rest.qty == 0 or lot.move.kind != BUY:
                self.next_free[at] = at + 1
            elif not (same or lot is sold_lot):
                part = lot.rest.split(min(wanted, lot.rest.qty))
                moved = Fraction(round(loss * part.qty * PUT_OFF_UNITS), PUT_OFF_UNITS)
                wanted -= part.qty
                part.extra, part.back = moved / part.qty, held
                lot.add(part)
                put_off += moved
                continue
            at = self.find(at + 1)
        return match.qty - wanted, put_off


def fifo(moves: Iterable[Move], *, wash: bool = False) -> Matched:
    """Match the moves of one asset in one account, the oldest units first; with ``wash`` losses are put off where units were replaced, and
    TooManyLinesError is raised where they are too many.
    """
    return _Fifo(joined(moves), wash=wash).run()
