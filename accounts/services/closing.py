"""Closing: a user leaves. Refused while anything of theirs is still open; apps above say what that is through ``blocker_register``."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from accounts.models import Balance, Deposit, MobileNumber, PushDevice, TradingAccount, User, Withdrawal
from accounts.selectors.access import accounts_forget
from accounts.services.security import settings_demand
from accounts.services.sessions import sessions_end_all
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.auth import users_forget
from brokerage.platform.outbox import emit

#: What keeps an account open, in words, or empty text.
Blocker = Callable[[TradingAccount], str]
_blockers: list[Blocker] = []


def blocker_register(blocker: Blocker) -> None:
    """Ask this too before an account is closed."""
    if blocker not in _blockers:
        _blockers.append(blocker)


def _money(account: TradingAccount) -> str:
    held = Balance.objects.filter(core_account=account.core_account).exclude(available=0, held=0).exists()
    return "money or holdings" if held else ""


def _transfers(account: TradingAccount) -> str:
    live = Deposit.objects.filter(account=account, status__in=("pending", "confirmed")).exists()
    live = live or Withdrawal.objects.filter(account=account, closed_at=None).exists()
    return "a deposit or withdrawal on its way" if live else ""


def user_close(*, user: User) -> None:
    """Close every account of the user and the sign-in, forget where else they are told things; 2042 with what is still open.

    Emits ``account.closed`` for each account, and ``user.closed``.
    """
    settings_demand(user)
    with transaction.atomic():
        row = User.objects.select_for_update().get(pk=user.pk)
        accounts = list(
            TradingAccount.objects.select_for_update().filter(owner=row).exclude(status=TradingAccount.Status.CLOSED)
        )
        for account in accounts:
            open_things = [text for blocker in (_money, _transfers, *_blockers) if (text := blocker(account))]
            if open_things:
                raise RejectedError(
                    RejectCode.STILL_OPEN,
                    needed="nothing open",
                    available=f"{account.number} has {' and '.join(open_things)}",
                )
        for account in accounts:
            account.status = TradingAccount.Status.CLOSED
            account.save(update_fields=["status"])
            emit("account.closed", account.number, {"core_account": account.core_account})
        row.is_active = False
        row.save(update_fields=["is_active"])
        sessions_end_all(user=row, reason="closed", tokens=True)
        # There is nothing left to tell.
        for model in (MobileNumber, PushDevice):
            model.objects.filter(user=row).delete()
        record("user.closed", object_type="user", object_id=row.pk, subject=row.pk)
        emit("user.closed", str(row.pk))
        transaction.on_commit(lambda: users_forget(row.pk))
        transaction.on_commit(accounts_forget)
