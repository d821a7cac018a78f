"""What compliance decided about a person, written down where everything below reads it: tier and permission to trade.

Compliance calls down; nothing here asks upward. Owns the two fields of the user. Leaves why they change to ``compliance/services``.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts.models import TradingAccount, User
from accounts.selectors.access import accounts_forget
from accounts.services.rules import tier_limits_set
from brokerage.platform.audit import record
from brokerage.platform.auth import users_forget
from brokerage.platform.outbox import emit


def trading_permission_set(
    *, user_id: Any, kyc_tier: int, trading_allowed: bool, reason: str, jurisdiction: str | None = None
) -> bool:
    """Write a person's tier, permission and (unless None) jurisdiction; True when that changed anything. Takes effect everywhere within
    seconds; the engine's limits of the person's accounts follow the tier.

    Emits ``user.permission_changed``. Safe to repeat.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        before: dict[str, Any] = {"kyc_tier": user.kyc_tier, "trading_allowed": user.trading_allowed}
        after: dict[str, Any] = {"kyc_tier": kyc_tier, "trading_allowed": trading_allowed}
        if jurisdiction is not None and jurisdiction != user.jurisdiction:
            before["jurisdiction"], after["jurisdiction"] = user.jurisdiction, jurisdiction
            user.jurisdiction = jurisdiction
        tier_limits_set(user_id=user.pk, tier=kyc_tier)
        if before == after:
            return False
        user.kyc_tier, user.trading_allowed = kyc_tier, trading_allowed
        user.save(update_fields=["kyc_tier", "trading_allowed", "jurisdiction"])
        record(
            "permission.changed",
            object_type="user",
            object_id=user.pk,
            before=before,
            after=after,
            reason=reason,
        )
        emit("user.permission_changed", str(user.pk), after)
        transaction.on_commit(_forget)
    return True


def entity_permission_set(*, account_id: Any, tier: int, allowed: bool, jurisdiction: str | None, reason: str) -> bool:
    """Write what compliance decided about an entity on its account (the jurisdiction unless None); True when that changed anything."""
    with transaction.atomic():
        account = TradingAccount.objects.select_for_update().get(pk=account_id)
        before = {
            "tier": account.entity_tier,
            "allowed": account.entity_allowed,
            "jurisdiction": account.entity_jurisdiction,
        }
        held = account.entity_jurisdiction if jurisdiction is None else jurisdiction
        after = {"tier": tier, "allowed": allowed, "jurisdiction": held}
        if before == after:
            return False
        account.entity_tier, account.entity_allowed, account.entity_jurisdiction = tier, allowed, held
        account.save(update_fields=["entity_tier", "entity_allowed", "entity_jurisdiction"])
        tier_limits_set(user_id=account.owner_id, tier=account.owner.kyc_tier if account.owner else 0)
        record(
            "permission.changed", object_type="account", object_id=account.pk, before=before, after=after, reason=reason
        )
        emit("account.permission_changed", account.number, after)
        transaction.on_commit(_forget)
    return True


def _forget() -> None:
    accounts_forget()
    users_forget()
