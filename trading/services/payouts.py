"""Withdrawals in the engine: hold what is asked for, then settle or release it, as the row says. Safe to run again at any point.

    request ⇒ row "requested" ⇒ HOLD (key: the withdrawal's id) ⇒ "held" … "paid" ⇒ HOLD_SETTLE; "cancelled", "refused" ⇒ HOLD_RELEASE

A process that dies between the engine's answer and the row leaves an event (``withdrawal.changed``) that is handled again: the hold is then a
duplicate with the same hold id, a settle or release is refused with 8001 because the hold id is used up, which means that it is done. A
decision that was written down is never changed, so a hold is only ever settled or only ever released.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from accounts.models import User, Withdrawal
from accounts.selectors.access import AccountRef
from accounts.services.beneficiaries import owner_demand
from accounts.services.withdrawals import (
    amount_minor,
    same_demand,
    withdrawal_cancel,
    withdrawal_closed,
    withdrawal_create,
    withdrawal_held,
    withdrawal_known,
    withdrawal_unheld,
)
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from marketdata.selectors.instruments import AssetRef, asset_by_code
from trading.engine import commands
from trading.engine.gateway import Accepted, EngineClient, EngineUnavailable, Rejected, Unknown
from trading.selectors.portfolio import balance_list_for, position_list_for
from trading.services.engine_access import get_engine_client

Status = Withdrawal.Status
#: The engine remembers ids of the day that ends and of the one before. A hold is not asked for again when it could have forgotten.
HOLD_SURE = timedelta(hours=20)


class HoldUncertainError(RuntimeError):
    """Nobody knows any more whether the engine holds the money: a person must compare (``docs/operations.md``)."""


def asset_named(code: str) -> AssetRef:
    """The asset; 3007 when there is none."""
    asset = asset_by_code(code)
    if asset is None:
        raise RejectedError(RejectCode.UNKNOWN_ASSET, field="asset")
    return asset


def withdrawable(account: AccountRef, asset: AssetRef) -> int:
    """Minor units that may go: what is available, less what open margin positions have lost by their marks.

    Trades settle in the ledger at once, so nothing else is unsettled: what is on its way in is not in the balance, what orders and margin
    hold is not available. RejectedError 9012 while a position has no price.
    """
    found = [
        row["available"] for row in balance_list_for(account.core_account) if row["core_asset"] == asset.core_asset
    ]
    result = 0
    for view in position_list_for(account.core_account):
        net = view.row["net"]
        if view.instrument.spot or not net or view.instrument.quote.code != asset.code:
            continue
        if view.mark is None:
            raise RejectedError(
                RejectCode.PROJECTION_STALE,
                f"What can be taken out is not known while {view.instrument.symbol}, in which you have a position, has no price.",
            )
        result += net * view.mark[0] * view.instrument.tick_value - view.row["cost"]
    return max(0, (found[0] if found else 0) + min(0, result))


def _has_margin(account: AccountRef) -> bool:
    return any(view.row["net"] and not view.instrument.spot for view in position_list_for(account.core_account))


def withdrawal_replayed(
    *, account: AccountRef, asset: str, amount: Decimal, beneficiary_id: str, key: str
) -> Withdrawal | None:
    """What was asked for under this key before, None when nothing was; 1015 when it was something else."""
    row = withdrawal_known(account, key)
    if row is not None:
        same_demand(row, asset=asset, minor=amount_minor(amount, asset_named(asset)), beneficiary_id=beneficiary_id)
    return row


def withdrawal_request(
    *, user: User, account: AccountRef, beneficiary_id: str, asset: str, amount: Decimal, key: str = ""
) -> Withdrawal:
    """Write the withdrawal down and hold the money; the caller has seen to a fresh proof of who is there.

    While the engine is away it stays "requested" and is held when it is back. Refusals: those of ``withdrawal_create``, and 4001.
    """
    owner_demand(account)
    found = asset_named(asset)
    minor = amount_minor(amount, found)
    if _has_margin(account):
        may = withdrawable(account, found)
        if minor > may:
            raise ApiProblem(
                RejectCode.INSUFFICIENT_FUNDS,
                "What open positions have lost by their present prices cannot be taken out.",
                needed=found.money(minor),
                available=found.money(may),
                next_step="Take less, or close positions first.",
                field="amount",
            )
    row = withdrawal_create(
        user=user, account=account, beneficiary_id=beneficiary_id, asset=found, minor=minor, key=key
    )
    return _advance_now(row)


def withdrawal_take_back(withdrawal_id: str) -> Withdrawal:
    """Cancel it for the client; the money is available again at once, or when the engine is back. 7064 once it is approved."""
    return _advance_now(withdrawal_cancel(withdrawal_id=withdrawal_id))


def _advance_now(row: Withdrawal) -> Withdrawal:
    # While the engine is away the event of the change waits for it.
    try:
        return withdrawal_advance(get_engine_client(), row.pk)
    except EngineUnavailable:
        return row


def refusal_demand(row: Withdrawal) -> None:
    """Tell the engine's refusal of a withdrawal as the answer to who asked for it."""
    if row.status != Status.REFUSED or not row.refused_code:
        return
    asset = asset_named(row.asset)
    available = asset.money(row.refused_available) if row.refused_available is not None else None
    raise ApiProblem(
        row.refused_code, needed=asset.money(row.amount), available=available, extra={"withdrawal_id": row.pk},
        next_step="Take less, or cancel orders that hold money." if row.refused_code == RejectCode.INSUFFICIENT_FUNDS else None,
    )  # fmt: skip


def withdrawal_advance(client: EngineClient, withdrawal_id: str) -> Withdrawal:
    """Do in the engine what the row says and is not done yet. EngineUnavailable: again later."""
    row = Withdrawal.objects.select_related("account").get(pk=withdrawal_id)
    if row.closed_at is None and row.hold_id is None:
        row = _hold(client, row)
    if row.closed_at is None and row.status in (Status.PAID, Status.CANCELLED, Status.REFUSED):
        row = _finish(client, row)
    return row


def _answer(client: EngineClient, command: bytes) -> Accepted | Rejected:
    outcome = client.submit(command)
    if isinstance(outcome, Unknown):
        raise EngineUnavailable(f"the engine's answer is not known: {outcome.why}")
    if isinstance(outcome, Rejected) and (not outcome.cmd_seq or outcome.reason == RejectCode.UNKNOWN_ACCOUNT):
        # Not journaled (too much to do), or the account's own event has to come first.
        raise EngineUnavailable(f"refused for now with code {outcome.reason}")
    return outcome


def _hold(client: EngineClient, row: Withdrawal) -> Withdrawal:
    if utc_now() - row.created_at > HOLD_SURE:
        raise HoldUncertainError(
            f"withdrawal {row.pk} was asked for {row.created_at}, and its hold was never confirmed"
        )
    asset = asset_named(row.asset)
    outcome = _answer(client, commands.hold(row.account.core_account, asset.core_asset, row.amount, row.pk))
    if isinstance(outcome, Rejected):
        available = outcome.available if outcome.reason == RejectCode.INSUFFICIENT_FUNDS else None
        return withdrawal_unheld(withdrawal_id=row.pk, code=outcome.reason, available=available)
    return withdrawal_held(withdrawal_id=row.pk, hold_id=outcome.events[0].order_id)


def _finish(client: EngineClient, row: Withdrawal) -> Withdrawal:
    if row.hold_id is None:
        raise HoldUncertainError(f"withdrawal {row.pk} is {row.status} without a hold")
    build = commands.hold_settle if row.status == Status.PAID else commands.hold_release
    outcome = _answer(client, build(row.account.core_account, row.hold_id))
    if isinstance(outcome, Rejected) and outcome.reason != RejectCode.UNKNOWN_HOLD:
        raise EngineUnavailable(f"the engine refused with code {outcome.reason}")
    return withdrawal_closed(withdrawal_id=row.pk)
