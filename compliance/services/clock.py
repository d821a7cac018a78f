"""What time does to cases: documents run out, grace ends, reviews fall due. Run by beat; safe to repeat."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from brokerage.kernel.clock import utc_now
from compliance.models import KycCase, KycDocument
from compliance.services.kyc import SYSTEM, State, case_lock, case_move

BATCH = 200
#: Warned of this many days before a document runs out.
EXPIRY_NOTICE_DAYS = 0


def documents_expire() -> int:
    """Ask for a new document where an accepted one has run out; the client keeps trading for the grace time."""
    today = utc_now().date() + timedelta(days=EXPIRY_NOTICE_DAYS)
    rows = KycDocument.objects.filter(
        state=KycDocument.State.ACCEPTED, expires_on__lt=today, case__state__in=(State.APPROVED, State.PERIODIC_REVIEW)
    ).order_by("pk")[:BATCH]
    moved = 0
    for document in rows:
        with transaction.atomic():
            case = case_lock(document.case_id)
            if case.state not in {State.APPROVED, State.PERIODIC_REVIEW}:
                continue
            document.state, document.reason = KycDocument.State.REJECTED, "It has run out."
            document.save(update_fields=["state", "reason"])
            step = "address_document" if document.kind == KycDocument.Kind.PROOF_OF_ADDRESS else "id_document"
            text = f"Your {document.get_kind_display().lower()} ran out on {document.expires_on:%Y-%m-%d}. Upload a valid one."
            case_move(
                case,
                State.MORE_INFO,
                reason_code="document_expired",
                actor=SYSTEM,
                actions=[{"step": step, "code": "document_expired", "text": text}],
            )
            moved += 1
    return moved


def grace_end() -> int:
    """Restrict approved clients whose grace time has run out without an answer."""
    ids = list(
        KycCase.objects.filter(state=State.MORE_INFO, grace_until__lte=utc_now(), tier__gt=0).values_list(
            "pk", flat=True
        )[:BATCH]
    )
    for case_id in ids:
        with transaction.atomic():
            case = case_lock(case_id)
            if case.state == State.MORE_INFO and case.grace_until is not None and case.grace_until <= utc_now():
                case_move(case, State.RESTRICTED, reason_code="grace_over", actor=SYSTEM, actions=case.actions)
    return len(ids)


def reviews_begin() -> int:
    """Put approved cases whose review is due in the officers' queue; trading goes on."""
    due = Q(state=State.APPROVED, review_due_at__lte=utc_now())
    ids = list(KycCase.objects.filter(due).values_list("pk", flat=True)[:BATCH])
    for case_id in ids:
        with transaction.atomic():
            case = case_lock(case_id)
            if case.state == State.APPROVED and case.review_due_at is not None and case.review_due_at <= utc_now():
                case_move(case, State.PERIODIC_REVIEW, reason_code="review_due", actor=SYSTEM)
    return len(ids)
