"""Tables of the plumbing: the outbox, acts waiting for the audit chain, data keys."""

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


class AuditPending(models.Model):
    """An act that was recorded in its transaction and waits to be put into the audit chain (``brokerage/platform/audit.py``)."""

    action = models.CharField(max_length=64)
    actor_type = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    on_behalf_of = models.CharField(max_length=64, blank=True)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=128)
    subject = models.CharField(max_length=64, blank=True, help_text="Whose personal data before and after show")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    ip = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"


class DataKey(models.Model):
    """A data key of one owner, wrapped by a key of the keyring (``brokerage/platform/crypto.py``)."""

    owner = models.CharField(max_length=128)
    kek_id = models.CharField(max_length=32)
    wrapped = models.BinaryField(null=True, help_text="Empty once destroyed: what it sealed is gone")
    created_at = models.DateTimeField(auto_now_add=True)
    destroyed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=("owner",), condition=models.Q(destroyed_at=None), name="one_key_an_owner"),
            models.CheckConstraint(
                condition=models.Q(destroyed_at=None, wrapped__isnull=False)
                | models.Q(destroyed_at__isnull=False, wrapped=None),
                name="destroyed_key_is_gone",
            ),
        ]
        indexes = [models.Index(fields=("kek_id", "id"), name="datakey_by_kek")]

    def __str__(self) -> str:
        return self.owner
