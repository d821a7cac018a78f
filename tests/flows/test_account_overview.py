"""The account in one call: equal to its parts, bounded in rows and queries, and only for its members."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from brokerage.kernel.clock import parse_rfc3339
from brokerage.kernel.rejects import RejectCode
from tests.conftest_engine import LivePlatform, Trader
from tests.flows.steps import limit, placed, refused
from tests.payouts import payee
from trading.selectors import limits, overview


def shown(trader: Trader) -> dict[str, Any]:
    answer = trader.api("GET", f"accounts/{trader.account.number}/overview")
    assert answer.status_code == 200, answer.content
    return answer.json()


def busy(platform: LivePlatform, maker: Trader, price: Decimal) -> Trader:
    """Somebody with money, something traded, something resting and money on its way out."""
    one = payee(platform)
    one.held("25")
    trader = one.trader
    placed(maker, limit("sell", "1", price - 1))
    placed(trader, limit("buy", "1", price - 1))
    for step in range(3):
        placed(trader, limit("buy", "0.1", price - 5 - step))
    # So that what was traded has a price.
    placed(maker, limit("buy", "1", price - 3))
    platform.settle()
    return trader


def test_it_equals_its_parts(live_platform: LivePlatform, maker: Trader, price: Decimal) -> None:
    trader = busy(live_platform, maker, price)
    number, one = trader.account.number, shown(trader)
    assert one["account"] == trader.api("GET", f"accounts/{number}").json()
    for part, path in (
        ("balances", "balances"),
        ("open_orders", "orders?status=open"),
        ("open_withdrawals", "withdrawals"),
    ):
        rows = trader.api("GET", path).json()["results"]
        got = one[part] if part == "balances" else one[part]["results"]
        assert got == rows
        assert rows
    assert (one["open_orders"]["count"], one["open_withdrawals"]["count"]) == (3, 1)
    assert (one["limits"], one["limits_code"]) == (trader.api("GET", "limits").json(), None)
    assert len(one["positions"]) == 1
    for mine, row in zip(one["positions"], trader.api("GET", "positions").json()["results"], strict=True):
        age = mine.pop("mark_age_ms")
        # The market may have moved between the two calls; what is the account's own has not.
        own = ("symbol", "qty", "avg_price", "cost", "realised_pnl", "seq")
        assert {name: mine[name] for name in own} == {name: row[name] for name in own}
        assert mine.keys() == row.keys()
        if mine["mark_ts"] is None:
            assert age is None
        else:
            assert age == max(0, parse_rfc3339(one["time"]) - parse_rfc3339(mine["mark_ts"])) // 1_000_000
    assert one["seq"] >= max(row["seq"] for row in one["balances"])


def test_what_is_long_is_cut_and_counted(
    live_platform: LivePlatform, maker: Trader, price: Decimal, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = busy(live_platform, maker, price)
    monkeypatch.setattr(overview, "ORDERS_MAX", 2)
    monkeypatch.setattr(overview, "WITHDRAWALS_MAX", 0)
    one = shown(trader)
    assert one["open_orders"]["count"] == 3
    assert one["open_orders"]["results"] == trader.api("GET", "orders?status=open&limit=2").json()["results"]
    assert one["open_withdrawals"] == {"count": 1, "results": []}


def test_without_the_days_figures_the_rest_is_answered(
    live_platform: LivePlatform, taker: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_account: object) -> None:
        from brokerage.kernel.errors import RejectedError

        raise RejectedError(RejectCode.PROJECTION_STALE)

    monkeypatch.setattr(limits, "day_used", unknown)
    one = shown(taker)
    assert (one["limits"], one["limits_code"]) == (None, 9012)
    assert one["balances"] == taker.api("GET", "balances").json()["results"]


def test_strangers_find_nothing_and_members_look(live_platform: LivePlatform, taker: Trader, stranger: Trader) -> None:
    path = f"accounts/{taker.account.number}/overview"
    assert refused(stranger.api("GET", path)) == (404, 2014)
    assert refused(stranger.api("GET", "accounts/NOSUCH/overview")) == (404, 2014)
    assert refused(taker.api("GET", f"{path}?colour=red")) == (400, 1010)
    from accounts.models import TradingAccountMember
    from tests.conftest_engine import forget_caches

    viewer = live_platform.trader("looker")
    TradingAccountMember.objects.create(account=taker.account, user=viewer.user, role="viewer")
    forget_caches()
    assert viewer.api("GET", path).json()["account"]["role"] == "viewer"


@pytest.mark.usefixtures("remembered")
def test_it_has_a_budget_of_queries(live_platform: LivePlatform, maker: Trader, price: Decimal) -> None:
    trader = busy(live_platform, maker, price)
    shown(trader)
    with CaptureQueriesContext(connection) as queries:
        shown(trader)
    # Projection, balances, positions, orders, limits of the account, withdrawals.
    assert len(queries) <= 6, [query["sql"][:200] for query in queries]
    for step in range(10):
        placed(trader, limit("buy", "0.1", price - 10 - step))
    live_platform.settle()
    with CaptureQueriesContext(connection) as more:
        shown(trader)
    assert len(more) <= len(queries), [query["sql"][:200] for query in more]
