"""What a client may trade and how much: limits of a tier, caps and bans of a jurisdiction, risk warnings, appropriateness. Pure.

The tables are data (``data/trading_policy.json``), read once. Owns reading them and saying what they mean for one client and one product.
Leaves refusing to ``trading/services/limits.py`` and what decides tier and jurisdiction to ``compliance``. Amounts are US dollars.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

#: Of every amount in the tables.
CURRENCY = "USD"
PATH = Path(__file__).parent / "data" / "trading_policy.json"


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A text to be accepted. ``key`` names its version too: a new version is accepted anew."""

    code: str
    version: int
    title: str
    text: str

    @property
    def key(self) -> str:
        """What an acceptance is stored under."""
        return f"{self.code}@{self.version}"


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    """What a client's country brings with it. A product without a cap has no leverage to cap."""

    code: str
    name: str
    leverage_caps: dict[str, int]
    banned: frozenset[str]
    disclosures: dict[str, tuple[str, ...]]
    reports: tuple[str, ...]

    @property
    def leverage_cap(self) -> int:
        """The highest cap of any product."""
        return max(self.leverage_caps.values())


@dataclass(frozen=True, slots=True)
class TierLimits:
    """What one tier allows. ``None``: no limit of its own. An order's value is price times quantity."""

    order_usd: Decimal
    order_day_usd: Decimal
    open_orders: int
    deposit_30d_usd: Decimal
    withdrawal_day_usd: Decimal
    #: Up to here one member of staff lets a withdrawal go; above it takes two.
    payout_alone_usd: Decimal
    product_order_usd: dict[str, Decimal]
    product_day_usd: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Payouts:
    """Hours: until a new destination can be used; for how long it counts as new; how soon after a deposit money going out is looked at."""

    cool_off_h: int
    new_h: int
    quick_h: int


@dataclass(frozen=True, slots=True)
class TradingPolicy:
    """One version of the tables."""

    version: str
    tiers: tuple[TierLimits, ...]
    payouts: Payouts
    products: dict[str, dict[str, Any]]
    jurisdictions: dict[str, Jurisdiction]
    countries: dict[str, str]
    disclosures: dict[str, Disclosure]
    questions: int
    refuse_below: int
    warn_below: int
    warning: str

    def jurisdiction_of(self, country: str) -> Jurisdiction:
        """The profile of a country (ISO 3166-1 alpha-2); ROW for those without one of their own."""
        return self.jurisdictions[self.countries.get(country, "ROW")]


@dataclass(frozen=True, slots=True)
class ClientRules:
    """One client under the policy. ``right_answers`` of the questions about trading, None when not asked yet."""

    tier: int
    jurisdiction: str
    right_answers: int | None
    accepted: frozenset[str]

    @property
    def limits(self) -> TierLimits:
        """The limits of the client's tier."""
        return trading_policy().tiers[self.tier]

    @property
    def profile(self) -> Jurisdiction:
        """The client's jurisdiction."""
        return trading_policy().jurisdictions[self.jurisdiction]

    def banned(self, product: str) -> bool:
        """True for what may not be offered to retail clients there."""
        return product in self.profile.banned

    def inappropriate(self, product: str) -> bool:
        """True where the client's answers rule the product out; unasked counts as none right."""
        rules = trading_policy()
        return bool(rules.products[product]["complex"]) and (self.right_answers or 0) < rules.refuse_below

    def texts(self, product: str) -> tuple[Disclosure, ...]:
        """What must be accepted before the first order in a product; the warning too, where answers were wrong."""
        rules = trading_policy()
        codes = list(self.profile.disclosures.get(product, ()))
        if rules.products[product]["complex"] and (self.right_answers or 0) < rules.warn_below:
            codes.append(rules.warning)
        return tuple(rules.disclosures[code] for code in codes)

    def texts_open(self, product: str) -> tuple[Disclosure, ...]:
        """Those of ``texts`` not accepted yet."""
        return tuple(row for row in self.texts(product) if row.key not in self.accepted)


def product_of(kind: str, asset_class: str) -> str:
    """The product class of an instrument: its asset class when it is bought outright; margin on anything but currencies is a CFD."""
    return asset_class if kind == "spot" or asset_class == "fx" else f"{asset_class}_cfd"


def _tier(row: dict[str, Any]) -> TierLimits:
    amounts = {
        name: Decimal(row[name])
        for name in ("order_usd", "order_day_usd", "deposit_30d_usd", "withdrawal_day_usd", "payout_alone_usd")
    }
    return TierLimits(
        **amounts,
        open_orders=row["open_orders"],
        product_order_usd={name: Decimal(item["order_usd"]) for name, item in row["products"].items()},
        product_day_usd={name: Decimal(item["day_usd"]) for name, item in row["products"].items()},
    )


@lru_cache(maxsize=1)
def trading_policy() -> TradingPolicy:
    """The tables of this process; ValueError when they do not fit together."""
    body = json.loads(PATH.read_text())
    jurisdictions = {
        code: Jurisdiction(
            code,
            row["name"],
            row["leverage_caps"],
            frozenset(row["banned"]),
            {product: tuple(codes) for product, codes in row["disclosures"].items()},
            tuple(row["reports"]),
        )
        for code, row in body["jurisdictions"].items()
    }
    disclosures = {code: Disclosure(code, **row) for code, row in body["disclosures"].items()}
    quiz = body["appropriateness"]
    named = {code for row in jurisdictions.values() for codes in row.disclosures.values() for code in codes}
    used = {name for row in jurisdictions.values() for name in (*row.leverage_caps, *row.banned, *row.disclosures)}
    if (
        not named | {quiz["warning"]} <= set(disclosures)
        or not used <= set(body["products"])
        or "ROW" not in jurisdictions
    ):
        raise ValueError("the trading policy names a text, product or jurisdiction that it does not have")
    return TradingPolicy(
        body["version"],
        tuple(_tier(body["tiers"][str(tier)]) for tier in range(4)),
        Payouts(**body["payouts"]),
        body["products"],
        jurisdictions,
        {country: code for code, row in body["jurisdictions"].items() for country in row["countries"]},
        disclosures,
        quiz["questions"],
        quiz["refuse_below"],
        quiz["warn_below"],
        quiz["warning"],
    )
