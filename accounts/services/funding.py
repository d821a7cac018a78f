"""Money in: a deposit is a row and an event; the engine credits it, the projector writes the ledger."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from django.db import IntegrityError, transaction
from django.db.models import Q, Sum

from accounts.models import Deposit, TradingAccount, User
from accounts.services.rules import SCALE
from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.units import format_plain, minor_from_amount
from brokerage.platform.audit import record
from brokerage.platform.outbox import emit


class AssetLike(Protocol):
    """What a deposit needs of an asset (marketdata owns the table, and is above this app)."""

    code: str
    scale: int
    core_asset: int


def deposit_demand(*, account: TradingAccount, asset: str, minor: int) -> None:
    """Refuse (7027) dollars that would take the client's deposits of 30 days above the tier's limit. Call in a transaction: of two
    that race for the rest one waits. Practice money does not count; assets other than dollars are not valued and not limited.
    """
    entity = account.parent or account
    if account.owner_id is None or asset != "USD":
        return
    owner = User.objects.select_for_update().get(pk=account.owner_id)
    own = entity.entity_tier is not None
    tier = entity.entity_tier if entity.entity_tier is not None else owner.kyc_tier
    limit = int(trading_policy().tiers[tier].deposit_30d_usd.scaleb(SCALE))
    whose = Q(account=entity) | Q(account__parent=entity) if own else Q(account__owner=owner, account__entity_tier=None)
    before = (
        Deposit.objects.filter(whose, asset=asset, created_at__gt=utc_now() - timedelta(days=30))
        .exclude(status=Deposit.Status.FAILED)
        .exclude(reference__startswith="practice-")
        .aggregate(sum=Sum("amount"))["sum"]
        or 0
    )
    if before + minor > limit:
        shown = [format_plain(Decimal(value).scaleb(-SCALE)) + " USD" for value in (limit, before + minor)]
        raise RejectedError(RejectCode.DEPOSIT_LIMIT, needed=shown[0], available=shown[1], field="amount")


def deposit_confirm(*, account: TradingAccount, asset: AssetLike, amount: Decimal, reference: str) -> Deposit:
    """Record money that has arrived and emit ``deposit.confirmed``; the same reference again changes nothing.

    The deposit's id is the idempotency key of the engine's entry, so that a handler that runs twice credits once.
    Raises the units' errors for an amount the asset cannot carry.
    """
    known = Deposit.objects.filter(reference=reference).first()
    if known is not None:
        return known
    minor = minor_from_amount(amount, asset.scale)
    try:
        with transaction.atomic():
            deposit = Deposit.objects.create(
                id=ulid_new(),
                account=account,
                asset=asset.code,
                amount=minor,
                status=Deposit.Status.CONFIRMED,
                reference=reference,
            )
            record(
                "deposit.confirmed",
                object_type="deposit",
                object_id=deposit.id,
                subject=account.owner_id or "",
                after={
                    "account": account.number,
                    "asset": asset.code,
                    "minor_units": str(minor),
                    "reference": reference,
                },
            )
            emit(
                "deposit.confirmed",
                deposit.id,
                {"core_account": account.core_account, "core_asset": asset.core_asset, "amount": str(minor)},
            )
    except IntegrityError:
        return Deposit.objects.get(reference=reference)
    return deposit
