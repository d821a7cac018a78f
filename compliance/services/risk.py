"""How much risk a client brings, from 0 to 100, with the reason for every point. Weights and tables are data (``data/kyc_policy.json``).

Owns the score. Leaves what a band leads to, to ``services/kyc.py`` and ``checks.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compliance.models import KycCase, ScreeningHit
from compliance.ownership import Ownership, ownership_of
from compliance.policy import policy
from compliance.selectors.checklist import answer_of


@dataclass(frozen=True)
class Part:
    """One part of the score."""

    name: str
    points: int
    of: int
    reason: str


def risk_parts(
    *,
    address: dict[str, Any],
    identity: dict[str, Any],
    suitability: dict[str, Any],
    tier_sought: int,
    best_hit: int,
    true_match: bool,
    lands_more: set[str] | None = None,
    owners: Ownership | None = None,
) -> list[Part]:
    """The parts of a score. Pure. ``owners`` and ``lands_more``: of an entity, who is behind it and from where."""
    rules = policy().body["risk"]
    weights: dict[str, int] = rules["weights"]
    lands = {address.get("country", ""), identity.get("nationality", "")} | (lands_more or set())
    high, watched = sorted(lands & set(rules["high_risk_countries"])), sorted(lands & set(rules["watched_countries"]))
    if high:
        geography = (weights["geography"], f"high-risk country: {', '.join(high)}")
    elif watched:
        geography = (weights["geography"] * 3 // 5, f"country under monitoring: {', '.join(watched)}")
    else:
        geography = (0, "no listed country")
    if true_match:
        screening = (weights["screening"], "a sanctioned party")
    elif best_hit:
        screening = (weights["screening"] * best_hit // 100, f"open hit with score {best_hit}")
    else:
        screening = (0, "no open hit")
    product = {0: 0, 1: 3, 2: 5, 3: 10}[tier_sought]
    funds = rules["funds_from"].get(suitability.get("funds_from", ""), 0)
    expected = rules["expected_deposit"].get(suitability.get("expected_deposit", ""), 0)
    customer = f"funds from {suitability.get('funds_from', 'unknown')}"
    if owners is not None:
        opacity = rules["opacity"]
        funds += opacity["layer"] * owners.layers + opacity["unknown_quarter"] * int(owners.unknown // 25)
        customer += f"; {owners.layers} layers of companies, {owners.unknown.normalize():f} % with nobody behind it"
    odd = suitability.get("occupation") == "student" and expected >= 9
    return [
        Part("geography", geography[0], weights["geography"], geography[1]),
        Part("screening", screening[0], weights["screening"], screening[1]),
        Part(
            "product",
            min(product, weights["product"]),
            weights["product"],
            f"tier {tier_sought} sought, remote onboarding",
        ),
        Part(
            "customer",
            min(funds, weights["customer"]),
            weights["customer"],
            customer,
        ),
        Part(
            "activity",
            min(expected, weights["activity"]),
            weights["activity"],
            f"expects {suitability.get('expected_deposit', 'unknown')}",
        ),
        Part(
            "anomaly",
            weights["anomaly"] if odd else 0,
            weights["anomaly"],
            "large amounts from a student" if odd else "nothing unusual",
        ),
    ]


def band_of(score: int) -> str:
    """The band of a score."""
    return str(
        max((row for row in policy().body["risk"]["bands"] if row["from"] <= score), key=lambda row: row["from"])[
            "band"
        ]
    )


def case_score(case: KycCase) -> int:
    """Score a locked case and store score, band and reasons; a true match is prohibited whatever the sum."""
    hits = case.hits.filter(state=ScreeningHit.State.OPEN).values_list("score", flat=True)
    true_match = case.hits.filter(state=ScreeningHit.State.TRUE_MATCH).exists()
    company, tree = answer_of(case, "company"), answer_of(case, "owners").get("nodes", [])
    parts = risk_parts(
        address=company or answer_of(case, "address"),
        identity=answer_of(case, "identity"),
        suitability=company or answer_of(case, "suitability"),
        tier_sought=max(case.tier_sought, case.tier),
        best_hit=max(hits, default=0),
        true_match=true_match,
        lands_more={node.get("nationality") or node.get("country", "") for node in tree},
        owners=ownership_of(tree, owner_from=policy().body["entity"]["owner_from_percent"])
        if case.account_id
        else None,
    )
    case.risk_score = 100 if true_match else sum(part.points for part in parts)
    case.risk_band = KycCase.Band.PROHIBITED if true_match else band_of(case.risk_score)
    case.risk_parts = [
        {"name": part.name, "points": part.points, "of": part.of, "reason": part.reason} for part in parts
    ]
    case.save(update_fields=["risk_score", "risk_band", "risk_parts", "updated_at"])
    return case.risk_score
