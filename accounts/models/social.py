"""Which identity at another provider belongs to which user."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class SocialLink(models.Model):
    """A subject of an OpenID provider, proved to be this user. One subject is one user, always."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="social_links")
    provider = models.CharField(max_length=40)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=("provider", "subject"), name="one_user_per_subject"),
            models.UniqueConstraint(fields=("user", "provider"), name="one_subject_per_provider"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} of {self.user_id}"
