"""Limits of tier and jurisdiction hold for every order: product rules, a day's value under a race, one order's value in the engine itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import redis

from accounts.models import AccountLimits, DisclosureAcceptance, TradingAccount, User
from accounts.services.permissions import trading_permission_set
from accounts.services.rules import staff_limits_set
from accounts.services.trading_accounts import account_open
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.valkey import get_valkey
from marketdata.models import Asset, Instrument
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from tests.flows.steps import limit, placed, refused
from trading.engine import commands
from trading.engine.gateway import Rejected
from trading.services import limits as limits_module
from trading.services.account_control import limits_sync
from trading.services.listing import account_send, instrument_send, instruments_listed


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget_caches()
    yield
    forget_caches()


def client_of(platform: LivePlatform, *, tier: int = 1, **fields: Any) -> Trader:
    """A funded client of a tier, with the engine's limits of it."""
    trader = platform.trader(verified=False)
    trading_permission_set(user_id=trader.user.pk, kyc_tier=tier, trading_allowed=True, reason="test")
    User.objects.filter(pk=trader.user.pk).update(**fields)
    limits_sync(platform.engine.client)
    forget_caches()
    return trader


def left(trader: Trader) -> Decimal:
    return Decimal(trader.api("GET", "limits").json()["day_left"])


def test_of_orders_that_race_for_the_last_of_the_day_as_many_win_as_fit(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    assert left(trader) == 10_000
    # 4,500 are left: nine of these thirty fit.
    for _ in range(11):
        placed(trader, limit("buy", "5", "100"))
    assert left(trader) == 4_500
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: trader.api("POST", "orders", limit("buy", "5", "100")), range(30)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(422)) == (9, 21)
    problem = next(answer.json() for answer in answers if answer.status_code == 422)
    assert (problem["code"], problem["needed"], problem["available"]) == (7021, "500 USD", "0 USD")
    assert "/onboarding" in problem["next_step"]
    assert left(trader) == 0


def test_the_last_unit_goes_to_one(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    for _ in range(4):
        placed(trader, limit("buy", "24.99", "100"))
    assert left(trader) == 4
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: trader.api("POST", "orders", limit("buy", "0.04", "100")), range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 9


def test_sub_accounts_share_their_owners_day(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    second = account_open(user=trader.user, parent=trader.account)
    account_send(live_platform.engine.client, second)
    live_platform.engine.client.submit(commands.deposit(second.core_account, 1, 10**12, "sub-fund"))
    forget_caches()
    for _ in range(4):
        placed(trader, limit("buy", "20", "100"))
    answer = trader.api("POST", "orders", limit("buy", "24", "100", account=second.number))
    assert refused(answer) == (422, RejectCode.DAY_LIMIT)
    placed(trader, limit("buy", "20", "100", account=second.number))


def test_what_is_refused_or_cancelled_is_given_back(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    assert refused(trader.api("POST", "orders", limit("buy", "10", "200")))[0] == 422  # outside the collar
    assert left(trader) == 10_000
    order = placed(trader, limit("buy", "20", "100"))
    assert left(trader) == 8_000
    assert trader.api("PATCH", f"orders/{order['order_id']}", {"qty": "22"}).status_code == 200
    assert left(trader) == 7_800
    assert trader.api("DELETE", f"orders/{order['order_id']}").status_code == 200
    assert left(trader) == 10_000
    for _ in range(2):
        placed(trader, limit("buy", "20", "100"))
    live_platform.settle()
    assert trader.api("POST", "orders/cancel-all", {}).status_code == 200
    assert left(trader) == 10_000
    assert placed(trader, limit("buy", "10", "100", time_in_force="ioc"))["status"] == "canceled"
    assert left(trader) == 10_000


def test_a_repeated_request_is_not_refused_for_what_it_used_up_itself(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    for _ in range(3):
        placed(trader, limit("buy", "25", "100"))
    last = placed(trader, limit("buy", "25", "100", client_order_id="the-last"))
    again = trader.api("POST", "orders", limit("buy", "25", "100", client_order_id="the-last"))
    assert (again.status_code, again.json()["order_id"]) == (200, last["order_id"])
    assert left(trader) == 0
    assert refused(trader.api("POST", "orders", limit("buy", "1", "100", client_order_id="next")))[1] == 7021


def test_a_replace_cannot_go_round_the_limit(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    orders = [placed(trader, limit("buy", "24", "100")) for _ in range(4)]
    answer = trader.api("PATCH", f"orders/{orders[0]['order_id']}", {"qty": "25", "price": "100"})
    assert answer.status_code == 200
    for order in orders[1:]:
        trader.api("PATCH", f"orders/{order['order_id']}", {"qty": "25"})
    assert left(trader) == 0
    placed_small = trader.api("PATCH", f"orders/{orders[0]['order_id']}", {"price": "100.001"})
    assert refused(placed_small)[1] in {RejectCode.DAY_LIMIT, RejectCode.ACCOUNT_MAX_NOTIONAL}


def test_a_lost_counter_is_made_anew_from_the_orders(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    placed(trader, limit("buy", "20", "100"))
    gone = placed(trader, limit("buy", "10", "100"))
    trader.api("DELETE", f"orders/{gone['order_id']}")
    get_valkey().delete(*list(get_valkey().scan_iter(f"dl:{trader.user.pk}:*")))
    assert left(trader) == 8_000


def test_without_the_counter_no_order_is_taken_but_cancels_are(
    live_platform: LivePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = client_of(live_platform)
    order = placed(trader, limit("buy", "1", "100"))
    dead = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    monkeypatch.setattr(limits_module, "get_valkey", lambda: dead)
    assert refused(trader.api("POST", "orders", limit("buy", "1", "100"))) == (503, RejectCode.OVERLOADED)
    assert trader.api("DELETE", f"orders/{order['order_id']}").status_code == 200


def test_one_orders_value_is_the_engines_own_limit(live_platform: LivePlatform) -> None:
    engine = live_platform.engine.client
    trader = client_of(live_platform)
    problem = trader.api("POST", "orders", limit("buy", "26", "100"))
    assert refused(problem) == (422, RejectCode.ACCOUNT_MAX_NOTIONAL)
    assert Decimal(problem.json()["needed"].split()[0]) == 2_500
    # Who speaks to the engine itself gets no further.
    core_instrument = Instrument.objects.get(symbol="SOL-USD").core_instrument
    direct = engine.submit(commands.order_new(trader.account.core_account, core_instrument, 1, 2, 1, 100_000, 2_600))
    assert isinstance(direct, Rejected)
    assert direct.reason == RejectCode.ACCOUNT_MAX_NOTIONAL
    # A higher tier raises it, staff may narrow it, and the smaller counts.
    trading_permission_set(user_id=trader.user.pk, kyc_tier=2, trading_allowed=True, reason="test")
    limits_sync(engine)
    forget_caches()
    placed(trader, limit("buy", "26", "100"))
    account = TradingAccount.objects.get(pk=trader.account.pk)
    staff_limits_set(account=account, order_notional=1_000_000_000, open_orders=5_000)
    limits_sync(engine)
    assert refused(trader.api("POST", "orders", limit("buy", "26", "100")))[1] == RejectCode.ACCOUNT_MAX_NOTIONAL
    assert trader.api("GET", "limits").json()["open_orders_max"] == 200
    row = AccountLimits.objects.get(account=account)
    assert (row.sent_version, row.sent_epoch) == (row.version, engine.status().epoch)
    # Another start of the engine: everything is told once more.
    AccountLimits.objects.filter(pk=row.pk).update(sent_epoch=row.sent_epoch - 1)
    assert limits_sync(engine) == 1
    assert limits_sync(engine) == 0


def test_the_warning_comes_before_the_first_order_in_a_product(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    DisclosureAcceptance.objects.filter(user=trader.user).delete()
    forget_caches()
    answer = trader.api("POST", "orders", limit("buy", "1", "100"))
    assert refused(answer) == (403, RejectCode.DISCLOSURE_NEEDED)
    assert "/account/limits?product=crypto" in answer.json()["next_step"]
    assert refused(trader.api("POST", "orders/preview", limit("buy", "1", "100")))[1] == RejectCode.DISCLOSURE_NEEDED
    assert trader.api("POST", "disclosures", {"codes": ["nonsense"]}).status_code == 400
    texts = trader.api("POST", "disclosures", {"codes": ["crypto_risk_uk"]}).json()["results"]
    assert [row["code"] for row in texts if row["accepted"]] == ["crypto_risk_uk"]
    assert placed(trader, limit("buy", "1", "100"))["status"] == "new"
    # Another product has its own; and a new version of a text is accepted anew.
    fx = {"symbol": "EUR-USD", "side": "buy", "type": "limit", "qty": "1000", "price": "1.08"}
    assert refused(trader.api("POST", "orders", fx))[1] == RejectCode.DISCLOSURE_NEEDED
    DisclosureAcceptance.objects.filter(user=trader.user).update(version=99)
    forget_caches()
    assert refused(trader.api("POST", "orders", limit("buy", "1", "100")))[1] == RejectCode.DISCLOSURE_NEEDED


def test_the_jurisdiction_decides_products_and_leverage(live_platform: LivePlatform) -> None:
    fx = {"symbol": "EUR-USD", "side": "buy", "type": "limit", "qty": "1000", "price": "1.08"}
    index = {"symbol": "US500", "side": "buy", "type": "limit", "qty": "0.01", "price": "1000"}
    trader = client_of(live_platform)
    assert trader.api("POST", "orders", fx).status_code == 201
    trading_permission_set(user_id=trader.user.pk, kyc_tier=1, trading_allowed=True, reason="moved", jurisdiction="JP")
    answer = trader.api("POST", "orders", fx)
    assert refused(answer) == (403, RejectCode.LEVERAGE_CAP)
    assert (answer.json()["needed"], answer.json()["available"]) == ("25", "30")
    trading_permission_set(user_id=trader.user.pk, kyc_tier=1, trading_allowed=True, reason="moved", jurisdiction="US")
    assert refused(trader.api("POST", "orders", index)) == (403, RejectCode.PRODUCT_BANNED)
    shown = {row["product"]: row["refused"] for row in trader.api("GET", "limits").json()["products"]}
    assert (shown["index_cfd"], shown["fx"], shown["crypto_cfd"]) == (7022, None, 7022)
    # What only reduces gets as far as the engine, which finds nothing to reduce.
    assert refused(trader.api("POST", "orders", index | {"reduce_only": True}))[1] == RejectCode.REDUCE_ONLY


def test_a_crypto_cfd_is_not_for_retail_clients_in_the_united_kingdom(live_platform: LivePlatform) -> None:
    listed = Instrument.objects.get(symbol="US500")
    listed.pk, listed.symbol, listed.core_instrument = None, "BTC-CFD", Instrument.objects.count() + 1
    listed.asset_class = "crypto"
    listed.save()
    instrument_send(live_platform.engine.client, listed, first=True)
    forget_caches()
    trader = client_of(live_platform, tier=3)
    order = {"symbol": "BTC-CFD", "side": "buy", "type": "limit", "qty": "0.01", "price": "1000"}
    assert refused(trader.api("POST", "orders", order)) == (403, RejectCode.PRODUCT_BANNED)
    listed.delete()


def test_what_is_not_quoted_in_dollars_is_refused_not_counted_as_if_it_were(live_platform: LivePlatform) -> None:
    listed = Instrument.objects.select_related("quote").get(symbol="BTC-USD")
    # The engine knows instruments that other tests have taken away.
    listed.pk, listed.symbol = None, "BTC-EUR"
    listed.core_instrument = instruments_listed(live_platform.engine.client) + 1
    listed.quote = Asset.objects.get(code="EUR")
    listed.save()
    instrument_send(live_platform.engine.client, listed, first=True)
    forget_caches()
    trader = client_of(live_platform, tier=3)
    order = {"symbol": "BTC-EUR", "side": "buy", "type": "limit", "qty": "0.01", "price": "60000"}
    for path in ("orders", "orders/preview"):
        answer = trader.api("POST", path, order)
        assert refused(answer) == (403, RejectCode.LIMIT_CURRENCY), path
        assert (answer.json()["needed"], answer.json()["available"]) == ("USD", "EUR")
    # The engine's own word: nothing there to reduce.
    assert refused(trader.api("POST", "orders", order | {"reduce_only": True}))[1] != RejectCode.LIMIT_CURRENCY
    # Other crypto assets are as before.
    assert trader.api("POST", "orders", limit("buy", "1", "100")).status_code == 201
    crypto = next(row for row in trader.api("GET", "limits").json()["products"] if row["product"] == "crypto")
    assert (crypto["refused"], crypto["day_used"]) == (None, "100")
    listed.delete()


@pytest.mark.parametrize(("right", "code"), [(None, 7025), (0, 7025), (2, 7024), (3, None)])
def test_complex_products_depend_on_the_answers(
    live_platform: LivePlatform, right: int | None, code: int | None
) -> None:
    trader = client_of(live_platform, right_answers=right)
    DisclosureAcceptance.objects.filter(user=trader.user, code="not_appropriate_warning").delete()
    forget_caches()
    fx = {"symbol": "EUR-USD", "side": "buy", "type": "limit", "qty": "1000", "price": "1.08"}
    answer = trader.api("POST", "orders", fx)
    assert (answer.json().get("code") if answer.status_code != 201 else None) == code
    # Shares and crypto assets are not complex.
    assert trader.api("POST", "orders", limit("buy", "1", "100")).status_code == 201


def test_a_product_has_limits_of_its_own_and_the_preview_says_what_is_left(live_platform: LivePlatform) -> None:
    trader = client_of(live_platform)
    index = {"symbol": "US500", "side": "buy", "type": "limit", "qty": "1.5", "price": "1000"}
    answer = trader.api("POST", "orders", index)
    assert refused(answer) == (422, RejectCode.PRODUCT_ORDER_LIMIT)
    assert (answer.json()["needed"], answer.json()["available"]) == ("1000 USD", "1500 USD")
    one = index | {"qty": "1"}
    assert trader.api("POST", "orders/preview", one).json()["day_left"] == "2000"
    for _ in range(2):
        assert trader.api("POST", "orders", one).status_code == 201
    preview = trader.api("POST", "orders/preview", one).json()
    assert (preview["accepted"], preview["reject"]["code"], preview["day_left"]) == (False, 7021, "0")
    assert refused(trader.api("POST", "orders", one))[1] == RejectCode.DAY_LIMIT
    # Other products still have theirs.
    assert trader.api("POST", "orders", limit("buy", "1", "100")).status_code == 201
