"""Money in and out: what was asked for and how far it has got. The money itself is in the ledger."""

from __future__ import annotations

from django.conf import settings
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


class Beneficiary(models.Model):
    """A bank account money of one trading account may be paid to. Holder and number are sealed for the account's owner."""

    id = models.CharField(primary_key=True, max_length=26, help_text="ULID")
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, related_name="beneficiaries")
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    sealed = models.BinaryField(help_text="Holder and IBAN")
    created_at = models.DateTimeField()
    usable_at = models.DateTimeField(help_text="End of the cool-off")
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "beneficiaries"
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.id


class Withdrawal(models.Model):
    """Money an account asked to be paid out. Its id is the key of the engine's hold, its hold the key of what follows.

    requested → held → approved → paid; or cancelled by the client before it is approved, refused by the engine or by staff before it is
    paid. Paid, cancelled and refused are decisions that stand; ``closed_at`` says since when the engine has carried them out.
    """

    class Status(models.TextChoices):
        REQUESTED = "requested", "Requested"
        HELD = "held", "Waiting for approval"
        APPROVED = "approved", "Approved"
        PAID = "paid", "Paid"
        CANCELLED = "cancelled", "Cancelled"
        REFUSED = "refused", "Refused"

    #: Nothing is decided for good yet.
    OPEN = (Status.REQUESTED, Status.HELD, Status.APPROVED)
    #: The client can still take it back.
    CANCELLABLE = (Status.REQUESTED, Status.HELD)

    id = models.CharField(primary_key=True, max_length=26, help_text="ULID")
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, related_name="withdrawals")
    beneficiary = models.ForeignKey(Beneficiary, on_delete=models.PROTECT, related_name="withdrawals")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    idempotency_key = models.CharField(max_length=36, blank=True, default="")
    asset = models.CharField(max_length=12)
    amount = models.BigIntegerField(help_text="Minor units")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.REQUESTED)
    hold_id = models.BigIntegerField(null=True, blank=True)
    refused_code = models.SmallIntegerField(default=0, help_text="Number of docs/rejects.md where the engine refused")
    refused_available = models.BigIntegerField(null=True, blank=True, help_text="What there was then, minor units")
    reason = models.CharField(
        max_length=1000, blank=True, default="", help_text="Of staff who refused; the client reads it"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reference = models.CharField(
        max_length=64, null=True, blank=True, unique=True, help_text="The bank's: one reference, one payout"
    )
    created_at = models.DateTimeField()
    created_ns = models.BigIntegerField(help_text="What lists are paged by")
    approved_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True, help_text="Paid, cancelled or refused")
    closed_at = models.DateTimeField(null=True, blank=True, help_text="The engine holds nothing for it any more")

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="withdrawal_positive"),
            models.UniqueConstraint(
                fields=("account", "idempotency_key"),
                condition=~models.Q(idempotency_key=""),
                name="withdrawal_one_per_key",
            ),
            models.CheckConstraint(
                condition=models.Q(status="paid", reference__isnull=False, hold_id__isnull=False)
                | (~models.Q(status="paid") & models.Q(reference=None)),
                name="withdrawal_paid_has_its_reference",
            ),
            models.CheckConstraint(
                condition=models.Q(closed_at=None) | models.Q(status__in=("paid", "cancelled", "refused")),
                name="withdrawal_closed_is_decided",
            ),
        ]
        indexes = [models.Index(fields=("account", "-created_ns"), name="withdrawal_by_account")]

    def __str__(self) -> str:
        return self.id
