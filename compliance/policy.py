"""The rules that change without code: tiers, jurisdictions, risk weights, ages. Data in ``data/kyc_policy.json``, read and checked once.

Every decision notes the version it was made under. Owns reading. Leaves applying to the services.
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
class Jurisdiction:
    """What a client's country brings with it."""

    code: str
    leverage_cap: int
    disclosures: tuple[str, ...]
    reports: tuple[str, ...]


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

    def limits(self, tier: int) -> dict[str, str]:
        """The money limits of a tier, as decimal texts."""
        return dict(self.body["tier_limits"][str(tier)])

    def jurisdiction_of(self, country: str) -> Jurisdiction:
        """The profile of a country; ROW for those without one of their own."""
        for code, row in self.body["jurisdictions"].items():
            if country in row["countries"] or code == "ROW":
                return Jurisdiction(code, row["leverage_cap"], tuple(row["disclosures"]), tuple(row["reports"]))
        raise ValueError("the policy has no ROW profile")

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
