"""What clients ask the desk to do while they cannot trade themselves: cancel an order, close a position."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import TradingAccount


class FallbackRequest(models.Model):
    """One request; its id is the number people name.

    received ⇄ claimed → done or refused; withdrawn by the client while nobody has claimed it. ``sent_at`` is set while a command of it may
    be on its way to the engine: then nothing but its outcome can end the request. Quantities are lots.
    """

    class Kind(models.TextChoices):
        CANCEL = "cancel", "Cancel an order"
        CLOSE = "close", "Close a position"

    class State(models.TextChoices):
        RECEIVED = "received", "Received"
        CLAIMED = "claimed", "Being worked on"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Withdrawn"

    OPEN = (State.RECEIVED, State.CLAIMED)

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, related_name="fallback_requests")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=36, help_text="Of the form: one key, one request")
    kind = models.CharField(max_length=6, choices=Kind.choices)
    core_instrument = models.IntegerField()
    order_id = models.BigIntegerField(null=True, blank=True, help_text="What to cancel")
    side = models.SmallIntegerField(help_text="Of the order to cancel, or of the order that would close: 1 buy, 2 sell")
    qty = models.BigIntegerField(help_text="Asked for: what rested of the order then, or what to close")
    state = models.CharField(max_length=9, choices=State.choices, default=State.RECEIVED)
    message = models.CharField(max_length=1000, blank=True, default="", help_text="Of the desk; the client reads it")
    uid = models.CharField(
        max_length=26, unique=True, help_text="ULID; with ``attempt`` the client order id of what is sent"
    )
    attempt = models.SmallIntegerField(default=1)
    sent_at = models.DateTimeField(null=True, blank=True)
    sent_qty = models.BigIntegerField(default=0)
    done_qty = models.BigIntegerField(default=0)
    by_hand = models.BooleanField(
        default=False, help_text="The outcome was written down by staff, not done by the engine"
    )
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    claimed_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [("decide_fallbackrequest", "Works on requests of clients who cannot trade")]
        constraints = [
            models.UniqueConstraint(fields=("account", "key"), name="fallback_one_per_key"),
            models.UniqueConstraint(
                fields=("order_id",), condition=Q(kind="cancel", state__in=("received", "claimed")),
                name="fallback_one_cancel_per_order",
            ),
            models.CheckConstraint(
                condition=Q(kind="cancel", order_id__isnull=False) | Q(kind="close", order_id=None),
                name="fallback_cancel_names_an_order",
            ),
            models.CheckConstraint(
                condition=Q(qty__gt=0, done_qty__gte=0, side__in=(1, 2), attempt__gte=1), name="fallback_quantities"
            ),
            models.CheckConstraint(
                condition=~Q(state="claimed") | Q(claimed_by__isnull=False, claimed_at__isnull=False),
                name="fallback_claimed_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("received", "claimed"), decided_at=None)
                | (Q(state__in=("done", "refused", "withdrawn"), decided_at__isnull=False) & Q(sent_at=None)),
                name="fallback_decided_has_its_time",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=("account", "-id"), name="fallback_by_account"),
            models.Index(fields=("id",), condition=Q(state__in=("received", "claimed")), name="fallback_queue"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def cl_ord_id(self) -> str:
        """What the engine knows the attempt by: however often it is sent, it is done once."""
        return f"FB-{self.uid}-{self.attempt}"
