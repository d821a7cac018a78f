"""Sessions and devices: listed, ended, timed out, told of; freeze and settings lock."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client

from accounts.models import KnownDevice, LoginEvent, User, UserSession
from accounts.selectors.security import payouts_frozen_until
from accounts.selectors.sessions import session_alive, sessions_forget
from accounts.services.security import settings_demand, settings_lock, settings_unlock_ask, user_freeze, user_unfreeze
from accounts.services.sessions import sessions_expire
from accounts.services.token_families import family_begin
from accounts.services.trading_accounts import account_open
from accounts.tests.test_recovery_and_mail import NEXT, PASSWORD, link, signed_in
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform import throttling
from brokerage.platform.auth import ticket_verify, users_forget
from brokerage.platform.models import AuditPending, OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions_forget()
    for scope in ("login", "login_address", "mail", "mail_address", "second_factor"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


def row_of(client: Client) -> UserSession:
    return UserSession.objects.get(pk=client.session["sid"])


def test_the_session_id_changes_at_sign_in(user: User) -> None:
    client = Client()
    client.get("/signup")
    session = client.session
    session["seed"] = "fixed by somebody"
    session.save()
    before = session.session_key
    client.cookies["sessionid"] = before
    assert client.post("/signin", {"email": user.email, "password": PASSWORD}).status_code == 302
    assert client.session.session_key != before


def test_a_user_sees_and_ends_one_session(user: User) -> None:
    here, there = signed_in(user), signed_in(user)
    page = here.get("/security").content.decode()
    assert page.count("This one") == 1
    other = row_of(there)
    assert f"/security/sessions/{other.pk}/end" in page
    assert here.post(f"/security/sessions/{other.pk}/end").status_code == 302
    assert there.get("/security").status_code == 302
    assert here.get("/security").status_code == 200
    assert AuditPending.objects.filter(action="session.ended", object_id=str(other.pk)).count() == 1


def test_a_stranger_cannot_end_a_session(user: User) -> None:
    mine = signed_in(user)
    stranger = signed_in(User.objects.create_user("eve@example.test", PASSWORD))
    answer = stranger.post(f"/security/sessions/{row_of(mine).pk}/end")
    assert answer.status_code == 404
    assert mine.get("/security").status_code == 200


def test_all_others_end_and_their_refresh_tokens_too(user: User) -> None:
    here, there = signed_in(user), signed_in(user)
    refresh = family_begin(user=user)["refresh"]
    assert here.post("/security/sessions/end").status_code == 302
    assert there.get("/security").status_code == 302
    assert here.get("/security").status_code == 200
    answer = Client().post("/api/v1/auth/token/refresh", {"refresh": refresh}, content_type="application/json")
    assert answer.status_code == 401


def test_signing_out_ends_the_row(user: User) -> None:
    client = signed_in(user)
    row = row_of(client)
    assert session_alive(str(row.pk))
    client.post("/signout")
    assert not session_alive(str(row.pk))


@pytest.mark.parametrize(
    ("_case", "field", "age", "alive"),
    [
        ("idle just below", "last_seen_at", timedelta(minutes=29, seconds=50), True),
        ("idle above", "last_seen_at", timedelta(minutes=30, seconds=1), False),
        ("old just below", "created_at", timedelta(hours=11, minutes=59), True),
        ("old above", "created_at", timedelta(hours=12, seconds=1), False),
    ],
)
def test_sessions_time_out(user: User, _case: str, field: str, age: timedelta, alive: bool) -> None:
    client = signed_in(user)
    row = row_of(client)
    UserSession.objects.filter(pk=row.pk).update(**{field: utc_now() - age})
    sessions_forget()
    assert client.get("/security").status_code == (200 if alive else 302)
    assert sessions_expire() == (0 if alive else 1)


def test_a_request_moves_the_time_last_seen(user: User) -> None:
    client = signed_in(user)
    row = row_of(client)
    UserSession.objects.update(last_seen_at=utc_now() - timedelta(minutes=10))
    sessions_forget()
    client.get("/security")
    row.refresh_from_db()
    assert row.last_seen_at > utc_now() - timedelta(minutes=1)


def test_the_api_refuses_an_ended_session(user: User) -> None:
    client = signed_in(user)
    assert client.get("/api/v1/profile").status_code == 200
    UserSession.objects.update(ended_at=utc_now())
    sessions_forget()
    answer = client.get("/api/v1/profile")
    assert (answer.status_code, answer.json()["code"]) == (401, 2010)


def test_a_ticket_names_its_session(user: User) -> None:
    account_open(user=user)
    client = signed_in(user)
    answer = client.post("/api/v1/ws-ticket", {}, content_type="application/json")
    assert answer.status_code == 201, answer.content
    assert ticket_verify(answer.json()["ticket"]).credential == f"session:{row_of(client).pk}"


def test_the_history_shows_right_and_wrong_tries(user: User) -> None:
    Client().post("/signin", {"email": user.email, "password": "Wrong-Horse-1"})
    client = signed_in(user)
    assert list(LoginEvent.objects.values_list("outcome", flat=True)) == ["ok", "wrong_password"]
    page = client.get("/security/history").content.decode()
    assert "Wrong password" in page
    assert "Signed in" in page


def test_the_history_has_pages_and_only_own_rows(user: User) -> None:
    other = User.objects.create_user("eve@example.test", PASSWORD)
    now = utc_now()
    for owner, count in ((user, 60), (other, 3)):
        LoginEvent.objects.bulk_create(
            LoginEvent(user=owner, outcome="ok", method="password", ip=f"10.0.0.{n}", created_at=now)
            for n in range(count)
        )
    client = signed_in(other)
    assert client.get("/security/history").content.count(b"Signed in</span>") == 4
    client = signed_in(user)
    page = client.get("/security/history").content.decode()
    assert page.count("Signed in</span>") == 50
    older = re.search(r'href="(\?before=\d+)"', page)
    assert older is not None
    assert client.get(f"/security/history{older.group(1)}").content.count(b"Signed in</span>") == 11


def test_a_new_device_is_told_of_and_a_known_one_is_not(user: User) -> None:
    first = signed_in(user)
    assert mail.outbox == [], "the first device of all is no news"
    first.post("/signout")
    first.post("/signin", {"email": user.email, "password": PASSWORD})
    assert mail.outbox == []
    signed_in(user)
    assert [m.subject for m in mail.outbox] == ["A sign-in with a new device"]
    assert KnownDevice.objects.filter(user=user).count() == 2


def test_the_link_of_the_mail_freezes_the_account(user: User) -> None:
    client, _ = signed_in(user), signed_in(user)
    access = family_begin(user=user)["access"]
    address = link("freeze")
    assert Client().get(address).status_code == 200
    assert not User.objects.get().is_frozen, "opening a link changes nothing"
    assert Client().post(address).status_code == 302
    users_forget()
    assert client.get("/security").status_code == 302
    refused = Client().post("/signin", {"email": user.email, "password": PASSWORD})
    assert refused.status_code == 403
    assert b"frozen" in refused.content
    wrong = Client().post("/signin", {"email": user.email, "password": "Wrong-Horse-1"})
    assert wrong.status_code == 401, "a wrong password learns nothing"
    answer = Client().get("/api/v1/profile", headers={"Authorization": f"Bearer {access}"})
    assert answer.status_code == 401
    body = {"email": user.email, "password": PASSWORD}
    token = Client().post("/api/v1/auth/token", body, content_type="application/json")
    assert (token.status_code, token.json()["code"]) == (403, 2031)
    assert payouts_frozen_until(user.pk).year == 9999
    assert OutboxEvent.objects.filter(topic="user.frozen").count() == 1
    assert Client().post(address).status_code == 404


def test_a_new_password_alone_does_not_unfreeze(user: User) -> None:
    user_freeze(user=user, reason="test")
    Client().post("/recover", {"email": user.email})
    assert Client().post(link("recover"), {"password": NEXT}).status_code == 302
    assert Client().post("/signin", {"email": user.email, "password": NEXT}).status_code == 403
    user_unfreeze(user=user, reason="staff")
    assert Client().post("/signin", {"email": user.email, "password": NEXT}).status_code == 302
    assert OutboxEvent.objects.filter(topic="user.unfrozen").count() == 1


def test_locked_settings_refuse_changes_until_a_day_after_the_wish(user: User) -> None:
    client = signed_in(user)
    assert client.post("/security/lock").status_code == 302
    refused = client.post("/security/password", {"current": PASSWORD, "password": NEXT})
    assert refused.status_code == 403
    assert b"locked" in refused.content
    assert client.post("/security/email", {"email": "x@example.test"}).status_code == 403
    client.post("/security/unlock")
    user.refresh_from_db()
    with pytest.raises(RejectedError) as still:
        settings_demand(user)
    assert still.value.code == 2037
    assert user.settings_unlock_at > utc_now() + timedelta(hours=23)
    user.settings_unlock_at = utc_now() - timedelta(seconds=1)
    user.save()
    assert client.post("/security/password", {"current": PASSWORD, "password": NEXT}).status_code == 302


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
            "Chrome on Linux",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 Version/18.0 Safari/604.1",
            "Safari on iOS",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "not told"),
    ],
)
def test_browsers_are_named_in_two_words(agent: str, name: str) -> None:
    assert UserSession(user_agent=agent).browser == name


def test_asking_twice_to_unlock_does_not_move_the_time(user: User) -> None:
    settings_lock(user=user)
    settings_unlock_ask(user=user)
    first = user.settings_unlock_at
    settings_unlock_ask(user=user)
    assert user.settings_unlock_at == first
