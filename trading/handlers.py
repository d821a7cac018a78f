"""What trading listens to: the only place where it does. Handlers are idempotent; the engine being away means: again later."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from accounts.models import Deposit, TradingAccount, User
from accounts.services.closing import blocker_register
from accounts.services.exports import section_register
from accounts.services.funding import deposit_confirm
from brokerage.config import get_config
from brokerage.platform.models import OutboxEvent
from brokerage.platform.outbox import RetryLater, on
from marketdata.models import Asset, Instrument
from risk.models import Position
from trading.engine import commands
from trading.engine.gateway import EngineUnavailable, Rejected, Unknown
from trading.models import Execution, Order
from trading.services.account_control import account_limits_send
from trading.services.engine_access import get_engine_client
from trading.services.listing import ListingError, account_send, instrument_send, instruments_listed
from trading.services.payouts import withdrawal_advance

#: Play money of a new account in the demo.
PRACTICE_CASH = (("USD", Decimal(100_000)),)


@on("account.opened")
def account_opened(event: OutboxEvent) -> None:
    """Register the account with the engine; in the demo give it practice money."""
    account = TradingAccount.objects.get(number=event.key)
    try:
        account_send(get_engine_client(), account)
    except (EngineUnavailable, ListingError) as error:
        raise RetryLater(str(error)) from error
    if get_config().demo and account.kind == TradingAccount.Kind.INDIVIDUAL and account.parent_id is None:
        for code, amount in PRACTICE_CASH:
            asset = Asset.objects.get(code=code)
            deposit_confirm(account=account, asset=asset, amount=amount, reference=f"practice-{account.number}-{code}")


@on("account.limits_changed")
def account_limits_changed(event: OutboxEvent) -> None:
    """Hold the account to its limits in the engine, once it knows the account."""
    account = TradingAccount.objects.get(number=event.key)
    if account.status == TradingAccount.Status.PENDING:
        return  # they go with the account itself
    try:
        account_limits_send(get_engine_client(), account)
    except EngineUnavailable as error:
        raise RetryLater(str(error)) from error


@on("deposit.confirmed")
def deposit_confirmed(event: OutboxEvent) -> None:
    """Credit a deposit in the engine. Its id is the entry's key: credited once however often this runs."""
    deposit = Deposit.objects.get(pk=event.key)
    if deposit.status in (Deposit.Status.CREDITED, Deposit.Status.FAILED):
        return
    command = commands.deposit(
        event.payload["core_account"], event.payload["core_asset"], int(event.payload["amount"]), deposit.id
    )
    try:
        outcome = get_engine_client().submit(command)
    except EngineUnavailable as error:
        raise RetryLater(str(error)) from error
    if isinstance(outcome, Unknown):
        raise RetryLater(outcome.why)
    if isinstance(outcome, Rejected):
        if outcome.reason == 2001:  # the account's own event comes first, but may have to wait
            raise RetryLater("the engine does not know the account yet")
        deposit.status = Deposit.Status.FAILED
        deposit.failed_reason = f"refused by the engine with code {outcome.reason}"
    else:
        deposit.status = Deposit.Status.CREDITED
    deposit.save(update_fields=["status", "failed_reason"])


@on("withdrawal.changed")
def withdrawal_changed(event: OutboxEvent) -> None:
    """Do in the engine what the withdrawal's row says: hold, settle or release. Finishes what a process that died had begun."""
    try:
        withdrawal_advance(get_engine_client(), event.key)
    except EngineUnavailable as error:
        raise RetryLater(str(error)) from error


@on("instrument.changed")
def instrument_changed(event: OutboxEvent) -> None:
    """Send a changed listing to the engine."""
    instrument = Instrument.objects.select_related("base", "quote").get(symbol=event.key)
    client = get_engine_client()
    try:
        instrument_send(client, instrument, first=instrument.core_instrument > instruments_listed(client))
    except (EngineUnavailable, ListingError) as error:
        raise RetryLater(str(error)) from error


def _open_in_trading(account: TradingAccount) -> str:
    """What keeps an account from being closed: orders and margin positions. Holdings are balances."""
    if Order.objects.filter(core_account=account.core_account, ord_status__in=(0, 1)).exists():
        return "open orders"
    margin = Instrument.objects.filter(kind=Instrument.Kind.MARGIN).values("core_instrument")
    held = Position.objects.filter(core_account=account.core_account, core_instrument__in=margin).exclude(net=0)
    return "open positions" if held.exists() else ""


def _own(user: User) -> list[int]:
    return list(TradingAccount.objects.filter(owner=user).values_list("core_account", flat=True))


def _orders_of(user: User) -> Iterator[dict[str, Any]]:
    yield from Order.objects.filter(core_account__in=_own(user)).values().iterator(chunk_size=2_000)


def _executions_of(user: User) -> Iterator[dict[str, Any]]:
    # Without contra_order_id: the other side is somebody else.
    names = ("exec_id", "order_id", "core_instrument", "side", "last_px", "last_qty", "fee", "liquidity", "time_ns")
    yield from Execution.objects.filter(core_account__in=_own(user)).values(*names).iterator(chunk_size=2_000)


blocker_register(_open_in_trading)
section_register("orders", _orders_of)
section_register("executions", _executions_of)
