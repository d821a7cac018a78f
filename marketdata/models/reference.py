"""Reference data: assets, venues and instruments, with the core numbers they have in the engine."""

from __future__ import annotations

from django.db import models


class Asset(models.Model):
    """Something one can own an amount of. ``scale`` is fixed for ever: one unit is 10^scale minor units."""

    class Kind(models.TextChoices):
        FIAT = "fiat", "Fiat currency"
        CRYPTO = "crypto", "Digital asset"
        EQUITY = "equity", "Equity"
        COMMODITY = "commodity", "Commodity"
        INDEX = "index", "Index"

    code = models.CharField(max_length=12, unique=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    scale = models.PositiveSmallIntegerField()
    display_decimals = models.PositiveSmallIntegerField()
    core_asset = models.PositiveSmallIntegerField(unique=True)

    class Meta:
        ordering = ("core_asset",)
        constraints = [models.CheckConstraint(condition=models.Q(scale__lte=12), name="asset_scale_at_most_12")]

    def __str__(self) -> str:
        return self.code


class Venue(models.Model):
    """A place of trading with its calendar (exchange-calendars' name, or 24/7)."""

    mic = models.CharField(max_length=4, unique=True, help_text="ISO 10383")
    name = models.CharField(max_length=80)
    calendar = models.CharField(max_length=16, default="24/7")
    time_zone = models.CharField(max_length=64, default="UTC")

    class Meta:
        ordering = ("mic",)

    def __str__(self) -> str:
        return self.mic


class Instrument(models.Model):
    """What can be traded. Prices are whole ticks, quantities whole lots; both increments are frozen at listing.

    ``tick_value`` (quote minor units of one tick times one lot) and ``lot_minor`` (base minor units of one lot) are derived by
    ``marketdata/services/instruments.py`` and must be whole, so that every notional is exact.
    """

    class Kind(models.TextChoices):
        SPOT = "spot", "Spot"
        MARGIN = "margin", "Margin"

    class AssetClass(models.TextChoices):
        FX = "fx", "FX"
        CRYPTO = "crypto", "Crypto"
        STOCK = "stock", "Stock"
        INDEX = "index", "Index CFD"
        COMMODITY = "commodity", "Commodity CFD"

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        REDUCE_ONLY = "reduce_only", "Reduce only"
        HALTED = "halted", "Halted"
        CLOSED = "closed", "Closed"

    symbol = models.CharField(max_length=16, unique=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=6, choices=Kind.choices)
    asset_class = models.CharField(max_length=10, choices=AssetClass.choices)
    base = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    quote = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    venue = models.ForeignKey(Venue, on_delete=models.PROTECT, related_name="instruments")
    isin = models.CharField(max_length=12, blank=True, default="", help_text="ISO 6166")
    cfi = models.CharField(max_length=6, blank=True, default="", help_text="ISO 10962")
    tick_size = models.DecimalField(max_digits=20, decimal_places=10)
    lot_size = models.DecimalField(max_digits=20, decimal_places=10)
    price_decimals = models.PositiveSmallIntegerField()
    qty_decimals = models.PositiveSmallIntegerField(default=0)
    tick_value = models.BigIntegerField(help_text="Quote minor units of one tick times one lot")
    lot_minor = models.BigIntegerField(help_text="Base minor units of one lot (margin: 1)")
    reference_price = models.BigIntegerField(help_text="Ticks, at listing")
    min_qty = models.BigIntegerField(default=1, help_text="Lots")
    max_qty = models.BigIntegerField(default=0, help_text="Lots, 0 = none")
    max_notional = models.BigIntegerField(default=0, help_text="Quote minor units, 0 = none")
    collar_ppm = models.IntegerField(default=0)
    maker_ppm = models.IntegerField(default=0)
    taker_ppm = models.IntegerField(default=0)
    margin_ppm = models.IntegerField(default=0)
    core_instrument = models.PositiveIntegerField(unique=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.ACTIVE)
    history_source = models.CharField(
        max_length=160, blank=True, default="", help_text="Where its history comes from, as shown to users"
    )

    class Meta:
        ordering = ("core_instrument",)
        constraints = [
            models.CheckConstraint(condition=models.Q(tick_value__gte=1), name="tick_value_whole"),
            models.CheckConstraint(condition=models.Q(lot_minor__gte=1), name="lot_minor_whole"),
            models.CheckConstraint(condition=models.Q(min_qty__gte=1), name="min_qty_positive"),
            models.CheckConstraint(
                condition=models.Q(kind="margin") | models.Q(base__isnull=False), name="spot_has_base"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="spot") | models.Q(margin_ppm__gt=0), name="margin_has_rate"
            ),
        ]

    def __str__(self) -> str:
        return self.symbol
