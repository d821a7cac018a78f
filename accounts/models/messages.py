"""Where else than by mail a user is told of changes to their security: a mobile number, devices of programs."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class MobileNumber(models.Model):
    """A number a user can be sent text messages at. It is told things and proves nothing: no sign-in and no act rests on it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="mobile"
    )
    sealed = models.BinaryField(help_text="E.164")
    notices = models.BooleanField(default=False, help_text="Security notices by text message too")
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True)
    code_digest = models.BinaryField(max_length=32, null=True, help_text="Keyed digest of the code sent last")
    code_expires_at = models.DateTimeField()
    tries = models.SmallIntegerField(default=0, help_text="Wrong codes since the code was sent")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(notices=False) | models.Q(confirmed_at__isnull=False),
                name="notices_to_confirmed_numbers",
            )
        ]

    def __str__(self) -> str:
        return str(self.user_id)


class PushDevice(models.Model):
    """A device of a user's program that takes push messages; its token is sealed for the user."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="push_devices")
    name = models.CharField(max_length=80)
    sealed = models.BinaryField(help_text="Token of the push service")
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When the program last said the token is good")

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.user_id} {self.name}"
