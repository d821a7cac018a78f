"""The check that a living person is there: begun with the vendor, answered by the client, decided by the vendor's word.

The vendor draws the challenge, sets its end and counts the tries; a webhook makes us fetch, a poll makes up for lost ones. The sandbox has no
camera: it compares the movements the client says they made with those it asked for (docs/kyc.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction

from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.problems import ApiProblem
from compliance.models import KycCase, LivenessCheck
from compliance.policy import policy
from compliance.providers.base import ApplicantUnknownError, LivenessResult, ProviderError, Subject
from compliance.providers.sandbox import provider
from compliance.selectors.checklist import answer_of
from compliance.services.kyc import CLIENT_STATES

State = LivenessCheck.State
RUNNING = (State.OPEN, State.PENDING, State.RETRY)
DAY = timedelta(days=1)


def _refuse(needed: str, available: str, next_step: str | None = None) -> RejectedError:
    return ApiProblem(RejectCode.LIVENESS_REFUSED, needed=needed, available=available, next_step=next_step)


def liveness_last(case: KycCase) -> LivenessCheck | None:
    """The newest check of a case, with the end of its time applied."""
    row = case.liveness.first()
    if row is not None and row.state in {State.OPEN, State.RETRY} and row.expires_at <= utc_now():
        _close(row, State.EXPIRED, "The time to answer is over.")
    return row


def liveness_begin(*, case: KycCase) -> LivenessCheck:
    """Begin a check, or go on with the one that runs. 7028 without the identity step, when it is passed, or after too many of a day."""
    identity, address = answer_of(case, "identity"), answer_of(case, "address")
    if case.state not in CLIENT_STATES:
        raise RejectedError(RejectCode.KYC_STATE, needed="draft, action required or approved", available=case.state)
    if not identity:
        raise _refuse("the step “Who you are” first", "not done", "Fill it in at /onboarding/steps/identity.")
    last = liveness_last(case)
    if last is not None and last.state in RUNNING:
        return last
    if last is not None and last.state == State.PASSED:
        raise _refuse("a check that is open", "passed")
    most = policy().body["liveness"]["checks_a_day"]
    done = case.liveness.filter(created_at__gt=utc_now() - DAY).count()
    if done >= most:
        raise _refuse(f"fewer than {most} checks in 24 hours", str(done))
    vendor = provider()
    try:
        ref = vendor.create_applicant(
            Subject(
                f"{case.pk}:liveness",
                identity["first_name"],
                identity["last_name"],
                identity["birth_date"],
                address.get("country", identity["nationality"]),
            )
        )
        challenge = vendor.liveness_start(ref)
    except ProviderError as error:
        raise RejectedError(RejectCode.OVERLOADED, "The checking service cannot be reached.") from error
    with transaction.atomic():
        KycCase.objects.select_for_update().get(pk=case.pk)
        other = case.liveness.filter(state__in=RUNNING).first()
        if other is not None:
            return other
        row = LivenessCheck.objects.create(
            case=case,
            ref=challenge.ref,
            gestures=list(challenge.gestures),
            tries_left=challenge.tries_left,
            expires_at=challenge.expires_at,
            created_at=utc_now(),
        )
        record("kyc_liveness.begun", object_type="kyc_case", object_id=case.pk, after={"ref": row.ref})
    return row


def liveness_answer(*, case: KycCase, gestures: Sequence[str]) -> LivenessCheck:
    """Hand in what the client did; 7028 when there is nothing to answer or the time is over."""
    row = liveness_last(case)
    if row is None or row.state not in {State.OPEN, State.RETRY}:
        raise _refuse("a check that is open", row.get_state_display().lower() if row is not None else "none")
    try:
        provider().liveness_answer(row.ref, list(gestures)[:10])
    except ApplicantUnknownError as error:
        _close(row, State.EXPIRED, "The checking service no longer knows this check.")
        raise _refuse("a check that is open", "not answered in time") from error
    except ProviderError as error:
        raise RejectedError(RejectCode.OVERLOADED, "The checking service cannot be reached.") from error
    LivenessCheck.objects.filter(pk=row.pk, state__in=(State.OPEN, State.RETRY)).update(state=State.PENDING)
    row.refresh_from_db()
    return row


def liveness_fetch(ref: str) -> None:
    """Take over how the vendor sees a check that is pending. Safe to repeat, in any order."""
    row = LivenessCheck.objects.filter(ref=ref, state=State.PENDING).first()
    if row is None:
        return
    try:
        result = provider().liveness_fetch(ref)
    except ApplicantUnknownError:
        _close(row, State.EXPIRED, "The checking service no longer knows this check.")
        return
    _apply(row, result)


def _apply(row: LivenessCheck, result: LivenessResult) -> None:
    if result.outcome == "pending":
        return
    with transaction.atomic():
        locked = LivenessCheck.objects.select_for_update().get(pk=row.pk)
        newer = locked.occurred_at is None or result.occurred_at > locked.occurred_at
        if locked.state != State.PENDING or not newer:
            return
        locked.tries_left, locked.occurred_at = result.tries_left, result.occurred_at
        locked.state, locked.reason = State(result.outcome), result.reason[:200]
        locked.save()
        if locked.state == State.PASSED:
            case = KycCase.objects.select_for_update().get(pk=locked.case_id)
            case.actions = [item for item in case.actions if item["step"] != "liveness"]
            case.save(update_fields=["actions", "updated_at"])
        record(
            "kyc_liveness.decided", object_type="kyc_case", object_id=locked.case_id,
            after={"ref": locked.ref, "state": locked.state, "tries_left": locked.tries_left},
        )  # fmt: skip


def _close(row: LivenessCheck, state: LivenessCheck.State, reason: str) -> None:
    LivenessCheck.objects.filter(pk=row.pk, state__in=RUNNING).update(state=state, reason=reason)
    row.refresh_from_db()


def liveness_poll(batch: int = 100) -> int:
    """Ask about answered checks whose webhook may be lost, and end those nobody answered; raises ProviderError when the vendor is away."""
    now = utc_now()
    LivenessCheck.objects.filter(state__in=(State.OPEN, State.RETRY), expires_at__lte=now).update(
        state=State.EXPIRED, reason="The time to answer is over."
    )
    refs = list(LivenessCheck.objects.filter(state=State.PENDING).values_list("ref", flat=True)[:batch])
    for ref in refs:
        liveness_fetch(ref)
    return len(refs)


def challenge_words(row: LivenessCheck) -> list[tuple[Any, str]]:
    """(name, words) of the movements asked for, in order."""
    return [(name, GESTURES.get(name, name.replace("_", " "))) for name in row.gestures]


#: Movements in words; a vendor's others are shown by their name.
GESTURES = {
    "turn_left": "Turn your head to the left",
    "turn_right": "Turn your head to the right",
    "look_up": "Look up",
    "blink": "Blink twice",
    "smile": "Smile",
}
