"""Credentials of FIX sessions: one session, one trading account, one user who answers for it."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models


class FixKey(models.Model):
    """A FIX session a user may open for one account. The password is random and shown once; only its digest is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="fix_keys")
    account = models.ForeignKey("accounts.TradingAccount", on_delete=models.PROTECT, related_name="fix_keys")
    name = models.CharField(max_length=80)
    comp_id = models.CharField(max_length=14, unique=True, help_text="SenderCompID (49) of the client; not a secret")
    password_digest = models.BinaryField(max_length=32, help_text="SHA-256 of a password of 256 random bits")
    scopes = ArrayField(models.CharField(max_length=8))
    networks = ArrayField(models.CharField(max_length=43), blank=True, default=list, help_text="Empty: from anywhere")
    cancel_on_disconnect = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_address = models.CharField(max_length=64, blank=True, default="")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "id")
        indexes = [models.Index(fields=("user", "-created_at"), name="fix_key_by_user")]

    def __str__(self) -> str:
        return f"{self.name} ({self.comp_id})"
