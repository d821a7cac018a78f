"""How far the market data process has come: the offset that moves in the same transaction as candles and prints."""

from __future__ import annotations

from django.db import models


class MarketDataState(models.Model):
    """The single row (id 1). ``cmd_seq`` is the last engine command whose trades are in the candles, all of them, each once."""

    journal_id = models.CharField(max_length=36, blank=True, default="")
    cmd_seq = models.BigIntegerField(default=0)
    event_seq = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "market data state"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_market_data_state")]

    def __str__(self) -> str:
        return f"command {self.cmd_seq}"
