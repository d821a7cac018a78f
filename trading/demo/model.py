"""The demo market's behaviour: latent prices, makers and takers. Pure, seeded, no I/O.

Layers: (1) correlated latent log-prices (one common factor, volatility that switches between a calm and a busy regime, weak pull
back to the anchor so that a demo left running does not drift away); (2) makers that always quote both sides round the latent price,
leaning against their inventory; (3) takers whose arrivals excite each other (Hawkes) and whose direction persists.

Owns the randomness (``random.Random(seed)``): the same seed and the same sequence of calls give the same actions. Uses floats for the
*model* only; everything that leaves is integer ticks and lots. Leaves sending to ``trading/demo/runner.py``.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

SECONDS_PER_YEAR = 365 * 86_400


@dataclass(frozen=True)
class InstrumentSpec:
    """What the model needs to know of an instrument. Prices in ticks, sizes in lots."""

    symbol: str
    anchor_ticks: int
    typical_lots: int  # size of an ordinary order
    volatility: float  # a year's standard deviation of the log price
    beta: float  # loading on the common factor
    activity: float  # share of the message flow, relative
    half_spread: float  # of the price, as a fraction
    min_lots: int = 1
    max_lots: int = 0  # 0 = none


@dataclass
class Latent:
    """State of one instrument's latent price and of its taker flow."""

    spec: InstrumentSpec
    log_price: float
    updated_s: float
    excitement: float = 0.0
    direction: int = 1
    busy: bool = False

    @property
    def ticks(self) -> float:
        """Latent price in (fractional) ticks."""
        return math.exp(self.log_price)


@dataclass(frozen=True)
class Quote:
    """One order a maker wants in the book."""

    side: int  # 1 buy, 2 sell
    price: int
    qty: int


@dataclass(frozen=True)
class Take:
    """An order a taker sends now: ``price`` 0 means a market order."""

    side: int
    price: int
    qty: int


@dataclass
class MarketModel:
    """All instruments under one seed.

    ``step(now_s)`` moves the common factor and the regimes; ``move(i, now_s)`` brings instrument i to now. Times are seconds of an
    injected clock and never decrease.
    """

    specs: list[InstrumentSpec]
    seed: int
    now_s: float
    rng: random.Random = field(init=False)
    latents: list[Latent] = field(init=False)
    factor: float = field(init=False, default=0.0)

    LEVELS = 5
    HAWKES_JUMP = 0.7
    HAWKES_DECAY = 1.2
    REVERSION_PER_DAY = 0.5

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - a simulator, not a secret
        self.latents = [Latent(spec, math.log(spec.anchor_ticks), self.now_s) for spec in self.specs]
        self._weights = [spec.activity for spec in self.specs]

    def pick(self) -> int:
        """Choose the instrument of the next action by its activity, more often while its takers are excited."""
        weights = [
            weight * (1.0 + latent.excitement) for weight, latent in zip(self._weights, self.latents, strict=True)
        ]
        return self.rng.choices(range(len(weights)), weights)[0]

    def step(self, now_s: float) -> None:
        """Advance the common factor to ``now_s``."""
        dt = max(0.0, now_s - self.now_s)
        self.now_s = now_s
        self.factor = self.rng.gauss(0.0, 1.0) * math.sqrt(dt / SECONDS_PER_YEAR) if dt else 0.0
        for latent in self.latents:
            latent.log_price += latent.spec.beta * 0.6 * latent.spec.volatility * self.factor

    def move(self, index: int, now_s: float) -> Latent:
        """Bring one instrument's own noise, regime and excitement to ``now_s``."""
        latent = self.latents[index]
        dt = max(0.0, now_s - latent.updated_s)
        latent.updated_s = now_s
        if dt:
            if self.rng.random() < 1.0 - math.exp(-dt / (20.0 if latent.busy else 90.0)):
                latent.busy = not latent.busy
            volatility = latent.spec.volatility * (2.2 if latent.busy else 0.8)
            noise = self.rng.gauss(0.0, 1.0) * volatility * math.sqrt(dt / SECONDS_PER_YEAR)
            pull = (math.log(latent.spec.anchor_ticks) - latent.log_price) * self.REVERSION_PER_DAY * dt / 86_400
            latent.log_price += noise + pull
            latent.excitement *= math.exp(-self.HAWKES_DECAY * dt)
        return latent

    def ladder(self, index: int, maker: int, inventory_lots: int) -> list[Quote]:
        """Return the quotes maker number ``maker`` wants now: LEVELS on each side, best first, never crossed with each other.

        The centre leans against the inventory (Avellaneda-Stoikov's reservation price, linearised); every maker keeps a slightly
        different width, so that the book has depth at many prices. Bids are ≥ 1 tick.
        """
        latent = self.latents[index]
        spec = latent.spec
        width = spec.half_spread * (1.0 + 0.6 * maker) * (1.8 if latent.busy else 1.0)
        lean = -width * max(-1.5, min(1.5, inventory_lots / (spec.typical_lots * 60.0)))
        centre = latent.ticks * math.exp(lean)
        half = max(0.5, latent.ticks * width)
        quotes = []
        gap = max(1.0, half * 0.8)
        for level in range(self.LEVELS):
            # Depth grows away from the touch, as in real books.
            size = spec.typical_lots * (1.0 + 0.9 * level) * self.rng.uniform(0.6, 1.6)
            qty = self._lots(spec, size)
            bid = max(1, math.floor(centre - half - level * gap))
            ask = max(bid + 1, math.ceil(centre + half + level * gap))
            quotes.append(Quote(1, bid, qty))
            quotes.append(Quote(2, ask, qty))
        return quotes

    def take(self, index: int) -> Take:
        """Return the next taker order of an instrument; arrivals excite more arrivals, the direction persists."""
        latent = self.latents[index]
        spec = latent.spec
        latent.excitement = min(8.0, latent.excitement + self.HAWKES_JUMP)
        if self.rng.random() < 0.22:
            latent.direction = -latent.direction
        # Fundamental traders: far from the anchor the flow prefers the way back.
        distance = (latent.log_price - math.log(spec.anchor_ticks)) / (spec.volatility * 0.1)
        if abs(distance) > 1.0 and self.rng.random() < 0.3:
            latent.direction = -1 if distance > 0 else 1
        size = spec.typical_lots * self.rng.paretovariate(1.9) * 0.5
        qty = self._lots(spec, min(size, spec.typical_lots * 12.0))
        # A taker's view moves the latent price a little: impact that stays.
        latent.log_price += latent.direction * spec.half_spread * 0.06 * math.sqrt(qty / spec.typical_lots)
        side = 1 if latent.direction > 0 else 2
        if self.rng.random() < 0.5:
            return Take(side, 0, qty)
        slip = latent.ticks * spec.half_spread * self.rng.uniform(1.0, 4.0)
        price = math.ceil(latent.ticks + slip) if side == 1 else math.floor(latent.ticks - slip)
        return Take(side, max(1, price), qty)

    def noise_limit(self, index: int) -> Take:
        """Return a passive limit order of an ordinary investor, a few widths away from the latent price."""
        latent = self.latents[index]
        spec = latent.spec
        side = self.rng.choice((1, 2))
        away = latent.ticks * spec.half_spread * (2.0 + self.rng.expovariate(0.25))
        price = math.floor(latent.ticks - away) if side == 1 else math.ceil(latent.ticks + away)
        return Take(side, max(1, price), self._lots(spec, spec.typical_lots * self.rng.uniform(0.2, 2.0)))

    @staticmethod
    def _lots(spec: InstrumentSpec, size: float) -> int:
        lots = max(spec.min_lots, round(size), 1)
        return min(lots, spec.max_lots) if spec.max_lots else lots
