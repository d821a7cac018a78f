"""What a client has accepted, and the limits the engine is to hold an account to."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from accounts.models.trading_accounts import TradingAccount


class DisclosureAcceptance(models.Model):
    """A risk warning a client has accepted, in the version they read."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="disclosures")
    code = models.CharField(max_length=40)
    version = models.PositiveSmallIntegerField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of title and text as shown")
    accepted_at = models.DateTimeField()

    class Meta:
        ordering = ("-accepted_at",)
        constraints = [
            models.UniqueConstraint(fields=("user", "code", "version"), name="disclosure_accepted_once"),
        ]

    def __str__(self) -> str:
        return f"{self.code}@{self.version}"


class AccountLimits(models.Model):
    """The engine's limits of an account: what the owner's tier allows and what staff set; the smaller counts.

    ``sent_version`` and ``sent_epoch`` say which of it the engine has, since which of its starts. Notionals are minor units of the
    account's currency.
    """

    account = models.OneToOneField(TradingAccount, on_delete=models.CASCADE, primary_key=True, related_name="limits")
    tier_order_notional = models.BigIntegerField()
    tier_open_orders = models.PositiveIntegerField()
    staff_order_notional = models.BigIntegerField(null=True, blank=True)
    staff_open_orders = models.PositiveIntegerField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)
    sent_version = models.PositiveIntegerField(default=0)
    sent_epoch = models.IntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "account limits"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(tier_order_notional__gt=0, tier_open_orders__gt=0), name="tier_limits_positive"
            ),
        ]

    def __str__(self) -> str:
        return str(self.account_id)

    @property
    def order_notional(self) -> int:
        """The most one order may be worth, minor units."""
        return min(self.tier_order_notional, self.staff_order_notional or self.tier_order_notional)

    @property
    def open_orders(self) -> int:
        """The most orders that may be open."""
        return min(self.tier_open_orders, self.staff_open_orders or self.tier_open_orders)
