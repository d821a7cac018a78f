"""Every refusal an order can meet over REST: its number, HTTP status, needed numbers and next step. The engine is the real one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from native.layout import HaltScope, TradingState
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from trading.engine import commands
from trading.services import order_cache

SYMBOL = "SOL-USD"
PRICE = Decimal(150)


@pytest.fixture(scope="module")
def maker(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("maker", {"USD": "50000000", "SOL": "100000"})


@pytest.fixture(scope="module")
def trader(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("trader", {"USD": "20000", "SOL": "10"})


@pytest.fixture(autouse=True)
def _empty_books(live_platform: LivePlatform) -> None:
    live_platform.engine.client.submit(commands.mass_cancel())


def order(**changes: Any) -> dict[str, Any]:
    body = {"symbol": SYMBOL, "side": "buy", "type": "limit", "qty": "1", "price": str(PRICE)}
    body.update(changes)
    return {name: value for name, value in body.items() if value is not ...}


def refusal(answer: Any, status: int, code: int) -> dict[str, Any]:
    document = answer.json()
    assert (answer.status_code, document.get("code")) == (status, code), document
    assert answer["Content-Type"] == "application/problem+json"
    for name in ("type", "title", "slug", "rule", "detail", "next_step", "request_id"):
        assert document[name], name
    return document


def instrument_number(symbol: str = SYMBOL) -> int:
    from marketdata.models import Instrument

    return Instrument.objects.get(symbol=symbol).core_instrument


@contextmanager
def state(platform: LivePlatform, scope: HaltScope, value: TradingState, **whom: int) -> Iterator[None]:
    platform.engine.client.submit(commands.halt_set(scope, value, **whom))
    try:
        yield
    finally:
        platform.engine.client.submit(commands.halt_set(scope, TradingState.ACTIVE, **whom))


@pytest.mark.parametrize(
    ("_case", "body", "status", "code", "field"),
    [
        ("client id with a space", order(client_order_id="a b"), 400, 1001, "client_order_id"),
        ("unknown side", order(side="hold"), 400, 1001, "side"),
        ("unknown type", order(type="stop"), 400, 1001, "type"),
        ("market order that stays", order(type="market", price=..., time_in_force="gtc"), 400, 1002, None),
        ("post-only that may not rest", order(post_only=True, time_in_force="ioc"), 400, 1002, None),
        ("nothing", order(qty="0"), 400, 1005, None),
        ("less than nothing", order(qty="-1"), 400, 1005, None),
        ("limit without price", order(price=...), 400, 1006, None),
        ("limit with a null price", order(price=None), 400, 1006, None),
        ("price zero", order(price="0"), 400, 1006, None),
        ("price below zero", order(price="-150"), 400, 1006, None),
        ("market with price", order(type="market"), 400, 1006, None),
        ("gtd without date", order(time_in_force="gtd"), 400, 1007, None),
        ("gtd in the past", order(time_in_force="gtd", expire_at="2020-01-01T00:00:00Z"), 400, 1007, None),
        ("a date without gtd", order(expire_at="2050-01-01T00:00:00Z"), 400, 1007, None),
        ("unknown field", order(stop_price="1"), 400, 1010, "stop_price"),
        ("too many decimals of a price", order(price="150.0001"), 400, 1011, "price"),
        ("too many decimals of a quantity", order(qty="0.001"), 400, 1011, "qty"),
        ("not a number", order(qty="many"), 400, 1012, "qty"),
        ("NaN as text", order(price="NaN"), 400, 1012, "price"),
        ("with exponent", order(price="1e2"), 400, 1012, "price"),
        ("ten to the thirtieth", order(qty="1" + "0" * 30), 400, 1014, "qty"),
        ("ten to the thirtieth as number", order(qty=10**30), 400, 1014, "qty"),
        ("beyond 64 bits of ticks", order(price=str(10**17)), 400, 1014, "price"),
        ("no symbol", order(symbol=...), 400, 1016, "symbol"),
        ("no quantity", order(qty=...), 400, 1016, "qty"),
        ("unknown instrument", order(symbol="NOPE-USD"), 422, 3001, "symbol"),
        ("above what is left of the day", order(qty="99999999"), 422, 7021, None),
        ("off the lot", order(symbol="EUR-USD", qty="1500", price="1.08"), 422, 3012, "qty"),
        ("not enough money", order(qty="1000"), 422, 4001, None),
        ("not enough to sell", order(side="sell", qty="11"), 422, 4001, None),
        ("too far above", order(price="200"), 422, 4002, None),
        ("too far below", order(side="sell", price="100"), 422, 4002, None),
        ("buying cannot reduce a spot position", order(reduce_only=True), 422, 4006, None),
        ("reducing nothing", order(symbol="XAU-USD", qty="1", price="2400", reduce_only=True), 422, 4006, None),
        ("nothing to buy from", order(type="market", price=...), 422, 5008, None),
        ("nothing to fill all from", order(time_in_force="fok"), 422, 5004, None),
    ],
)
def test_refused_orders(
    trader: Trader, _case: str, body: dict[str, Any], status: int, code: int, field: str | None
) -> None:
    document = refusal(trader.api("POST", "orders", body), status, code)
    assert document.get("field") == field


def test_a_price_off_the_increment_names_its_neighbours(live_platform: LivePlatform, trader: Trader) -> None:
    from marketdata.models import Instrument

    row = Instrument.objects.get(symbol="WTI")
    Instrument.objects.filter(pk=row.pk).update(tick_size=Decimal("0.05"))
    forget_caches()
    try:
        document = refusal(trader.api("POST", "orders", order(symbol="WTI", price="70.02")), 422, 3011)
        assert document["needed"] == "0.05"
        assert document["next_step"] == "Use 70 or 70.05."
    finally:
        Instrument.objects.filter(pk=row.pk).update(tick_size=row.tick_size)
        forget_caches()


def test_too_many_decimals_names_the_neighbours(trader: Trader) -> None:
    document = refusal(trader.api("POST", "orders", order(price="150.0001")), 400, 1011)
    assert (document["needed"], document["available"]) == ("3", "4")
    assert document["next_step"] == "Use 150 or 150.001."


def test_a_float_never_becomes_a_price(trader: Trader) -> None:
    # The JSON number 0.1 + 0.2 as a binary float would be; its text is what counts.
    document = refusal(
        trader.api(
            "POST", "orders", b'{"symbol":"SOL-USD","side":"buy","type":"limit","qty":1,"price":0.30000000000000004}'
        ),
        400,
        1011,
    )
    assert document["available"] == "17"


def test_the_numbers_of_refusals(trader: Trader, maker: Trader) -> None:
    money = refusal(trader.api("POST", "orders", order(qty="1000")), 422, 4001)
    assert money["needed"] == "150150.000000 USD"
    assert money["available"].endswith(" USD")
    collar = refusal(trader.api("POST", "orders", order(price="200")), 422, 4002)
    assert collar["needed"] == "165.000"
    maker.api("POST", "orders", order(side="sell", qty="2"))
    crossing = refusal(trader.api("POST", "orders", order(post_only=True)), 422, 5003)
    assert crossing["needed"] == "150.000"
    partial = refusal(trader.api("POST", "orders", order(qty="5", time_in_force="fok")), 422, 5004)
    assert (partial["needed"], partial["available"]) == ("5.00", "2.00")


def test_states_of_the_market(live_platform: LivePlatform, trader: Trader) -> None:
    number = instrument_number()
    with state(live_platform, HaltScope.INSTRUMENT, TradingState.CLOSED, instrument=number):
        refusal(trader.api("POST", "orders", order()), 422, 3002)
    with state(live_platform, HaltScope.INSTRUMENT, TradingState.HALTED, instrument=number):
        refusal(trader.api("POST", "orders", order()), 422, 3003)
    with state(live_platform, HaltScope.INSTRUMENT, TradingState.REDUCE_ONLY, instrument=number):
        refusal(trader.api("POST", "orders", order()), 422, 3009)
    with state(live_platform, HaltScope.GLOBAL, TradingState.HALTED):
        refusal(trader.api("POST", "orders", order()), 422, 3004)
    resting = trader.api("POST", "orders", order()).json()
    with state(live_platform, HaltScope.GLOBAL, TradingState.HALTED):
        # Money must be able to come back in any state.
        assert trader.api("DELETE", f"orders/{resting['order_id']}").status_code == 200


def test_states_of_the_account(live_platform: LivePlatform, trader: Trader) -> None:
    account = trader.account.core_account
    with state(live_platform, HaltScope.ACCOUNT, TradingState.HALTED, account=account):
        refusal(trader.api("POST", "orders", order()), 403, 2002)
    with state(live_platform, HaltScope.ACCOUNT, TradingState.REDUCE_ONLY, account=account):
        refusal(trader.api("POST", "orders", order()), 403, 2003)


def test_limits_of_the_account(live_platform: LivePlatform) -> None:
    limited = live_platform.trader("limited")
    submit = live_platform.engine.client.submit
    submit(commands.limits_set(limited.account.core_account, max_open_orders=2, max_order_notional=1_000 * 10**6))
    too_large = refusal(limited.api("POST", "orders", order(qty="10")), 422, 4007)
    assert (too_large["needed"], too_large["available"]) == ("1000.000000 USD", "1500.000000 USD")
    for _ in range(2):
        assert limited.api("POST", "orders", order()).status_code == 201
    full = refusal(limited.api("POST", "orders", order()), 422, 4004)
    assert full["needed"] == "2"


def test_bounds_of_one_order(live_platform: LivePlatform, maker: Trader) -> None:
    from marketdata.models import Instrument
    from trading.services.listing import instrument_send

    row = Instrument.objects.select_related("base", "quote").get(symbol=SYMBOL)
    row.max_notional = 1_000 * 10**row.quote.scale
    row.min_qty, row.max_qty = 100, 2000
    instrument_send(live_platform.engine.client, row, first=False)
    try:
        value = refusal(maker.api("POST", "orders", order(qty="10")), 422, 4003)
        assert (value["needed"], value["available"]) == ("1000.000000 USD", "1500.000000 USD")
        least = refusal(maker.api("POST", "orders", order(qty="0.99")), 422, 3005)
        assert least["needed"] == "1.00"
        most = refusal(maker.api("POST", "orders", order(qty="20.01")), 422, 3006)
        assert most["needed"] == "20.00"
        assert maker.api("POST", "orders", order(qty="1.00")).status_code == 201
    finally:
        row.refresh_from_db()
        instrument_send(live_platform.engine.client, row, first=False)


def test_an_account_the_engine_does_not_know(live_platform: LivePlatform) -> None:
    from accounts.models import TradingAccount, User
    from accounts.services.rules import disclosures_accept
    from accounts.services.token_families import family_begin
    from accounts.services.trading_accounts import account_open
    from accounts.trading_policy import trading_policy

    user = User.objects.create_user("unknown@example.test", "x", kyc_tier=1, trading_allowed=True)
    disclosures_accept(user=user, codes=list(trading_policy().disclosures))
    account = account_open(user=user)
    token = family_begin(user=user)["access"]
    pending = refusal(live_platform.rest("POST", "orders", order(), token=token), 403, 2015)
    assert (pending["needed"], pending["available"]) == ("active", "pending")
    TradingAccount.objects.filter(pk=account.pk).update(status="active")
    forget_caches()
    refusal(live_platform.rest("POST", "orders", order(), token=token), 403, 2001)


def test_orders_that_are_not_there(trader: Trader) -> None:
    refusal(trader.api("DELETE", "orders/ZZZZZ"), 404, 2014)
    refusal(trader.api("DELETE", "orders/7ZZZZZZZZZZZZ"), 404, 5001)
    refusal(trader.api("PATCH", "orders/7ZZZZZZZZZZZZ", {"qty": "1"}), 404, 5001)
    refusal(trader.api("GET", "orders/7ZZZZZZZZZZZZ"), 404, 2014)
    refusal(trader.api("GET", "orders/by-client-id/never"), 404, 2014)
    refusal(trader.api("GET", "orders/by-client-id/" + "x" * 50), 404, 2014)


def test_refused_replaces(maker: Trader, trader: Trader) -> None:
    resting = trader.api("POST", "orders", order(qty="2", price="150")).json()
    path = f"orders/{resting['order_id']}"
    refusal(trader.api("PATCH", path, {}), 400, 1016)
    refusal(trader.api("PATCH", path, {"qty": "0"}), 400, 1005)
    refusal(trader.api("PATCH", path, {"price": "0"}), 400, 1006)
    refusal(trader.api("PATCH", path, {"price": "150.0001"}), 400, 1011)
    refusal(trader.api("PATCH", path, {"price": "200"}), 422, 4002)
    refusal(trader.api("PATCH", path, {"qty": "1000"}), 422, 4001)
    stale = refusal(trader.api("PATCH", path, {"qty": "1", "expected_version": 9}), 409, 5006)
    assert stale["needed"] == "1"
    maker.api("POST", "orders", order(side="sell", qty="1", time_in_force="ioc"))
    below = refusal(trader.api("PATCH", path, {"qty": "1"}), 422, 5007)
    assert below["needed"] == "1.00"


def test_who_is_not_signed_in(live_platform: LivePlatform, trader: Trader) -> None:
    from accounts.services.token_families import family_begin
    from brokerage.platform.tokens import token_make

    missing = live_platform.rest("GET", "orders")
    refusal(missing, 401, 2010)
    assert missing["WWW-Authenticate"].startswith("Bearer")
    refusal(live_platform.rest("GET", "orders", token="nonsense"), 401, 2010)
    token = token_make(trader.user, kind="access", family="x", lifetime_s=-1)
    refusal(live_platform.rest("GET", "orders", token=token), 401, 2011)
    trader.user.set_password("Another-Horse-2026")
    trader.user.save()
    forget_caches()
    refusal(live_platform.rest("GET", "orders", token=trader.token), 401, 2010)
    trader.token = family_begin(user=trader.user)["access"]


def test_other_methods_and_addresses(trader: Trader) -> None:
    answer = trader.api("PUT", "orders", {})
    refusal(answer, 405, 1019)
    assert "POST" in answer["Allow"]
    refusal(trader.api("OPTIONS", "orders"), 405, 1019)
    refusal(trader.api("GET", "orders/x/y/z"), 404, 2014)
    refusal(trader.api("GET", "ledger?cursor=abc"), 400, 1017)
    refusal(trader.api("GET", "ledger?asset=NOPE"), 422, 3007)
    refusal(trader.api("GET", "orders", Accept="image/png"), 406, 1021)


def test_too_many_requests(live_platform: LivePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    from brokerage.platform import throttling

    monkeypatch.setitem(throttling.BUDGETS, "orders", throttling.Budget(2, 3600))
    busy = live_platform.trader("busy")
    for left in (1, 0):
        answer = busy.api("POST", "orders", order())
        assert answer.status_code == 201
        assert (answer["RateLimit-Limit"], answer["RateLimit-Remaining"]) == ("2", str(left))
    answer = busy.api("POST", "orders", order())
    refusal(answer, 429, 2013)
    assert int(answer["Retry-After"]) >= 1
    # Out of orders, one can still take them back.
    assert busy.api("POST", "orders/cancel-all", {}).status_code == 200


def test_an_engine_that_does_not_answer(live_platform: LivePlatform, trader: Trader) -> None:
    """Stopped, the engine has taken the command but says nothing: unknown. Going on, it is found to be done, once."""
    process = live_platform.engine.process
    assert process is not None
    body = order(client_order_id="in-the-dark")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        answer = trader.api("POST", "orders", body)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    document = refusal(answer, 504, 9011)
    assert "orders/by-client-id/in-the-dark" in document["next_step"]
    assert answer["Retry-After"]
    time.sleep(0.2)
    found = trader.api("GET", "orders/by-client-id/in-the-dark").json()
    assert found["status"] == "new"
    again = trader.api("POST", "orders", body)
    assert again.status_code == 200
    assert again.json()["order_id"] == found["order_id"]


def test_an_engine_that_is_away(live_platform: LivePlatform, trader: Trader) -> None:
    """Runs last but one: after it the engine has another epoch, and everything acknowledged before is still there."""
    kept = trader.api("POST", "orders", order(client_order_id="kept")).json()
    live_platform.settle()
    live_platform.engine.kill()
    try:
        answer = trader.api("POST", "orders", order())
        refusal(answer, 503, 9010)
        assert answer["Retry-After"]
        refusal(trader.api("POST", "orders/preview", order()), 503, 9010)
        refusal(trader.api("DELETE", f"orders/{kept['order_id']}"), 503, 9010)
        refusal(trader.api("POST", "orders/cancel-all", {}), 503, 9010)
        assert live_platform.rest("GET", "status").json()["state"] == "down"
        # Reading goes on.
        assert trader.api("GET", f"orders/{kept['order_id']}").json()["order_id"] == kept["order_id"]
    finally:
        live_platform.engine.start()
    assert trader.api("DELETE", f"orders/{kept['order_id']}").status_code == 200


def test_a_projection_that_is_behind(live_platform: LivePlatform, trader: Trader) -> None:
    """Last: without a projector orders are still taken, and reading them says why it cannot be done yet."""
    live_platform.settle(30)
    live_platform.projector.stop()
    try:
        placed = trader.api("POST", "orders", order(client_order_id="ahead"))
        assert placed.status_code == 201
        refusal(trader.api("GET", f"orders/{placed.json()['order_id']}"), 503, 9012)
        refusal(trader.api("GET", "orders/by-client-id/ahead"), 503, 9012)
        # Taking it back works all the same, and says what is known.
        gone = trader.api("DELETE", f"orders/{placed.json()['order_id']}")
        assert (gone.status_code, gone.json()["status"], gone.json()["type"]) == (200, "canceled", "limit")
        # Another web process does not remember the order: then it says what the engine's event says, and null for the rest.
        other = trader.api("POST", "orders", order())
        order_cache._rows.clear()
        bare = trader.api("DELETE", f"orders/{other.json()['order_id']}").json()
        assert (bare["status"], bare["qty"], bare["leaves_qty"]) == ("canceled", "1.00", "0.00")
        assert bare["type"] is bare["created_at"] is bare["client_order_id"] is None
    finally:
        live_platform.projector.start()
    live_platform.settle(30)
    assert trader.api("GET", f"orders/{placed.json()['order_id']}").json()["status"] == "canceled"
