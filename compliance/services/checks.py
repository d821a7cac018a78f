"""Running a submission's checks: our own first, then the vendor's, then one answer out of all of them.

Every step may be repeated: the vendor is asked with ids of ours, results are upserted by the vendor's time, and a case is settled once because
settling moves it out of ``checking``. What a webhook says is never believed: it makes us fetch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction

from brokerage.kernel.clock import utc_now
from brokerage.platform.audit import record
from brokerage.platform.jobs import enqueue
from compliance.models import KycCase, KycCheck, KycDocument, ProviderEvent, ScreeningHit
from compliance.policy import policy
from compliance.providers.base import ApplicantUnknownError, CheckResult, DocumentNote, Event, Subject
from compliance.providers.sandbox import provider
from compliance.selectors.checklist import BY_NAME, answer_of
from compliance.services.kyc import SYSTEM, State, case_lock, case_move
from compliance.services.liveness import liveness_fetch
from compliance.services.risk import case_score
from compliance.services.sanctions import case_screen

POLL_S = 15
Outcome = KycCheck.Outcome


def checks_start(case_id: Any) -> None:
    """Begin the checks of a submitted case; raises ProviderError when the vendor is away (the task tries again)."""
    case = KycCase.objects.filter(pk=case_id, state=State.SUBMITTED).select_related("user").first()
    if case is None:
        return
    subject = _subject(case)
    if not policy().served(subject.country):
        with transaction.atomic():
            locked = case_lock(case.pk)
            if locked.state == State.SUBMITTED:
                case_move(locked, State.REJECTED, reason_code="not_served", actor=SYSTEM)
        return
    documents = list(case.documents.filter(state__in=(KycDocument.State.STORED, KycDocument.State.ACCEPTED)))
    names = _check_names(case, {row.kind for row in documents})
    vendor = provider()
    ref = vendor.create_applicant(subject)
    vendor.start_check(ref, names, [DocumentNote(row.kind, row.digest) for row in documents])
    with transaction.atomic():
        locked = case_lock(case.pk)
        if locked.state != State.SUBMITTED:
            return
        for name in names:
            KycCheck.objects.get_or_create(
                case=locked, check_round=locked.check_round, name=name, defaults={"provider": vendor.name}
            )
        case_screen(locked)
        case_score(locked)
        locked.provider_ref, locked.poll_at = ref, utc_now() + timedelta(seconds=POLL_S)
        case_move(locked, State.CHECKING, reason_code="checks_started", actor=SYSTEM)


def _subject(case: KycCase) -> Subject:
    """Whom the vendor is to check: the person, or the entity under its legal name."""
    external = f"{case.pk}:{case.check_round}"
    if case.account_id:
        company = answer_of(case, "company")
        return Subject(external, "", company["legal_name"], company["founded_on"], company["country"])
    identity, address = answer_of(case, "identity"), answer_of(case, "address")
    return Subject(external, identity["first_name"], identity["last_name"], identity["birth_date"], address["country"])


def _check_names(case: KycCase, kinds: set[str]) -> list[str]:
    if case.account_id:
        return ["company", "document"]
    names = ["identity"]
    if kinds & set(BY_NAME["id_document"].kinds):
        names.append("document")
    if "proof_of_address" in kinds:
        names.append("address")
    return names


def results_fetch(case_id: Any) -> None:
    """Ask the vendor how a case stands and settle it when everything is known. The fallback of the webhooks calls the same."""
    case = KycCase.objects.filter(pk=case_id, state=State.CHECKING).first()
    if case is None:
        return
    try:
        results = provider().fetch(case.provider_ref)
    except ApplicantUnknownError:
        # The vendor has lost it (the sandbox forgets at a restart): the same ids make it anew.
        _begin_again(case)
        return
    results_apply(case_id, case.provider_ref, results)


def _begin_again(case: KycCase) -> None:
    vendor = provider()
    ref = vendor.create_applicant(_subject(case))
    names = list(case.checks.filter(check_round=case.check_round).values_list("name", flat=True))
    vendor.start_check(ref, names, [])
    KycCase.objects.filter(pk=case.pk, state=State.CHECKING).update(
        provider_ref=ref, poll_at=utc_now() + timedelta(seconds=POLL_S)
    )


def results_apply(case_id: Any, ref: str, results: Sequence[CheckResult]) -> None:
    """Note results that are newer than what is known; settle when none is pending."""
    with transaction.atomic():
        case = case_lock(case_id)
        if case.state != State.CHECKING or case.provider_ref != ref:
            return
        mine = {row.name: row for row in case.checks.filter(check_round=case.check_round)}
        for result in results:
            check = mine.get(result.check)
            if check is None or (check.occurred_at is not None and check.occurred_at >= result.occurred_at):
                continue
            check.outcome, check.reasons = result.outcome, list(result.reasons)
            check.raw_ref, check.occurred_at = result.raw_ref, result.occurred_at
            check.save()
        if any(check.outcome == Outcome.PENDING for check in mine.values()):
            case.poll_at = utc_now() + timedelta(seconds=POLL_S)
            case.save(update_fields=["poll_at"])
            return
        _settle(case, list(mine.values()))


def _settle(case: KycCase, checks: list[KycCheck]) -> None:
    """One answer out of all checks, the gravest first."""
    case.poll_at = None
    outcomes = {check.outcome for check in checks}
    if Outcome.REJECT in outcomes:
        case_move(case, State.REJECTED, reason_code="check_failed", actor=SYSTEM)
    elif Outcome.RETRY in outcomes:
        case_move(case, State.MORE_INFO, reason_code="check_retry", actor=SYSTEM, actions=_actions(case, checks))
    elif case.hits.filter(state__in=(ScreeningHit.State.OPEN, ScreeningHit.State.TRUE_MATCH)).exists():
        case_move(case, State.REVIEW, reason_code="screening_hit", actor=SYSTEM)
    elif case.risk_band in {KycCase.Band.HIGH, KycCase.Band.PROHIBITED}:
        case_move(case, State.REVIEW, reason_code="high_risk", actor=SYSTEM)
    elif Outcome.CONSIDER in outcomes:
        case_move(case, State.REVIEW, reason_code="check_consider", actor=SYSTEM)
    elif case.account_id:
        # Nobody but a person can say that a structure of owners makes sense.
        case_move(case, State.REVIEW, reason_code="entity", actor=SYSTEM)
    else:
        case.documents.filter(state=KycDocument.State.STORED).update(state=KycDocument.State.ACCEPTED)
        case_move(case, State.APPROVED, reason_code="checks_clear", actor=SYSTEM)


def _actions(case: KycCase, checks: list[KycCheck]) -> list[dict[str, str]]:
    """What the client is asked to do again: the exact document, with the vendor's reason."""
    steps = {"identity": "identity", "document": "id_document", "address": "address_document", "company": "company"}
    if case.account_id:
        steps["document"] = "registry_document"
    actions = []
    for check in checks:
        if check.outcome != Outcome.RETRY:
            continue
        step = steps[check.name]
        reason = " ".join(check.reasons) or "It could not be checked."
        text = reason
        if BY_NAME[step].kind == "document":
            document = case.documents.filter(kind__in=BY_NAME[step].kinds, state=KycDocument.State.STORED).first()
            if document is not None:
                document.state, document.reason = KycDocument.State.REJECTED, reason[:200]
                document.save(update_fields=["state", "reason"])
                text = f"{document.get_kind_display()}: {reason} Upload it again."
        else:
            case.answers.filter(step=step).delete()
        actions.append({"step": step, "code": "check_retry", "text": text[:300]})
    return actions


def event_take(*, vendor: str, event: Event, digest: str) -> bool:
    """Note a genuine webhook and queue the work; False when it was told before."""
    with transaction.atomic():
        _, made = ProviderEvent.objects.get_or_create(
            event_id=event.event_id,
            defaults={
                "provider": vendor,
                "kind": event.kind,
                "ref": event.ref,
                "occurred_at": event.occurred_at,
                "digest": digest,
            },
        )
        if made:
            record(
                "kyc_webhook.taken", object_type="provider_event", object_id=event.event_id, after={"kind": event.kind}
            )
            enqueue("compliance.tasks.kyc_event", event_id=event.event_id)
    return made


def event_process(event_id: str) -> None:
    """Fetch what the event is about. Order does not matter: each asks for the present state."""
    event = ProviderEvent.objects.filter(event_id=event_id, processed_at=None).first()
    if event is None:
        return
    if event.kind.startswith("liveness."):
        liveness_fetch(event.ref)
    case = KycCase.objects.filter(provider_ref=event.ref).first()
    if case is not None:
        results_fetch(case.pk)
    ProviderEvent.objects.filter(pk=event.pk).update(processed_at=utc_now())
