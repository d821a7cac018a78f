"""Trading accounts: what orders, balances and positions belong to."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class TradingAccount(models.Model):
    """An account in the core. ``core_account`` is its index there; 0 is the house."""

    class Kind(models.TextChoices):
        INDIVIDUAL = "individual", "Individual"
        JOINT = "joint", "Joint"
        ENTITY = "entity", "Entity"
        HOUSE = "house", "House"
        DEMO = "demo", "Demo market"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        CLOSED = "closed", "Closed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.CharField(max_length=12, unique=True)
    core_account = models.PositiveIntegerField(unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="trading_accounts", null=True, blank=True
    )
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.INDIVIDUAL)
    name = models.CharField(
        max_length=80, blank=True, default="", help_text="Chosen by the owner; an entity's legal name"
    )
    lei = models.CharField(max_length=20, blank=True, default="", help_text="ISO 17442, of an entity")
    parent = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        related_name="sub_accounts",
        null=True,
        blank=True,
        help_text="Of a sub-account",
    )
    entity_tier = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="An entity's own tier, written by compliance; empty: the owner's counts"
    )
    entity_allowed = models.BooleanField(default=False, help_text="Compliance lets the entity trade")
    entity_jurisdiction = models.CharField(max_length=8, blank=True, default="")
    base_currency = models.CharField(max_length=12, default="USD")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PENDING)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("core_account",)

    def __str__(self) -> str:
        return self.number


class TradingAccountMember(models.Model):
    """A user who may see or use an account."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        TRADER = "trader", "Trader"
        VIEWER = "viewer", "Viewer"

    account = models.ForeignKey(TradingAccount, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("account", "user"), name="one_role_per_member")]

    def __str__(self) -> str:
        return f"{self.user} {self.role} of {self.account}"


class Invitation(models.Model):
    """An offer of a role in an account to whoever reads the mail of an address. The link's secret is kept as a digest."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(TradingAccount, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=8, choices=TradingAccountMember.Role.choices)
    digest = models.BinaryField(max_length=32, unique=True, null=True)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.email} {self.role} of {self.account}"
