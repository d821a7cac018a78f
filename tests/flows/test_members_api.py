"""What a viewer, a trader and a removed member may do on the live platform: REST, page and private stream."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import TradingAccountMember
from accounts.selectors.access import accounts_forget
from accounts.services.members import member_change
from tests.conftest_engine import LivePlatform, Trader
from tests.flows.steps import SYMBOL, limit, placed, refused


@pytest.fixture(autouse=True)
def _database(django_db_blocker: Any) -> Any:
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def people(live_platform: LivePlatform, django_db_blocker: Any) -> dict[str, Trader]:
    with django_db_blocker.unblock():
        owner = live_platform.trader("owner", {"USD": "100000"})
        type(owner.account).objects.filter(pk=owner.account.pk).update(kind="entity")
        found = {"owner": owner}
        for role in ("trader", "viewer"):
            found[role] = live_platform.trader(role, {})
            TradingAccountMember.objects.create(account=owner.account, user=found[role].user, role=role)
        accounts_forget()
        return found


def _order(owner: Trader, price: Decimal) -> dict[str, Any]:
    return {**limit("buy", "1", price), "account": owner.account.number}


def test_a_viewer_sees_and_does_not_trade(people: dict[str, Trader], price: Decimal) -> None:
    owner, viewer = people["owner"], people["viewer"]
    resting = placed(owner, _order(owner, price / 2))
    order, account = resting["order_id"], owner.account.number
    owner.platform.settle()
    seen = viewer.api("GET", f"orders?account={account}")
    assert [row["order_id"] for row in seen.json()["results"]] == [order]
    assert refused(viewer.api("POST", "orders", _order(owner, price / 2))) == (403, 2012)
    assert refused(viewer.api("DELETE", f"orders/{order}?account={account}")) == (403, 2012)
    change = {"account": account, "qty": "2"}
    assert refused(viewer.api("PATCH", f"orders/{order}", change)) == (403, 2012)
    assert refused(viewer.api("POST", "orders/cancel-all", {"account": account})) == (403, 2012)
    assert viewer.api("GET", f"orders/{order}?account={account}").json()["status"] == "new"


def test_a_trader_trades(people: dict[str, Trader], price: Decimal) -> None:
    assert placed(people["trader"], _order(people["owner"], price / 2))["status"] == "new"


def test_a_viewers_page_has_no_ticket_that_sends(people: dict[str, Trader]) -> None:
    owner = people["owner"]
    pages = {}
    for name in ("trader", "viewer"):
        client = Client()
        client.force_login(people[name].user, backend="accounts.backends.PasswordBackend")
        page = client.get(f"/trade/{SYMBOL}?account={owner.account.number}")
        assert page.status_code == 200
        pages[name] = page.context["may_trade"]
    assert pages == {"trader": True, "viewer": False}


def test_a_removed_member_sees_nothing(people: dict[str, Trader]) -> None:
    owner, viewer = people["owner"], people["viewer"]
    account = owner.account.number
    ticket = viewer.api("POST", "ws-ticket", {"account": account})
    assert ticket.status_code == 201
    member_change(user=owner.user, number=account, member_id=viewer.user.pk, role="")
    assert refused(viewer.api("GET", f"orders?account={account}")) == (404, 2014)
    assert refused(viewer.api("POST", "ws-ticket", {"account": account})) == (404, 2014)
    from brokerage.kernel.errors import RejectedError
    from trading.consumers import _identify

    with pytest.raises(RejectedError) as gone:
        _identify({"ticket": ticket.json()["ticket"]}, "127.0.0.1")
    assert gone.value.code == 2014
