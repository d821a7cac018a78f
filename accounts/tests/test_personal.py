"""Personal data sealed and changed by approval, the export of one's own data, closing."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.models import Balance, ChangeRequest, DataExport, Deposit, LedgerEntry, TradingAccount, User
from accounts.services import closing
from accounts.services.closing import user_close
from accounts.services.personal import change_decide, personal_change, personal_get
from accounts.services.second_factor import totp_begin
from accounts.services.token_families import family_begin
from accounts.services.trading_accounts import account_open
from accounts.tests.test_recovery_and_mail import PASSWORD, signed_in
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform import throttling
from brokerage.platform.models import AuditPending, OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)
GIVEN = {"legal_name": "Ann Zweistein", "birth_date": "1990-02-28", "tax_id": "TAX-CANARY-77", "phone": "+44 20 1"}


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    for scope in ("login", "login_address", "mail"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


@pytest.fixture
def officer() -> User:
    staff = User.objects.create_user("officer@example.test", PASSWORD, is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="decide_changerequest"))
    return User.objects.get(pk=staff.pk)


def refused(number: int, work: Any, /, **more: Any) -> RejectedError:
    with pytest.raises(RejectedError) as error:
        work(**more)
    assert error.value.code == number
    return error.value


def test_first_values_are_taken_and_sealed(user: User) -> None:
    assert personal_change(user=user, values=GIVEN) == (sorted(GIVEN), [])
    assert personal_get(user) == {**GIVEN, "address": "", "citizenship": "", "country": "GB"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT sealed FROM accounts_personaldata")
        stored = bytes(cursor.fetchone()[0])
    assert not any(text.encode() in stored for text in GIVEN.values())
    assert OutboxEvent.objects.filter(topic="profile.changed", key=str(user.pk)).count() == 1


def test_a_regulated_change_waits_for_approval(user: User, officer: User) -> None:
    personal_change(user=user, values=GIVEN)
    now, later = personal_change(user=user, values={"legal_name": "Ann Dreistein", "phone": "+44 20 2"})
    assert (now, later) == (["phone"], ["legal_name"])
    assert personal_get(user)["legal_name"] == "Ann Zweistein"
    request = ChangeRequest.objects.get()
    assert b"Dreistein" not in bytes(request.sealed)
    refused(2040, personal_change, user=user, values={"tax_id": "OTHER"})
    change_decide(request_id=request.pk, staff=officer, approve=True)
    assert personal_get(user)["legal_name"] == "Ann Dreistein"
    refused(2041, change_decide, request_id=request.pk, staff=officer, approve=False)
    assert AuditPending.objects.filter(action="profile.change_approved", subject=str(user.pk)).count() == 1


def test_a_refused_change_changes_nothing(user: User, officer: User) -> None:
    personal_change(user=user, values={"country": "DE"})
    row = change_decide(request_id=ChangeRequest.objects.get().pk, staff=officer, approve=False, reason="no proof")
    assert (row.status, row.reason) == ("refused", "no proof")
    assert User.objects.get(pk=user.pk).country == "GB"
    assert personal_change(user=user, values={"country": "FR"}) == ([], ["country"])


@pytest.mark.parametrize("case", ["no staff", "no permission", "oneself"])
def test_who_may_not_decide(user: User, officer: User, case: str) -> None:
    personal_change(user=user, values={"country": "DE"})
    person = {
        "no staff": user,
        "no permission": User.objects.create_user("staff@example.test", PASSWORD, is_staff=True),
        "oneself": officer,
    }[case]
    if case == "oneself":
        ChangeRequest.objects.update(user=officer)
    refused(2012, change_decide, request_id=ChangeRequest.objects.get().pk, staff=person, approve=True)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"shoe_size": "9"}, 1010),
        ({"legal_name": "x" * 121}, 1014),
        ({"birth_date": "2026-13-01"}, 1001),
        ({"birth_date": (utc_now() - timedelta(days=17 * 365)).date().isoformat()}, 1014),
        ({"birth_date": "1850-01-01"}, 1014),
    ],
)
def test_values_that_cannot_be(user: User, values: dict[str, str], code: int) -> None:
    refused(code, personal_change, user=user, values=values)


def test_the_page_shows_what_waits(user: User) -> None:
    client = signed_in(user)
    assert client.post("/profile/personal", {**GIVEN, "country": "GB"}).status_code == 302
    assert client.post("/profile/personal", {**GIVEN, "country": "DE"}).status_code == 302
    page = client.get("/profile/personal").content.decode()
    assert "Ann Zweistein" in page
    assert "Waiting" in page
    assert client.post("/profile/personal", {"birth_date": "2020-01-01"}).status_code == 400


def test_the_api_sends_a_new_country_to_approval(user: User) -> None:
    token = {"Authorization": f"Bearer {family_begin(user=user)['access']}"}
    answer = Client().patch("/api/v1/profile", {"country": "de"}, content_type="application/json", headers=token)
    assert answer.status_code == 200, answer.content
    assert (answer.json()["country"], answer.json()["pending_changes"]) == ("GB", ["country"])
    plain = Client().patch("/api/v1/profile", {"display_name": "Anna"}, content_type="application/json", headers=token)
    assert plain.json()["display_name"] == "Anna"
    assert AuditPending.objects.filter(action="profile.changed").get().after == {"display_name": "Anna"}


def factor_given(client: Client, user: User) -> None:
    """As if the second factor had been given in this session: the administration asks for it."""
    device = totp_begin(user=user)
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.save()


def test_an_officer_decides_in_the_administration(user: User, officer: User) -> None:
    officer.user_permissions.add(Permission.objects.get(codename="view_changerequest"))
    personal_change(user=user, values={"country": "DE"})
    client = signed_in(officer)
    factor_given(client, officer)
    request = ChangeRequest.objects.get()
    detail = client.get(f"/admin/accounts/changerequest/{request.pk}/change/")
    assert b"country: DE" in detail.content
    form = {"action": "approve", "_selected_action": str(request.pk)}
    assert client.post("/admin/accounts/changerequest/", form).status_code == 302
    assert User.objects.get(pk=user.pk).country == "DE"


def test_an_export_holds_ones_own_data_and_nobody_elses(user: User) -> None:
    other = User.objects.create_user("eve@example.test", PASSWORD)
    personal_change(user=user, values=GIVEN)
    personal_change(user=other, values={"legal_name": "Eve Canary"})
    for owner in (user, other):
        account = account_open(user=owner)
        Deposit.objects.create(
            id=f"D{account.core_account}", account=account, asset="USD", amount=5, reference=str(owner.pk)
        )
        LedgerEntry.objects.create(
            id=account.core_account * 16, entry_seq=account.core_account, cmd_seq=1, leg=0, book=1,
            core_account=account.core_account, core_asset=1, amount=account.core_account, kind=4, time_ns=1,
        )  # fmt: skip
    stranger = signed_in(other)
    client = signed_in(user)
    assert client.post("/profile/export/new").status_code == 302
    assert client.post("/profile/export/new").status_code == 302, "asked twice, made once"
    export = DataExport.objects.get()
    assert b"Zweistein" not in bytes(export.sealed)
    answer = client.get(f"/profile/export/{export.pk}")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = set(archive.namelist())
        everything = "".join(archive.read(name).decode() for name in names)
        ledger = json.loads(archive.read("ledger.json"))
        deposits = json.loads(archive.read("deposits.json"))
    assert {"user.json", "personal.json", "ledger.json", "orders.json", "executions.json", "sign_ins.json"} <= names
    assert "Zweistein" in everything
    assert not any(word in everything for word in ("Eve Canary", "eve@example.test", str(other.pk)))
    assert ([row["amount"] for row in ledger], len(deposits)) == ([1], 1)
    assert stranger.get(f"/profile/export/{export.pk}").status_code == 404
    DataExport.objects.update(expires_at=utc_now())
    assert client.get(f"/profile/export/{export.pk}").status_code == 404


def test_closing_ends_accounts_and_sign_in(user: User) -> None:
    account = account_open(user=user)
    client = signed_in(user)
    assert client.post("/profile/close", {}).status_code == 400
    assert client.post("/profile/close", {"sure": "on"}).status_code == 302
    assert TradingAccount.objects.get(pk=account.pk).status == "closed"
    assert client.get("/security").status_code == 302
    assert Client().post("/signin", {"email": user.email, "password": PASSWORD}).status_code == 401
    assert OutboxEvent.objects.filter(topic="account.closed", key=account.number).count() == 1


@pytest.mark.parametrize("case", ["money", "deposit", "above"])
def test_closing_is_refused_while_something_is_open(user: User, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    account = account_open(user=user)
    words = {"money": "money or holdings", "deposit": "a deposit", "above": "a stored thing"}
    if case == "money":
        Balance.objects.create(core_account=account.core_account, core_asset=1, available=1, held=0, seq=1)
    elif case == "deposit":
        Deposit.objects.create(id="D1", account=account, asset="USD", amount=5, status="confirmed", reference="r")
    else:
        monkeypatch.setattr(closing, "_blockers", [lambda account: "a stored thing"])
    error = refused(2042, user_close, user=user)
    assert words[case] in (error.available or "")
    assert User.objects.get(pk=user.pk).is_active
    assert TradingAccount.objects.get(pk=account.pk).status == "pending"
