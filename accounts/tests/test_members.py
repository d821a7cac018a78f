"""Joint and entity accounts: roles, invitations, sub-accounts. What a viewer may not do is tested in tests/flows/test_members_api.py."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import Invitation, TradingAccount, TradingAccountMember, User
from accounts.selectors.access import account_for_user, accounts_of
from accounts.services import members
from accounts.services.trading_accounts import account_open
from accounts.tests.test_recovery_and_mail import PASSWORD, signed_in
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform import throttling
from brokerage.platform.models import AuditPending, OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)
LEI = "5493001KJTIIGC8Y1R12"


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    for scope in ("login", "login_address", "mail", "mail_address"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


@pytest.fixture
def guest() -> User:
    return User.objects.create_user("bob@example.test", PASSWORD, display_name="Bob", country="GB")


@pytest.fixture
def firm(owner: User) -> TradingAccount:
    return members.account_add(user=owner, kind="entity", name="Ann Capital Ltd", lei=LEI)


def refused(number: int, work: Any, /, **more: Any) -> None:
    with pytest.raises(RejectedError) as error:
        work(**more)
    assert error.value.code == number


def invite_link() -> str:
    found = re.search(r"(/invitations/\S+)", mail.outbox[-1].body)
    assert found is not None
    return found.group(1)


def join(owner: User, guest: User, account: TradingAccount, role: str) -> None:
    members.invitation_send(user=owner, number=account.number, email=guest.email, role=role)
    members.invitation_accept(user=guest, token=invite_link().rsplit("/", 1)[1])


def test_an_entity_invites_a_trader_through_the_pages(owner: User, guest: User) -> None:
    client = signed_in(owner)
    made = client.post("/accounts/new", {"kind": "entity", "name": "Ann Capital Ltd", "lei": LEI})
    number = TradingAccount.objects.get().number
    assert made["Location"] == f"/accounts/{number}/members"
    assert client.post(f"/accounts/{number}/invite", {"email": "BOB@example.test", "role": "trader"}).status_code == 302
    assert b"BOB@example.test" in client.get(f"/accounts/{number}/members").content
    address = invite_link()
    visitor = Client()
    assert visitor.get(address)["Location"].startswith("/signin"), "one must be signed in"
    other = signed_in(guest)
    assert b"Ann invites" in other.get(address).content
    assert other.post(address).status_code == 302
    ref = account_for_user(guest.pk, number)
    assert (ref.role, ref.may_trade, ref.is_owner) == ("trader", True, False)
    assert other.post(address).status_code == 404, "the link is used up"
    assert AuditPending.objects.filter(action="account.member_added", object_id=number).count() == 1
    assert OutboxEvent.objects.filter(topic="account.member_changed").count() == 1


@pytest.mark.parametrize(
    ("kind", "role", "good"),
    [
        ("individual", "viewer", True), ("individual", "trader", False), ("individual", "owner", False),
        ("joint", "owner", True), ("joint", "viewer", True), ("joint", "trader", False),
        ("entity", "owner", True), ("entity", "trader", True), ("entity", "viewer", True), ("entity", "chief", False),
        ("demo", "viewer", False),
    ],
)  # fmt: skip
def test_each_kind_has_its_roles(owner: User, kind: str, role: str, good: bool) -> None:
    account = account_open(user=owner, kind=kind)
    call = {"user": owner, "number": account.number, "email": "x@example.test", "role": role}
    if good:
        assert members.invitation_send(**call).role == role
    else:
        refused(2043, members.invitation_send, **call)


@pytest.mark.parametrize("role", ["trader", "viewer"])
def test_only_owners_decide_about_members(owner: User, guest: User, firm: TradingAccount, role: str) -> None:
    join(owner, guest, firm, role)
    refused(2012, members.invitation_send, user=guest, number=firm.number, email="x@example.test", role="viewer")
    refused(2012, members.member_change, user=guest, number=firm.number, member_id=owner.pk, role="viewer")
    refused(2012, members.sub_account_add, user=guest, number=firm.number, name="mine")
    assert signed_in(guest).get(f"/accounts/{firm.number}/members").status_code == 403


def test_a_strangers_account_does_not_exist(guest: User, firm: TradingAccount) -> None:
    refused(2014, members.invitation_send, user=guest, number=firm.number, email="x@example.test", role="viewer")
    refused(2014, members.invitation_revoke, user=guest, number=firm.number, invitation_id=firm.pk)
    assert signed_in(guest).get(f"/accounts/{firm.number}/members").status_code == 404


def test_an_invitation_is_for_its_address(owner: User, guest: User, firm: TradingAccount) -> None:
    members.invitation_send(user=owner, number=firm.number, email="other@example.test", role="owner")
    refused(2043, members.invitation_accept, user=guest, token=invite_link().rsplit("/", 1)[1])
    assert not TradingAccountMember.objects.filter(user=guest).exists()


@pytest.mark.parametrize("case", ["expired", "revoked", "inviter gone", "account closed", "forged", "newer one"])
def test_invitations_that_do_not_work(owner: User, guest: User, firm: TradingAccount, case: str) -> None:
    row = members.invitation_send(user=owner, number=firm.number, email=guest.email, role="viewer")
    token = invite_link().rsplit("/", 1)[1]
    if case == "expired":
        Invitation.objects.update(expires_at=utc_now() - timedelta(seconds=1))
    elif case == "revoked":
        members.invitation_revoke(user=owner, number=firm.number, invitation_id=row.pk)
    elif case == "inviter gone":
        other = User.objects.create_user("new@example.test", PASSWORD)
        TradingAccount.objects.update(owner=other)
        TradingAccountMember.objects.filter(user=owner).delete()
    elif case == "account closed":
        TradingAccount.objects.update(status="closed")
    elif case == "forged":
        token = token[:-3] + ("abc" if token[-3:] != "abc" else "cba")
    else:
        members.invitation_send(user=owner, number=firm.number, email=guest.email.upper(), role="owner")
    refused(2032, members.invitation_accept, user=guest, token=token)
    assert not TradingAccountMember.objects.filter(user=guest).exists()


def test_roles_change_at_once_and_members_go(owner: User, guest: User, firm: TradingAccount) -> None:
    join(owner, guest, firm, "trader")
    assert account_for_user(guest.pk, firm.number).may_trade
    client = signed_in(owner)
    address = f"/accounts/{firm.number}/members/{guest.pk}"
    assert client.post(address, {"role": "viewer"}).status_code == 302
    assert not account_for_user(guest.pk, firm.number).may_trade
    assert client.post(address, {"role": "chief"}).status_code == 403
    assert client.post(address, {"role": ""}).status_code == 302
    assert accounts_of(guest.pk) == ()
    assert client.post(address, {"role": "viewer"}).status_code == 404


def test_the_first_owner_stays(owner: User, guest: User, firm: TradingAccount) -> None:
    join(owner, guest, firm, "owner")
    refused(2044, members.member_change, user=guest, number=firm.number, member_id=owner.pk, role="")
    refused(2044, members.member_change, user=guest, number=firm.number, member_id=owner.pk, role="viewer")


def test_a_sub_account_has_the_owners_and_no_other_members(owner: User, guest: User, firm: TradingAccount) -> None:
    partner = User.objects.create_user("pat@example.test", PASSWORD)
    join(owner, guest, firm, "trader")
    join(owner, partner, firm, "owner")
    sub = members.sub_account_add(user=partner, number=firm.number, name="Fund one")
    assert (sub.parent_id, sub.kind, sub.lei, sub.owner_id) == (firm.pk, "entity", LEI, owner.pk)
    assert account_for_user(partner.pk, sub.number).is_owner
    refused(2014, account_for_user, user_id=guest.pk, number=sub.number)
    refused(2012, members.sub_account_add, user=owner, number=sub.number, name="deeper")
    assert OutboxEvent.objects.filter(topic="account.opened", key=sub.number).count() == 1


@pytest.mark.parametrize(
    ("kind", "name", "lei", "code"),
    [
        ("entity", "", "", 1016),
        ("entity", "X", "5493001KJTIIGC8Y1R13", 1001),
        ("joint", "X", LEI, 1001),
        ("house", "X", "", 1001),
        ("individual", "X", "", 1001),
    ],
)
def test_accounts_that_cannot_be_opened(owner: User, kind: str, name: str, lei: str, code: int) -> None:
    refused(code, members.account_add, user=owner, kind=kind, name=name, lei=lei)
    assert not TradingAccount.objects.exists()


def test_a_user_opens_a_bounded_number_of_accounts(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "ACCOUNTS_MAX", 1)
    members.account_add(user=owner, kind="joint", name="")
    refused(2012, members.account_add, user=owner, kind="joint", name="")
