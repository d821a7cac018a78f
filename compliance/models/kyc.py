"""Who a client is and how we know: the case, its sealed answers and documents, checks, decisions and every step between states.

The state machine's table is here beside the states; ``compliance/services/kyc.py`` is the only place that moves a case.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models

from accounts.models import TradingAccount, User


class KycCase(models.Model):
    """The case of one person, or of one entity (``account``). ``tier`` is what was granted, ``tier_sought`` what the last submission asks for."""

    class State(models.TextChoices):
        DRAFT = "draft", "Not submitted"
        SUBMITTED = "submitted", "Submitted"
        CHECKING = "checking", "Being checked"
        REVIEW = "review", "With an officer"
        MORE_INFO = "more_info", "Action required"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Refused"
        PERIODIC_REVIEW = "periodic_review", "Periodic review"
        EDD = "edd", "Enhanced due diligence"
        RESTRICTED = "restricted", "Restricted"
        OFFBOARDED = "offboarded", "Closed"

    class Band(models.TextChoices):
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"
        PROHIBITED = "prohibited", "Prohibited"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="kyc_case", null=True, blank=True
    )
    account = models.OneToOneField(
        TradingAccount, on_delete=models.PROTECT, related_name="kyc_case", null=True, blank=True,
        help_text="Of an entity's account; the case of a person has none",
    )  # fmt: skip
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    tier = models.PositiveSmallIntegerField(default=0)
    tier_sought = models.PositiveSmallIntegerField(default=0)
    jurisdiction = models.CharField(max_length=8, blank=True, default="")
    risk_score = models.PositiveSmallIntegerField(null=True, blank=True)
    risk_band = models.CharField(max_length=10, choices=Band.choices, blank=True, default="")
    risk_parts = models.JSONField(default=list, blank=True, help_text="Each part of the score with its reason")
    policy_version = models.CharField(max_length=20, blank=True, default="")
    actions = models.JSONField(default=list, blank=True, help_text="What the client is asked for: step, code, text")
    reason_code = models.CharField(max_length=40, blank=True, default="")
    client_text = models.CharField(max_length=500, blank=True, default="", help_text="What the client is told")
    provider_ref = models.CharField(max_length=80, blank=True, default="", db_index=True)
    check_round = models.PositiveIntegerField(
        default=0, help_text="Counts submissions; results of older ones are kept apart"
    )
    grace_until = models.DateTimeField(null=True, blank=True)
    poll_at = models.DateTimeField(null=True, blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    review_due_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-created_at",)
        permissions = (("decide_kyc", "Can decide KYC cases"),)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, account__isnull=True)
                | models.Q(user__isnull=True, account__isnull=False),
                name="kyc_person_or_entity",
            ),
            models.CheckConstraint(condition=models.Q(tier__lte=3, tier_sought__lte=3), name="kyc_tier_known"),
            models.CheckConstraint(
                condition=models.Q(risk_score__isnull=True) | models.Q(risk_score__lte=100), name="kyc_score_to_100"
            ),
        ]
        indexes = [
            models.Index(fields=("state", "submitted_at"), name="kyc_queue"),
            models.Index(fields=("review_due_at",), name="kyc_review_due"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id or self.account_id} {self.state}"

    @property
    def person(self) -> User:
        """Who answers for the case: the client, or the first owner of the entity's account."""
        found = self.user or (self.account.owner if self.account else None)
        if found is None:
            raise ValueError("a case belongs to somebody")
        return found

    @property
    def title(self) -> str:
        """What officers call it."""
        if self.account:
            return self.account.name or self.account.number
        return self.person.display_name or self.person.email


_S = KycCase.State
#: From -> to. A step that is not here does not exist.
STEPS: dict[str, frozenset[str]] = {
    _S.DRAFT: frozenset({_S.SUBMITTED, _S.APPROVED}),
    _S.SUBMITTED: frozenset({_S.CHECKING, _S.REVIEW, _S.MORE_INFO, _S.REJECTED}),
    _S.CHECKING: frozenset({_S.APPROVED, _S.REVIEW, _S.MORE_INFO, _S.REJECTED}),
    _S.REVIEW: frozenset({_S.APPROVED, _S.MORE_INFO, _S.REJECTED}),
    _S.MORE_INFO: frozenset({_S.SUBMITTED, _S.REJECTED, _S.RESTRICTED}),
    _S.APPROVED: frozenset({_S.SUBMITTED, _S.PERIODIC_REVIEW, _S.MORE_INFO, _S.REVIEW, _S.RESTRICTED}),
    _S.PERIODIC_REVIEW: frozenset({_S.APPROVED, _S.EDD, _S.MORE_INFO, _S.RESTRICTED}),
    _S.EDD: frozenset({_S.APPROVED, _S.MORE_INFO, _S.RESTRICTED}),
    _S.REJECTED: frozenset({_S.REVIEW}),
    _S.RESTRICTED: frozenset({_S.PERIODIC_REVIEW, _S.OFFBOARDED}),
    _S.OFFBOARDED: frozenset(),
}


class KycAnswer(models.Model):
    """One step of the checklist as the client filled it in: sealed with the client's key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(KycCase, on_delete=models.CASCADE, related_name="answers")
    step = models.CharField(max_length=20)
    sealed = models.BinaryField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the sealed bytes")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("case", "step"), name="one_answer_per_step")]

    def __str__(self) -> str:
        return f"{self.case_id} {self.step}"


class KycDocument(models.Model):
    """An uploaded file: cleaned, sealed and kept outside any web root under a random name."""

    class Kind(models.TextChoices):
        PASSPORT = "passport", "Passport"
        NATIONAL_ID = "national_id", "National identity card"
        DRIVING_LICENCE = "driving_licence", "Driving licence"
        RESIDENCE_PERMIT = "residence_permit", "Residence permit"
        PROOF_OF_ADDRESS = "proof_of_address", "Proof of address"
        SOURCE_OF_FUNDS = "source_of_funds", "Source of funds"
        REGISTRY_EXTRACT = "registry_extract", "Registry extract"
        OWNERSHIP = "ownership", "Register of owners"

    class State(models.TextChoices):
        STORED = "stored", "Received"
        QUARANTINED = "quarantined", "Waiting for the safety check"
        INFECTED = "infected", "Refused: unsafe file"
        ACCEPTED = "accepted", "Accepted"
        REJECTED = "rejected", "Not accepted"
        REPLACED = "replaced", "Replaced"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(KycCase, on_delete=models.PROTECT, related_name="documents")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    state = models.CharField(max_length=12, choices=State.choices, default=State.STORED)
    reason = models.CharField(max_length=200, blank=True, default="")
    media_type = models.CharField(max_length=40)
    size = models.PositiveIntegerField(help_text="Bytes as kept, before sealing")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the sealed file")
    name = models.CharField(max_length=64, unique=True, help_text="Random name of the sealed file; empty of meaning")
    issued_on = models.DateField(null=True, blank=True)
    expires_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = [models.Index(fields=("state", "expires_on"), name="kyc_doc_expiry")]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class KycCheck(models.Model):
    """One check of one submission and its normalised result."""

    class Outcome(models.TextChoices):
        PENDING = "pending", "Running"
        CLEAR = "clear", "Clear"
        CONSIDER = "consider", "Needs a look"
        RETRY = "retry", "To be repeated by the client"
        REJECT = "reject", "Failed"

    case = models.ForeignKey(KycCase, on_delete=models.CASCADE, related_name="checks")
    check_round = models.PositiveIntegerField()
    name = models.CharField(max_length=30)
    provider = models.CharField(max_length=20)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.PENDING)
    reasons = models.JSONField(default=list)
    raw_ref = models.CharField(max_length=80, blank=True, default="")
    occurred_at = models.DateTimeField(null=True, blank=True, help_text="The provider's time: older news never wins")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = [models.UniqueConstraint(fields=("case", "check_round", "name"), name="one_check_per_submission")]

    def __str__(self) -> str:
        return f"{self.name} {self.outcome}"


class LivenessCheck(models.Model):
    """One check that a living person is there: the vendor's challenge, the answer, the vendor's word on it."""

    class State(models.TextChoices):
        OPEN = "open", "To be answered"
        PENDING = "pending", "Being checked"
        PASSED = "passed", "Passed"
        RETRY = "retry", "To be repeated"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "Not answered in time"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(KycCase, on_delete=models.CASCADE, related_name="liveness")
    ref = models.CharField(max_length=80, unique=True, help_text="The vendor's")
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    gestures = models.JSONField(default=list, help_text="What is asked for, in order")
    tries_left = models.PositiveSmallIntegerField()
    reason = models.CharField(max_length=200, blank=True, default="")
    expires_at = models.DateTimeField()
    occurred_at = models.DateTimeField(null=True, blank=True, help_text="The vendor's time: older news never wins")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                fields=("case",),
                condition=models.Q(state__in=("open", "pending", "retry")),
                name="one_liveness_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.state}"


class KycTransition(models.Model):
    """A step from one state to another: who, why, and hashes of what it rested on."""

    case = models.ForeignKey(KycCase, on_delete=models.CASCADE, related_name="transitions")
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16)
    actor_type = models.CharField(max_length=12)
    actor_id = models.CharField(max_length=40, blank=True, default="")
    reason_code = models.CharField(max_length=40)
    note = models.CharField(
        max_length=1000, blank=True, default="", help_text="For officers; never shown to the client"
    )
    evidence = models.JSONField(default=dict, help_text="What it rested on, by name, as SHA-256 of the sealed bytes")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state}"


class KycProposal(models.Model):
    """A decision that needs two people: proposed by one, confirmed or turned down by another."""

    class State(models.TextChoices):
        OPEN = "open", "Waits for a second person"
        CONFIRMED = "confirmed", "Confirmed"
        DECLINED = "declined", "Turned down"

    case = models.ForeignKey(KycCase, on_delete=models.CASCADE, related_name="proposals")
    decision = models.CharField(max_length=16)
    reason_code = models.CharField(max_length=40)
    note = models.CharField(max_length=1000)
    body = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    checker = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=("case",), condition=models.Q(state="open"), name="one_open_proposal"),
            models.CheckConstraint(
                condition=models.Q(checker__isnull=True) | ~models.Q(checker=models.F("maker")),
                name="proposal_maker_is_not_checker",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.decision} {self.state}"


class ProviderEvent(models.Model):
    """A webhook as it came: its id makes the work happen once."""

    event_id = models.CharField(max_length=80, unique=True)
    provider = models.CharField(max_length=20)
    kind = models.CharField(max_length=40)
    ref = models.CharField(max_length=80, db_index=True)
    occurred_at = models.DateTimeField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the raw body")
    received_at = models.DateTimeField(auto_now_add=True)
    processed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.event_id


def step_exists(from_state: str, to_state: str) -> bool:
    """True when the machine has that step."""
    return to_state in STEPS.get(from_state, frozenset[Any]())
