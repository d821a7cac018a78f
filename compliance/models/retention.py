"""When a client's relation ended, whether the law wants the data kept longer, and when it was erased."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class ClientEnd(models.Model):
    """A client who left, or one whose data must be kept whatever the table of times says (a legal hold)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="client_end")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="End of the relation; empty while it goes on")
    held_at = models.DateTimeField(null=True, blank=True, help_text="Nothing of the client is deleted since then")
    held_reason = models.CharField(max_length=200, blank=True, default="")
    erased_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(erased_at=None) | models.Q(held_at=None), name="held_is_not_erased"
            )
        ]
        indexes = [
            models.Index(fields=("ended_at",), condition=models.Q(erased_at=None, held_at=None), name="client_end_due")
        ]

    def __str__(self) -> str:
        return str(self.user_id)
