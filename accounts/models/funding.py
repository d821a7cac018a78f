"""Money in and out: what was asked for and how far it has got. The money itself is in the ledger."""

from __future__ import annotations

from django.db import models

from accounts.models.trading_accounts import TradingAccount


class Deposit(models.Model):
    """Money that arrived for an account. Its id is the idempotency key of the engine's entry."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        CONFIRMED = "confirmed", "Confirmed"
        CREDITED = "credited", "Credited"
        FAILED = "failed", "Failed"

    id = models.CharField(primary_key=True, max_length=26, help_text="ULID")
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, related_name="deposits")
    asset = models.CharField(max_length=12)
    amount = models.BigIntegerField(help_text="Minor units")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    reference = models.CharField(
        max_length=64, unique=True, help_text="The payer's side of it: repeated, it changes nothing"
    )
    failed_reason = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        constraints = [models.CheckConstraint(condition=models.Q(amount__gt=0), name="deposit_positive")]

    def __str__(self) -> str:
        return self.id


class Withdrawal(models.Model):
    """Money an account asked to be paid out."""

    class Status(models.TextChoices):
        REQUESTED = "requested", "Requested"
        HELD = "held", "Held"
        SETTLED = "settled", "Settled"
        RELEASED = "released", "Released"
        REFUSED = "refused", "Refused"

    id = models.CharField(primary_key=True, max_length=26, help_text="ULID")
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, related_name="withdrawals")
    asset = models.CharField(max_length=12)
    amount = models.BigIntegerField(help_text="Minor units")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.REQUESTED)
    hold_id = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        constraints = [models.CheckConstraint(condition=models.Q(amount__gt=0), name="withdrawal_positive")]

    def __str__(self) -> str:
        return self.id
