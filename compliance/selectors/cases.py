"""What officers look at: the queue and one case with everything known about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from brokerage.kernel.clock import utc_now
from brokerage.platform.crypto import KeyDestroyedError
from compliance.models import KycCase, KycDocument, KycProposal, ScreeningHit
from compliance.ownership import Ownership, ownership_of
from compliance.policy import policy
from compliance.selectors.checklist import BY_NAME, answer_of, answer_open

#: The due list looks this far ahead.
DUE_DAYS = 60
#: Name of a view of the queue -> states in it.
VIEWS: dict[str, tuple[str, ...]] = {
    "open": ("review", "periodic_review", "edd"),
    "waiting": ("submitted", "checking", "more_info"),
    "due": ("approved",),
    "approved": ("approved",),
    "closed": ("rejected", "restricted", "offboarded"),
}


def queue_of(view: str) -> QuerySet[KycCase]:
    """Cases of a view, the riskiest first, then the oldest."""
    waiting = KycProposal.objects.filter(case=OuterRef("pk"), state=KycProposal.State.OPEN)
    hits = ScreeningHit.objects.filter(case=OuterRef("pk"), state=ScreeningHit.State.OPEN)
    # A proposal brings its case to the officers wherever it stands.
    wanted = Q(state__in=VIEWS[view]) | Q(proposed=True) if view == "open" else Q(state__in=VIEWS[view])
    rows = (
        KycCase.objects.select_related("user", "account__owner")
        .annotate(proposed=Exists(waiting), open_hits=Exists(hits))
        .filter(wanted)
    )
    if view == "due":
        soon = utc_now() + timedelta(days=DUE_DAYS)
        return rows.filter(review_due_at__lte=soon).order_by("review_due_at", "pk")
    return rows.order_by(F("risk_score").desc(nulls_last=True), F("submitted_at").asc(nulls_last=True), "pk")


@dataclass(frozen=True)
class CaseFile:
    """Everything on one page."""

    answers: list[tuple[str, dict[str, Any]]]
    documents: list[KycDocument]
    checks: list[Any]
    hits: list[ScreeningHit]
    proposals: list[KycProposal]
    transitions: list[Any]
    liveness: list[Any]
    tree: Ownership | None


def case_file(case: KycCase) -> CaseFile:
    """The file of a case; bounded lists. Answers of an erased client are gone."""
    answers = []
    for answer in case.answers.exclude(step="owners").order_by("step"):
        try:
            answers.append((BY_NAME[answer.step].title, answer_open(answer)))
        except KeyDestroyedError:
            answers.append((BY_NAME[answer.step].title, {"": "erased"}))
    return CaseFile(
        answers,
        list(case.documents.exclude(state__in=("replaced", "infected"))[:20]),
        list(case.checks.filter(check_round=case.check_round)),
        list(case.hits.select_related("decided_by")[:50]),
        list(case.proposals.select_related("maker", "checker")[:20]),
        list(case.transitions.all()[:50]),
        list(case.liveness.all()[:10]),
        _tree(case),
    )


def _tree(case: KycCase) -> Ownership | None:
    """Who is behind an entity; None for a person and for an erased one."""
    if not case.account_id:
        return None
    try:
        nodes = answer_of(case, "owners").get("nodes", [])
    except KeyDestroyedError:
        return None
    return ownership_of(nodes, owner_from=policy().body["entity"]["owner_from_percent"])
