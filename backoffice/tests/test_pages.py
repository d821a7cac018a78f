"""Staff pages over HTTP: the gate, each role's limits, approvals by two through pages and API, looking as a client."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import Deposit, TotpDevice, TradingAccount, User
from accounts.roles import ADMINISTRATOR, COMPLIANCE, DEALER, FINANCE, SENIOR_DEALER, STRATEGY_ADMIN, SUPPORT
from backoffice.models import Approval, BreakGlass, ClientGroup, Desk, ViewAs
from backoffice.services.desks import desk_assign
from backoffice.tests.factories import REASON, browser, client_account, code_now, staff
from brokerage.kernel.clock import utc_now
from brokerage.platform.models import AuditPending
from marketdata.services.seed import reference_seed
from trading.models import Order

pytestmark = pytest.mark.django_db
ORDER = {
    "core_instrument": 1, "cl_ord_id": "c", "side": 1, "ord_type": 2, "time_in_force": 1, "price": 6_400_000, "order_qty": 5, "leaves_qty": 5,
    "cum_qty": 0, "ord_status": 0, "created_ns": 10**18, "updated_ns": 10**18,
}  # fmt: skip
GATED = ["/desk", "/desk/clients", "/desk/approvals", "/desk/access", "/admin/", "/admin/trading/order/"]


@pytest.fixture
def account() -> TradingAccount:
    reference_seed(demo=True)
    return client_account("Carla Client")


def api(client: Client, method: str, path: str, body: Any = None) -> Any:
    return client.generic(method, f"/api/v1/{path}", json.dumps(body) if body is not None else b"", "application/json")


# The gate


@pytest.mark.parametrize("path", GATED)
def test_strangers_are_sent_to_our_own_sign_in(path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/signin?next=%2F")


@pytest.mark.parametrize("path", GATED)
def test_clients_are_refused(account: TradingAccount, path: str) -> None:
    answer = browser(account.owner).get(path)  # type: ignore[arg-type]
    assert answer.status_code == 403
    assert b"Not permitted" in answer.content


@pytest.mark.parametrize("path", GATED)
def test_staff_without_a_second_factor_are_led_to_set_one_up(path: str) -> None:
    answer = browser(staff(superuser=True), factor=False).get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/security/authenticator?next=")


def test_a_write_without_a_second_factor_is_refused_by_number(account: TradingAccount) -> None:
    client = browser(staff(superuser=True), factor=False)
    assert client.post(f"/desk/clients/{account.number}/requests/money", {}).status_code == 403
    answer = api(client, "POST", "desk/approvals", {})
    assert (answer.status_code, answer.json()["code"]) == (403, 2091)
    assert api(Client(), "GET", "desk/approvals").json()["code"] == 2010
    assert api(browser(account.owner), "GET", "desk/approvals").json()["code"] == 2012  # type: ignore[arg-type]


def test_an_authenticator_is_set_up_and_opens_the_desk() -> None:
    user = staff(SUPPORT)
    client = browser(user, factor=False)
    assert client.post("/step-up", {"password": "Correct-Horse-2026"}).status_code == 302
    client.get("/security/authenticator")
    device = TotpDevice.objects.get(user=user)
    assert client.get("/desk/clients").status_code == 302
    answer = client.post("/security/authenticator", {"code": code_now(device)})
    assert answer.status_code == 200
    assert client.get("/desk/clients").status_code == 200
    # In another browser it must be given again, and is asked for.
    other = browser(user, factor=False)
    assert other.get("/desk/clients")["Location"] == "/step-up?next=%2Fdesk%2Fclients"
    assert other.post("/step-up", {"code": "000000", "next": "/desk/clients"}).status_code != 302
    assert other.get("/desk/clients").status_code == 302
    before = other.session.session_key
    TotpDevice.objects.update(last_step=0)
    answer = other.post("/step-up", {"code": code_now(device), "next": "/desk/clients"})
    assert (answer.status_code, answer["Location"]) == (302, "/desk/clients")
    assert other.session.session_key != before
    assert other.get("/desk/clients").status_code == 200


@pytest.mark.parametrize(
    ("_case", "networks", "address", "status"),
    [
        ("inside", ("10.1.0.0/16",), "10.1.2.3", 200),
        ("outside", ("10.1.0.0/16",), "10.2.0.1", 403),
        ("second network", ("10.1.0.0/16", "::1/128"), "::1", 200),
        ("other family", ("10.1.0.0/16",), "::1", 403),
        ("no list", (), "203.0.113.9", 200),
    ],
)
def test_staff_pages_open_from_listed_networks_only(
    settings: Any, _case: str, networks: tuple[str, ...], address: str, status: int
) -> None:
    settings.STAFF_NETWORKS = networks
    client = browser(staff(SUPPORT))
    assert client.get("/desk/clients", REMOTE_ADDR=address).status_code == status
    assert client.get("/markets", REMOTE_ADDR="10.2.0.1").status_code == 200


def test_the_demo_switch_lets_staff_in_without_a_factor(settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = False
    assert browser(staff(SUPPORT), factor=False).get("/desk/clients").status_code == 200


# Clients


def test_search_finds_by_number_name_and_address_and_pages_are_bounded(account: TradingAccount) -> None:
    client = browser(staff(SUPPORT))
    for text in (account.number, "carla", account.owner.email):  # type: ignore[union-attr]
        assert account.number.encode() in client.get("/desk/clients", {"q": text}).content
    assert account.number.encode() not in client.get("/desk/clients", {"q": "nobody"}).content
    for number in range(51):
        client_account(f"Many {number}")
    page = client.get("/desk/clients", {"q": "Many"})
    assert len(page.context["rows"]) == 50
    rest = client.get("/desk/clients", {"q": "Many", "after": str(page.context["more"])})
    assert len(rest.context["rows"]) == 1


@pytest.mark.usefixtures("remembered")
def test_the_list_and_a_client_keep_their_query_budget(
    account: TradingAccount, django_assert_max_num_queries: Any
) -> None:
    client = browser(staff(SUPPORT))
    for number in range(10):
        client_account(f"Many {number}")
    client.get("/desk/clients")
    with django_assert_max_num_queries(12):
        client.get("/desk/clients")
    with django_assert_max_num_queries(24):
        client.get(f"/desk/clients/{account.number}")


@pytest.mark.parametrize(
    ("role", "sees", "not_sees"),
    [
        (SUPPORT, ["Balances", "View as this client", "view=orders"], ["Positions", "Ask for it"]),
        (SENIOR_DEALER, ["Balances", "Positions", "Halt or open", "view=fills"], ["View as", "by hand"]),
        (FINANCE, ["Balances", "by hand"], ["Positions", "view=orders", "Halt or open", "View as"]),
        (COMPLIANCE, ["Positions", "Halt or open", "View as this client"], ["by hand"]),
    ],
)
def test_a_client_page_shows_what_the_role_includes(
    account: TradingAccount, role: str, sees: list[str], not_sees: list[str]
) -> None:
    text = browser(staff(role)).get(f"/desk/clients/{account.number}").content.decode()
    assert [word for word in sees if word not in text] == []
    assert [word for word in not_sees if word in text] == []
    assert AuditPending.objects.get(action="client.opened").object_id == account.number


def test_a_role_without_clients_gets_none_of_it(account: TradingAccount) -> None:
    client = browser(staff(STRATEGY_ADMIN))
    assert client.get("/desk/clients").status_code == 403
    assert client.get(f"/desk/clients/{account.number}").status_code == 403


def test_a_dealer_reaches_assigned_clients_only_on_pages_and_in_the_admin(account: TradingAccount) -> None:
    other = client_account("Other")
    for number, row in enumerate((account, other), 1):
        Order.objects.create(order_id=number, entry_seq=number, seq=number, core_account=row.core_account, **ORDER)
    desk = Desk.objects.create(name="One")
    ClientGroup.objects.create(name="G", desk=desk).accounts.add(account)
    dealer = staff(DEALER)
    desk_assign(user=dealer, place=desk)
    client = browser(dealer)
    page = client.get(f"/desk/clients/{account.number}?view=orders")
    assert len(page.context["rows"]) == 1
    assert client.get(f"/desk/clients/{other.number}").status_code == 404
    assert client.post(f"/desk/clients/{other.number}/requests/account_state", {}).status_code == 404
    assert client.get("/admin/trading/order/").content.count(b"action-checkbox") >= 1
    assert client.get("/admin/trading/order/1/change/").status_code == 200
    assert client.get("/admin/trading/order/2/change/").status_code == 302
    answer = client.post("/admin/trading/order/", {"action": "export_csv", "_selected_action": ["1", "2"]})
    assert len(b"".join(answer.streaming_content).splitlines()) == 2  # type: ignore[attr-defined]
    assert client.get("/admin/accounts/ledgerentry/").status_code == 403
    assert client.get("/admin/accounts/user/").status_code == 403


# Approvals


def test_a_deposit_by_hand_goes_through_two_pages(account: TradingAccount) -> None:
    maker, checker = browser(staff(FINANCE)), browser(staff(FINANCE))
    form = {"money-kind": "deposit", "money-asset": "USD", "money-amount": "25.00", "money-reason": REASON}
    answer = maker.post(f"/desk/clients/{account.number}/requests/money", form)
    assert answer.status_code == 302
    page = answer["Location"]
    assert b"Approve and do it" not in maker.get(page).content
    own = maker.post(page, {"act": "approve", "reason": REASON})
    assert own.status_code == 409
    assert b"may not decide about it" in own.content
    assert b"Approve and do it" in checker.get(page).content
    assert checker.post(page, {"act": "approve", "reason": ""}).status_code == 400
    assert checker.post(page, {"act": "approve", "reason": REASON}).status_code == 302
    assert Deposit.objects.get().amount == 25_000_000
    assert checker.post(page, {"act": "refuse", "reason": REASON}).status_code == 409


def test_a_bad_request_keeps_what_was_typed_and_says_why(account: TradingAccount) -> None:
    form = {"money-kind": "debit", "money-asset": "USD", "money-amount": "-3", "money-reason": REASON}
    answer = browser(staff(FINANCE)).post(f"/desk/clients/{account.number}/requests/money", form)
    assert answer.status_code == 422
    assert b'value="-3"' in answer.content
    assert b"greater than zero" in answer.content


def test_the_api_keeps_four_eyes(account: TradingAccount) -> None:
    maker, checker = browser(staff(FINANCE)), browser(staff(FINANCE))
    body = {"kind": "deposit", "subject": account.number, "payload": {"asset": "USD", "amount": "3"}, "reason": REASON}
    made = api(maker, "POST", "desk/approvals", body)
    assert made.status_code == 201, made.content
    number = made.json()["id"]
    decision = {"approve": True, "reason": REASON}
    own = api(maker, "POST", f"desk/approvals/{number}/decision", decision)
    assert (own.status_code, own.json()["code"]) == (403, 7050)
    done = api(checker, "POST", f"desk/approvals/{number}/decision", decision)
    assert (done.status_code, done.json()["status"]) == (200, "executed")
    again = api(checker, "POST", f"desk/approvals/{number}/decision", decision)
    assert (again.status_code, again.json()["code"]) == (409, 7051)
    assert [row["id"] for row in api(checker, "GET", "desk/approvals?status=executed").json()["results"]] == [number]
    assert api(checker, "GET", f"desk/approvals/{number}").status_code == 200
    assert api(browser(staff(DEALER)), "GET", f"desk/approvals/{number}").status_code == 404
    assert Deposit.objects.count() == 1


def test_the_admin_cannot_go_around_approvals(account: TradingAccount) -> None:
    root = browser(staff(superuser=True))
    row = Approval.objects.create(
        id="01", kind="deposit", subject=account.number, payload={"asset": "USD", "amount": "1"}, maker=staff(FINANCE),
        reason=REASON, created_at=utc_now(), expires_at=utc_now() + timedelta(hours=1),
    )  # fmt: skip
    assert root.get("/admin/backoffice/approval/").status_code == 200
    for path in ("add/", f"{row.pk}/delete/", f"{row.pk}/change/"):
        assert root.post(f"/admin/backoffice/approval/{path}", {"status": "executed"}).status_code == 403
    root.post("/admin/backoffice/approval/", {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    row.refresh_from_db()
    assert row.status == "pending"


def test_the_admin_gives_no_powers_passwords_or_addresses() -> None:
    root, user = browser(staff(superuser=True)), User.objects.create_user("plain@example.test", "Correct-Horse-2026")
    form = {
        "email": "taken@example.test", "display_name": "New name", "country": "GB", "time_zone": "", "is_active": "on", "is_staff": "on",
        "is_superuser": "on", "groups": [], "password": "x",
    }  # fmt: skip
    assert root.post(f"/admin/accounts/user/{user.pk}/change/", form).status_code == 302
    changed = User.objects.get(pk=user.pk)
    assert (changed.display_name, changed.email) == ("New name", "plain@example.test")
    assert not changed.is_staff
    assert not changed.is_superuser
    assert changed.check_password("Correct-Horse-2026")
    assert AuditPending.objects.get(action="user.changed").after == {"display_name": "New name", "country": "GB"}
    new = {"password1": "Another-Horse-2026", "password2": "Another-Horse-2026", "usable_password": "true"}
    assert root.post(f"/admin/accounts/user/{user.pk}/password/", new).status_code == 403
    assert root.post("/admin/auth/group/add/", {"name": "kings"}).status_code == 403
    for path in ("accounts/totpdevice", "accounts/recoverycode", "accounts/tokenfamily"):
        assert root.get(f"/admin/{path}/").status_code == 404


def test_desks_are_staffed_in_the_admin_and_recorded(account: TradingAccount) -> None:
    root, dealer = browser(staff(superuser=True)), staff(DEALER)
    assert root.post("/admin/backoffice/desk/add/", {"name": "One", "workers": [str(dealer.pk)]}).status_code == 302
    desk = Desk.objects.get()
    form = {"name": "G", "desk": desk.pk, "accounts": [str(account.pk)], "workers": []}
    assert root.post("/admin/backoffice/clientgroup/add/", form).status_code == 302
    assert browser(dealer).get(f"/desk/clients/{account.number}").status_code == 200
    assert root.post(f"/admin/backoffice/desk/{desk.pk}/change/", {"name": "One", "workers": []}).status_code == 302
    assert browser(dealer).get(f"/desk/clients/{account.number}").status_code == 404
    actions = AuditPending.objects.values_list("action", flat=True)
    assert {"desk.assigned", "desk.left", "client_group.changed"} <= set(actions)


# Access


def test_a_role_is_asked_for_previewed_and_taken_away_on_pages() -> None:
    admin, officer = browser(staff(ADMINISTRATOR)), browser(staff(COMPLIANCE))
    user = User.objects.create_user("new@example.test")
    preview = admin.get("/desk/access", {"user": user.email, "role": DEALER})
    assert b"trading.view_order" in preview.content
    form = {"role-user": user.email, "role-role": DEALER, "role-reason": REASON}
    page = admin.post("/desk/access/roles", form)["Location"]
    assert officer.post(page, {"act": "approve", "reason": REASON}).status_code == 302
    assert User.objects.get(pk=user.pk).is_staff
    assert officer.post(f"/desk/access/{user.pk}/{DEALER}/end", {"reason": REASON}).status_code == 302
    assert not User.objects.get(pk=user.pk).is_staff
    assert browser(staff(DEALER)).post(f"/desk/access/{user.pk}/{DEALER}/end", {"reason": REASON}).status_code == 403


def test_an_emergency_role_is_taken_and_given_back_on_the_page() -> None:
    user = staff(SENIOR_DEALER)
    client = browser(user)
    form = {"emergency-role": FINANCE, "emergency-minutes": "10", "emergency-reason": REASON}
    assert client.post("/desk/access/emergency", form).status_code == 302
    assert b"You have the emergency role finance" in client.get("/desk/access").content
    assert client.post("/desk/access/emergency", {"act": "end"}).status_code == 302
    assert BreakGlass.objects.get().ended_at is not None
    assert browser(staff(DEALER)).post("/desk/access/emergency", form).status_code == 403


def test_the_review_is_a_file_for_those_who_review() -> None:
    answer = browser(staff(COMPLIANCE)).get("/desk/access/review.csv")
    assert b"".join(answer.streaming_content).startswith(b"user,active,access")  # type: ignore[attr-defined]
    assert browser(staff(DEALER)).get("/desk/access/review.csv").status_code == 403


# Looking as a client


def look(client: Client, account: TradingAccount, minutes: int = 10) -> Any:
    form = {"view_as-minutes": str(minutes), "view_as-reason": REASON}
    return client.post(f"/desk/clients/{account.number}/view-as", form)


def test_looking_as_a_client_shows_their_pages_under_a_banner_and_records_each(account: TradingAccount) -> None:
    user = staff(SUPPORT)
    client = browser(user)
    assert look(client, account).status_code == 302
    page = client.get("/portfolio")
    assert account.owner is not None
    assert page.context["request"].user == account.owner
    assert f"Looking as {account.owner.email}, read only".encode() in page.content
    seen = AuditPending.objects.get(action="client.viewed")
    assert (seen.actor_id, seen.actor_type, seen.on_behalf_of) == (str(user.pk), "staff", str(account.owner.pk))
    assert seen.object_id == "/portfolio"
    assert client.get("/desk/clients").context["request"].user == user


def test_nothing_can_be_written_while_looking(account: TradingAccount) -> None:
    client = browser(staff(SUPPORT))
    look(client, account)
    page = client.post("/profile", {"display_name": "Hacked", "time_zone": ""})
    assert page.status_code == 403
    assert b"nothing can be changed" in page.content
    for method, path in (
        ("POST", "ws-ticket"), ("POST", "orders"), ("POST", "orders/cancel-all"), ("PATCH", "profile"), ("DELETE", "orders/x"),
    ):  # fmt: skip
        answer = api(client, method, path, {})
        assert (answer.status_code, answer.json()["code"]) == (403, 2090), path
    assert User.objects.get(pk=account.owner_id).display_name == "Carla Client"


def test_looking_ends_by_hand_by_time_and_with_the_right(account: TradingAccount) -> None:
    user = staff(SUPPORT)
    client = browser(user)
    look(client, account)
    assert client.post("/desk/view-as/end").status_code == 302
    assert client.get("/profile").context["request"].user == user
    look(client, account)
    ViewAs.objects.filter(ended_at=None).update(
        started_at=utc_now() - timedelta(minutes=9), ends_at=utc_now() - timedelta(seconds=1)
    )
    assert client.get("/profile").context["request"].user == user
    look(client, account)
    user.groups.clear()
    assert client.get("/profile").context["request"].user == user
    assert not ViewAs.objects.filter(ended_at=None).exists()


def test_looking_is_bounded_and_never_at_staff(account: TradingAccount) -> None:
    client = browser(staff(SUPPORT))
    assert look(client, account, minutes=31).status_code == 400
    assert look(browser(staff(FINANCE)), account).status_code == 403
    assert account.owner is not None
    account.owner.is_staff = True
    account.owner.save()
    assert look(client, account).status_code == 404
    assert not ViewAs.objects.exists()
