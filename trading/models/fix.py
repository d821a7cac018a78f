"""FIX sessions: sequence numbers, what was sent, and the client's ids of changes. Written by the gateway alone (``trading/fix_gateway``)."""

from __future__ import annotations

from django.db import models


class FixSession(models.Model):
    """Where one FIX session stands. Both numbers are the next ones; ``feed_seq`` is the last engine event that was told."""

    key = models.OneToOneField("accounts.FixKey", on_delete=models.CASCADE, related_name="fix_session")
    core_account = models.IntegerField()
    next_in = models.BigIntegerField(default=1)
    next_out = models.BigIntegerField(default=1)
    epoch = models.IntegerField(default=0, help_text="How often the numbers began again at 1")
    feed_seq = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=32, blank=True, default="", help_text="The connection that may write here")
    connected_at = models.DateTimeField(null=True, blank=True, help_text="Empty: nobody is logged on")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(next_in__gte=1) & models.Q(next_out__gte=1), name="fix_session_numbers_from_one"
            ),
        ]

    def __str__(self) -> str:
        return f"FIX session {self.pk}"


class FixMessage(models.Model):
    """An application message that was sent, kept to be sent again. ``body`` is its fields without header and trailer."""

    session = models.ForeignKey(FixSession, on_delete=models.CASCADE, related_name="messages")
    seq = models.BigIntegerField()
    msg_type = models.CharField(max_length=2)
    body = models.TextField()
    sent_ns = models.BigIntegerField()
    sent_at = models.DateTimeField()

    class Meta:
        ordering = ("session", "seq")
        constraints = [models.UniqueConstraint(fields=("session", "seq"), name="fix_message_once")]
        indexes = [models.Index(fields=("sent_at",), name="fix_message_by_time")]

    def __str__(self) -> str:
        return f"{self.session_id}:{self.seq}"


class FixRequest(models.Model):
    """A cancel or replace by FIX: which ClOrdID it had and which command it became, so that the engine's event is told under it."""

    class Kind(models.TextChoices):
        CANCEL = "F", "Cancel"
        REPLACE = "G", "Replace"

    core_account = models.IntegerField()
    cl_ord_id = models.CharField(max_length=36)
    orig_cl_ord_id = models.CharField(max_length=36)
    kind = models.CharField(max_length=1, choices=Kind.choices)
    order_id = models.BigIntegerField()
    terms = models.CharField(
        max_length=100, blank=True, default="", help_text="What was asked for, to know a repetition"
    )
    cmd_seq = models.BigIntegerField(null=True, blank=True, help_text="Empty: refused, or not answered yet")
    refused = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=("core_account", "cl_ord_id"), name="fix_request_id_once"),
            models.CheckConstraint(condition=models.Q(kind__in=("F", "G")), name="fix_request_kind"),
        ]
        indexes = [models.Index(fields=("order_id", "id"), name="fix_request_by_order")]

    def __str__(self) -> str:
        return self.cl_ord_id
