"""Who has which role since when and from whom; roles taken in an emergency; looks as a client."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class RoleGrant(models.Model):
    """A role given to somebody, until it ends. The group's membership follows these rows, never the other way round."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="role_grants")
    role = models.CharField(max_length=40)
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", help_text="Empty: installation"
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.TextField(blank=True, default="")
    granted_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [("review_access", "Sees and exports who has which access")]
        constraints = [
            models.UniqueConstraint(fields=("user", "role"), condition=models.Q(ended_at=None), name="one_live_grant")
        ]

    def __str__(self) -> str:
        return f"{self.user} {self.role}"


class BreakGlass(models.Model):
    """A role taken in an emergency by oneself: reason, end, and a mail to the administrators."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="break_glasses")
    role = models.CharField(max_length=40)
    reason = models.TextField()
    started_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-started_at",)
        verbose_name_plural = "emergency roles"
        default_permissions = ("view",)
        permissions = [("break_glass", "Takes a role in an emergency")]
        constraints = [
            models.CheckConstraint(condition=models.Q(ends_at__gt=models.F("started_at")), name="break_glass_ends"),
            models.UniqueConstraint(fields=("user",), condition=models.Q(ended_at=None), name="one_break_glass"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role}"


class ViewAs(models.Model):
    """A look as a client: who, whom, why and until when."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    client = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    started_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-started_at",)
        verbose_name_plural = "views as a client"
        default_permissions = ("view",)
        permissions = [("view_as_client", "Looks at the portal as a client, read only")]
        constraints = [
            models.CheckConstraint(condition=models.Q(ends_at__gt=models.F("started_at")), name="view_as_ends"),
            models.CheckConstraint(condition=~models.Q(staff=models.F("client")), name="view_as_another"),
        ]

    def __str__(self) -> str:
        return f"{self.staff} as {self.client}"
