"""What one member of staff asks for and another decides."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Approval(models.Model):
    """A request of one (the maker) that another (the checker) approves or refuses; it is executed once, with the decision."""

    class Status(models.TextChoices):
        PENDING = "pending", "Waiting"
        EXECUTED = "executed", "Approved"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Withdrawn"

    id = models.CharField(primary_key=True, max_length=26, help_text="ULID")
    kind = models.CharField(max_length=24)
    subject = models.CharField(max_length=128, help_text="Whom it is about: an account's number or a user's id")
    payload = models.JSONField()
    before = models.JSONField(default=dict, help_text="What it changes, as it was when asked")
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    checker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decision_reason = models.TextField(blank=True, default="")
    result = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [
            ("request_money", "Asks for deposits and debits by hand"),
            ("approve_money", "Decides about deposits and debits by hand"),
            ("request_account", "Asks for halts and limits of accounts"),
            ("approve_account", "Decides about halts and limits of accounts"),
            ("request_factor_reset", "Asks to remove lost second factors of clients"),
            ("approve_factor_reset", "Decides about lost second factors of clients"),
            ("request_role", "Asks for roles of staff"),
            ("approve_role", "Decides about roles of staff"),
        ]
        constraints = [
            # The database itself refuses one pair of eyes.
            models.CheckConstraint(
                condition=models.Q(checker=None) | ~models.Q(maker=models.F("checker")) | models.Q(status="withdrawn"),
                name="four_eyes",
            ),
            models.CheckConstraint(
                condition=models.Q(status="pending", decided_at=None)
                | ~models.Q(status="pending") & models.Q(decided_at__isnull=False, checker__isnull=False),
                name="decided_is_complete",
            ),
        ]
        indexes = [models.Index(fields=("status", "-id"), name="approval_by_status")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
