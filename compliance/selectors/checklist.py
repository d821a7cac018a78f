"""The onboarding checklist: which steps there are, why each is asked for, which are done and what is open.

Owns the steps and their state. Leaves the forms to ``compliance/forms.py`` and the moving of cases to ``services/kyc.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django_otp import user_has_device

from brokerage.platform.crypto import unseal_text
from compliance.models import KycAnswer, KycCase, KycDocument
from compliance.policy import policy

ID_KINDS = ("passport", "national_id", "driving_licence", "residence_permit")
#: Documents in these states count as given.
GIVEN = (KycDocument.State.STORED, KycDocument.State.ACCEPTED)


@dataclass(frozen=True)
class Step:
    """One step: ``form`` steps are answers, ``document`` steps are files, ``account`` steps are done elsewhere."""

    name: str
    title: str
    why: str
    kind: str
    kinds: tuple[str, ...] = ()
    entity: bool = False


STEPS: tuple[Step, ...] = (
    Step(
        "email", "Confirm your e-mail address", "So that notices and statements reach you and nobody else.", "account"
    ),
    Step(
        "identity",
        "Who you are",
        "The law asks us to know the name, birth date and nationality of every client.",
        "form",
    ),
    Step("address", "Where you live", "It decides which rules and disclosures apply to you.", "form"),
    Step(
        "suitability",
        "What you know about trading",
        "So that you are warned about products that may not suit you.",
        "form",
    ),
    Step(
        "tax", "Tax form", "We must report to the tax office of your country, and need your tax number for it.", "form"
    ),
    Step("bank", "Your bank account", "Withdrawals go only to an account in your own name.", "form"),
    Step(
        "id_document", "Identity document", "Proves that you are who you say; raises your tier.", "document", ID_KINDS
    ),
    Step(
        "address_document",
        "Proof of address",
        "A bill or bank statement of the last three months.",
        "document",
        ("proof_of_address",),
    ),
    Step(
        "liveness",
        "Show that it is you",
        "A short check that a living person is there, so that nobody opens an account with your document.",
        "liveness",
    ),
    Step(
        "funds_document",
        "Source of funds",
        "Only for larger amounts: where the money comes from.",
        "document",
        ("source_of_funds",),
    ),
    Step("second_factor", "Second factor", "Keeps your account yours when a password is lost.", "account"),
)
ENTITY_STEPS: tuple[Step, ...] = (
    Step(
        "company",
        "The company",
        "The law asks us to know every client; a company by its registry.",
        "form",
        entity=True,
    ),
    Step(
        "owners",
        "Who owns and controls it",
        "Everybody with 25 % or more, directly or through other companies, and who decides, must be known to us.",
        "owners",
        entity=True,
    ),
    Step(
        "registry_document",
        "Registry extract",
        "Proves that the company exists and who may act for it.",
        "document",
        ("registry_extract",),
        entity=True,
    ),
    Step(
        "ownership_document",
        "Register of owners",
        "Proves the shares you told us: a shareholder list or a deed.",
        "document",
        ("ownership",),
        entity=True,
    ),
)
BY_NAME = {step.name: step for step in (*STEPS, *ENTITY_STEPS)}


def steps_for(case: KycCase) -> tuple[Step, ...]:
    """The steps of a person or of an entity."""
    return ENTITY_STEPS if case.account_id else STEPS


@dataclass(frozen=True)
class StepState:
    """A step as one client sees it: done, todo or action, with what is asked."""

    step: Step
    state: str
    text: str
    needed_for: int | None
    documents: tuple[KycDocument, ...] = ()


def answer_open(answer: KycAnswer) -> dict[str, Any]:
    """The answers of a step in the clear."""
    text = unseal_text(answer.sealed, table="compliance_kycanswer", row=str(answer.pk), field="sealed")
    return dict(json.loads(text))


def answer_of(case: KycCase, step: str) -> dict[str, Any]:
    """The answers of a step, empty when not given yet."""
    answer = case.answers.filter(step=step).first()
    return answer_open(answer) if answer else {}


def steps_done(case: KycCase) -> set[str]:
    """Names of the steps that are done."""
    done = set(case.answers.values_list("step", flat=True))
    kinds = set(case.documents.filter(state__in=GIVEN).values_list("kind", flat=True))
    for step in steps_for(case):
        if step.kind == "document" and kinds & set(step.kinds):
            done.add(step.name)
    if case.account_id:
        if "owners" in done and not answer_of(case, "owners").get("complete"):
            done.discard("owners")
        return done
    if case.liveness.filter(state="passed").exists():
        done.add("liveness")
    if case.person.email_confirmed_at:
        done.add("email")
    if user_has_device(case.person):
        done.add("second_factor")
    return done


def steps_missing(case: KycCase, done: set[str]) -> list[str]:
    """Steps still to do before the case can be submitted, in order."""
    return policy().entity_missing(done) if case.account_id else policy().missing(1, done)


def tier_reachable(case: KycCase, done: set[str]) -> int:
    """The tier the case can be checked for with what is done."""
    if case.account_id:
        return 0 if policy().entity_missing(done) else policy().entity_tier
    return policy().tier_of(done)


def checklist_of(case: KycCase) -> list[StepState]:
    """Every step with its state, in order."""
    done = steps_done(case)
    asked = {row["step"]: row["text"] for row in case.actions}
    documents = list(case.documents.exclude(state=KycDocument.State.REPLACED).order_by("created_at")[:50])
    result = []
    for step in steps_for(case):
        needed = (
            policy().entity_tier
            if step.entity
            else next((tier.tier for tier in policy().tiers if step.name in tier.steps), None)
        )
        mine = tuple(row for row in documents if row.kind in step.kinds)
        waiting = any(row.state == KycDocument.State.QUARANTINED for row in mine)
        if step.name in asked:
            state, text = "action", asked[step.name]
        elif step.name in done:
            state, text = "done", ""
        else:
            state, text = ("waiting", "Waiting for the safety check.") if waiting else ("todo", "")
        result.append(StepState(step, state, text, needed, mine))
    return result
