"""Staff in a real Chromium: second factor, an approval by two, looking as a client; the administration keeps the policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group

from accounts.models import User
from accounts.roles import ADMINISTRATOR, COMPLIANCE, FINANCE
from accounts.services.roles import roles_sync
from brokerage.platform.auth import users_forget
from tests.authenticator import code_of
from tests.browser.conftest import Site
from tests.conftest_engine import PASSWORD, Trader

REASON = "asked for by the client in ticket 4711"


@pytest.fixture(scope="module")
def client_of_staff(site: Site) -> Trader:
    """A client with an order, a fill and a position."""
    maker = site.trader(USD="1000000", ETH="100")
    trader = site.trader(USD="50000", ETH="2")
    site.order(maker, symbol="ETH-USD", side="sell", qty="1", price="3000")
    site.order(trader, symbol="ETH-USD", side="buy", qty="1", price="3000")
    site.platform.settle()
    return trader


def staff(*roles: str, superuser: bool = False) -> User:
    """A member of staff in the live database."""
    roles_sync()
    number = User.objects.count()
    user = User.objects.create_user(
        f"staff{number}@example.test", PASSWORD, display_name=roles[0], is_staff=True, is_superuser=superuser
    )
    user.groups.set(Group.objects.filter(name__in=roles))
    users_forget()
    return user


def enter(tab: Any, user: User, where: str) -> None:
    """Sign in, set an authenticator up, go where one wanted to."""
    tab.goto(where)
    tab.wait_for_url("**/signin?**")
    tab.fill("#id_email", user.email)
    tab.fill("#id_password", PASSWORD)
    tab.click("main button[type=submit]")
    tab.wait_for_url("**/security/authenticator?**")
    tab.fill("#id_code", code_of(tab.inner_text(".secret")))
    tab.click("main button[type=submit]")
    tab.wait_for_selector(".codes")
    tab.goto(where)
    tab.wait_for_url(f"**{where}")


def usd(trader: Trader) -> Decimal:
    """What the client has in dollars."""
    return next(
        Decimal(row["total"]) for row in trader.api("GET", "balances").json()["results"] if row["asset"] == "USD"
    )


ADMIN_PAGES = [
    "/admin/", "/admin/trading/order/", "/admin/accounts/user/", "/admin/accounts/ledgerentry/", "/admin/backoffice/desk/add/",
    "/admin/backoffice/approval/", "/admin/marketdata/instrument/", "/admin/marketdata/instrument/1/change/",
    "/admin/trading/projectionstate/engine/", "/admin/auth/group/",
]  # fmt: skip


def test_a_deposit_by_hand_by_two_people_reaches_the_account(
    open_page: Callable[..., Any], site: Site, client_of_staff: Trader
) -> None:
    number, before = client_of_staff.account.number, usd(client_of_staff)
    maker, checker = open_page(), open_page()
    enter(maker, staff(FINANCE), f"/desk/clients/{number}")
    maker.click("summary:has-text('Deposit or debit by hand')")
    maker.fill("#id_money-amount", "123.45")
    maker.fill("#id_money-reason", REASON)
    maker.click("form[action$='/requests/money'] button[type=submit]")
    maker.wait_for_url("**/desk/approvals/*")
    assert maker.locator("button:has-text('Approve')").count() == 0
    enter(checker, staff(FINANCE), "/desk/approvals")
    checker.click("main tbody a")
    checker.fill("#id_reason", REASON)
    checker.click("button:has-text('Approve and do it')")
    checker.wait_for_selector("text=Approved and done.")
    until = time.monotonic() + 15
    while usd(client_of_staff) != before + Decimal("123.45"):
        assert time.monotonic() < until, usd(client_of_staff)
        site.platform.settle()


def test_a_halt_by_two_stops_new_orders_and_not_cancels(
    open_page: Callable[..., Any], site: Site, client_of_staff: Trader
) -> None:
    from backoffice.models import Approval
    from backoffice.services.approvals import approval_decide, approval_request

    resting = site.order(client_of_staff, symbol="ETH-USD", side="buy", qty="0.1", price="2500")
    number = client_of_staff.account.number
    for state in ("halted", "active"):
        made = approval_request(
            maker=staff(COMPLIANCE), kind="account_state", subject=number, payload={"state": state}, reason=REASON
        )
        approval_decide(approval_id=made.pk, checker=staff(COMPLIANCE), approve=True, reason=REASON)
        until = time.monotonic() + 15
        while Approval.objects.get(pk=made.pk).result != "done by the engine":
            assert time.monotonic() < until, Approval.objects.get(pk=made.pk).result
            time.sleep(0.05)
        if state == "halted":
            body = {"symbol": "ETH-USD", "side": "buy", "type": "limit", "qty": "0.1", "price": "2500"}
            refused = client_of_staff.api("POST", "orders", body)
            assert refused.status_code in {403, 422}, refused.content
            assert refused.json()["code"] in {2002, 2015}
            assert client_of_staff.api("DELETE", f"orders/{resting['order_id']}").status_code == 200


def test_looking_as_a_client_shows_the_banner_and_sends_nothing(
    open_page: Callable[..., Any], client_of_staff: Trader
) -> None:
    tab = open_page()
    number = client_of_staff.account.number
    enter(tab, staff(COMPLIANCE), f"/desk/clients/{number}")
    tab.click("summary:has-text('View as this client')")
    tab.fill("#id_view_as-reason", REASON)
    tab.click("form[action$='/view-as'] button[type=submit]")
    tab.wait_for_selector(f"text=Looking as {client_of_staff.user.email}, read only")
    tab.goto("/portfolio")
    assert number in tab.evaluate("document.documentElement.dataset.account")
    status = tab.evaluate(
        "async () => (await fetch('/api/v1/ws-ticket', {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}})).status"
    )
    assert status == 403
    tab.click("button:has-text('End the view')")
    tab.wait_for_url("**/desk/clients")
    assert tab.locator("text=Looking as").count() == 0
    # The page's own tries to open its private stream are refused too, and the browser says so.
    tab.complaints[:] = [line for line in tab.complaints if "403" not in line]


def test_the_administration_and_the_api_documentation_keep_the_policy(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    tab.add_init_script(
        "document.addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective, e.blockedURI))"
    )
    missing: list[str] = []
    tab.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    enter(tab, staff(ADMINISTRATOR, superuser=True), "/admin/")
    for path in ADMIN_PAGES:
        answer = tab.goto(path)
        assert answer.status == 200, path
        tab.wait_for_timeout(200)
    # The side bar is drawn by the maker's script: it runs under the policy.
    assert tab.locator("#nav-sidebar, [x-data]").count() > 0
    tab.goto("/api/docs")
    tab.wait_for_selector(".opblock")
    assert missing == []
