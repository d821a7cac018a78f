"""What the back office listens to: approved requests the engine must carry out. Idempotent; the engine being away means: again later."""

from __future__ import annotations

from collections.abc import Callable

from accounts.models import TradingAccount
from backoffice.services.approvals import approval_result_set
from brokerage.platform.models import OutboxEvent
from brokerage.platform.outbox import RetryLater, on
from trading.engine.gateway import EngineClient, EngineUnavailable
from trading.services.account_control import account_debit_send, account_limits_send, account_state_send
from trading.services.engine_access import get_engine_client


def _tell(event: OutboxEvent, send: Callable[[EngineClient], int]) -> None:
    try:
        code = send(get_engine_client())
    except EngineUnavailable as error:
        raise RetryLater(str(error)) from error
    approval_result_set(
        approval_id=event.key, result=f"refused by the engine with code {code}" if code else "done by the engine"
    )


@on("account.state_approved")
def account_state_approved(event: OutboxEvent) -> None:
    """Halt or open the account in the engine."""
    facts = event.payload
    _tell(event, lambda client: account_state_send(client, core_account=facts["core_account"], state=facts["state"]))


@on("account.limits_approved")
def account_limits_approved(event: OutboxEvent) -> None:
    """Set the account's limits in the engine: the smaller of what staff decided and what the client's tier allows."""
    account = TradingAccount.objects.get(number=event.payload["account"])
    _tell(event, lambda client: account_limits_send(client, account))


@on("account.debit_approved")
def account_debit_approved(event: OutboxEvent) -> None:
    """Take the money in the engine; the request's id is the entry's key."""
    facts = event.payload
    _tell(event, lambda client: account_debit_send(
        client, core_account=facts["core_account"], core_asset=facts["core_asset"], minor=int(facts["minor"]), entry_id=event.key,
    ))  # fmt: skip
