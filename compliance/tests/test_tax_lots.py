"""Matching of disposals: published examples as cases, and what must hold for any moves (the seed is printed)."""

from __future__ import annotations

import itertools
import os
import random
from datetime import date, timedelta
from fractions import Fraction

import pytest

from compliance.tax import lots
from compliance.tax.lots import BUY, IN, OUT, SELL, Match, Matched, Move, fifo
from compliance.tax.pool import pool

SEED = int(os.environ.get("TAX_SEED", "20261122"))
#: What a wash sale moves is whole trillionths.
TINY = Fraction(1, 10**9)
BOOKS = int(os.environ.get("TAX_BOOKS", "400"))


def move(day: str | date, kind: str, qty: int, money: object = None, *, order: int | None = None, seq: int = 0) -> Move:
    when = date.fromisoformat(day) if isinstance(day, str) else day
    amount = None if money is None else Fraction(str(money))
    ns = when.toordinal() * 1_000 + seq
    return Move(ns, seq, when, kind, qty, amount, ns if order is None else order)


def said(match: Match) -> tuple[int, object, object, object]:
    return (
        match.qty, *(None if one is None else round(float(one), 2) for one in (match.proceeds, match.cost, match.gain))
    )  # type: ignore[return-value]  # fmt: skip


# ---- United States ----------------------------------------------------------------------------------------------------


def test_a_wash_sale_puts_the_loss_into_the_cost_of_the_replacement() -> None:
    """Publication 550: 100 shares for 1,000, sold for 750; 100 bought again within thirty days for 800."""
    found = fifo(
        [move("2026-01-05", BUY, 100, 1000), move("2026-03-02", SELL, 100, 750), move("2026-03-20", BUY, 100, 800)],
        wash=True,
    )
    (match,) = found.matches
    assert (match.gain, match.disallowed) == (0, 250)
    (left,) = found.left
    assert left.cost is not None
    assert left.cost + left.deferred == 1050


def test_fewer_shares_bought_than_sold_put_off_a_part() -> None:
    """Publication 550, and 26 CFR 1.1091-1(h) example 2: 750 of a loss of 1,000 is put off; new bases 3,250 and 1,375."""
    moves = [
        move("2023-09-24", BUY, 100, 5000), move("2023-12-21", BUY, 50, 2750), move("2023-12-28", BUY, 25, 1125),
        move("2024-01-04", SELL, 100, 4000),
    ]  # fmt: skip
    found = fifo(moves, wash=True)
    assert [(match.qty, match.disallowed, match.gain) for match in found.matches] == [(75, 750, 0), (25, 0, -250)]
    assert [left.cost + left.deferred for left in found.left if left.cost is not None] == [3250, 1375]
    # Not for digital assets.
    assert [match.gain for match in fifo(moves).matches] == [-1000]


def test_more_bought_than_sold_replace_in_the_order_of_acquisition() -> None:
    """26 CFR 1.1091-1(h) example 3: of four purchases of 50 the first two replace 100 that were sold."""
    later = [move(f"1955-02-{15 + turn}", BUY, 50, 2000) for turn in range(4)]
    found = fifo([move("1954-09-15", BUY, 100, 5000), move("1955-02-01", SELL, 100, 4000), *later], wash=True)
    assert [match.disallowed for match in found.matches] == [1000]
    assert [left.deferred for left in found.left] == [500, 500, 0, 0]


@pytest.mark.parametrize(("sold", "bought", "basis"), [("80.50", "90", "109.5"), ("80", "70", "90")])
def test_the_basis_of_the_replacement(sold: str, bought: str, basis: str) -> None:
    """26 CFR 1.1091-2 examples 1 and 2."""
    found = fifo(
        [move("1954-06-01", BUY, 1, 100), move("1955-01-15", SELL, 1, sold), move("1955-02-01", BUY, 1, bought)],
        wash=True,
    )
    (left,) = found.left
    assert left.cost is not None
    assert left.cost + left.deferred == Fraction(basis)


@pytest.mark.parametrize(("days", "put_off"), [(30, 100), (31, 0), (-30, 100), (-31, 0)])
def test_the_window_is_thirty_days_to_both_sides(days: int, put_off: int) -> None:
    sold = date(2026, 6, 15)
    moves = [
        move("2026-01-02", BUY, 10, 1000),
        move(sold, SELL, 10, 900),
        move(sold + timedelta(days=days), BUY, 10, 950),
    ]
    assert sum(match.disallowed for match in fifo(moves, wash=True).matches) == put_off


def test_units_of_the_same_purchase_do_not_replace_one_another() -> None:
    """Rev. Rul. 56-602; nor do those sold with them."""
    one_lot = [move("2026-03-02", BUY, 200, 2000), move("2026-03-10", SELL, 100, 900)]
    assert [match.disallowed for match in fifo(one_lot, wash=True).matches] == [0]
    # Two purchases, all sold at once: neither is there to replace the other.
    both = [move("2026-03-02", BUY, 100, 1000), move("2026-03-05", BUY, 100, 1100), move("2026-03-10", SELL, 200, 1800)]
    assert [match.disallowed for match in fifo(both, wash=True).matches] == [0, 0]


def test_a_gain_is_never_reduced_and_a_unit_replaces_once() -> None:
    moves = [
        move("2026-01-05", BUY, 10, 1000), move("2026-01-06", BUY, 10, 1000), move("2026-06-01", SELL, 10, 900),
        move("2026-06-02", SELL, 10, 900), move("2026-06-10", BUY, 10, 950),
    ]  # fmt: skip
    assert [match.disallowed for match in fifo(moves, wash=True).matches] == [100, 0]
    gain = [*moves[:2], move("2026-06-01", SELL, 10, 1100), move("2026-06-10", BUY, 10, 950)]
    assert [(match.gain, match.disallowed) for match in fifo(gain, wash=True).matches] == [(100, 0)]


def test_the_holding_period_goes_with_the_loss() -> None:
    found = fifo(
        [
            move("2025-01-02", BUY, 10, 1000), move("2025-12-20", SELL, 10, 900), move("2025-12-30", BUY, 10, 900),
            move("2026-02-10", SELL, 10, 1200),
        ],
        wash=True,
    ).matches  # fmt: skip
    assert [match.long for match in found] == [False, True]
    assert (found[1].back, found[1].cost, found[1].gain) == (352, 1000, 200)


@pytest.mark.parametrize(
    ("bought", "sold", "long"),
    [
        ("2025-03-10", "2026-03-10", False), ("2025-03-10", "2026-03-11", True), ("2024-02-29", "2025-02-28", False),
        ("2024-02-29", "2025-03-01", True), ("2023-02-28", "2024-02-29", False), ("2023-02-28", "2024-03-01", True),
        ("2024-02-28", "2025-03-01", True),
    ],
)  # fmt: skip
def test_more_than_a_year_counts_from_the_day_after(bought: str, sold: str, long: bool) -> None:
    (match,) = fifo([move(bought, BUY, 1, 1), move(sold, SELL, 1, 1)]).matches
    assert match.long is long


def test_more_lines_than_are_worked_out_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lots, "LINES_MAX", 3)
    moves = [
        move(date(2026, 1, 1) + timedelta(days=turn), (BUY, SELL)[turn % 2], 10, 1000 - turn) for turn in range(12)
    ]
    with pytest.raises(lots.TooManyLinesError):
        fifo(moves, wash=True)
    assert len(fifo(moves).matches) == 6


def test_what_came_without_a_cost_has_none() -> None:
    found = fifo(
        [
            move("2026-01-02", IN, 5),
            move("2026-01-03", BUY, 5, 500),
            move("2026-02-01", SELL, 8, 800),
            move("2026-02-02", SELL, 4, 400),
        ]
    )
    assert [(match.qty, match.cost, match.gain, match.acquired) for match in found.matches] == [
        (5, None, None, None), (3, 300, 0, date(2026, 1, 3)), (2, 200, 0, date(2026, 1, 3)), (2, None, None, None),
    ]  # fmt: skip
    assert ["without one" in match.why for match in found.matches] == [True, False, False, False]
    assert "no purchase" in found.matches[3].why


# ---- United Kingdom ---------------------------------------------------------------------------------------------------


def test_the_pool_is_averaged() -> None:
    """HMRC CRYPTO22251 (token A)."""
    found = pool(
        [move("2020-01-01", BUY, 100, 1000), move("2020-09-18", BUY, 50, 125000), move("2020-12-01", SELL, 50, 300000)]
    )
    assert [said(match) for match in found.matches] == [(50, 300000, 42000, 258000)]
    assert [(left.qty, left.cost) for left in found.left] == [(100, 84000)]


def test_thirty_days_come_before_the_pool() -> None:
    """HMRC CRYPTO22255 (token E)."""
    found = pool(
        [
            move("2020-01-01", BUY, 14000, 200000),
            move("2020-08-30", SELL, 4000, 160000),
            move("2020-09-11", BUY, 500, 17500),
        ]
    )
    assert [(match.qty, match.rule, match.cost) for match in found.matches] == [
        (500, "30 days", 17500),
        (3500, "pool", 50000),
    ]
    assert sum(match.gain or 0 for match in found.matches) == 92500
    assert [(left.qty, left.cost) for left in found.left] == [(10500, 150000)]


def test_same_day_then_thirty_days_then_pool() -> None:
    """HMRC CRYPTO22256 (token F)."""
    found = pool(
        [
            move("2020-01-01", BUY, 100_000, 300_000), move("2020-07-31", BUY, 10_000, 45_000), move("2020-07-31", SELL, 30_000, 150_000),
            move("2020-08-05", SELL, 20_000, 100_000), move("2020-08-06", BUY, 50_000, 225_000), move("2020-08-07", SELL, 100_000, 150_000),
        ]
    )  # fmt: skip
    by_day: dict[date, Fraction] = {}
    for match in found.matches:
        by_day[match.sold] = by_day.get(match.sold, Fraction(0)) + (match.gain or 0)
    assert [(match.rule, match.qty) for match in found.matches] == [
        ("same day", 10_000), ("30 days", 20_000), ("30 days", 20_000), ("pool", 100_000)
    ]  # fmt: skip
    assert by_day[date(2020, 7, 31)] == 15_000
    assert by_day[date(2020, 8, 5)] == 10_000
    assert by_day[date(2020, 8, 7)] == 150_000 - Fraction(345_000 * 100_000, 110_000)


def test_shares_with_their_dealing_costs() -> None:
    """HMRC HS284 example 3 (Lobster plc), which rounds to whole pounds: gains of 329 and 300."""
    found = pool(
        [
            move("2015-04-01", BUY, 1000, 4150), move("2018-09-01", BUY, 500, 2130), move("2019-05-01", SELL, 700, 3260),
            move("2020-02-01", SELL, 400, 1975),
        ]
    )  # fmt: skip
    assert [round(match.gain or 0) for match in found.matches] == [329, 300]


def test_a_pool_with_units_of_no_cost_has_none_until_it_is_empty() -> None:
    found = pool(
        [
            move("2026-01-02", BUY, 10, 100), move("2026-01-03", IN, 10), move("2026-03-01", SELL, 5, 100), move("2026-03-02", OUT, 15),
            move("2026-04-15", BUY, 10, 200), move("2026-06-01", SELL, 10, 250),
        ]
    )  # fmt: skip
    assert [(match.cost, match.gain) for match in found.matches] == [(None, None), (200, 50)]
    assert "pool" in found.matches[0].why


# ---- for any moves ----------------------------------------------------------------------------------------------------


def book(rng: random.Random, size: int) -> list[Move]:
    """Purchases and sales that never sell more than is there."""
    day, held, moves = date(2025, 1, 1), 0, []
    for seq in range(size):
        day += timedelta(days=rng.choice((0, 0, 1, 3, 9, 25, 40)))
        buys = held == 0 or rng.random() < 0.55
        qty = rng.randint(1, 60) if buys else rng.randint(1, held)
        held += qty if buys else -qty
        cents = qty * rng.randint(700, 1300) + rng.randint(-9, 9)
        moves.append(Move(day.toordinal(), seq, day, BUY if buys else SELL, qty, Fraction(cents, 100), seq))
    return moves


def sums(found: Matched) -> tuple[Fraction, Fraction, Fraction]:
    """(recognised, deferred in what is left, cost of what is left)"""
    return (
        sum((match.gain or Fraction(0) for match in found.matches), Fraction(0)),
        sum((left.deferred for left in found.left), Fraction(0)),
        sum((left.cost or Fraction(0) for left in found.left), Fraction(0)),
    )


def test_nothing_is_lost_and_order_of_input_and_cuts_do_not_matter() -> None:
    print(f"seed {SEED} (TAX_SEED)")
    rng, washed = random.Random(SEED), 0
    for turn in range(BOOKS):
        moves = book(rng, rng.randint(2, 40))
        bought = sum((one.money or Fraction(0) for one in moves if one.kind == BUY), Fraction(0))
        sold = sum((one.money or Fraction(0) for one in moves if one.kind == SELL), Fraction(0))
        shuffled = rng.sample(moves, len(moves))
        cut: list[Move] = []
        for one in moves:
            parts = rng.choice((1, 1, 2, 3)) if one.qty % 6 == 0 and one.money is not None else 1
            cut += [
                Move(
                    one.time_ns, one.seq * 10 + part, one.day, one.kind, one.qty // parts, one.money / parts, one.order
                )  # type: ignore[operator]
                for part in range(parts)
            ]
        for name, rule in (("fifo", fifo), ("wash", lambda all_of: fifo(all_of, wash=True)), ("pool", pool)):
            found = rule(moves)
            gains, deferred, left = sums(found)
            # What was recognised, less what is put off into units still held, is proceeds less the cost of what is gone.
            assert gains - deferred == sold - (bought - left), (SEED, turn, name)
            assert sum(match.qty for match in found.matches) == sum(one.qty for one in moves if one.kind == SELL)
            assert rule(shuffled) == found, (SEED, turn, name)
            assert sums(rule(cut)) == (gains, deferred, left), (SEED, turn, name)
        found = fifo(moves, wash=True)
        washed += sum(match.disallowed > 0 for match in found.matches)
        assert all(abs(match.gain or 0) < TINY for match in found.matches if match.disallowed)
        # No unit replaces twice: of what was bought near a loss no more is put off than there is.
        for match in found.matches:
            near = [one for one in moves if one.kind == BUY and abs((one.day - match.sold).days) <= 30]
            assert not match.disallowed or near, (SEED, turn)
        assert sum(match.qty for match in found.matches if match.disallowed) <= sum(
            one.qty for one in moves if one.kind == BUY
        )
    assert washed > BOOKS // 4


def test_the_slow_and_obvious_way_agrees() -> None:
    """Unit by unit: each unit sold is the oldest there is, each unit of a loss takes the first unit bought near it that is free."""
    rng = random.Random(SEED + 1)
    for turn in range(BOOKS // 4):
        moves = book(rng, rng.randint(2, 18))
        units = [
            {
                "move": one,
                "cost": (one.money or 0) / one.qty,
                "used": False,
                "gone": False,
                "back": 0,
                "extra": Fraction(0),
            }
            for one in moves
            if one.kind == BUY
            for _ in range(one.qty)
        ]
        gain = put_off = Fraction(0)
        for sale in (one for one in moves if one.kind == SELL):
            taken = [unit for unit in units if not unit["gone"] and unit["move"].seq < sale.seq][: sale.qty]
            for unit in taken:
                unit["gone"] = True
            for unit in taken:
                result = (sale.money or Fraction(0)) / sale.qty - unit["cost"] - unit["extra"]
                free = [
                    other for other in units
                    if not other["gone"] and not other["used"] and other["move"] is not unit["move"]
                    and abs((other["move"].day - sale.day).days) <= 30
                ]  # fmt: skip
                if result < 0 and free:
                    held = (sale.day - unit["move"].day).days + unit["back"]
                    free[0].update(used=True, extra=-result, back=held)
                    put_off -= result
                else:
                    gain += result
            # Units of one purchase that are held equally long share what was put off into them.
            there = [unit for unit in units if unit["used"] and not unit["gone"]]
            for _, run in itertools.groupby(there, key=lambda unit: (unit["move"].seq, unit["back"])):
                same = list(run)
                mean = sum((unit["extra"] for unit in same), Fraction(0)) / len(same)
                for unit in same:
                    unit["extra"] = mean
        found = fifo(moves, wash=True)
        assert abs(sum((match.gain or Fraction(0) for match in found.matches), Fraction(0)) - gain) < TINY, (SEED, turn)
        assert abs(sum((match.disallowed for match in found.matches), Fraction(0)) - put_off) < TINY, (SEED, turn)
