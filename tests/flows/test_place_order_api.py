"""place order: REST → service → gateway ⇒ engine → journal → core ⇒ answer ⇒ projection ⇒ REST. Everything real."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest_engine import LivePlatform, Trader

SYMBOL = "SOL-USD"


@pytest.fixture(scope="module")
def maker(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("maker", {"USD": "10000000", "SOL": "100000", "BTC": "1000"})


@pytest.fixture(scope="module")
def taker(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("taker", {"USD": "20000"})


@pytest.fixture(scope="module")
def stranger(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("stranger")


@pytest.fixture
def price(live_platform: LivePlatform) -> Decimal:
    """The listing's reference price, in a market where nobody has an order."""
    from marketdata.models import Instrument
    from trading.engine import commands

    live_platform.engine.client.submit(commands.mass_cancel())
    row = Instrument.objects.get(symbol=SYMBOL)
    return row.reference_price * row.tick_size.normalize()


def limit(side: str, qty: str, price: Decimal | str, **more: Any) -> dict[str, Any]:
    return {"symbol": SYMBOL, "side": side, "type": "limit", "qty": qty, "price": str(price), **more}


def placed(trader: Trader, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = trader.api("POST", "orders", body, **headers)
    assert answer.status_code == 201, answer.content
    return answer.json()


def refused(answer: Any) -> tuple[int, int]:
    assert answer["Content-Type"] == "application/problem+json", answer.content
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer["X-Request-ID"]
    assert document["rule"]
    assert document["next_step"]
    return answer.status_code, document["code"]


def test_an_order_rests_fills_and_is_read_back(
    live_platform: LivePlatform, maker: Trader, taker: Trader, price: Decimal
) -> None:
    resting = placed(maker, limit("sell", "10", price))
    assert (resting["status"], resting["leaves_qty"], resting["executions"]) == ("new", "10.00", [])
    before = {row["asset"]: row for row in taker.api("GET", "balances").json()["results"]}

    bought = placed(taker, limit("buy", "4", price, time_in_force="ioc", client_order_id="first-buy"))

    assert (bought["status"], bought["filled_qty"], bought["leaves_qty"]) == ("filled", "4.00", "0.00")
    assert Decimal(bought["avg_price"]) == price
    [fill] = bought["executions"]
    assert (fill["liquidity"], fill["qty"], Decimal(fill["price"])) == ("taker", "4.00", price)
    assert Decimal(fill["fee"]) == Decimal(bought["fee"])
    # What POST said is what is stored.
    read = taker.api("GET", f"orders/{bought['order_id']}").json()
    assert read == bought
    assert taker.api("GET", "orders/by-client-id/first-buy").json() == read
    live_platform.settle()
    seller = maker.api("GET", f"orders/{resting['order_id']}").json()
    assert (seller["status"], seller["filled_qty"], seller["leaves_qty"]) == ("partially_filled", "4.00", "6.00")
    assert [fill["liquidity"] for fill in seller["executions"]] == ["maker"]
    # Money to the last unit.
    after = {row["asset"]: row for row in taker.api("GET", "balances").json()["results"]}
    paid = price * 4 + Decimal(bought["fee"])
    assert Decimal(before["USD"]["total"]) - Decimal(after["USD"]["total"]) == paid
    assert Decimal(after["SOL"]["available"]) == 4
    assert Decimal(after["USD"]["held"]) == 0
    ledger = taker.api("GET", "ledger?limit=200").json()["results"]
    assert sum(Decimal(row["amount"]) for row in ledger if row["asset"] == "USD") == Decimal(after["USD"]["total"])
    assert sum(Decimal(row["amount"]) for row in ledger if row["asset"] == "SOL") == 4
    steps = [step["type"] for step in taker.api("GET", f"orders/{bought['order_id']}/events").json()["results"]]
    assert steps == ["accepted", "filled"]
    [position] = taker.api("GET", f"positions?symbol={SYMBOL}").json()["results"]
    assert (position["qty"], Decimal(position["avg_price"])) == ("4.00", price)


def test_preview_says_what_then_happens(maker: Trader, taker: Trader, price: Decimal) -> None:
    placed(maker, limit("sell", "2", price))
    placed(maker, limit("sell", "5", price + 1))
    body = limit("buy", "4", price + 1, time_in_force="ioc")
    preview = taker.api("POST", "orders/preview", body).json()
    assert preview["accepted"], preview
    order = placed(taker, body)
    fills = order["executions"]
    assert preview["fills"] == len(fills) == 2
    assert preview["fill_qty"] == order["filled_qty"]
    assert Decimal(preview["fee"]) == sum(Decimal(fill["fee"]) for fill in fills)
    assert Decimal(preview["notional"]) == sum(Decimal(fill["notional"]) for fill in fills)
    assert Decimal(preview["worst_price"]) == price + 1
    assert preview["avg_price"] == order["avg_price"]


def test_preview_of_what_cannot_be_says_the_number(taker: Trader, price: Decimal) -> None:
    preview = taker.api("POST", "orders/preview", limit("buy", "1000", price)).json()
    assert not preview["accepted"]
    assert preview["reject"]["code"] == 4001
    order = taker.api("POST", "orders", limit("buy", "1000", price))
    assert refused(order) == (422, 4001)
    assert order.json()["needed"] == preview["reject"]["needed"]
    assert order.json()["available"] == preview["reject"]["available"]


def test_cancel_gives_everything_back(live_platform: LivePlatform, taker: Trader, price: Decimal) -> None:
    live_platform.settle()
    before = taker.api("GET", "balances").json()["results"]
    order = placed(taker, limit("buy", "1", price))
    gone = taker.api("DELETE", f"orders/{order['order_id']}")
    assert gone.status_code == 200, gone.content
    assert (gone.json()["status"], gone.json()["leaves_qty"], gone.json()["cancel_reason"]) == (
        "canceled",
        "0.00",
        "user",
    )
    assert gone.json()["client_order_id"] == order["client_order_id"]
    live_platform.settle()
    after = taker.api("GET", "balances").json()["results"]
    assert [(row["asset"], row["available"], row["held"]) for row in after] == [
        (row["asset"], row["available"], row["held"]) for row in before
    ]
    assert refused(taker.api("DELETE", f"orders/{order['order_id']}")) == (409, 5002)


def test_replace_changes_version_and_keeps_the_id(taker: Trader, price: Decimal) -> None:
    order = placed(taker, limit("buy", "2", price))
    changed = taker.api("PATCH", f"orders/{order['order_id']}", {"qty": "3", "expected_version": 1})
    assert changed.status_code == 200, changed.content
    assert (changed.json()["qty"], changed.json()["version"]) == ("3.00", 2)
    assert changed.json()["order_id"] == order["order_id"]
    assert Decimal(changed.json()["price"]) == price
    moved = taker.api("PATCH", f"orders/{order['order_id']}", {"price": str(price - 1)})
    assert (Decimal(moved.json()["price"]), moved.json()["qty"]) == (price - 1, "3.00")
    stale = taker.api("PATCH", f"orders/{order['order_id']}", {"qty": "4", "expected_version": 1})
    assert refused(stale) == (409, 5006)
    assert stale.json()["needed"] == "3"
    taker.api("DELETE", f"orders/{order['order_id']}")
    assert refused(taker.api("PATCH", f"orders/{order['order_id']}", {"qty": "5"})) == (409, 5002)


def test_a_replace_is_idempotent_by_its_id(taker: Trader, price: Decimal) -> None:
    order = placed(taker, limit("buy", "2", price))
    body = {"qty": "3", "client_order_id": "change-1"}
    first = taker.api("PATCH", f"orders/{order['order_id']}", body)
    again = taker.api("PATCH", f"orders/{order['order_id']}", body)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again["Idempotent-Replayed"] == "true"
    assert again.json()["version"] == 2
    other = taker.api("PATCH", f"orders/{order['order_id']}", {"qty": "4", "client_order_id": "change-1"})
    assert refused(other) == (409, 1003)


def test_the_same_request_twice_is_one_order(taker: Trader, price: Decimal) -> None:
    body = limit("buy", "1", price, client_order_id="twice")
    first = placed(taker, body)
    again = taker.api("POST", "orders", body)
    assert again.status_code == 200
    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == first
    other = taker.api("POST", "orders", {**body, "qty": "2"})
    assert refused(other) == (409, 1003)
    header = taker.api("POST", "orders", limit("buy", "1", price), Idempotency_Key="twice")
    assert header.json()["order_id"] == first["order_id"]
    both = taker.api("POST", "orders", body, Idempotency_Key="another")
    assert refused(both) == (400, 1001)


def test_a_replayed_fill_tells_the_first_answer(maker: Trader, taker: Trader, price: Decimal) -> None:
    placed(maker, limit("sell", "1", price))
    body = limit("buy", "3", price, time_in_force="ioc", client_order_id="partly")
    first = placed(taker, body)
    assert (first["status"], first["filled_qty"], first["cancel_reason"]) == ("canceled", "1.00", "ioc_remainder")
    again = taker.api("POST", "orders", body).json()
    assert again == first


def test_a_replayed_refusal_is_the_same_refusal(taker: Trader, price: Decimal) -> None:
    body = limit("buy", "1000", price, client_order_id="too-much")
    first, again = taker.api("POST", "orders", body), taker.api("POST", "orders", body)
    assert refused(first) == refused(again) == (422, 4001)
    assert again["Idempotent-Replayed"] == "true"
    assert {**first.json(), "request_id": ""} == {**again.json(), "request_id": ""}


def test_twenty_at_once_are_one_order(live_platform: LivePlatform, taker: Trader, price: Decimal) -> None:
    body = limit("buy", "1", price, client_order_id="stampede")
    from django.db import connections

    def send(_: int) -> Any:
        try:
            return taker.api("POST", "orders", body)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert sorted({answer.status_code for answer in answers}) in ([200, 201], [201])
    assert len([answer for answer in answers if answer.status_code == 201]) == 1
    assert len({answer.json()["order_id"] for answer in answers}) == 1
    live_platform.settle()
    rows = taker.api("GET", "orders?limit=200").json()["results"]
    assert len([row for row in rows if row["client_order_id"] == "stampede"]) == 1


def test_cancel_all_takes_only_what_is_named(live_platform: LivePlatform, taker: Trader, price: Decimal) -> None:
    taker.api("POST", "orders/cancel-all", {})
    buys = [placed(taker, limit("buy", "1", price - step)) for step in range(3)]
    other = placed(taker, {**limit("buy", "0.0001", "1"), "symbol": "BTC-USD", "price": _far_below("BTC-USD")})
    done = taker.api("POST", "orders/cancel-all", {"symbol": SYMBOL})
    assert done.status_code == 200, done.content
    assert done.json()["canceled"] == 3
    assert set(done.json()["order_ids"]) == {order["order_id"] for order in buys}
    live_platform.settle()
    still = taker.api("GET", "orders?status=open").json()["results"]
    assert [row["order_id"] for row in still] == [other["order_id"]]
    assert taker.api("POST", "orders/cancel-all", {}).json()["canceled"] == 1


def _far_below(symbol: str) -> str:
    from marketdata.models import Instrument

    row = Instrument.objects.get(symbol=symbol)
    ticks = row.reference_price - row.reference_price * (row.collar_ppm or 50_000) // 2_000_000
    return str(ticks * row.tick_size.normalize())


def test_strangers_see_nothing(live_platform: LivePlatform, taker: Trader, stranger: Trader, price: Decimal) -> None:
    order = placed(taker, limit("buy", "1", price, client_order_id="mine"))
    live_platform.settle()
    path = f"orders/{order['order_id']}"
    assert refused(stranger.api("GET", path)) == (404, 2014)
    assert refused(stranger.api("GET", f"{path}/events")) == (404, 2014)
    assert refused(stranger.api("GET", "orders/by-client-id/mine")) == (404, 2014)
    assert refused(stranger.api("DELETE", path)) == (404, 5001)
    assert refused(stranger.api("PATCH", path, {"qty": "2"})) == (404, 5001)
    number = taker.account.number
    for view in ("orders", "executions", "balances", "ledger", "positions", path):
        assert refused(stranger.api("GET", f"{view}?account={number}")) == (404, 2014)
    body = limit("buy", "1", price, account=number)
    assert refused(stranger.api("POST", "orders", body)) == (404, 2014)
    assert refused(stranger.api("POST", "orders/cancel-all", {"account": number})) == (404, 2014)
    assert refused(stranger.api("GET", f"accounts/{number}")) == (404, 2014)
    assert stranger.api("GET", "orders").json()["results"] == []
    taker.api("DELETE", path)
    live_platform.settle()
    # Dead, it is told to its owner only.
    assert refused(stranger.api("DELETE", path)) == (404, 5001)
    assert refused(taker.api("DELETE", path)) == (409, 5002)


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


def test_a_suspended_account_may_only_cancel(live_platform: LivePlatform, price: Decimal) -> None:
    from tests.conftest_engine import forget_caches

    trader = live_platform.trader("suspended")
    order = placed(trader, limit("buy", "1", price))
    trader.account.status = "suspended"
    trader.account.save()
    forget_caches()
    assert refused(trader.api("POST", "orders", limit("buy", "1", price))) == (403, 2015)
    assert trader.api("DELETE", f"orders/{order['order_id']}").status_code == 200


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


def test_downloads_hold_what_the_lists_hold(live_platform: LivePlatform, maker: Trader, price: Decimal) -> None:
    import csv
    import io

    placed(maker, limit("buy", "1", price, client_order_id="=cmd|calc"))
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
    assert b",'=cmd|calc," in b"".join(orders.streaming_content)


def test_an_order_is_there_to_read_at_once(taker: Trader, price: Decimal) -> None:
    for _ in range(5):
        order = placed(taker, limit("buy", "1", price - 5))
        read = taker.api("GET", f"orders/{order['order_id']}")
        assert read.status_code == 200
        assert read.json() == order


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


def test_lists_have_a_budget_of_queries(live_platform: LivePlatform, taker: Trader, price: Decimal) -> None:
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


def test_placing_an_order_asks_the_database_nothing(taker: Trader, price: Decimal) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    placed(taker, limit("buy", "1", price - 9))
    with CaptureQueriesContext(connection) as queries:
        placed(taker, limit("buy", "1", price - 9))
    assert len(queries) == 0, [query["sql"] for query in queries]
