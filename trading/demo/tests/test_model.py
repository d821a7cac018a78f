"""The demo market's model: deterministic by seed, always two-sided, alive."""

import itertools
import statistics

import pytest

from trading.demo.model import InstrumentSpec, MarketModel

SPECS = [
    InstrumentSpec("ONE", 6_400_000, 1_400, 0.75, 1.0, 1.6, 0.00012),
    InstrumentSpec("TWO", 43_047, 20, 0.32, 0.8, 0.8, 0.00015),
]


def _run(seed: int, steps: int = 2_000) -> list[tuple[object, ...]]:
    model = MarketModel(SPECS, seed, 0.0)
    seen: list[tuple[object, ...]] = []
    for step in range(1, steps):
        now = step * 0.1
        model.step(now)
        index = model.pick()
        model.move(index, now)
        if step % 3 == 0:
            seen.append((index, model.take(index)))
        else:
            seen.append((index, *model.ladder(index, step % 3, 0)))
    return seen


@pytest.mark.parametrize("seed", [1, 2, 20_261_121])
def test_same_seed_same_market(seed: int) -> None:
    assert _run(seed) == _run(seed)


def test_other_seed_other_market() -> None:
    assert _run(1) != _run(2)


@pytest.mark.parametrize("inventory", [-(10**9), -1, 0, 1, 10**9])
def test_a_ladder_has_two_sides_and_never_crosses_itself(inventory: int) -> None:
    model = MarketModel(SPECS, 7, 0.0)
    for step in range(1, 500):
        model.step(step)
        model.move(0, step)
        quotes = model.ladder(0, step % 3, inventory)
        bids = [quote.price for quote in quotes if quote.side == 1]
        asks = [quote.price for quote in quotes if quote.side == 2]
        assert len(bids) == len(asks) == MarketModel.LEVELS
        assert 1 <= max(bids) < min(asks)
        assert all(quote.qty >= 1 for quote in quotes)


def test_a_long_maker_leans_down_and_a_short_one_up() -> None:
    model = MarketModel(SPECS, 7, 0.0)
    best = {}
    for inventory in (-(10**9), 0, 10**9):
        best[inventory] = max(quote.price for quote in model.ladder(0, 0, inventory) if quote.side == 1)
    assert best[10**9] < best[0] < best[-(10**9)]


def test_takers_cluster_and_persist() -> None:
    takes = [item[1] for item in _run(3, 6_000) if len(item) == 2]
    signs = [1 if take.side == 1 else -1 for take in takes]  # type: ignore[attr-defined]
    pairs = [a * b for a, b in itertools.pairwise(signs)]
    assert statistics.mean(pairs) > 0.1


def test_prices_stay_near_the_anchor_for_a_day() -> None:
    model = MarketModel(SPECS, 11, 0.0)
    for step in range(1, 8_640):
        now = step * 10.0
        model.step(now)
        for index in range(len(SPECS)):
            model.move(index, now)
    for latent in model.latents:
        assert 0.7 < latent.ticks / latent.spec.anchor_ticks < 1.4
