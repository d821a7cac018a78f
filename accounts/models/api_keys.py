"""Credentials of programs: the sign-ins behind bearer tokens (no token is stored) and the keys that sign requests."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models


class TokenFamily(models.Model):
    """One sign-in of a program: every refresh token descends from it, and it ends as a whole."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="token_families")
    name = models.CharField(max_length=80, blank=True, default="", help_text="What the program called itself")
    agent = models.CharField(max_length=200, blank=True, default="", help_text="User-Agent at sign-in")
    address = models.CharField(max_length=64, blank=True, default="", help_text="Address at sign-in")
    last_address = models.CharField(max_length=64, blank=True, default="")
    current_jti = models.CharField(max_length=32, help_text="The one refresh token that was not used yet")
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="Nothing descends from it after this")
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_reason = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        ordering = ("-created_at", "id")
        verbose_name_plural = "token families"
        indexes = [models.Index(fields=("user", "-last_used_at"), name="family_by_user")]

    def __str__(self) -> str:
        return f"{self.name or 'program'} of {self.user_id}"


class ApiKey(models.Model):
    """A key with which a program signs requests. The secret is sealed: it must be known to check a signature, and is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    key_id = models.CharField(max_length=19, unique=True, help_text="Sent with each request; not a secret")
    secret_sealed = models.BinaryField()
    scopes = ArrayField(models.CharField(max_length=8))
    networks = ArrayField(models.CharField(max_length=43), blank=True, default=list, help_text="Empty: from anywhere")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_address = models.CharField(max_length=64, blank=True, default="")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "id")
        indexes = [models.Index(fields=("user", "-created_at"), name="api_key_by_user")]

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"
