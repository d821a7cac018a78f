"""The rules of knowing a client that change without code: steps of the tiers, risk weights, ages. Data in ``data/kyc_policy.json``.

Every decision notes the version it was made under. Owns reading. Leaves applying to the services, and what a tier and a country
let a client trade to ``accounts/trading_policy.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "data" / "kyc_policy.json"


@dataclass(frozen=True)
class Tier:
    """How far somebody is verified, what it opens and the steps it takes."""

    tier: int
    name: str
    opens: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """One version of the rules."""

    version: str
    tiers: tuple[Tier, ...]
    body: dict[str, Any]

    def tier_of(self, done: set[str]) -> int:
        """The highest tier whose steps are all done."""
        return max(tier.tier for tier in self.tiers if set(tier.steps) <= done)

    def missing(self, tier: int, done: set[str]) -> list[str]:
        """Steps still to do for a tier, in order."""
        return [step for step in self.tiers[tier].steps if step not in done]

    @property
    def entity_tier(self) -> int:
        """The tier of an entity whose case is approved."""
        return int(self.body["entity"]["tier"])

    def entity_missing(self, done: set[str]) -> list[str]:
        """Steps of an entity still to do, in order."""
        return [step for step in self.body["entity"]["steps"] if step not in done]

    def served(self, country: str) -> bool:
        """True when residents of the country may become clients."""
        return country not in self.body["not_served"]


@lru_cache(maxsize=1)
def policy() -> Policy:
    """The rules of this process."""
    body = json.loads(PATH.read_text())
    tiers = tuple(Tier(row["tier"], row["name"], row["opens"], tuple(row["steps"])) for row in body["tiers"])
    if [tier.tier for tier in tiers] != [0, 1, 2, 3] or sum(body["risk"]["weights"].values()) != 100:
        raise ValueError("the KYC policy needs tiers 0 to 3 and risk weights that sum to 100")
    return Policy(body["version"], tiers, body)
