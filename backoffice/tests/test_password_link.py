"""A client who cannot get in: support mails a link for a new password to the client's own address, and can end what is open."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.test import Client

from accounts.models import TokenFamily, TradingAccount, UserSession
from accounts.roles import COMPLIANCE, DEALER, FINANCE, SUPPORT
from accounts.services.passwords import recovery_send
from accounts.services.sessions import session_begin
from accounts.services.token_families import family_begin
from backoffice.tests.factories import REASON, browser, client_account, staff
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.models import AuditPending

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "Quite-Another-Horse-2026"


@pytest.fixture
def account() -> TradingAccount:
    """A client with a session and a program."""
    made = client_account()
    assert made.owner is not None
    session_begin(user=made.owner, method="password", ip="127.0.0.1", user_agent="x")
    family_begin(user=made.owner)
    return made


def path(account: TradingAccount) -> str:
    return f"/desk/clients/{account.number}/password-link"


def test_support_mails_a_link_that_sets_a_new_password_once(account: TradingAccount) -> None:
    desk = browser(staff(SUPPORT))
    assert "Password forgotten" in desk.get(f"/desk/clients/{account.number}").content.decode()
    answer = desk.post(path(account), {"password-reason": REASON})
    assert answer.status_code == 302
    sent = mail.outbox[-1]
    assert sent.to == [account.owner.email]
    assert "our support sends you this" in sent.body
    shown = desk.get(answer["Location"]).content.decode()
    link = re.search(r"/recover/\S+", sent.body)
    assert link is not None
    assert link[0] not in shown, "staff do not see the link"
    assert account.owner.email in shown
    assert UserSession.objects.filter(user=account.owner, ended_at=None).exists(), "nothing ends unless it is asked for"
    client = Client()
    page = client.get(link[0], follow=True)
    form = {"password": NEW, "password_again": NEW, "new": NEW, "again": NEW, "new_password": NEW}
    client.post(page.request["PATH_INFO"], form)
    account.owner.refresh_from_db()
    assert account.owner.check_password(NEW)
    row = AuditPending.objects.filter(action="user.password_link_sent").get()
    assert row.reason == REASON
    assert row.actor_id != str(account.owner.pk)


def test_everything_open_ends_when_somebody_else_may_be_in(account: TradingAccount) -> None:
    browser(staff(SUPPORT)).post(path(account), {"password-reason": REASON, "password-sign_out": "on"})
    assert not UserSession.objects.filter(user=account.owner, ended_at=None).exists()
    assert not TokenFamily.objects.filter(user=account.owner, revoked_at=None).exists()
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("roles", [(DEALER,), (FINANCE,), (COMPLIANCE,)])
def test_other_roles_may_not(account: TradingAccount, roles: tuple[str, ...]) -> None:
    assert browser(staff(*roles)).post(path(account), {"password-reason": REASON}).status_code in {403, 404}
    assert mail.outbox == []


def test_a_reason_is_needed_and_the_form_comes_back(account: TradingAccount) -> None:
    answer = browser(staff(SUPPORT)).post(path(account), {"password-reason": "no", "password-sign_out": "on"})
    assert answer.status_code == 400
    assert "Password forgotten" in answer.content.decode()
    assert "checked" in answer.content.decode()
    assert mail.outbox == []
    assert UserSession.objects.filter(user=account.owner, ended_at=None).exists()


def test_staff_and_closed_sign_ins_get_none_this_way(account: TradingAccount) -> None:
    colleague = staff(SUPPORT)
    account.owner.is_active = False
    account.owner.save()
    for user in (colleague, account.owner):
        with pytest.raises(RejectedError) as refused:
            recovery_send(user=user, reason=REASON)
        assert refused.value.code == RejectCode.PERMISSION_DENIED
    assert mail.outbox == []


def test_a_client_is_not_flooded_with_mails(account: TradingAccount) -> None:
    desk = browser(staff(SUPPORT))
    codes = [desk.post(path(account), {"password-reason": REASON}).status_code for _ in range(7)]
    assert codes == [302] * 5 + [429] * 2
    assert len(mail.outbox) == 5
