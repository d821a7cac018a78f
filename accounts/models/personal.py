"""Who a client is in law: sealed for the client, changed only with approval once it is given; and exports of a client's data."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class PersonalData(models.Model):
    """Legal name, date of birth, address and the like, as one sealed document (``accounts/services/personal.py``)."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="personal"
    )
    sealed = models.BinaryField()
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "personal data"

    def __str__(self) -> str:
        return str(self.user_id)


class ChangeRequest(models.Model):
    """A wish to change regulated data. The new values are sealed; which fields they are is not."""

    class Status(models.TextChoices):
        PENDING = "pending", "Waiting"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="change_requests")
    fields = models.JSONField(default=list)
    sealed = models.BinaryField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="decisions"
    )
    reason = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ("-created_at",)
        permissions = [("decide_changerequest", "Can approve and refuse changes of personal data")]
        constraints = [
            models.UniqueConstraint(
                fields=("user",), condition=models.Q(status="pending"), name="one_pending_change_request"
            ),
            models.CheckConstraint(
                condition=models.Q(status="pending", decided_at=None) | models.Q(decided_at__isnull=False),
                name="decided_change_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {', '.join(self.fields)} {self.status}"


class DataExport(models.Model):
    """A file with everything kept about one user, made by a job, sealed for the user, gone after ``expires_at``."""

    class Status(models.TextChoices):
        WAITING = "waiting", "Being made"
        READY = "ready", "Ready"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="exports")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    sealed = models.BinaryField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.user_id} {self.status}"
