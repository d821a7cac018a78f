"""Positions: projections of fills, written by the projector alone."""

from __future__ import annotations

from django.db import models


class Position(models.Model):
    """Net lots of an account in an instrument, after event ``seq``.

    Margin instruments: ``net`` and ``cost`` are the core's. Spot: traded net and its average cost, so that profit can be shown; the
    holding itself is a balance.
    """

    core_account = models.IntegerField()
    core_instrument = models.IntegerField()
    net = models.BigIntegerField(help_text="Lots, signed")
    cost = models.BigIntegerField(help_text="Open cost, quote minor units, signed like net")
    realised_pnl = models.BigIntegerField(default=0, help_text="Quote minor units, fees not included")
    seq = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("core_account", "core_instrument"), name="one_position")]

    def __str__(self) -> str:
        return f"{self.core_account}/{self.core_instrument}"
