"""An account in one answer: what it has, what rests, what it may still do today. Composed of the selectors its parts have; computes nothing.

Leaves the account and its right to be seen to ``accounts/selectors/access.py``, the shape of each part to the part's own selector.
"""

from __future__ import annotations

from typing import Any

from accounts.models import Withdrawal
from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import NS_PER_MS, SYSTEM_CLOCK, Clock, parse_rfc3339, rfc3339
from brokerage.kernel.errors import RejectedError
from trading.selectors.limits import limits_of
from trading.selectors.orders import order_list_for
from trading.selectors.portfolio import PositionView, balance_list_for, position_list_for
from trading.selectors.projection import projection_get
from trading.selectors.shapes import balance_json, order_json, position_json
from trading.selectors.withdrawals import withdrawal_json, withdrawal_list_for

#: Of open orders and of open withdrawals, the newest; their number is always the whole one. Lists of their own have pages.
ORDERS_MAX = 100
WITHDRAWALS_MAX = 20


def account_overview(account: AccountRef, *, clock: Clock = SYSTEM_CLOCK) -> dict[str, Any]:
    """Everything but the account itself, as REST shows it. ``seq`` is read before the rows: what is newer is in the private stream from it.

    ``limits`` is None for an account without any (the house), and while what was used today is not known: then ``limits_code`` says why.
    """
    seq, now = projection_get().event_seq, clock.now_ns()
    limits, code = _limits(account)
    return {
        "time": rfc3339(now),
        "seq": seq,
        "balances": [balance_json(row) for row in balance_list_for(account.core_account)],
        "positions": [_position(view, now) for view in position_list_for(account.core_account)],
        "open_orders": _newest(
            order_list_for(account.core_account, status="open").order_by("-entry_seq"),
            ORDERS_MAX,
            lambda row: order_json(row, None, account.number),
        ),
        "limits": limits,
        "limits_code": code,
        "open_withdrawals": _newest(
            withdrawal_list_for(account).filter(status__in=Withdrawal.OPEN), WITHDRAWALS_MAX, withdrawal_json
        ),
    }


def _newest(rows: Any, most: int, shape: Any) -> dict[str, Any]:
    """The first rows and how many there are; they are counted only where there are more."""
    found = list(rows[: most + 1])
    return {
        "count": rows.count() if len(found) > most else len(found),
        "results": [shape(row) for row in found[:most]],
    }


def _position(view: PositionView, now: int) -> dict[str, Any]:
    shown = position_json(view.row, view.instrument, mark=view.mark, margin_held=view.margin_held)
    # A mark of a clock that is ahead of this one has no age below zero.
    age = max(0, now - parse_rfc3339(shown["mark_ts"])) // NS_PER_MS if shown["mark_ts"] else None
    return {**shown, "mark_age_ms": age}


def _limits(account: AccountRef) -> tuple[dict[str, Any] | None, int | None]:
    try:
        return limits_of(account), None
    except RejectedError as refusal:
        return None, int(refusal.code)
