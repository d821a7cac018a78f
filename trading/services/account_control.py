"""What staff decided about an account, told to the engine: its trading state, its limits, a debit by hand. Safe to send again."""

from __future__ import annotations

import logging

from django.db.models import F

from accounts.models import AccountLimits, TradingAccount
from accounts.services.rules import account_limits_begin
from native.layout import HaltScope, TradingState
from trading.engine import commands
from trading.engine.gateway import EngineClient, EngineUnavailable, Rejected, Unknown

log = logging.getLogger(__name__)

STATES = {"active": TradingState.ACTIVE, "reduce_only": TradingState.REDUCE_ONLY, "halted": TradingState.HALTED}
OPEN_ORDERS_MAX = 5_000


def _submit(client: EngineClient, command: bytes) -> int:
    """The engine's refusal code, 0 when it was done; EngineUnavailable when that is not known (the command may be sent again)."""
    outcome = client.submit(command)
    if isinstance(outcome, Unknown):
        raise EngineUnavailable(f"the engine's answer is not known: {outcome.why}")
    return outcome.reason if isinstance(outcome, Rejected) else 0


def account_state_send(client: EngineClient, *, core_account: int, state: str) -> int:
    """Halt an account, let it only reduce, or open it again."""
    return _submit(client, commands.halt_set(HaltScope.ACCOUNT, STATES[state], account=core_account))


def account_limits_send(client: EngineClient, account: TradingAccount) -> int:
    """Tell the engine what one order of an account may be worth and how many may be open, as its row has it; notes what was sent.

    The engine's refusal code, 0 when it holds them.
    """
    row = AccountLimits.objects.get(account=account)
    epoch = int(client.status().epoch)
    code = _submit(
        client,
        commands.limits_set(
            account.core_account, max_open_orders=row.open_orders, max_order_notional=row.order_notional
        ),
    )
    if code == 0:
        # What changed meanwhile has another version, and is sent again.
        AccountLimits.objects.filter(pk=row.pk).update(sent_version=row.version, sent_epoch=epoch)
    return code


def limits_sync(client: EngineClient, batch: int = 500) -> int:
    """Send the limits the engine may not have: changed ones, and every account's once after each start of it. Returns how many."""
    epoch = int(client.status().epoch)
    for account in TradingAccount.objects.filter(limits=None, owner__isnull=False).select_related("owner")[:batch]:
        account_limits_begin(account)  # opened before there were limits
    stale = TradingAccount.objects.exclude(status=TradingAccount.Status.PENDING).exclude(
        limits__sent_version=F("limits__version"), limits__sent_epoch=epoch
    )
    sent = 0
    for account in stale.exclude(limits=None).order_by("core_account")[:batch]:
        code = account_limits_send(client, account)
        if code:
            log.error("the engine refused the limits of %s with code %d", account.number, code)
        sent += 1
    return sent


def account_debit_send(client: EngineClient, *, core_account: int, core_asset: int, minor: int, entry_id: str) -> int:
    """Take available money from an account, once per entry id."""
    return _submit(client, commands.withdraw(core_account, core_asset, minor, entry_id))
