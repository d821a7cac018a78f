"""How far the projection has come: the offset that is moved in the same transaction as the rows, and what it must remember to go on."""

from __future__ import annotations

from django.db import models


class ProjectionState(models.Model):
    """The single row (id 1)."""

    journal_id = models.CharField(max_length=36, blank=True, default="")
    epoch = models.IntegerField(default=0)
    cmd_seq = models.BigIntegerField(default=0)
    event_seq = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)
    halted_reason = models.TextField(blank=True, default="")

    class Meta:
        verbose_name_plural = "projection state"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_projection_state")]

    def __str__(self) -> str:
        return f"command {self.cmd_seq}"


class ProjectedListing(models.Model):
    """What the projector needs to know of an instrument to read its fills: as the journal lists it, not as the reference tables say."""

    core_instrument = models.IntegerField(primary_key=True)
    kind = models.SmallIntegerField(help_text="1 spot, 2 margin")
    base_asset = models.SmallIntegerField()
    quote_asset = models.SmallIntegerField()
    tick_value = models.BigIntegerField()
    lot_minor = models.BigIntegerField()

    class Meta:
        ordering = ("core_instrument",)

    def __str__(self) -> str:
        return str(self.core_instrument)
