"""History: candles and the last prints. Rows are keyed by core numbers and arrive in bulk."""

from __future__ import annotations

from django.db import models


class Candle(models.Model):
    """Open, high, low, close (ticks) and volume (lots) of ``[open_time, open_time + frame)``; no candle where nothing traded."""

    class Source(models.IntegerChoices):
        RECORDED = 1, "Recorded"
        SIMULATED = 2, "Simulated"
        LIVE = 3, "Live"

    core_instrument = models.PositiveIntegerField()
    frame = models.IntegerField(help_text="Seconds")
    open_time = models.BigIntegerField(help_text="Epoch seconds")
    open = models.BigIntegerField()
    high = models.BigIntegerField()
    low = models.BigIntegerField()
    close = models.BigIntegerField()
    volume = models.BigIntegerField()
    trades = models.IntegerField(default=0)
    source = models.SmallIntegerField(choices=Source.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("core_instrument", "frame", "open_time"), name="one_candle"),
            models.CheckConstraint(
                condition=models.Q(low__gt=0)
                & models.Q(low__lte=models.F("open"))
                & models.Q(low__lte=models.F("close"))
                & models.Q(high__gte=models.F("open"))
                & models.Q(high__gte=models.F("close")),
                name="candle_in_range",
            ),
            models.CheckConstraint(condition=models.Q(volume__gte=0), name="candle_volume_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.core_instrument} {self.frame} {self.open_time}"


class TradePrint(models.Model):
    """A trade as the public sees it. ``seq`` is the taker's execution."""

    seq = models.BigIntegerField(primary_key=True)
    core_instrument = models.PositiveIntegerField()
    price = models.BigIntegerField()
    qty = models.BigIntegerField()
    side = models.SmallIntegerField(help_text="Of the aggressor: 1 buy, 2 sell")
    time_ns = models.BigIntegerField()

    class Meta:
        ordering = ("-seq",)
        indexes = [models.Index(fields=("core_instrument", "-seq"), name="print_by_instrument")]

    def __str__(self) -> str:
        return str(self.seq)
