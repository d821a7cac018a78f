"""Reading back what orders did, over REST: pages, filters, files, positions, and how many queries it takes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conftest_engine import LivePlatform, Trader
from tests.flows.steps import limit, placed, refused


def test_a_viewer_may_look_but_not_trade(live_platform: LivePlatform, taker: Trader, price: Decimal) -> None:
    from accounts.models import TradingAccountMember
    from tests.conftest_engine import forget_caches

    viewer = live_platform.trader("viewer")
    TradingAccountMember.objects.create(account=taker.account, user=viewer.user, role="viewer")
    forget_caches()
    number = taker.account.number
    assert viewer.api("GET", f"balances?account={number}").status_code == 200
    assert refused(viewer.api("POST", "orders", limit("buy", "1", price, account=number))) == (403, 2012)
    assert refused(viewer.api("POST", "orders/cancel-all", {"account": number})) == (403, 2012)


def test_pages_are_stable_and_whole(live_platform: LivePlatform, price: Decimal) -> None:
    trader = live_platform.trader("pages")
    made = [placed(trader, limit("buy", "1", price - step))["order_id"] for step in range(7)]
    live_platform.settle()
    seen, cursor = [], ""
    for _ in range(10):
        page = trader.api("GET", f"orders?limit=3{cursor}").json()
        seen += [row["order_id"] for row in page["results"]]
        # What comes in between does not shift the pages.
        placed(trader, limit("buy", "1", price - 20))
        live_platform.settle()
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == list(reversed(made))
    assert refused(trader.api("GET", "executions?cursor=" + cursor.removeprefix("&cursor="))) == (400, 1017)


def test_filters_of_the_order_list(live_platform: LivePlatform, price: Decimal) -> None:
    trader = live_platform.trader("filters")
    dead = placed(trader, limit("buy", "1", price))
    trader.api("DELETE", f"orders/{dead['order_id']}")
    alive = placed(trader, limit("buy", "1", price))
    live_platform.settle()

    def ids(query: str) -> list[str]:
        return [row["order_id"] for row in trader.api("GET", f"orders?{query}").json()["results"]]

    assert ids("status=open") == [alive["order_id"]]
    assert ids("status=closed") == [dead["order_id"]]
    assert ids("") == [alive["order_id"], dead["order_id"]]
    assert ids("side=sell") == []
    assert ids("symbol=BTC-USD") == []
    assert ids(f"from={alive['created_at']}") == [alive["order_id"]]
    assert ids(f"to={alive['created_at']}") == [dead["order_id"]]
    assert refused(trader.api("GET", "orders?status=odd")) == (400, 1001)
    assert refused(trader.api("GET", "orders?symbol=NOPE")) == (422, 3001)
    assert refused(trader.api("GET", "orders?limit=201")) == (400, 1014)
    assert refused(trader.api("GET", "orders?colour=red")) == (400, 1010)


def test_a_refused_order_is_kept_with_its_reason(live_platform: LivePlatform, taker: Trader, price: Decimal) -> None:
    answer = taker.api("POST", "orders", limit("buy", "1000", price))
    document = answer.json()
    assert refused(answer) == (422, 4001)
    live_platform.settle()
    kept = taker.api("GET", f"orders/{document['order_id']}").json()
    assert kept["status"] == "rejected"
    assert kept["reject"]["code"] == 4001
    assert (kept["reject"]["needed"], kept["reject"]["available"]) == (document["needed"], document["available"])
    assert refused(taker.api("DELETE", f"orders/{document['order_id']}")) == (409, 5002)


def test_downloads_hold_what_the_lists_hold(
    live_platform: LivePlatform, maker: Trader, taker: Trader, price: Decimal
) -> None:
    import csv
    import io

    placed(maker, limit("sell", "2", price))
    placed(taker, limit("buy", "1", price))
    placed(maker, limit("buy", "1", price - 1, client_order_id="=cmd|calc"))
    live_platform.settle()
    for name in ("orders", "executions", "ledger"):
        answer = maker.api("GET", f"{name}.csv")
        assert answer.status_code == 200, name
        assert answer["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
        listed = maker.api("GET", f"{name}?limit=200").json()["results"]
        assert len(rows) == len(listed)
        assert rows
        for row, shown in zip(rows, listed, strict=True):
            for column, text in row.items():
                wanted = "" if shown[column] is None else str(shown[column])
                assert text in (wanted, f"'{wanted}"), (name, column)
    orders = maker.api("GET", "orders.csv")
    assert b',"\'=cmd|calc",' in b"".join(orders.streaming_content)


def test_status_shows_the_real_engine(live_platform: LivePlatform, taker: Trader) -> None:
    live_platform.settle()
    status = live_platform.rest("GET", "status").json()
    assert status["state"] == "ok"
    assert status["engine"]["durability"] == "os"
    assert status["engine"]["cmd_seq"] == live_platform.engine.client.status().cmd_seq
    assert status["projection"]["lag_commands"] == 0


def test_a_margin_position_is_what_the_engine_holds(live_platform: LivePlatform) -> None:
    from marketdata.models import Instrument

    row = Instrument.objects.get(symbol="XAU-USD")
    gold = row.reference_price * row.tick_size.normalize()
    bull, bear = (live_platform.trader(name, {"USD": "500000"}) for name in ("bull", "bear"))
    body = {"symbol": "XAU-USD", "type": "limit", "price": str(gold)}
    placed(bear, {**body, "side": "sell", "qty": "10"})
    placed(bull, {**body, "side": "buy", "qty": "7"})
    placed(bull, {**body, "side": "buy", "qty": "2", "price": str(gold - 5), "post_only": True})
    live_platform.settle()
    for trader, net in ((bull, "7"), (bear, "-7")):
        [shown] = trader.api("GET", "positions").json()["results"]
        assert Decimal(shown["qty"]) == Decimal(net)
        assert Decimal(shown["avg_price"]) == gold
        [held] = live_platform.engine.client.query_positions(trader.account.core_account)
        assert Decimal(shown["margin_held"]) == Decimal(held.hold).scaleb(-row.quote.scale)
        [cash] = trader.api("GET", "balances").json()["results"]
        assert Decimal(cash["held"]) == Decimal(shown["margin_held"])
    closing = {**body, "side": "sell", "type": "market", "price": None, "qty": "7", "reduce_only": True}
    placed(bear, {**body, "side": "buy", "qty": "1", "price": str(gold - 1)})
    answer = placed(bull, closing)
    assert (answer["status"], answer["filled_qty"], answer["cancel_reason"]) == ("canceled", "1.0", "market_remainder")
    assert Decimal(answer["executions"][0]["realised_pnl"]) == -1


@pytest.mark.usefixtures("remembered")
def test_lists_have_a_budget_of_queries(live_platform: LivePlatform, taker: Trader) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from tests.conftest_engine import forget_caches

    live_platform.settle()
    for path, budget in (
        ("orders?limit=200", 1),
        ("executions?limit=200", 1),
        ("ledger?limit=200", 1),
        ("balances", 1),
        ("positions", 2),
        ("accounts", 0),
    ):
        taker.api("GET", path)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert taker.api("GET", path).status_code == 200
        assert len(queries) <= budget, (path, [query["sql"][:200] for query in queries])
    # With nothing remembered: the user, the accounts (two queries), assets, instruments, and the list.
    forget_caches()
    with CaptureQueriesContext(connection) as queries:
        taker.api("GET", "orders?limit=200")
    assert len(queries) <= 7
