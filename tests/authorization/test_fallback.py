"""The fallback app's own table: every route of it has a row, and every caller gets from each what the row says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, path

from accounts.models import TradingAccountMember, User
from accounts.selectors.access import account_for_user, accounts_forget
from accounts.services.trading_accounts import account_open
from brokerage import urls_fallback
from brokerage.kernel.clock import utc_now
from brokerage.platform.policy import ROUTES
from brokerage.platform.policy_fallback import FALLBACK
from brokerage.platform.policy_rules import ANYBODY, DEAL
from brokerage.platform.portal_watch import PortalState, watch
from marketdata.services.seed import reference_seed
from risk.models import Position
from tests.fallback import PASSWORD, fallback_app, signed_in
from trading.models import FallbackRequest, Order
from trading.selectors.shapes import order_public_id

pytestmark = pytest.mark.django_db
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
NAMES = {str(entry.name): entry for entry in urls_fallback.urlpatterns if isinstance(entry, URLPattern)}
#: Who comes -> what they are in the account that is asked about.
CALLERS = ("visitor", "stranger", "viewer", "trader", "owner", "staff")


@pytest.fixture(autouse=True)
def _app(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(watch, "state", lambda: PortalState(True, True, 10**18))
    with fallback_app(API_RATE_SCALE=10_000):
        yield


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert all(isinstance(entry, URLPattern) for entry in urls_fallback.urlpatterns), (
        "no include: a route in it would not be seen"
    )
    assert set(NAMES) == set(FALLBACK)
    # Only health pages have a name of the portal's: a row here never opens a route there.
    assert set(FALLBACK) & set(ROUTES) == {"health-live", "health-ready"}


def test_a_route_without_a_row_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    user = User.objects.create_user("ann@example.test", PASSWORD)
    client = signed_in(user.email)
    monkeypatch.delitem(FALLBACK, "fallback-requests")
    assert client.get("/requests").status_code == 403

    def secret(request: HttpRequest) -> HttpResponse:
        return HttpResponse("secret")

    monkeypatch.setattr(
        urls_fallback, "urlpatterns", [*urls_fallback.urlpatterns, path("new", secret, name="portfolio")]
    )
    from django.urls import clear_url_caches

    clear_url_caches()
    try:
        # A row of the portal's table opens nothing here.
        assert client.get("/new").status_code == 403
    finally:
        clear_url_caches()


@pytest.fixture
def cast() -> dict[str, Any]:
    """Callers, and what there is to ask about."""
    reference_seed(demo=True)
    owner = User.objects.create_user("owner@example.test", PASSWORD, display_name="Annabella")
    account = account_open(user=owner)
    clients = {"visitor": Client()}
    for name in CALLERS[1:]:
        user = (
            owner
            if name == "owner"
            else User.objects.create_user(f"{name}@example.test", PASSWORD, is_staff=name == "staff")
        )
        if name != "owner":
            account_open(user=user)
        if name in {"viewer", "trader"}:
            TradingAccountMember.objects.create(account=account, user=user, role=name)
        clients[name] = signed_in(user.email)
    accounts_forget()
    core = account.core_account
    order = Order.objects.create(
        order_id=4711, entry_seq=4711, seq=4711, core_account=core, core_instrument=1, side=1, ord_type=2, time_in_force=1,
        price=6_400_000, order_qty=5, leaves_qty=5, cum_qty=0, ord_status=0, created_ns=10**18, updated_ns=10**18,
    )  # fmt: skip
    Position.objects.create(core_account=core, core_instrument=1, net=10, cost=10, seq=1)
    asked = FallbackRequest.objects.create(
        account=account,
        requested_by=owner,
        key="k",
        uid="0" * 26,
        kind="close",
        core_instrument=1,
        side=2,
        qty=1,
        created_at=utc_now(),
    )
    return {
        "clients": clients,
        "number": account.number,
        "order": order_public_id(order.pk),
        "request": asked.pk,
        "owner": owner,
    }


def address(name: str, cast: dict[str, Any]) -> str:
    fixed = {
        "fallback-home": "/", "fallback-cancel": f"/cancel/{cast['order']}", "fallback-close": "/close/BTC-USD",
        "fallback-withdraw": f"/requests/{cast['request']}/withdraw",
    }  # fmt: skip
    return f"{fixed.get(name) or '/' + str(NAMES[name].pattern).strip('^$')}?account={cast['number']}"


def wanted(rule: Any, caller: str) -> set[int]:
    if rule.who == ANYBODY:
        return {200, 302, 400}
    if caller == "visitor":
        return {302}
    if caller in {"stranger", "staff"}:
        return {404}
    if caller == "viewer" and rule.of == DEAL:
        return {403}
    return {200, 302, 400}


def test_every_caller_gets_what_the_table_says(cast: dict[str, Any]) -> None:
    wrong, cells = [], 0
    for name, row in FALLBACK.items():
        if name == "fallback-signout":
            continue
        for caller in CALLERS:
            for method in METHODS:
                answer = cast["clients"][caller].generic(method, address(name, cast))
                want = wanted(row[method], caller) if method in row else {405}
                cells += 1
                text = answer.content.decode()
                told = caller in {"stranger", "staff"} and cast["number"] in text
                if answer.status_code not in want or told:
                    wrong.append(f"{method} {name} by {caller}: {answer.status_code}, wanted {want}, told {told}")
                if caller == "visitor" and answer.status_code == 302 and row.get(method) and row[method].who != ANYBODY:
                    assert answer["Location"].startswith("/signin?")
    print(f"{cells} cells")
    assert wrong == []
    assert cells >= 250


def test_a_form_without_its_token_is_refused(cast: dict[str, Any]) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = cast["clients"]["owner"].cookies
    for path_ in (
        f"/cancel/{cast['order']}",
        "/close/BTC-USD",
        f"/requests/{cast['request']}/withdraw",
        "/signout",
        "/signin",
    ):
        assert strict.post(path_, {"key": "x", "qty": "0.0001"}).status_code == 403, path_
    assert FallbackRequest.objects.count() == 1


def test_headers_and_cookies_are_the_portals(cast: dict[str, Any]) -> None:
    answer = cast["clients"]["owner"].get("/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert "no-store" in answer["Cache-Control"]
    cookie = cast["clients"]["owner"].cookies["fallback-session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")
    assert "sessionid" not in cast["clients"]["owner"].cookies
    assert account_for_user(cast["owner"].pk).number == cast["number"]
