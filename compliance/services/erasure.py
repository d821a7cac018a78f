"""Erasure of a person's sealed data by destroying their key; the audit trail keeps its proofs and loses the plaintext."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from brokerage.platform.audit import record
from brokerage.platform.crypto import owner_key_destroy
from brokerage.platform.models import AuditPending
from compliance.audit.recorder import Recorder


class ErasureBusyError(Exception):
    """Acts of the person are still waiting in plain form for the chain; try again in a moment."""


def subject_erase(*, subject: Any, reason: str) -> bool:
    """Destroy the key of a person and record it; False when there was none. Waiting acts are sealed first, so that none stays readable."""
    Recorder().drain()
    with transaction.atomic():
        if AuditPending.objects.filter(subject=str(subject)).exists():
            raise ErasureBusyError("Acts of this person still wait for the audit trail. Try again in a moment.")
        destroyed = owner_key_destroy(f"user:{subject}")
        record(
            "subject.erased", object_type="user", object_id=subject, after={"key_destroyed": destroyed}, reason=reason
        )
    return destroyed
