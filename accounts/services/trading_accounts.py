"""Opening and activating trading accounts."""

from __future__ import annotations

from django.db import connection, transaction

from accounts.models import TradingAccount, TradingAccountMember, User
from accounts.services.rules import account_limits_begin
from brokerage.platform.outbox import emit

#: Serialises the numbering of accounts (a transaction-scoped advisory lock of PostgreSQL).
NUMBERING_LOCK = 0x41_43_43_54


def account_open(
    *,
    user: User,
    kind: str = TradingAccount.Kind.INDIVIDUAL,
    name: str = "",
    lei: str = "",
    parent: TradingAccount | None = None,
) -> TradingAccount:
    """Open an account for a user: pending until the engine knows it. Emits ``account.opened``."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Core numbers are dense indices: no gaps, so not a sequence.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [NUMBERING_LOCK])
            cursor.execute("SELECT COALESCE(MAX(core_account), 0) + 1 FROM accounts_tradingaccount")
            core_account = cursor.fetchone()[0]
        account = TradingAccount.objects.create(
            number=f"A{core_account:06d}",
            core_account=core_account,
            owner=user,
            kind=kind,
            name=name,
            lei=lei,
            parent=parent,
            # An entity is known when compliance has looked at it, whoever its owner is; sub-accounts go by the account above.
            entity_tier=0 if kind == TradingAccount.Kind.ENTITY and parent is None else None,
            status=TradingAccount.Status.PENDING,
        )
        TradingAccountMember.objects.create(account=account, user=user, role=TradingAccountMember.Role.OWNER)
        account_limits_begin(account)
        emit("account.opened", account.number, {"core_account": core_account, "kind": str(kind)})
    return account


def account_activate(account: TradingAccount) -> None:
    """Let a pending account trade; nothing changes for any other."""
    TradingAccount.objects.filter(pk=account.pk, status=TradingAccount.Status.PENDING).update(
        status=TradingAccount.Status.ACTIVE
    )
