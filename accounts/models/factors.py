"""Second factors: authenticator apps, passkeys, recovery codes.

They extend django-otp's device, so that ``request.user.is_verified()`` is true in a session that was confirmed with one.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django_otp.models import Device


class TotpDevice(Device):
    """An authenticator app (RFC 6238, SHA-1, 6 digits, 30 s). The secret is sealed for its user; a step is accepted once."""

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False, help_text="Names the row in the seal")
    secret = models.BinaryField(help_text="Sealed")
    last_step = models.BigIntegerField(default=0, help_text="The last 30 s step a code was accepted for")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("user",), condition=models.Q(confirmed=True), name="one_totp_in_use")
        ]


class Passkey(Device):
    """A public key of an authenticator (WebAuthn)."""

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    credential_id = models.BinaryField(max_length=1024, unique=True)
    public_key = models.BinaryField()
    sign_count = models.BigIntegerField(default=0)
    rp_id = models.CharField(max_length=253)
    transports = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("id",)


class RecoveryCode(models.Model):
    """A code that works once when the other factors are lost; a keyed digest is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("user", "digest"), name="recovery_code_once")]

    def __str__(self) -> str:
        return f"{self.user_id} {'used' if self.used_at else 'unused'}"
