"""The KYC case as a state machine: the one place that moves a case, and what each move does to the client's permission.

``_move`` checks the step, writes the transition with its evidence, records it for the audit trail and writes the permission down to
``accounts``. Owns submitting, deciding, appeals, two-person decisions and the clock. Leaves checks to ``checks.py``, files to ``documents.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction

from accounts.models import User
from accounts.services.permissions import entity_permission_set, trading_permission_set
from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import Actor, current_context, record
from brokerage.platform.jobs import enqueue
from brokerage.platform.outbox import emit
from compliance.models import KycCase, KycDocument, KycProposal, KycTransition, ScreeningHit
from compliance.models.kyc import step_exists
from compliance.policy import policy
from compliance.selectors.checklist import steps_done, steps_missing, tier_reachable

State = KycCase.State
SYSTEM = Actor("system", "kyc")
#: In these a client who was approved before goes on trading.
GOES_ON = frozenset({State.SUBMITTED, State.CHECKING, State.REVIEW, State.PERIODIC_REVIEW, State.EDD, State.APPROVED})
#: A client may change answers and documents, and submit, in these.
CLIENT_STATES = frozenset({State.DRAFT, State.MORE_INFO, State.APPROVED})
#: What an officer may decide in a state.
DECISIONS: dict[str, tuple[str, ...]] = {
    State.REVIEW: (State.APPROVED, State.MORE_INFO, State.REJECTED),
    State.APPROVED: (State.PERIODIC_REVIEW, State.RESTRICTED),
    State.PERIODIC_REVIEW: (State.APPROVED, State.EDD, State.MORE_INFO, State.RESTRICTED),
    State.EDD: (State.APPROVED, State.MORE_INFO, State.RESTRICTED),
    State.MORE_INFO: (State.REJECTED, State.RESTRICTED),
    State.RESTRICTED: (State.PERIODIC_REVIEW, State.OFFBOARDED),
}
CLIENT_TEXTS = {
    State.REJECTED: "We could not open your account with what we were given. You may appeal; a person will look at it again.",
    State.RESTRICTED: "New orders are stopped for now. Open orders can still be cancelled; we will contact you.",
    State.OFFBOARDED: "The relationship has ended. Contact support about what remains in your account.",
}


def case_open(*, user: Any) -> KycCase:
    """The person's case, made when there is none. Who was verified before there were cases begins approved."""
    case = KycCase.objects.filter(user_id=user.pk).first()
    if case is not None:
        return case
    with transaction.atomic():
        case, made = KycCase.objects.get_or_create(
            user_id=user.pk,
            defaults={"jurisdiction": trading_policy().jurisdiction_of(user.country).code if user.country else ""},
        )
        if made:
            fresh = User.objects.get(pk=user.pk)
            if fresh.trading_allowed:
                case.tier = fresh.kyc_tier
                case_move(case, State.APPROVED, reason_code="verified_before", actor=SYSTEM)
    return case


def case_lock(case_id: Any) -> KycCase:
    """The case, locked for the transaction."""
    return KycCase.objects.select_for_update().get(pk=case_id)


def case_move(
    case: KycCase,
    to_state: str,
    *,
    reason_code: str,
    actor: Actor | None = None,
    note: str = "",
    actions: Sequence[dict[str, str]] = (),
) -> None:
    """Move a locked case; 7013 when the machine has no such step. Writes transition, audit record, permission and news."""
    if not step_exists(case.state, to_state):
        raise RejectedError(
            RejectCode.KYC_STATE, f"A case cannot go from {case.state} to {to_state}.", available=case.state
        )
    who = actor or current_context().who()
    before, now = case.state, utc_now()
    evidence = _evidence(case)
    case.state, case.reason_code, case.actions = to_state, reason_code, list(actions)
    case.client_text = CLIENT_TEXTS.get(State(to_state), "")
    case.policy_version = policy().version
    if to_state == State.APPROVED:
        case.tier = max(case.tier, case.tier_sought)
        case.decided_at, case.grace_until = now, None
        case.review_due_at = now + timedelta(days=30 * _review_months(case.risk_band))
    elif to_state == State.REJECTED:
        case.tier, case.decided_at, case.grace_until = 0, now, None
    elif to_state in {State.RESTRICTED, State.OFFBOARDED}:
        case.decided_at, case.grace_until = now, None
    elif to_state == State.MORE_INFO and case.tier:
        case.grace_until = case.grace_until or now + timedelta(days=policy().body["grace_days"])
    case.save()
    KycTransition.objects.create(
        case=case,
        from_state=before,
        to_state=to_state,
        actor_type=who.type,
        actor_id=who.id,
        reason_code=reason_code,
        note=note[:1000],
        evidence=evidence,
    )
    record(
        "kyc_case.moved",
        object_type="kyc_case",
        object_id=case.pk,
        actor=who,
        before={"state": before},
        after={"state": to_state, "tier": case.tier, "policy": case.policy_version, "evidence": evidence},
        reason=reason_code,
    )
    # Whose rules hold changes with an approval: what was only typed in does not move a client out of theirs.
    found = case.jurisdiction if to_state == State.APPROVED else None
    if case.account_id:
        entity_permission_set(
            account_id=case.account_id,
            tier=case.tier,
            allowed=may_trade(case),
            jurisdiction=found,
            reason=f"kyc_{to_state}",
        )
    else:
        trading_permission_set(
            user_id=case.user_id,
            kyc_tier=case.tier,
            trading_allowed=may_trade(case),
            reason=f"kyc_{to_state}",
            jurisdiction=found,
        )
    emit("kyc.case_moved", str(case.pk), {"user": str(case.person.pk), "from": before, "to": to_state})
    enqueue("compliance.tasks.kyc_tell", case_id=str(case.pk), state=to_state)


def may_trade(case: KycCase) -> bool:
    """No trading before the first approval; after it only refusal, restriction or a grace time that ran out end it."""
    if case.tier == 0:
        return False
    if case.state == State.MORE_INFO:
        return case.grace_until is not None and case.grace_until > utc_now()
    return case.state in GOES_ON


def _evidence(case: KycCase) -> dict[str, str]:
    kept = case.documents.exclude(state=KycDocument.State.REPLACED)
    found = {f"answer:{step}": digest for step, digest in case.answers.values_list("step", "digest")}
    return found | {f"document:{row.kind}:{row.pk}": row.digest for row in kept}


def _review_months(band: str) -> int:
    bands = {row["band"]: row["review_months"] for row in policy().body["risk"]["bands"]}
    return int(bands.get(band, bands["medium"]))


def case_submit(*, user: Any, case: KycCase | None = None) -> KycCase:
    """Hand the case in for checking: 7012 names what is missing, 7013 when it is not the client's turn. ``case``: of an entity."""
    own = case or case_open(user=user)
    with transaction.atomic():
        found = case_lock(own.pk)
        if found.state not in CLIENT_STATES:
            raise RejectedError(
                RejectCode.KYC_STATE, needed="draft, action required or approved", available=found.state
            )
        done = steps_done(found)
        sought = tier_reachable(found, done)
        needed = steps_missing(found, done)
        missing = needed + [row["step"] for row in found.actions if row["step"] not in done | set(needed)]
        if missing:
            raise RejectedError(RejectCode.KYC_INCOMPLETE, needed=", ".join(missing))
        if found.state == State.APPROVED and sought <= found.tier:
            raise RejectedError(RejectCode.KYC_STATE, needed="steps of a higher tier", available=f"tier {found.tier}")
        found.tier_sought = sought
        found.check_round += 1
        found.submitted_at = utc_now()
        case_move(found, State.SUBMITTED, reason_code="client_submitted")
        enqueue("compliance.tasks.kyc_checks_start", case_id=str(found.pk))
    return found


def case_appeal(*, user: Any, text: str, case: KycCase | None = None) -> KycCase:
    """Ask for a person to look at a refusal again; once per refusal, because it leaves the refused state."""
    own = case or KycCase.objects.filter(user_id=user.pk).first()
    with transaction.atomic():
        found = case_lock(own.pk) if own is not None else None
        if found is None or found.state != State.REJECTED:
            raise RejectedError(RejectCode.KYC_STATE, needed="rejected", available=found.state if found else "none")
        case_move(found, State.REVIEW, reason_code="appeal", note=text)
    return found


def _staff(officer: Any) -> Actor:
    return Actor("staff", str(officer.pk))


def last_refuser(case: KycCase) -> str:
    """Id of the officer who refused the case last; empty when a rule did."""
    row = case.transitions.filter(to_state=State.REJECTED).first()
    return row.actor_id if row is not None and row.actor_type == "staff" else ""


def needs_two(case: KycCase, decision: str) -> bool:
    """High risk approvals and everything that overrides an earlier outcome take two people."""
    overrides = case.state == State.RESTRICTED or case.reason_code in {"appeal", "sanctions_match"}
    high = case.risk_band in {KycCase.Band.HIGH, KycCase.Band.PROHIBITED}
    return (decision == State.APPROVED and (high or overrides)) or (case.state == State.RESTRICTED)


def case_decide(
    *, case_id: Any, officer: Any, decision: str, reason_code: str, note: str, actions: Sequence[dict[str, str]] = ()
) -> KycCase:
    """Decide as an officer: at once, or, where two people are needed, as a proposal that waits for the second (7018)."""
    with transaction.atomic():
        case = case_lock(case_id)
        if case.person.pk == officer.pk:
            raise RejectedError(RejectCode.SECOND_REVIEWER, "Nobody decides their own case.")
        if decision not in DECISIONS.get(case.state, ()):
            raise RejectedError(
                RejectCode.KYC_STATE, needed=", ".join(DECISIONS.get(case.state, ())), available=case.state
            )
        if case.reason_code == "appeal" and last_refuser(case) == str(officer.pk):
            raise RejectedError(
                RejectCode.SECOND_REVIEWER, "You refused this client: another officer decides the appeal."
            )
        _demand_reason(note)
        if decision == State.MORE_INFO and not actions:
            raise RejectedError(
                RejectCode.MISSING_FIELD, "Name what the client is to do.", needed="actions", field="actions"
            )
        if case.proposals.filter(state=KycProposal.State.OPEN).exists():
            raise RejectedError(RejectCode.KYC_STATE, "A proposal waits for a second person.", available="proposed")
        if decision == State.APPROVED and case.hits.filter(state=ScreeningHit.State.TRUE_MATCH).exists():
            raise RejectedError(RejectCode.KYC_STATE, "A sanctioned party cannot be approved.", available="true match")
        if decision == State.APPROVED and case.hits.filter(state=ScreeningHit.State.OPEN).exists():
            raise RejectedError(RejectCode.KYC_STATE, "Decide the screening hits first.", available="open hits")
        if needs_two(case, decision):
            proposal = KycProposal.objects.create(
                case=case,
                decision=decision,
                reason_code=reason_code,
                note=note,
                body={"actions": list(actions)},
                maker=officer,
            )
            record(
                "kyc_decision.proposed",
                object_type="kyc_case",
                object_id=case.pk,
                after={"decision": decision, "proposal": proposal.pk},
                reason=reason_code,
            )
            return case
        case_move(case, decision, reason_code=reason_code, actor=_staff(officer), note=note, actions=actions)
    return case


def proposal_close(*, proposal_id: int, officer: Any, confirm: bool, note: str) -> KycCase:
    """Confirm or turn down a proposal; never by the one who made it (7018)."""
    with transaction.atomic():
        proposal = KycProposal.objects.select_for_update().filter(pk=proposal_id).first()
        if proposal is None or proposal.state != KycProposal.State.OPEN:
            raise RejectedError(RejectCode.KYC_STATE, "The proposal is closed.", needed="open", available="closed")
        if officer.pk in {proposal.maker_id, proposal.case.person.pk}:
            raise RejectedError(RejectCode.SECOND_REVIEWER)
        case = case_lock(proposal.case_id)
        proposal.state = KycProposal.State.CONFIRMED if confirm else KycProposal.State.DECLINED
        proposal.checker, proposal.closed_at = officer, utc_now()
        proposal.save(update_fields=["state", "checker", "closed_at"])
        record(
            f"kyc_decision.{proposal.state}",
            object_type="kyc_case",
            object_id=case.pk,
            after={"decision": proposal.decision, "proposal": proposal.pk},
            reason=note or proposal.reason_code,
        )
        if confirm:
            if (
                proposal.decision == State.APPROVED
                and case.hits.exclude(state=ScreeningHit.State.FALSE_POSITIVE).exists()
            ):
                raise RejectedError(RejectCode.KYC_STATE, "A screening hit has come up since.", available="open hits")
            case_move(
                case,
                proposal.decision,
                reason_code=proposal.reason_code,
                actor=_staff(officer),
                note=f"{proposal.note} / {note}",
                actions=proposal.body.get("actions", ()),
            )
    return case


def _demand_reason(note: str) -> None:
    if len(note.strip()) < 5:
        raise RejectedError(
            RejectCode.MISSING_FIELD, "Give a reason in your own words.", needed="a reason", field="note"
        )
