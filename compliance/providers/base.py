"""What a KYC vendor is to us: four calls and one normalised answer. Each vendor is a module beside this one.

The docstrings of ``KycProvider`` are the contract; ``compliance/tests/test_providers.py`` holds every adapter to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

OUTCOMES = ("pending", "clear", "consider", "retry", "reject")


class ProviderError(Exception):
    """The vendor cannot be reached or answered with nonsense: try again later."""


class ApplicantUnknownError(ProviderError):
    """The vendor does not know the applicant (any more): begin again."""


class WebhookRefusedError(Exception):
    """A message that is not the vendor's, or too old."""


@dataclass(frozen=True)
class Subject:
    """Whom to check. ``external_id`` is ours and makes creating an applicant repeatable."""

    external_id: str
    first_name: str
    last_name: str
    birth_date: str
    country: str


@dataclass(frozen=True)
class DocumentNote:
    """A document the check is about."""

    kind: str
    digest: str


@dataclass(frozen=True)
class CheckResult:
    """One check, in our words: ``retry`` is for the client to repeat, ``reject`` is final."""

    check: str
    outcome: str
    reasons: tuple[str, ...]
    raw_ref: str
    occurred_at: datetime


@dataclass(frozen=True)
class Event:
    """What a webhook says: that something happened to an applicant. Its content is fetched, never believed."""

    event_id: str
    kind: str
    ref: str
    occurred_at: datetime


@dataclass(frozen=True)
class LivenessChallenge:
    """What a person is asked to do, in order, until when, and how often they may try."""

    ref: str
    gestures: tuple[str, ...]
    expires_at: datetime
    tries_left: int


LIVENESS_OUTCOMES = ("pending", "passed", "retry", "failed", "expired")


@dataclass(frozen=True)
class LivenessResult:
    """How a liveness check stands, in our words."""

    outcome: str
    reason: str
    tries_left: int
    occurred_at: datetime


class KycProvider(Protocol):
    """A vendor."""

    name: str

    def create_applicant(self, subject: Subject) -> str:
        """Make the applicant known; the vendor's reference. The same ``external_id`` again gives the same one."""
        ...

    def start_check(self, ref: str, checks: Sequence[str], documents: Sequence[DocumentNote]) -> str:
        """Start checks; the vendor's reference of them. Repeating it starts nothing twice."""
        ...

    def fetch(self, ref: str) -> list[CheckResult]:
        """All checks of an applicant as they are now; ApplicantUnknownError when there is no such applicant."""
        ...

    def verify_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> Event:
        """The event of a genuine message of the last five minutes; WebhookRefusedError for any other."""
        ...

    def liveness_start(self, ref: str) -> LivenessChallenge:
        """A new challenge for an applicant."""
        ...

    def liveness_answer(self, liveness_ref: str, gestures: Sequence[str]) -> None:
        """Hand in what the person did; the result comes later. ApplicantUnknownError when there is no such check."""
        ...

    def liveness_fetch(self, liveness_ref: str) -> LivenessResult:
        """How a check stands now; ApplicantUnknownError when there is no such check."""
        ...
