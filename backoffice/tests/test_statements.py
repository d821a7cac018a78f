"""Staff take a client's statement as PDF: who may, what is recorded, what is refused."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import TradingAccount
from accounts.roles import ADMINISTRATOR, COMPLIANCE, DEALER, FINANCE, RISK, SUPPORT
from backoffice.models import ClientGroup, Desk
from backoffice.services.desks import desk_assign, group_accounts_set
from backoffice.tests.factories import browser, staff
from brokerage.kernel.clock import utc_now
from brokerage.platform.models import AuditPending
from brokerage.platform.tests.pdf_reader import text_of
from trading.tests.test_statement_size import busy_account

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> TradingAccount:
    return TradingAccount.objects.get(number=busy_account(21).number)


def path(account: TradingAccount, **days: Any) -> str:
    today = utc_now().date()
    asked = {"first": today, "last": today, **days}
    return f"/desk/clients/{account.number}/statement.pdf?" + "&".join(f"{name}={day}" for name, day in asked.items())


@pytest.mark.parametrize("role", [RISK, COMPLIANCE, ADMINISTRATOR])
def test_who_sees_ledger_and_trades_takes_it_and_is_recorded(account: TradingAccount, role: str) -> None:
    person = staff(role)
    client = browser(person)
    page = client.get(f"/desk/clients/{account.number}")
    assert f'action="/desk/clients/{account.number}/statement.pdf"' in page.content.decode()
    answer = client.get(path(account))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"].startswith(f'attachment; filename="statement-{account.number}-')
    assert "no-store" in answer["Cache-Control"]
    act = AuditPending.objects.get(action="statement.made")
    assert (act.actor_type, act.actor_id, act.object_id) == ("staff", str(person.pk), account.number)
    assert act.after["sha256"] == hashlib.sha256(answer.content).hexdigest()
    text = text_of(answer.content)
    assert f"Statement of account {account.number}" in text
    assert person.email in text
    assert "Busy Client" in text


@pytest.mark.parametrize("role", [SUPPORT, FINANCE, DEALER])
def test_who_lacks_one_of_the_rights_does_not(account: TradingAccount, role: str) -> None:
    person = staff(role)
    if role == DEALER:
        group = ClientGroup.objects.create(name="all", desk=Desk.objects.create(name="one"))
        group_accounts_set(group=group, accounts=[account])
        desk_assign(user=person, place=group)
    client = browser(person)
    assert "statement.pdf" not in client.get(f"/desk/clients/{account.number}").content.decode()
    assert client.get(path(account)).status_code == 403
    assert not AuditPending.objects.filter(action="statement.made").exists()


def test_whose_client_it_is_not_finds_nothing(account: TradingAccount) -> None:
    from django.contrib.auth.models import Permission

    fenced = staff(DEALER)
    for codename in ("view_ledgerentry", "view_balance", "view_execution", "view_position"):
        fenced.user_permissions.add(Permission.objects.get(codename=codename))
    client = browser(fenced)
    assert client.get(path(account)).status_code == 404
    group = ClientGroup.objects.create(name="mine", desk=Desk.objects.create(name="one"))
    group_accounts_set(group=group, accounts=[account])
    desk_assign(user=fenced, place=group)
    assert client.get(path(account)).status_code == 200
    assert client.get("/desk/clients/NOSUCH/statement.pdf?first=2026-01-01&last=2026-01-02").status_code == 404


def test_days_that_are_none_are_refused_with_the_reason(account: TradingAccount) -> None:
    client, today = browser(staff(RISK)), utc_now().date()
    for days, said in (
        ({"first": "tomorrow"}, "2026-01-31"),
        ({"last": ""}, "2026-01-31"),
        ({"first": today, "last": today - timedelta(days=1)}, "no day in it"),
        ({"first": today + timedelta(days=1), "last": today + timedelta(days=1)}, f"today is {today}"),
        ({"last": "9999-12-31"}, "at most 366 days"),
    ):
        answer = client.get(path(account, **days))
        assert (answer.status_code, said in answer.content.decode()) == (400, True), days
    assert not AuditPending.objects.filter(action="statement.made").exists()
