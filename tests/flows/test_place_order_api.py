"""place order: REST → service → gateway ⇒ engine → journal → core ⇒ answer ⇒ projection ⇒ REST. Everything real."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest_engine import LivePlatform, Trader
from tests.flows.steps import SYMBOL, limit, placed, refused


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


def test_a_suspended_account_may_only_cancel(live_platform: LivePlatform, price: Decimal) -> None:
    from tests.conftest_engine import forget_caches

    trader = live_platform.trader("suspended")
    order = placed(trader, limit("buy", "1", price))
    trader.account.status = "suspended"
    trader.account.save()
    forget_caches()
    assert refused(trader.api("POST", "orders", limit("buy", "1", price))) == (403, 2015)
    assert trader.api("DELETE", f"orders/{order['order_id']}").status_code == 200


def test_an_order_is_there_to_read_at_once(taker: Trader, price: Decimal) -> None:
    for _ in range(5):
        order = placed(taker, limit("buy", "1", price - 5))
        read = taker.api("GET", f"orders/{order['order_id']}")
        assert read.status_code == 200
        assert read.json() == order


@pytest.mark.usefixtures("remembered")
def test_placing_an_order_asks_the_database_nothing(taker: Trader, price: Decimal) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    placed(taker, limit("buy", "1", price - 9))
    with CaptureQueriesContext(connection) as queries:
        placed(taker, limit("buy", "1", price - 9))
    assert len(queries) == 0, [query["sql"] for query in queries]
