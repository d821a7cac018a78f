"""Orders and their time lines: projections of the journal, written by the projector alone. Prices are ticks, quantities lots."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order as it stands after event ``seq``. A refused one has ``order_id`` = minus the sequence of its command."""

    class Status(models.IntegerChoices):
        NEW = 0, "New"
        PARTIALLY_FILLED = 1, "Partially filled"
        FILLED = 2, "Filled"
        CANCELED = 4, "Canceled"
        REJECTED = 8, "Rejected"
        EXPIRED = 12, "Expired"

    order_id = models.BigIntegerField(primary_key=True)
    core_account = models.IntegerField()
    core_instrument = models.IntegerField()
    cl_ord_id = models.CharField(max_length=36, blank=True, default="")
    side = models.SmallIntegerField()
    ord_type = models.SmallIntegerField()
    time_in_force = models.SmallIntegerField()
    flags = models.IntegerField(default=0)
    stp = models.SmallIntegerField(default=0)
    price = models.BigIntegerField(default=0)
    order_qty = models.BigIntegerField()
    leaves_qty = models.BigIntegerField()
    cum_qty = models.BigIntegerField()
    notional_sum = models.DecimalField(
        max_digits=38, decimal_places=0, default=0, help_text="Sum of last_px times last_qty: ticks times lots"
    )
    fee_sum = models.BigIntegerField(default=0, help_text="Quote minor units")
    ord_status = models.SmallIntegerField(choices=Status.choices)
    reject_reason = models.IntegerField(default=0)
    reject_needed = models.BigIntegerField(default=0)
    reject_available = models.BigIntegerField(default=0)
    reject_price = models.BigIntegerField(default=0)
    cancel_reason = models.SmallIntegerField(default=0)
    version = models.SmallIntegerField(default=1)
    expire_ns = models.BigIntegerField(default=0)
    source = models.IntegerField(default=0)
    entry_seq = models.BigIntegerField(help_text="Sequence of the command that entered it")
    created_ns = models.BigIntegerField()
    updated_ns = models.BigIntegerField()
    seq = models.BigIntegerField(help_text="Last event")

    class Meta:
        ordering = ("-entry_seq",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(leaves_qty__gte=0) & models.Q(cum_qty__gte=0), name="order_quantities_not_negative"
            ),
            models.CheckConstraint(
                condition=~models.Q(ord_status__in=(0, 1))
                | models.Q(order_qty=models.F("leaves_qty") + models.F("cum_qty")),
                name="order_live_quantities_add_up",
            ),
            models.CheckConstraint(
                condition=models.Q(ord_status__in=(0, 1)) | models.Q(leaves_qty=0), name="order_done_has_no_leaves"
            ),
        ]
        indexes = [
            models.Index(fields=("core_account", "-entry_seq"), name="order_by_account"),
            models.Index(
                fields=("core_account", "-entry_seq"), condition=models.Q(ord_status__in=(0, 1)), name="order_open"
            ),
            models.Index(fields=("core_account", "cl_ord_id"), name="order_by_cl_ord_id"),
            models.Index(fields=("core_account", "seq"), name="order_changed"),
            models.Index(fields=("-entry_seq",), name="order_latest"),
        ]

    def __str__(self) -> str:
        return str(self.order_id)


class OrderEvent(models.Model):
    """One step in an order's life."""

    seq = models.BigIntegerField(primary_key=True)
    order_id = models.BigIntegerField()
    core_account = models.IntegerField()
    cmd_seq = models.BigIntegerField()
    exec_type = models.SmallIntegerField(help_text="core_event_type")
    reason = models.IntegerField(default=0)
    price = models.BigIntegerField(default=0)
    qty = models.BigIntegerField(default=0)
    leaves = models.BigIntegerField(default=0)
    cum = models.BigIntegerField(default=0)
    time_ns = models.BigIntegerField()

    class Meta:
        ordering = ("seq",)
        indexes = [models.Index(fields=("order_id", "seq"), name="order_event_by_order")]

    def __str__(self) -> str:
        return str(self.seq)
