"""The compliance officers' pages: the queue, a case and its file, its decision, its screening hits, decisions that wait for a second person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from brokerage.kernel.errors import RejectedError
from brokerage.platform.audit import record
from brokerage.platform.pdf import pdf_make, pdf_response
from brokerage.platform.problems import refusal_text
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from compliance.models import KycCase, KycProposal, ScreeningHit
from compliance.selectors.cases import VIEWS, case_file, queue_of
from compliance.selectors.checklist import BY_NAME, steps_for
from compliance.selectors.papers import case_paper
from compliance.services.documents import link_make
from compliance.services.kyc import DECISIONS, case_decide, last_refuser, needs_two, proposal_close
from compliance.services.sanctions import hit_decide
from compliance.views.common import made_for

PAGE = 50
REASONS = (
    ("identity_proven", "Identity and address proven"),
    ("hits_cleared", "Screening hits cleared"),
    ("periodic_review_done", "Periodic review done"),
    ("document_unclear", "Document unclear or missing"),
    ("source_of_funds", "Source of funds to be shown"),
    ("identity_doubt", "Doubt about the identity"),
    ("sanctions_match", "Sanctioned party"),
    ("risk_appetite", "Outside our risk appetite"),
    ("client_request", "At the client's request"),
)


@never_cache
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """Cases by risk and age."""
    view = request.GET.get("view", "open")
    view = view if view in VIEWS else "open"
    page = Paginator(queue_of(view), PAGE).get_page(request.GET.get("page"))
    return render(request, "compliance/kyc_queue.html", {"page": "kyc", "view": view, "views": VIEWS, "rows": page})


@never_cache
@require_safe
def case(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """One case with everything known; looking is recorded."""
    found = get_object_or_404(KycCase.objects.select_related("user", "account__owner"), pk=case_id)
    record("kyc_case.viewed", object_type="kyc_case", object_id=found.pk)
    file = case_file(found)
    states = dict(KycCase.State.choices)
    decisions = [(state, states[state], needs_two(found, state)) for state in DECISIONS.get(found.state, ())]
    context = {
        "page": "kyc",
        "case": found,
        "file": file,
        "documents": [
            (row, link_make(row, request.user) if row.state != "quarantined" else "", row.media_type == "image/jpeg")
            for row in file.documents
        ],
        "decisions": decisions,
        "two": any(two for _, _, two in decisions),
        "reasons": REASONS,
        "steps": steps_for(found),
        "appeal": found.transitions.filter(reason_code="appeal").first() if found.reason_code == "appeal" else None,
        "refuser": found.reason_code == "appeal" and last_refuser(found) == str(request.user.pk),
        "proposal": next((row for row in file.proposals if row.state == KycProposal.State.OPEN), None),
        "own": found.person.pk == request.user.pk,
    }
    return render(request, "compliance/kyc_case.html", context)


@refusing_page
@never_cache
@require_safe
def paper(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """The case's file as PDF; who took it and which file it was is recorded."""
    throttle_demand("download", str(request.user.pk))
    found = get_object_or_404(KycCase.objects.select_related("user", "account__owner"), pk=case_id)
    made = pdf_make(case_paper(found, **made_for(request)))
    record("kyc_case.exported", object_type="kyc_case", object_id=found.pk, after=made.named())
    return pdf_response(f"kyc-{found.pk}.pdf", made)


def _done(request: HttpRequest, case_id: Any, act: Callable[[], str]) -> HttpResponse:
    """Do the act, which answers what to say; then the case again."""
    try:
        messages.success(request, act())
    except RejectedError as error:
        messages.error(request, refusal_text(error))
    return redirect("kyc-case", case_id=case_id)


@require_POST
def decide(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Decide, or propose where two people are needed."""
    get_object_or_404(KycCase, pk=case_id)
    sent = request.POST
    reason = sent.get("reason_code", "")
    names = set(BY_NAME)
    step, text = sent.get("step", ""), sent.get("action_text", "").strip()[:300]
    actions = [{"step": step, "code": "officer", "text": text}] if step in names and text else []

    def act() -> str:
        case_decide(
            case_id=case_id,
            officer=request.user,
            decision=sent.get("decision", ""),
            reason_code=reason if reason in dict(REASONS) else "officer",
            note=sent.get("note", "")[:1000],
            actions=actions,
        )
        waits = KycProposal.objects.filter(case_id=case_id, state=KycProposal.State.OPEN).exists()
        return "Proposed: a second person has to confirm it." if waits else "Decided."

    return _done(request, case_id, act)


@require_POST
def proposal(request: HttpRequest, proposal_id: int) -> HttpResponse:
    """Confirm or turn down what somebody else proposed."""
    row = get_object_or_404(KycProposal, pk=proposal_id)

    def act() -> str:
        proposal_close(
            proposal_id=proposal_id,
            officer=request.user,
            confirm=request.POST.get("answer") == "confirm",
            note=request.POST.get("note", "")[:900],
        )
        return "Noted."

    return _done(request, row.case_id, act)


@require_POST
def hit(request: HttpRequest, hit_id: UUID) -> HttpResponse:
    """Say whether a hit is the client."""
    row = get_object_or_404(ScreeningHit, pk=hit_id)

    def act() -> str:
        hit_decide(
            hit_id=hit_id,
            officer=request.user,
            same=request.POST.get("answer") == "same",
            reason=request.POST.get("reason", "")[:500],
        )
        return "Noted."

    return _done(request, row.case_id, act)
