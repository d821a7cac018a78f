"""The double-entry ledger and the balances: projections of the journal, written by the projector alone.

No foreign keys here (rows arrive by COPY); they join by core numbers. Amounts are minor units of the asset.
"""

from __future__ import annotations

from django.db import models


class LedgerEntry(models.Model):
    """One leg. The legs of one engine command sum to zero per asset."""

    class Book(models.IntegerChoices):
        CLIENT = 1, "Client"
        HOUSE = 2, "House fees"
        CLEARING = 3, "Margin clearing"
        EXTERNAL = 4, "External"

    class Kind(models.IntegerChoices):
        TRADE = 1, "Trade"
        FEE = 2, "Fee"
        PNL = 3, "Profit and loss"
        DEPOSIT = 4, "Deposit"
        WITHDRAWAL = 5, "Withdrawal"
        TRANSFER = 6, "Transfer"
        ADJUSTMENT = 7, "Adjustment"

    id = models.BigIntegerField(primary_key=True, help_text="entry_seq × 16 + leg: the same in every rebuild")
    entry_seq = models.BigIntegerField(help_text="Sequence of the engine event")
    cmd_seq = models.BigIntegerField(help_text="Sequence of the engine command")
    leg = models.SmallIntegerField()
    book = models.SmallIntegerField(choices=Book.choices)
    core_account = models.IntegerField()
    core_asset = models.SmallIntegerField()
    amount = models.BigIntegerField(help_text="Signed, minor units")
    kind = models.SmallIntegerField(choices=Kind.choices)
    ref_id = models.BigIntegerField(default=0, help_text="Execution, hold or other account it belongs to")
    time_ns = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "ledger entries"
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(id=models.F("entry_seq") * 16 + models.F("leg"), leg__gte=0, leg__lt=16),
                name="ledger_id_is_its_place",
            ),
            models.CheckConstraint(condition=~models.Q(amount=0), name="ledger_amount_not_zero"),
            models.CheckConstraint(
                condition=~models.Q(book=1) | models.Q(core_account__gt=0), name="ledger_client_has_account"
            ),
        ]
        indexes = [models.Index(fields=("core_account", "-id"), name="ledger_by_account")]

    def __str__(self) -> str:
        return f"{self.entry_seq}.{self.leg}"


class Balance(models.Model):
    """What an account has of an asset, after event ``seq``. Available may be below zero after a margin loss."""

    core_account = models.IntegerField()
    core_asset = models.SmallIntegerField()
    available = models.BigIntegerField()
    held = models.BigIntegerField()
    seq = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("core_account", "core_asset"), name="one_balance"),
            models.CheckConstraint(condition=models.Q(held__gte=0), name="held_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.core_account}/{self.core_asset}"
