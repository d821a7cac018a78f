"""What surrounds a sign-in: links sent by mail, sessions, devices that are known, the history of sign-ins."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)
BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))


def browser_name(user_agent: str) -> str:
    """What a browser says it is, in two words; its own text, cut, when it is none of the common ones."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if browser and system else user_agent[:40] or "not told"


class MailToken(models.Model):
    """A link that was mailed. Only a digest is kept; it works once and not after ``expires_at``."""

    class Purpose(models.TextChoices):
        CONFIRM_EMAIL = "confirm_email", "Confirm an address"
        RECOVER = "recover", "Set a new password"
        EMAIL_OLD = "email_old", "Agree to a new address"
        EMAIL_NEW = "email_new", "Prove a new address"
        FREEZE = "freeze", "Freeze after an unknown sign-in"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mail_tokens")
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    digest = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of the secret in the link")
    data = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = [models.Index(fields=("user", "purpose"), name="mailtoken_by_user")]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.user_id}"


class UserSession(models.Model):
    """A signed-in browser. The cookie's session names this row, so ending the row ends the session everywhere."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sessions")
    method = models.CharField(max_length=24)
    ip = models.CharField(max_length=64, blank=True, default="")
    user_agent = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_reason = models.CharField(max_length=40, blank=True, default="")

    class Meta:
        ordering = ("-last_seen_at",)
        indexes = [
            models.Index(fields=("user", "-last_seen_at"), condition=models.Q(ended_at=None), name="session_open")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.method}"

    @property
    def browser(self) -> str:
        """The browser in two words."""
        return browser_name(self.user_agent)


class LoginEvent(models.Model):
    """One try to sign in, for the user's history. Tries with unknown addresses are counted, not kept."""

    class Outcome(models.TextChoices):
        OK = "ok", "Signed in"
        WRONG_PASSWORD = "wrong_password", "Wrong password"
        WRONG_CODE = "wrong_code", "Wrong second factor"
        FROZEN = "frozen", "Refused: frozen"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="login_events")
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    method = models.CharField(max_length=24)
    ip = models.CharField(max_length=64, blank=True, default="")
    user_agent = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=("user", "-id"), name="login_by_user")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.outcome}"

    @property
    def browser(self) -> str:
        """The browser in two words."""
        return browser_name(self.user_agent)


class KnownDevice(models.Model):
    """A browser a user has signed in with before: it carries a cookie of which the digest is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="known_devices")
    digest = models.BinaryField(max_length=32)
    label = models.CharField(max_length=200, blank=True, default="")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("user", "digest"), name="one_row_per_device")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.label[:40]}"
