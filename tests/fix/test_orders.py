"""Orders by FIX on the live platform: what is entered, what comes back, what is refused. Everything real."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.conftest_engine import LivePlatform, Trader
from tests.fix.client import Got, utc
from tests.flows.steps import limit, placed

Make = Callable[..., Any]


def test_an_order_rests_is_filled_and_every_number_is_exact(
    session: Make, maker: Trader, taker: Trader, price: Decimal
) -> None:
    client = session(taker).client
    logon = client.logon(reset=True)
    assert (logon["98"], logon["108"], logon["141"], logon["34"]) == ("0", "30", "Y", "1")

    client.order("buy-1", "1", "4", str(price), _59="1")
    new = client.expect("8", _150="0", _39="0", _11="buy-1", _55="SOL-USD", _54="1", _151="4.00", _14="0.00", _6="0")
    assert (new["38"], Decimal(new["44"]), new["1"], new["59"]) == ("4.00", price, taker.account.number, "1")

    # The other side comes by REST, in two parts.
    placed(maker, limit("sell", "1", price, time_in_force="ioc"))
    part = client.expect("8", _150="F", _39="1", _11="buy-1", _32="1.00", _14="1.00", _151="3.00")
    placed(maker, limit("sell", "3", price - 1, time_in_force="ioc"))
    full = client.expect("8", _150="F", _39="2", _32="3.00", _14="4.00", _151="0.00")

    assert Decimal(part["31"]) == Decimal(full["31"]) == Decimal(full["6"]) == price
    assert (full["851"], full["479"], full["13"]) == ("1", "USD", "3")
    assert len({new["17"], part["17"], full["17"]}) == 3
    # The same fills by REST, under the same ids.
    fills = taker.api("GET", f"orders/{full['37']}").json()["executions"]
    assert [(fill["exec_id"], fill["fee"]) for fill in fills] == [(part["17"], part["12"]), (full["17"], full["12"])]
    client.logout()


def test_an_average_over_two_prices_is_the_one_rest_says(
    session: Make, maker: Trader, taker: Trader, price: Decimal
) -> None:
    client = session(taker).client
    client.logon(reset=True)
    placed(maker, limit("sell", "1", price))
    placed(maker, limit("sell", "2", price + 1))
    client.order("two-prices", "1", "5", str(price + 1), _59="3")
    client.expect("8", _150="0")
    client.expect("8", _150="F", _14="1.00")
    second = client.expect("8", _150="F", _14="3.00", _851="2")
    gone = client.expect("8", _150="4", _39="4", _14="3.00", _151="0.00", _38="5.00")
    row = taker.api("GET", "orders/by-client-id/two-prices").json()
    assert second["6"] == gone["6"] == row["avg_price"]
    assert "immediate" in gone["58"]
    client.logout()


def test_a_market_order_a_fok_and_a_gtd(session: Make, maker: Trader, taker: Trader, price: Decimal) -> None:
    client = session(taker).client
    client.logon(reset=True)
    placed(maker, limit("sell", "2", price))
    client.order("at-market", "1", "1", None)
    assert "44" not in client.expect("8", _150="0", _40="1", _59="3")
    client.expect("8", _150="F", _39="2")
    client.order("all-or-none", "1", "5", str(price), _59="4")
    assert client.expect("8", _150="8", _39="8", _11="all-or-none", _103="99")["58"].startswith("5004 ")
    client.order("until", "1", "1", str(price - 5), _59="6", _126=utc(3600))
    until = client.expect("8", _150="0", _59="6")
    assert "126" in until
    client.order("post", "1", "1", str(price), _18="6")
    client.expect("8", _150="8", _11="post", _18="6", _103="99")
    client.cancel("c-until", "until", "1")
    client.expect("8", _150="4", _11="c-until", _41="until")
    client.logout()


def test_replace_and_cancel_go_by_their_own_ids(session: Make, maker: Trader, taker: Trader, price: Decimal) -> None:
    client = session(taker).client
    client.logon(reset=True)
    client.order("first", "1", "4", str(price - 2))
    order_id = client.expect("8", _150="0")["37"]
    client.replace("second", "first", "1", "6", str(price - 1))
    replaced = client.expect("8", _150="5", _39="0", _11="second", _41="first", _38="6.00", _37=order_id, _151="6.00")
    assert Decimal(replaced["44"]) == price - 1
    placed(maker, limit("sell", "1", price - 1, time_in_force="ioc"))
    client.expect("8", _150="F", _11="second", _38="6.00", _151="5.00")
    client.send("H", {11: "second", 55: "SOL-USD", 54: 1, 790: "ask-1"})
    client.expect("8", _150="I", _17="0", _39="1", _11="second", _790="ask-1", _151="5.00")
    client.cancel("third", "second", "1", _37=order_id)
    client.expect("8", _150="4", _39="4", _11="third", _41="second", _14="1.00", _151="0.00", _38="6.00")
    # Too late, unknown, and an id used for something else.
    client.cancel("fourth", "second", "1")
    client.expect("9", _11="fourth", _41="second", _102="0", _434="1", _39="4", _37=order_id)
    client.cancel("fifth", "no-such-order", "1")
    client.expect("9", _11="fifth", _102="1", _37="NONE", _39="8")
    client.replace("third", "second", "1", "7", str(price))
    client.expect("9", _11="third", _102="6", _434="2")
    client.logout()


def test_the_same_message_again_is_not_a_second_order(session: Make, taker: Trader, price: Decimal) -> None:
    client = session(taker).client
    client.logon(reset=True)
    client.order("once", "1", "1", str(price - 3))
    order_id = client.expect("8", _150="0")["37"]
    body = {11: "once", 55: "SOL-USD", 54: 1, 60: utc(), 38: 1, 40: 2, 44: price - 3}
    client.send("D", body, header=[("97", "Y")])
    client.expect("8", _150="I", _37=order_id, _39="0")
    client.send("D", body)
    client.expect("8", _150="I", _37=order_id, _39="0")
    # Another body under the id is refused, and the order stays.
    client.send("D", body | {38: 2})
    client.expect("8", _150="8", _103="6", _11="once")
    client.cancel("c-once", "once", "1")
    client.expect("8", _150="4", _37=order_id)
    client.cancel("c-once", "once", "1")
    client.expect("8", _150="I", _39="4", _11="c-once")
    client.logout()


def test_what_happens_elsewhere_is_told(session: Make, taker: Trader, price: Decimal) -> None:
    client = session(taker).client
    client.logon(reset=True)
    by_rest = placed(taker, limit("buy", "1", price - 4, client_order_id="by-rest"))
    client.expect("8", _150="0", _11="by-rest", _37=by_rest["order_id"])
    assert taker.api("DELETE", f"orders/{by_rest['order_id']}").status_code == 200
    gone = client.expect("8", _150="4", _11="by-rest")
    assert "41" not in gone
    client.order("by-fix", "1", "1", str(price - 4))
    client.expect("8", _150="0", _11="by-fix")
    taker.api("POST", "orders/cancel-all", {"account": taker.account.number})
    client.expect("8", _150="4", _11="by-fix")
    client.logout()


def test_a_mass_cancel(session: Make, taker: Trader, price: Decimal) -> None:
    client = session(taker).client
    client.logon(reset=True)
    for turn in range(3):
        client.order(f"mass-{turn}", "1", "1", str(price - 4 - turn))
        client.expect("8", _150="0")
    client.send("q", {11: "all-1", 530: 1, 55: "SOL-USD", 60: utc()})
    client.expect("r", _11="all-1", _531="1", _533="3")
    assert {client.expect("8", _150="4")["11"] for _ in range(3)} == {"mass-0", "mass-1", "mass-2"}
    client.send("q", {11: "all-2", 530: 7, 60: utc()})
    client.expect("r", _531="7", _533="0")
    client.send("q", {11: "all-3", 530: 3, 60: utc()})
    client.expect("r", _531="0", _532="99")
    client.logout()


def test_each_family_of_refusals_has_its_number_and_a_next_step(
    session: Make, live_platform: LivePlatform, taker: Trader, price: Decimal
) -> None:
    client = session(taker).client
    client.logon(reset=True)

    def refused(cl_ord_id: str, code: int, reason: str) -> Got:
        got = client.expect("8", _150="8", _39="8", _11=cl_ord_id, _103=reason, _14="0", _151="0")
        assert got["58"].startswith(f"{code} "), got
        return got

    client.order("no-symbol", "1", "1", str(price), symbol="NO-SUCH")
    refused("no-symbol", 3001, "1")
    client.order("off-tick", "1", "1", str(price + Decimal("0.000001")))
    off_tick = client.expect("8", _150="8", _11="off-tick")
    assert f"Use {price.normalize():f} or " in off_tick["58"], off_tick
    client.order("short", "5", "1", str(price))
    refused("short", 1002, "11")
    client.order("stop", "1", "1", str(price), _40="3")
    refused("stop", 1002, "11")
    client.order("poor", "1", "900000", str(price))
    got = client.expect("8", _150="8", _11="poor")
    assert got["58"][0] in "47", got
    client.order("other-account", "1", "1", str(price), _1="A0000000")
    refused("other-account", 2014, "5")
    client.order("no-price", "1", "1", None, _40="2")
    refused("no-price", 1006, "99")
    client.send("D", {11: "no-qty", 55: "SOL-USD", 54: 1, 60: utc(), 40: 1})
    client.expect("j", _380="5", _372="D", _379="no-qty")
    client.logout()
    unproved = live_platform.trader("unproved", {"USD": "1000"}, verified=False)
    client = session(unproved).client
    client.logon(reset=True)
    client.order("kyc", "1", "1", str(price))
    assert client.expect("8", _150="8", _11="kyc", _103="99")["58"].startswith("7010 ")
    client.logout()


def test_a_session_that_reads_does_not_trade(session: Make, taker: Trader, price: Decimal) -> None:
    client = session(taker, scopes=["read"]).client
    client.logon(reset=True)
    client.order("may-not", "1", "1", str(price))
    client.expect("j", _380="6", _372="D", _379="may-not")
    client.cancel("may-not-2", "x", "1")
    client.expect("j", _380="6", _372="F")
    order = placed(taker, limit("buy", "1", price - 5))
    client.expect("8", _150="0", _37=order["order_id"])
    client.logout()
