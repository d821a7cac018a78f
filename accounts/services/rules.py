"""Writing down what the trading policy makes of a client: accepted warnings, answers about trading, and the engine's limits of each account.

A change of an account's limits emits ``account.limits_changed``; the engine is told by ``trading``. Leaves reading to ``selectors/access.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.models import AccountLimits, DisclosureAcceptance, TradingAccount, User
from accounts.selectors.access import accounts_forget
from accounts.trading_policy import CURRENCY, trading_policy
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.units import format_plain
from brokerage.platform.audit import record
from brokerage.platform.outbox import emit

#: Fiat currencies have this many decimals in the engine; limits are in US dollars, the currency of every account.
SCALE = 6


def money_text(minor: int) -> str:
    """An amount in the currency of limits, as refusals and mails say it."""
    return f"{format_plain(Decimal(minor).scaleb(-SCALE))} {CURRENCY}"


def disclosures_accept(*, user: User, codes: Sequence[str]) -> int:
    """Note that the user has read and accepts these texts in their present version; how many were new. 1001 for an unknown one."""
    texts = trading_policy().disclosures
    unknown = [code for code in codes if code not in texts]
    if unknown or not codes:
        raise RejectedError(RejectCode.MALFORMED, "There is no such text.", needed=", ".join(texts), field="codes")
    made = 0
    with transaction.atomic():
        for code in dict.fromkeys(codes):
            text = texts[code]
            digest = hashlib.sha256(f"{text.title}\n{text.text}".encode()).hexdigest()
            _, new = DisclosureAcceptance.objects.get_or_create(
                user=user, code=code, version=text.version, defaults={"digest": digest, "accepted_at": utc_now()}
            )
            if new:
                made += 1
                record(
                    "disclosure.accepted",
                    object_type="user",
                    object_id=user.pk,
                    after={"code": code, "version": text.version, "digest": digest},
                )
        transaction.on_commit(lambda: accounts_forget(user.pk))
    return made


def right_answers_set(*, user_id: Any, right: int) -> None:
    """Note how many of the questions about trading were answered right; it counts from the next order on."""
    User.objects.filter(pk=user_id).update(right_answers=right)
    transaction.on_commit(lambda: accounts_forget(user_id))


def _tier_numbers(tier: int) -> tuple[int, int]:
    # Tier 0 may not trade at all, which order entry refuses; the desk must still be able to close what such an account has.
    limits = trading_policy().tiers[max(tier, 1)]
    return int(limits.order_usd.scaleb(SCALE)), limits.open_orders


def tier_limits_set(*, user_id: Any, tier: int) -> None:
    """Hold every account a person owns to the limits of a tier. Safe to repeat; tells the engine only of changes."""
    _write(TradingAccount.objects.filter(owner_id=user_id), tier)


def account_limits_begin(account: TradingAccount) -> None:
    """Give a new account the limits of its owner's tier."""
    if account.owner is not None:
        _write([account], account.owner.kyc_tier)


def _write(accounts: Iterable[TradingAccount], tier: int) -> None:
    for account in accounts:
        notional, orders = _tier_numbers(tier)
        entity = account.parent or account
        if entity.entity_tier is not None:
            notional, orders = _tier_numbers(entity.entity_tier)
        if account.kind == TradingAccount.Kind.DEMO:
            # The demo market's makers are ours: no client's limits, but a cap all the same.
            notional, orders = _tier_numbers(3)[0], 5_000
        with transaction.atomic():
            row, made = AccountLimits.objects.select_for_update().get_or_create(
                account=account, defaults={"tier_order_notional": notional, "tier_open_orders": orders}
            )
            if not made and (row.tier_order_notional, row.tier_open_orders) != (notional, orders):
                row.tier_order_notional, row.tier_open_orders = notional, orders
                _changed(row)
            elif made:
                emit("account.limits_changed", account.number, {})


def staff_limits_set(*, account: TradingAccount, order_notional: int, open_orders: int) -> AccountLimits:
    """Narrow an account below its tier, as two members of staff decided; the tier's own limit stays the upper bound."""
    with transaction.atomic():
        account_limits_begin(account)
        row = AccountLimits.objects.select_for_update().get(account=account)
        row.staff_order_notional, row.staff_open_orders = order_notional, open_orders
        _changed(row)
    return row


def _changed(row: AccountLimits) -> None:
    row.version += 1
    row.save()
    emit("account.limits_changed", row.account.number, {})
