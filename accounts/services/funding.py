"""Money in: a deposit is a row and an event; the engine credits it, the projector writes the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from django.db import IntegrityError, transaction

from accounts.models import Deposit, TradingAccount
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.units import minor_from_amount
from brokerage.platform.audit import record
from brokerage.platform.outbox import emit


class AssetLike(Protocol):
    """What a deposit needs of an asset (marketdata owns the table, and is above this app)."""

    code: str
    scale: int
    core_asset: int


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
