"""What an account may trade and what is left of it today, as pages and the API show it. Leaves the refusing to ``services/limits.py``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from accounts.models import AccountLimits
from accounts.selectors.access import AccountRef
from accounts.services.rules import SCALE
from accounts.trading_policy import CURRENCY, trading_policy
from brokerage.kernel.clock import NS_PER_DAY, SYSTEM_CLOCK, rfc3339
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.kernel.units import format_plain
from marketdata.selectors.instruments import instrument_list
from trading.services.limits import ALL, day_used, product_name, product_refusal

ZERO = Decimal(0)


def limits_of(account: AccountRef) -> dict[str, Any] | None:
    """Limits and products of an account, amounts in dollars as decimal texts; None for an account without rules (the house).

    RejectedError 9012 or 9013 when what was used today is not known.
    """
    rules = account.rules
    if rules is None:
        return None
    used = day_used(account)
    limits, row = rules.limits, AccountLimits.objects.filter(account_id=account.id).first()
    order_max = limits.order_usd if rules.tier else ZERO
    if row is not None and rules.tier:
        order_max = min(order_max, Decimal(row.order_notional).scaleb(-SCALE))
    spent = used.get(ALL, ZERO)
    return {
        "account": account.number,
        "tier": rules.tier,
        "jurisdiction": rules.jurisdiction,
        "jurisdiction_name": rules.profile.name,
        "policy": trading_policy().version,
        "currency": CURRENCY,
        "order_max": format_plain(order_max),
        "open_orders_max": row.open_orders if row is not None else limits.open_orders,
        "day_limit": format_plain(limits.order_day_usd),
        "day_used": format_plain(spent),
        "day_left": format_plain(max(limits.order_day_usd - spent, ZERO)),
        "deposit_30d_limit": format_plain(limits.deposit_30d_usd),
        "withdrawal_day_limit": format_plain(limits.withdrawal_day_usd),
        "resets_at": rfc3339((SYSTEM_CLOCK.now_ns() // NS_PER_DAY + 1) * NS_PER_DAY),
        "reports": list(rules.profile.reports),
        "products": [_product(account, name, used) for name in trading_policy().products],
    }


def _product(account: AccountRef, name: str, used: dict[str, Decimal]) -> dict[str, Any]:
    rules, policy = account.rules, trading_policy()
    if rules is None:
        raise ValueError("an account without rules has no products")
    mine = [row for row in instrument_list() if product_name(row) == name]
    refusals = [refusal for row in mine if (refusal := product_refusal(account, row)) is not None]
    if rules.banned(name) and not refusals:
        code: int | None = 7022
    else:
        # Instruments of one product differ at most in leverage and currency; what the client can do something about is told first.
        codes = sorted((int(row.code) for row in refusals), key=lambda row: row == RejectCode.LIMIT_CURRENCY)
        code = codes[0] if codes and len(codes) == len(mine) else None
    order, day = rules.limits.product_order_usd.get(name), rules.limits.product_day_usd.get(name)
    spent = used.get(name, ZERO)
    return {
        "product": name,
        "name": policy.products[name]["name"],
        "instruments": [row.symbol for row in mine],
        "complex": policy.products[name]["complex"],
        "refused": code,
        "refused_text": reject_row(code).title if code else "",
        "leverage_cap": rules.profile.leverage_caps.get(name),
        "order_max": format_plain(order) if order is not None else None,
        "day_limit": format_plain(day) if day is not None else None,
        "day_used": format_plain(spent),
        "day_left": format_plain(max(day - spent, ZERO)) if day is not None else None,
        "disclosures": [
            {"code": text.code, "version": text.version, "title": text.title, "accepted": text.key in rules.accepted}
            for text in rules.texts(name)
        ],
    }
