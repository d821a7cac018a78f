"""Orders go on while PostgreSQL is away: who called before is known, the engine decides, and what was done is stored when it is back.

Here the web process finds no database while the engine and the projector go on; the whole platform without its PostgreSQL is
tests/crash/test_database_away.py.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.models import TotpDevice
from accounts.services.security import user_freeze
from accounts.services.token_families import family_begin, family_end_by_token
from brokerage.kernel.clock import NS_PER_DAY, SYSTEM_CLOCK, utc_now
from brokerage.platform import remembered
from brokerage.platform.valkey import get_valkey
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from tests.flows.steps import SYMBOL, limit, placed, refused
from trading.models import Order
from trading.selectors.orders import order_number
from trading.services import limits as limits_module
from trading.services.limits import day_counters_announce


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget_caches()
    yield
    forget_caches()


@contextmanager
def database_away() -> Iterator[list[str]]:
    """Every statement of this process fails as with a server that went away; gives the statements that were tried."""
    tried: list[str] = []

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        tried.append(sql)
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(fail):
        yield tried
    remembered.pause_end()


def aged() -> None:
    """Wait until everything remembered would be asked again."""
    time.sleep(3.1)
    remembered.pause_end()


def ready(trader: Trader) -> Trader:
    """A trader who has just been trading."""
    order = placed(trader, limit("buy", "1", "100"))
    assert trader.api("DELETE", f"orders/{order['order_id']}").status_code == 200
    return trader


def test_orders_are_placed_replaced_and_cancelled(live_platform: LivePlatform) -> None:
    trader = ready(live_platform.trader())
    before = trader.api("GET", "limits").json()["day_left"]
    live_platform.settle()
    aged()
    with database_away() as tried:
        first = placed(trader, limit("buy", "2", "100"), Idempotency_Key="away-1")
        assert (first["status"], first["symbol"], first["account"]) == ("new", SYMBOL, trader.account.number)
        again = trader.api("POST", "orders", limit("buy", "2", "100"), Idempotency_Key="away-1")
        assert (again.status_code, again.json()["order_id"]) == (200, first["order_id"])
        assert trader.api("POST", "orders/preview", limit("buy", "1", "100")).status_code == 200
        changed = trader.api("PATCH", f"orders/{first['order_id']}", {"qty": "1"})
        assert (changed.status_code, changed.json()["leaves_qty"]) == (200, "1.00"), changed.content
        gone = trader.api("DELETE", f"orders/{first['order_id']}")
        assert (gone.status_code, gone.json()["status"]) == (200, "canceled")
        others = [placed(trader, limit("buy", "1", "100"))["order_id"] for _ in range(3)]
        # What the engine has is told, and whose word it is; for the rest the rows are needed, which is said.
        told = trader.api("GET", f"orders?status=open&symbol={SYMBOL}&side=buy")
        assert (told.status_code, told["X-Data-Source"]) == (200, "engine")
        assert [order["order_id"] for order in told.json()["results"]] == others[::-1]
        assert trader.api("GET", "orders?status=open&side=sell").json()["results"] == []
        (dollars,) = trader.api("GET", "balances").json()["results"]
        assert (dollars["asset"], dollars["held"], dollars["total"]) == ("USD", "300.300000", "1000000.000000")
        assert trader.api("GET", "positions").json()["results"] == []
        assert "status=open" in trader.api("GET", "orders").json()["next_step"]
        state = trader.api("GET", "status").json()
        assert (state["state"], state["projection"], state["engine"]["epoch"]) == ("degraded", None, 1)
        swept = trader.api("POST", "orders/cancel-all", {})
        assert swept.status_code == 200, swept.content
        assert sorted(swept.json()["order_ids"]) == sorted(others)
        assert tried, "nothing was asked of the database, so nothing was tested"
        # Reading needs the rows, and says so.
        assert refused(trader.api("GET", "orders")) == (503, 9013)
    live_platform.settle()
    stored = Order.objects.filter(order_id__in=[order_number(name) for name in (first["order_id"], *others)])
    assert {row.ord_status for row in stored} == {Order.Status.CANCELED}
    assert stored.count() == 4
    # Of the mass cancel nothing could be asked, so its three orders go on counting today; nothing else does.
    assert Decimal(before) - Decimal(trader.api("GET", "limits").json()["day_left"]) == 300


def test_a_browser_with_a_second_factor_goes_on(live_platform: LivePlatform, settings: LazySettings) -> None:
    settings.CLIENT_SECOND_FACTOR = True
    trader = live_platform.trader()
    device = TotpDevice.objects.create(user=trader.user, name="phone", confirmed=True, created_at=utc_now())
    client = Client(raise_request_exception=False)
    client.force_login(trader.user, backend="accounts.backends.PasswordBackend")
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.save()

    def send() -> Any:
        return client.post("/api/v1/orders", json.dumps(limit("buy", "1", "100")), content_type="application/json")

    assert [send().status_code for _ in range(2)] == [201, 201]
    aged()
    with database_away() as tried:
        answers = [send() for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201] * 3, answers[0].content
        assert tried
        page = client.get("/orders")
        assert (page.status_code, page["Retry-After"]) == (503, "5")
        assert b"Our records do not answer" in page.content
        assert b'href="/orders"' in page.content
        # What the engine has is shown on the pages one trades from: the orders of this minute too.
        for path in ("/", f"/trade/{SYMBOL}", "/portfolio"):
            shown = client.get(path)
            assert (shown.status_code, b"Our records do not answer since" in shown.content) == (200, True), path
        workspace = client.get(f"/trade/{SYMBOL}")
        data = json.loads(re.search(rb'id="page-data"[^>]*>(.*?)</script>', workspace.content, re.DOTALL)[1])
        assert [order["qty"] for order in data["open"]] == ["1.00"] * 5
        assert {answer.json()["order_id"] for answer in answers} < {order["order_id"] for order in data["open"]}
        (dollars,) = [row for row in data["balances"] if row["asset"] == "USD"]
        assert dollars["held"] == "500.500000", dollars
        # The page people open now.
        state = client.get("/status")
        assert (state.status_code, b"database does not answer" in state.content) == (200, True)
        assert Client().get("/status").status_code == 200
    assert client.get("/orders").status_code == 200, "the session is still there"


def test_who_was_never_seen_or_is_shut_out_is_refused(live_platform: LivePlatform) -> None:
    stranger, left, frozen = (live_platform.trader() for _ in range(3))
    ready(left)
    ready(frozen)
    pair = family_begin(user=left.user)
    other = Trader(left.user, left.account, pair["access"], live_platform)
    assert other.api("GET", "profile").status_code == 200
    family_end_by_token(refresh=pair["refresh"])
    user_freeze(user=frozen.user, reason="test")
    with database_away():
        assert refused(stranger.api("POST", "orders", limit("buy", "1", "100"))) == (503, 9013)
        assert refused(other.api("POST", "orders", limit("buy", "1", "100"))) == (503, 9013)
        assert refused(frozen.api("POST", "orders", limit("buy", "1", "100")))[0] in (401, 503)
    placed(stranger, limit("buy", "1", "100"))


def test_the_first_order_of_a_day_is_taken_where_every_counter_is_known(
    live_platform: LivePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = live_platform.trader(), live_platform.trader()
    placed(early, limit("buy", "3", "100"))
    for trader in (early, late):
        for path in ("profile", "accounts", "instruments"):
            assert trader.api("GET", path).status_code == 200
    live_platform.settle()
    marks = [f"dl:from:{SYSTEM_CLOCK.now_ns() // NS_PER_DAY + days}" for days in (0, 1)]
    # Valkey lost its memory, and nobody has asked for the counters since.
    get_valkey().delete(*get_valkey().scan_iter("dl:*"))
    order = limit("buy", "1", "100")
    with database_away():
        assert refused(early.api("POST", "orders", order)) == (503, 9012), "what was entered before is not known"
    monkeypatch.setattr(limits_module, "SETTLED_S", 10**9)
    day_counters_announce()
    assert [bool(get_valkey().exists(mark)) for mark in marks] == [False, True], (
        "orders of the old Valkey may be on their way"
    )
    monkeypatch.setattr(limits_module, "SETTLED_S", -1)
    day_counters_announce()
    with database_away():
        placed(early, order)
        placed(late, order)
    used = [trader.api("GET", "limits").json()["day_used"] for trader in (early, late)]
    assert used == ["400", "100"]
    # A Valkey that has forgotten something by itself is asked nothing of the kind.
    get_valkey().set(marks[0], "another Valkey:0")
    get_valkey().delete(*get_valkey().scan_iter("dl:????????-*"))
    with database_away():
        assert refused(late.api("POST", "orders", order)) == (503, 9012)
