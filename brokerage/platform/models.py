"""Tables of the plumbing: the outbox."""

from django.db import models


class OutboxEvent(models.Model):
    """An event that happened in a transaction and is to be told to listeners after it, at least once."""

    topic = models.CharField(max_length=64)
    key = models.CharField(max_length=128, help_text="What it is about: an id of the topic's noun.")
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    failed_reason = models.TextField(blank=True, default="", help_text="Set when every attempt failed: a dead letter.")

    class Meta:
        ordering = ("id",)
        indexes = [models.Index(fields=("id",), condition=models.Q(published_at__isnull=True), name="outbox_pending")]

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"
