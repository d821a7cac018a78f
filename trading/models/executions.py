"""Executions: one row per side and match, written once by the projector, never changed."""

from __future__ import annotations

from django.db import models


class Execution(models.Model):
    """A fill of an order. ``exec_id`` is the sequence of its engine event."""

    class Liquidity(models.TextChoices):
        MAKER = "m", "Maker"
        TAKER = "t", "Taker"

    exec_id = models.BigIntegerField(primary_key=True)
    order_id = models.BigIntegerField()
    contra_order_id = models.BigIntegerField()
    core_account = models.IntegerField()
    core_instrument = models.IntegerField()
    side = models.SmallIntegerField()
    last_px = models.BigIntegerField()
    last_qty = models.BigIntegerField()
    fee = models.BigIntegerField()
    fee_core_asset = models.SmallIntegerField()
    liquidity = models.CharField(max_length=1, choices=Liquidity.choices)
    realised_pnl = models.BigIntegerField(default=0)
    leaves_qty = models.BigIntegerField()
    cum_qty = models.BigIntegerField()
    cmd_seq = models.BigIntegerField()
    time_ns = models.BigIntegerField()

    class Meta:
        ordering = ("-exec_id",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(last_px__gt=0) & models.Q(last_qty__gt=0) & models.Q(fee__gte=0),
                name="execution_signs",
            ),
        ]
        indexes = [
            models.Index(fields=("core_account", "-exec_id"), name="execution_by_account"),
            models.Index(fields=("order_id", "exec_id"), name="execution_by_order"),
        ]

    def __str__(self) -> str:
        return str(self.exec_id)
