"""A client's request to the desk, from the fallback app's service to the engine and back: done once, refused, released, written down."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import TradingAccountMember
from accounts.roles import DEALER, RISK, SENIOR_DEALER
from accounts.selectors.access import account_for_user, accounts_forget
from backoffice.services import requests as desk
from backoffice.tests.factories import REASON, browser, staff
from brokerage.kernel.errors import EngineUnavailableError, RejectedError
from brokerage.platform.audit import Actor, acting
from brokerage.platform.models import AuditPending
from brokerage.platform.portal_watch import PortalState, watch
from marketdata.selectors.instruments import instrument_by_symbol
from tests.conftest_engine import LivePlatform, Trader
from tests.fallback import fallback_app, signed_in
from trading.engine.gateway import Unknown
from trading.models import Execution, FallbackRequest, Order
from trading.selectors.fallback import fallback_state
from trading.selectors.orders import order_number
from trading.services.engine_access import get_engine_client
from trading.services.fallback import LOCKS, request_cancel, request_close

LIMIT = {"symbol": "ETH-USD", "type": "limit"}


@pytest.fixture
def dealer(live_platform: LivePlatform) -> Any:
    return staff(SENIOR_DEALER)


@pytest.fixture
def client(live_platform: LivePlatform) -> Iterator[Trader]:
    """Holds 5 ETH bought at 3,000 and has an order for 2 resting at 2,900; a maker bids for 3 at 2,990."""
    maker = live_platform.trader("maker", {"USD": "100000", "ETH": "100"})
    client = live_platform.trader("client", {"USD": "30000"})
    maker.api("POST", "orders", {**LIMIT, "side": "sell", "qty": "5", "price": "3000"})
    assert (
        client.api("POST", "orders", {**LIMIT, "side": "buy", "qty": "5", "price": "3000"}).json()["status"] == "filled"
    )
    assert client.api("POST", "orders", {**LIMIT, "side": "buy", "qty": "2", "price": "2900"}).json()["status"] == "new"
    maker.api("POST", "orders", {**LIMIT, "side": "buy", "qty": "3", "price": "2990"})
    live_platform.settle()
    accounts_forget()
    yield client
    for trader in (maker, client):
        trader.api("POST", "orders/cancel-all", {})
    live_platform.settle()


def resting(trader: Trader) -> int:
    rows = trader.api("GET", "orders?status=open").json()["results"]
    return order_number(rows[0]["order_id"])  # type: ignore[return-value]


def ask_cancel(trader: Trader, key: str = "a") -> FallbackRequest:
    return request_cancel(account=account_for_user(trader.user.pk), user=trader.user, order_id=resting(trader), key=key)


def ask_close(trader: Trader, qty: str, key: str = "b") -> FallbackRequest:
    instrument = instrument_by_symbol("ETH-USD")
    assert instrument is not None
    return request_close(
        account=account_for_user(trader.user.pk), user=trader.user, instrument=instrument, qty=Decimal(qty), key=key
    )


def code_of(act: Any, **arguments: Any) -> int:
    with pytest.raises(RejectedError) as caught:
        act(**arguments)
    return caught.value.code


def held(platform: LivePlatform, trader: Trader) -> str:
    platform.settle()
    rows = trader.api("GET", "positions").json()["results"]
    return next((row["qty"] for row in rows if row["symbol"] == "ETH-USD"), "0")


def test_a_cancel_is_claimed_and_done(live_platform: LivePlatform, client: Trader, dealer: Any) -> None:
    asked = ask_cancel(client)
    assert code_of(desk.request_execute, staff=dealer, number=asked.pk) == 7080, "claimed first"
    desk.request_claim(staff=dealer, number=asked.pk)
    with acting(Actor("staff", str(dealer.pk))):
        done = desk.request_execute(staff=dealer, number=asked.pk)
    assert (done.state, done.decided_by, done.sent_at) == ("done", dealer, None)
    assert "is cancelled" in done.message
    live_platform.settle()
    assert Order.objects.get(pk=asked.order_id).ord_status == Order.Status.CANCELED
    act = AuditPending.objects.filter(action="fallback_request.executed", object_id=str(asked.pk)).get()
    assert (act.actor_id, act.subject) == (str(dealer.pk), str(client.user.pk))
    assert code_of(desk.request_execute, staff=dealer, number=asked.pk) == 7080, "once"


def test_a_part_is_closed_at_market_and_only_reduces(live_platform: LivePlatform, client: Trader, dealer: Any) -> None:
    asked = ask_close(client, "2")
    desk.request_claim(staff=dealer, number=asked.pk)
    done = desk.request_execute(staff=dealer, number=asked.pk)
    assert (done.state, done.message) == ("done", "Closed 2.000 of 2.000 ETH-USD at 2990.00 on average.")
    assert Decimal(held(live_platform, client)) == 3
    order = Order.objects.get(cl_ord_id=asked.cl_ord_id)
    assert (order.source, order.flags) == (3, 2)


def test_what_the_market_does_not_take_is_told(live_platform: LivePlatform, client: Trader, dealer: Any) -> None:
    asked = ask_close(client, "5")
    desk.request_claim(staff=dealer, number=asked.pk)
    done = desk.request_execute(staff=dealer, number=asked.pk)
    assert done.message.startswith("Closed 3.000 of 5.000 ETH-USD")
    rest = ask_close(client, "2", key="c") if held(live_platform, client) else asked
    desk.request_claim(staff=dealer, number=rest.pk)
    # Nobody bids any more: the engine's refusal is the dealer's, the request stays theirs with the next attempt's id.
    assert code_of(desk.request_execute, staff=dealer, number=rest.pk) in (5008, 4005)
    rest.refresh_from_db()
    assert (rest.state, rest.sent_at, rest.attempt) == ("claimed", None, 2)
    assert desk.request_refuse(staff=dealer, number=rest.pk, reason=REASON).message == REASON


def test_a_lost_answer_is_asked_for_again_and_done_once(
    live_platform: LivePlatform, client: Trader, dealer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask_close(client, "2")
    desk.request_claim(staff=dealer, number=asked.pk)
    engine = get_engine_client()
    real = engine.submit

    def lost(command: bytes) -> Any:
        real(command)
        return Unknown("lost")

    monkeypatch.setattr(engine, "submit", lost)
    assert code_of(desk.request_execute, staff=dealer, number=asked.pk) == 9011
    asked.refresh_from_db()
    assert (asked.state, asked.attempt) == ("claimed", 1)
    assert asked.sent_at is not None
    # What may be done cannot be refused or put back; nor written down while the answer may still come.
    assert code_of(desk.request_refuse, staff=dealer, number=asked.pk, reason=REASON) == 7080
    assert code_of(desk.request_release, staff=dealer, number=asked.pk) == 7080
    assert code_of(desk.request_done_by_hand, staff=dealer, number=asked.pk, outcome=REASON) == 7080

    # The engine is away now: still not forgotten that something was sent.
    def away(command: bytes) -> Any:
        raise EngineUnavailableError("away")

    monkeypatch.setattr(engine, "submit", away)
    assert code_of(desk.request_execute, staff=dealer, number=asked.pk) == 9010
    asked.refresh_from_db()
    assert asked.sent_at is not None
    monkeypatch.setattr(engine, "submit", real)
    done = desk.request_execute(staff=dealer, number=asked.pk)
    assert (done.state, done.done_qty > 0) == ("done", True)
    assert Decimal(held(live_platform, client)) == 3, "sold once"
    assert Execution.objects.filter(order_id=Order.objects.get(cl_ord_id=asked.cl_ord_id).pk).count() == 1


def test_an_engine_that_is_away_loses_nothing(
    live_platform: LivePlatform, client: Trader, dealer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask_cancel(client)
    desk.request_claim(staff=dealer, number=asked.pk)

    def away(command: bytes) -> Any:
        raise EngineUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(get_engine_client(), "submit", away)
        assert code_of(desk.request_execute, staff=dealer, number=asked.pk) == 9010
    asked.refresh_from_db()
    assert (asked.state, asked.sent_at) == ("claimed", None)
    assert desk.request_release(staff=dealer, number=asked.pk).state == "received"


def test_one_try_at_a_time(live_platform: LivePlatform, client: Trader, dealer: Any) -> None:
    asked = ask_cancel(client)
    desk.request_claim(staff=dealer, number=asked.pk)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCKS + asked.pk])
            assert code_of(desk.request_execute, staff=dealer, number=asked.pk) == 7080
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCKS + asked.pk])
    finally:
        other.close()
    assert desk.request_execute(staff=dealer, number=asked.pk).state == "done"


def test_an_order_that_was_cancelled_meanwhile_is_done(
    live_platform: LivePlatform, client: Trader, dealer: Any
) -> None:
    asked = ask_cancel(client)
    client.api("POST", "orders/cancel-all", {})
    live_platform.settle()
    desk.request_claim(staff=dealer, number=asked.pk)
    done = desk.request_execute(staff=dealer, number=asked.pk)
    assert (done.state, "was canceled before" in done.message) == ("done", True)


def test_who_may_work_on_it(live_platform: LivePlatform, client: Trader, dealer: Any) -> None:
    asked = ask_cancel(client)
    fenced, looker = staff(DEALER), staff(RISK)
    assert code_of(desk.request_claim, staff=fenced, number=asked.pk) == 2014, "not a client of this dealer's"
    assert code_of(desk.request_claim, staff=looker, number=asked.pk) == 2012
    assert desk.request_for_staff(looker, asked.pk) == asked
    own = staff(SENIOR_DEALER)
    TradingAccountMember.objects.create(account=client.account, user=own, role="viewer")
    assert code_of(desk.request_claim, staff=own, number=asked.pk) == 7058
    desk.request_claim(staff=dealer, number=asked.pk)
    colleague = staff(SENIOR_DEALER)
    assert code_of(desk.request_claim, staff=colleague, number=asked.pk) == 7080
    assert code_of(desk.request_execute, staff=colleague, number=asked.pk) == 7080
    written = desk.request_done_by_hand(staff=dealer, number=asked.pk, outcome="cancelled by telephone with the venue")
    assert (written.state, written.by_hand) == ("done", True)


def test_the_desk_pages_from_queue_to_outcome(live_platform: LivePlatform, client: Trader, dealer: Any) -> None:
    asked = ask_close(client, "1")
    page = browser(dealer)
    listed = page.get("/desk/requests").content.decode()
    assert client.account.number in listed
    assert "ETH-USD" in listed
    one = f"/desk/requests/{asked.pk}"
    assert "Claim it" in page.get(one).content.decode()
    assert page.post(f"{one}/act", {"act": "claim"}).status_code == 302
    shown = page.get(one).content.decode()
    for said in ("Approve and do it", "Put it back into the queue", "5.000; 4.000 after it"):
        assert said in shown, said
    assert page.post(f"{one}/act", {"act": "refuse", "refuse-reason": "no"}).status_code == 400
    assert page.post(f"{one}/act", {"act": "execute"}).status_code == 302
    assert "Closed 1.000 of 1.000 ETH-USD" in page.get(one).content.decode()
    assert page.post(f"{one}/act", {"act": "execute"}).status_code == 409
    assert page.get("/desk/requests?queue=over").content.decode().count(client.account.number) == 1
    looker = browser(staff(RISK))
    assert looker.get(one).status_code == 200
    assert looker.post(f"{one}/act", {"act": "claim"}).status_code == 403
    assert browser(staff(DEALER)).get(one).status_code == 404
    assert Client().get("/desk/requests").status_code == 302


def test_the_fallback_shows_the_portals_figures(
    live_platform: LivePlatform, client: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R0-10: the same rows through both doors."""
    core, number = client.account.core_account, client.account.number
    state = fallback_state(core, number)
    rest: dict[str, list[dict[str, Any]]] = {
        name: client.api("GET", path).json()["results"]
        for name, path in (("balances", "balances"), ("positions", "positions"), ("orders", "orders?status=open"))
    }
    assert list(state.balances) == [row for row in rest["balances"] if Decimal(row["total"])]
    same = ("symbol", "kind", "qty", "avg_price", "realised_pnl", "cost", "margin_held", "currency", "seq")
    opened = [row for row in rest["positions"] if Decimal(row["qty"])]
    assert [{name: row[name] for name in same} for row in state.positions] == [
        {name: row[name] for name in same} for row in opened
    ]
    assert [{name: value for name, value in row.items() if name != "asked"} for row in state.orders] == rest["orders"]
    # ... and what a reader sees on the two pages
    monkeypatch.setattr(watch, "state", lambda: PortalState(True, True, 10**18))
    portal = browser(client.user, factor=False)
    with fallback_app():
        fallback = signed_in(client.user.email).get("/").content.decode()
    ours = portal.get("/orders").content.decode() + portal.get("/portfolio").content.decode()
    for row in state.positions:
        assert row["size"] in fallback
        assert row["avg_price"] in fallback
        assert row["avg_price"] in ours
    for row in state.orders:
        assert row["order_id"] in fallback
        assert row["order_id"] in ours
