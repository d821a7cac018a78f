"""The case's machine: every step there is, every refusal, and what each state does to the permission to trade."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from accounts.models import User
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.models import AuditPending
from compliance.models import KycCase, KycDocument, KycProposal, KycTransition, LivenessCheck, ScreeningHit
from compliance.models.kyc import STEPS, step_exists
from compliance.policy import policy
from compliance.services import clock
from compliance.services.answers import answer_save
from compliance.services.kyc import (
    case_appeal,
    case_decide,
    case_lock,
    case_move,
    case_open,
    case_submit,
    proposal_close,
)
from compliance.tests.factories import ANSWERS, case_filled, client_make, officer_make

pytestmark = pytest.mark.django_db
State = KycCase.State
NOTE = "looked at everything"


def moved(case: KycCase, *states: str) -> KycCase:
    """Walk a case through states."""
    with transaction.atomic():
        case = case_lock(case.pk)
        for state in states:
            case_move(case, state, reason_code="test")
    return case


def allowed(case: KycCase) -> tuple[int, bool]:
    user = User.objects.get(pk=case.user_id)
    return user.kyc_tier, user.trading_allowed


def code_of(error: Any) -> int:
    return int(error.value.code)


def approved() -> KycCase:
    case = case_filled()
    case_submit(user=case.user)
    return moved(case, State.CHECKING, State.APPROVED)


def test_every_state_can_be_reached_and_only_one_is_final() -> None:
    assert set().union(*STEPS.values()) == set(State.values) - {State.DRAFT}
    assert [state for state, steps in STEPS.items() if not steps] == [State.OFFBOARDED]
    assert set(STEPS) == set(State.values)


@pytest.mark.parametrize("state", [state for state in State.values if not step_exists(State.DRAFT, state)])
def test_a_step_the_machine_does_not_have_is_refused(state: str) -> None:
    case = case_filled()
    with pytest.raises(RejectedError) as error:
        moved(case, state)
    assert code_of(error) == RejectCode.KYC_STATE
    assert KycCase.objects.get(pk=case.pk).state == State.DRAFT


def test_a_submission_names_what_is_missing() -> None:
    case = case_filled(steps=("identity", "address"))
    with pytest.raises(RejectedError) as error:
        case_submit(user=case.user)
    assert (code_of(error), error.value.needed) == (7012, "suitability, tax")


def test_an_approval_opens_trading_and_is_written_with_its_evidence() -> None:
    case = approved()
    assert allowed(case) == (1, True)
    step = KycTransition.objects.filter(case=case, to_state=State.APPROVED).get()
    assert set(step.evidence) == {"answer:identity", "answer:address", "answer:suitability", "answer:tax"}
    act = AuditPending.objects.filter(action="kyc_case.moved").last()
    assert act is not None
    assert act.after["state"] == "approved"
    assert act.after["policy"] == policy().version
    assert "Newman" not in str(list(AuditPending.objects.values("before", "after", "reason")))


def test_while_it_is_checked_a_case_takes_no_answers_and_no_second_submission() -> None:
    case = case_filled()
    case_submit(user=case.user)
    for act in (
        lambda: case_submit(user=case.user),
        lambda: answer_save(user=case.user, step="tax", data=ANSWERS["tax"]),
    ):
        with pytest.raises(RejectedError) as error:
            act()
        assert code_of(error) == RejectCode.KYC_STATE
    assert allowed(case) == (0, False)


def test_a_client_who_seeks_a_higher_tier_goes_on_trading() -> None:
    case = approved()
    with pytest.raises(RejectedError) as error:
        case_submit(user=case.user)
    assert code_of(error) == RejectCode.KYC_STATE  # nothing new is given
    answer_save(user=case.user, step="bank", data=ANSWERS["bank"])
    for kind in ("passport", "proof_of_address"):
        KycDocument.objects.create(case=case, kind=kind, media_type="image/jpeg", size=1, digest="d", name=kind)
    with pytest.raises(RejectedError):
        case_submit(user=case.user)  # not before a living person has shown up
    LivenessCheck.objects.create(
        case=case, ref="l", state="passed", tries_left=2, expires_at=utc_now(), created_at=utc_now()
    )
    case_submit(user=case.user)
    assert KycCase.objects.get(pk=case.pk).tier_sought == 2
    assert allowed(case) == (1, True)


def test_a_refusal_ends_trading_and_can_be_appealed_once() -> None:
    case = case_filled()
    case_submit(user=case.user)
    moved(case, State.REVIEW)
    case_decide(case_id=case.pk, officer=officer_make(), decision=State.REJECTED, reason_code="fraud", note=NOTE)
    assert allowed(case) == (0, False)
    assert case_appeal(user=case.user, text="please look again").state == State.REVIEW
    with pytest.raises(RejectedError) as error:
        case_appeal(user=case.user, text="and again")
    assert code_of(error) == RejectCode.KYC_STATE


def test_high_risk_needs_a_second_person_who_is_not_the_first() -> None:
    case = case_filled()
    case_submit(user=case.user)
    moved(case, State.REVIEW)
    KycCase.objects.filter(pk=case.pk).update(risk_band="high")
    first, second = officer_make(), officer_make()
    case_decide(case_id=case.pk, officer=first, decision=State.APPROVED, reason_code="officer", note=NOTE)
    assert allowed(case) == (0, False)
    proposal = KycProposal.objects.get(case=case)
    with pytest.raises(RejectedError) as error:
        proposal_close(proposal_id=proposal.pk, officer=first, confirm=True, note=NOTE)
    assert code_of(error) == RejectCode.SECOND_REVIEWER
    proposal_close(proposal_id=proposal.pk, officer=second, confirm=True, note=NOTE)
    assert allowed(case) == (1, True)
    with pytest.raises(RejectedError) as error:
        proposal_close(proposal_id=proposal.pk, officer=second, confirm=True, note=NOTE)
    assert code_of(error) == RejectCode.KYC_STATE


def test_a_declined_proposal_leaves_the_case_where_it_was() -> None:
    case = case_filled()
    case_submit(user=case.user)
    moved(case, State.REVIEW)
    KycCase.objects.filter(pk=case.pk).update(risk_band="high")
    case_decide(case_id=case.pk, officer=officer_make(), decision=State.APPROVED, reason_code="officer", note=NOTE)
    proposal_close(
        proposal_id=KycProposal.objects.get().pk, officer=officer_make(), confirm=False, note="not convinced"
    )
    assert KycCase.objects.get(pk=case.pk).state == State.REVIEW


def test_an_appeal_is_an_override_by_two_people() -> None:
    case = case_filled()
    case_submit(user=case.user)
    moved(case, State.REVIEW, State.REJECTED)
    case_appeal(user=case.user, text="please look again")
    case_decide(case_id=case.pk, officer=officer_make(), decision=State.APPROVED, reason_code="officer", note=NOTE)
    assert KycProposal.objects.filter(case=case, state="open").exists()
    assert KycCase.objects.get(pk=case.pk).state == State.REVIEW


@pytest.mark.parametrize("state", ["open", "true_match"])
def test_nobody_is_approved_with_a_hit_open_or_true(state: str) -> None:
    case = case_filled()
    case_submit(user=case.user)
    moved(case, State.REVIEW)
    ScreeningHit.objects.create(
        case=case, source="sdn", ent_num=1, listed_name="X", score=90, party_digest="d", state=state
    )
    with pytest.raises(RejectedError) as error:
        case_decide(case_id=case.pk, officer=officer_make(), decision=State.APPROVED, reason_code="officer", note=NOTE)
    assert code_of(error) == RejectCode.KYC_STATE


@pytest.mark.parametrize(
    ("_case", "decision", "note", "code"),
    [
        ("no reason", State.APPROVED, "   ", RejectCode.MISSING_FIELD),
        ("more info without saying what", State.MORE_INFO, NOTE, RejectCode.MISSING_FIELD),
        ("a step that is not here", State.OFFBOARDED, NOTE, RejectCode.KYC_STATE),
    ],
)
def test_a_decision_is_refused(_case: str, decision: str, note: str, code: int) -> None:
    case = case_filled()
    case_submit(user=case.user)
    moved(case, State.REVIEW)
    with pytest.raises(RejectedError) as error:
        case_decide(case_id=case.pk, officer=officer_make(), decision=decision, reason_code="officer", note=note)
    assert code_of(error) == code


def test_nobody_decides_their_own_case() -> None:
    officer = officer_make()
    case = case_filled(officer)
    case_submit(user=officer)
    moved(case, State.REVIEW)
    with pytest.raises(RejectedError) as error:
        case_decide(case_id=case.pk, officer=officer, decision=State.APPROVED, reason_code="officer", note=NOTE)
    assert code_of(error) == RejectCode.SECOND_REVIEWER


def test_an_expired_document_asks_for_another_then_restricts_after_the_grace_time() -> None:
    case = approved()
    yesterday = utc_now().date() - timedelta(days=1)
    KycDocument.objects.create(
        case=case,
        kind="passport",
        state="accepted",
        expires_on=yesterday,
        media_type="image/jpeg",
        size=1,
        digest="d",
        name="n",
    )
    assert clock.documents_expire() == 1
    case.refresh_from_db()
    assert (case.state, case.actions[0]["step"]) == (State.MORE_INFO, "id_document")
    assert "passport" in case.actions[0]["text"]
    assert allowed(case) == (1, True)
    assert clock.grace_end() == 0
    KycCase.objects.filter(pk=case.pk).update(grace_until=utc_now() - timedelta(seconds=1))
    assert clock.grace_end() == 1
    case.refresh_from_db()
    assert case.state == State.RESTRICTED
    assert allowed(case) == (1, False)
    assert clock.documents_expire() == 0


def test_lifting_a_restriction_takes_two_people_and_a_review() -> None:
    case = moved(approved(), State.RESTRICTED)
    case_decide(
        case_id=case.pk, officer=officer_make(), decision=State.PERIODIC_REVIEW, reason_code="officer", note=NOTE
    )
    assert allowed(case) == (1, False)
    proposal_close(proposal_id=KycProposal.objects.get().pk, officer=officer_make(), confirm=True, note=NOTE)
    assert allowed(case) == (1, True)


def test_a_due_review_queues_the_case_and_trading_goes_on() -> None:
    case = approved()
    assert clock.reviews_begin() == 0
    KycCase.objects.filter(pk=case.pk).update(review_due_at=utc_now() - timedelta(days=1))
    assert clock.reviews_begin() == 1
    case.refresh_from_db()
    assert case.state == State.PERIODIC_REVIEW
    assert allowed(case) == (1, True)


def test_who_was_verified_before_there_were_cases_begins_approved() -> None:
    case = case_open(user=client_make(kyc_tier=2, trading_allowed=True))
    assert (case.state, case.tier, case.reason_code) == (State.APPROVED, 2, "verified_before")


@pytest.mark.parametrize(
    ("_case", "step", "change", "field"),
    [
        ("too young", "identity", {"birth_date": "2015-01-01"}, "birth_date"),
        ("not born yet", "identity", {"birth_date": "2190-01-01"}, "birth_date"),
        ("tax number", "tax", {"tax_number": "1955839662"}, "tax_number"),
        ("IBAN", "bank", {"iban": "GB29NWBK60161331926818"}, "iban"),
        ("zone", "identity", {"mrz": "P<GBR"}, "mrz"),
    ],
)
def test_details_that_do_not_check_name_their_field(_case: str, step: str, change: dict[str, str], field: str) -> None:
    with pytest.raises(RejectedError) as error:
        answer_save(user=client_make(), step=step, data=ANSWERS[step] | change)
    assert (code_of(error), error.value.field) == (7016, field)


def test_a_country_that_is_not_served_is_told_so() -> None:
    with pytest.raises(RejectedError) as error:
        answer_save(user=client_make(), step="address", data=ANSWERS["address"] | {"country": "KP"})
    assert code_of(error) == RejectCode.NOT_SERVED


def test_answers_are_sealed_and_set_the_jurisdiction() -> None:
    case = case_filled(address={"country": "DE"})
    assert case.jurisdiction == "EU"
    assert all(b"Newman" not in bytes(answer.sealed) for answer in case.answers.all())
