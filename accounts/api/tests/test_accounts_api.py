"""Register, tokens, profile, accounts and tickets over REST."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import TradingAccount, User
from brokerage.platform import throttling
from brokerage.platform.auth import ticket_issue, ticket_verify
from brokerage.platform.problems import ApiProblem

PASSWORD = "Correct-Horse-2026"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets of sign-in are tested where they are the subject; here all tests come from one address."""
    for scope in ("login", "login_address", "register", "refresh"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


def call(
    method: str, path: str, body: Any = None, token: str = "", client: Client | None = None, **headers: str
) -> Any:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    raw = json.dumps(body).encode() if body is not None else b""
    return (client or Client()).generic(
        method, f"/api/v1/{path}", raw, content_type="application/json", headers=headers
    )


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


@pytest.fixture
def tokens(user: User) -> dict[str, Any]:
    answer = call("POST", "auth/token", {"email": "ANN@example.test", "password": PASSWORD})
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_registering_opens_a_user_and_an_account() -> None:
    body = {"email": "new@example.test", "password": PASSWORD, "display_name": "New", "country": "de"}
    answer = call("POST", "auth/register", body)
    assert answer.status_code == 202, answer.content
    user = User.objects.get(email="new@example.test")
    assert user.country == "DE"
    assert call("POST", "auth/token", {"email": body["email"], "password": PASSWORD}).status_code == 200
    assert TradingAccount.objects.get(owner=user).status == "pending"


def test_a_known_address_gets_the_same_answer(user: User) -> None:
    known = call("POST", "auth/register", {"email": "Ann@Example.test", "password": PASSWORD})
    fresh = call("POST", "auth/register", {"email": "other@example.test", "password": PASSWORD})
    assert (known.status_code, known.content) == (fresh.status_code, fresh.content)
    assert User.objects.count() == 2


@pytest.mark.parametrize(
    ("_case", "changes", "code"),
    [
        ("no e-mail", {"email": "nobody"}, 1001),
        ("short password", {"password": "short"}, 1022),
        ("common password", {"password": "password1234"}, 1022),
        ("words of the house", {"password": "Brokerage2026!"}, 1022),
        ("too long a name", {"display_name": "x" * 81}, 1014),
        ("country of three", {"country": "GBR"}, 1014),
        ("country that is none", {"country": "XX"}, 1024),
        ("country that is no code", {"country": "1x"}, 1024),
        ("country as a number", {"country": 44}, 1001),
        ("unknown field", {"admin": True}, 1010),
        ("password as a number", {"password": 12345678901}, 1001),
    ],
)
def test_bad_registrations(_case: str, changes: dict[str, Any], code: int) -> None:
    answer = call("POST", "auth/register", {"email": "new@example.test", "password": PASSWORD, **changes})
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not User.objects.exists()


def test_wrong_password_and_unknown_address_are_one_answer(user: User) -> None:
    wrong = call("POST", "auth/token", {"email": user.email, "password": "Wrong-Horse-2026"})
    unknown = call("POST", "auth/token", {"email": "nobody@example.test", "password": PASSWORD})
    assert wrong.status_code == unknown.status_code == 401
    same = {**wrong.json(), "request_id": ""}
    assert same == {**unknown.json(), "request_id": ""}
    assert same["code"] == 2016


def test_an_inactive_user_cannot_sign_in_or_go_on(user: User, tokens: dict[str, Any]) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    from brokerage.platform.auth import users_forget

    users_forget()
    assert call("POST", "auth/token", {"email": user.email, "password": PASSWORD}).json()["code"] == 2016
    assert call("GET", "profile", token=tokens["access"]).json()["code"] == 2010
    assert call("POST", "auth/token/refresh", {"refresh": tokens["refresh"]}).status_code == 401


def test_a_refresh_token_works_once(tokens: dict[str, Any]) -> None:
    second = call("POST", "auth/token/refresh", {"refresh": tokens["refresh"]})
    assert second.status_code == 200
    assert second.json()["refresh"] != tokens["refresh"]
    assert call("GET", "profile", token=second.json()["access"]).status_code == 200
    again = call("POST", "auth/token/refresh", {"refresh": tokens["refresh"]})
    assert (again.status_code, again.json()["code"]) == (401, 2060)


def test_signing_out_ends_the_refresh_token(tokens: dict[str, Any]) -> None:
    for _ in range(2):
        assert call("POST", "auth/logout", {"refresh": tokens["refresh"]}).status_code == 204
    assert call("POST", "auth/token/refresh", {"refresh": tokens["refresh"]}).status_code == 401


def test_tokens_are_not_taken_for_each_other(tokens: dict[str, Any]) -> None:
    assert call("GET", "profile", token=tokens["refresh"]).json()["code"] == 2010
    assert call("POST", "auth/token/refresh", {"refresh": tokens["access"]}).json()["code"] == 2010


def test_too_many_tries_are_stopped(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "login", throttling.Budget(3, 3600, fail_closed=True))
    body = {"email": "tries@example.test", "password": "Wrong-Horse-2026"}
    codes = [call("POST", "auth/token", body).json()["code"] for _ in range(4)]
    assert codes == [2016, 2016, 2016, 2013]


def test_a_profile_is_read_and_changed(tokens: dict[str, Any]) -> None:
    assert call("GET", "profile", token=tokens["access"]).json()["email"] == "ann@example.test"
    changed = call("PATCH", "profile", {"time_zone": "Europe/Paris", "display_name": "Anna"}, token=tokens["access"])
    assert changed.status_code == 200
    assert (changed.json()["time_zone"], changed.json()["display_name"]) == ("Europe/Paris", "Anna")
    for body, code in (
        ({"time_zone": "Mars/Base"}, 1001),
        ({"country": "1x"}, 1024),
        ({"country": "XX"}, 1024),
        ({"email": "x@example.test"}, 1010),
        ({"display_name": None}, 1016),
    ):
        answer = call("PATCH", "profile", body, token=tokens["access"])
        assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_the_session_needs_a_csrf_token_to_write(user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert call("GET", "profile", client=client).status_code == 200
    refused = call("PATCH", "profile", {"display_name": "X"}, client=client)
    assert (refused.status_code, refused.json()["code"]) == (403, 2017)
    from django.middleware.csrf import _get_new_csrf_string

    secret = _get_new_csrf_string()
    client.cookies["csrftoken"] = secret
    allowed = call("PATCH", "profile", {"display_name": "X"}, client=client, **{"X-CSRFToken": secret})
    assert allowed.status_code == 200, allowed.content
    # A bearer token needs none: a foreign page cannot set that header.
    assert call("GET", "profile").status_code == 401


def test_accounts_are_ones_own(user: User, tokens: dict[str, Any]) -> None:
    from accounts.services.trading_accounts import account_open

    other = User.objects.create_user("bob@example.test", PASSWORD)
    mine, theirs = account_open(user=user), account_open(user=other)
    listed = call("GET", "accounts", token=tokens["access"]).json()["results"]
    assert [(row["number"], row["role"]) for row in listed] == [(mine.number, "owner")]
    assert call("GET", f"accounts/{mine.number}", token=tokens["access"]).status_code == 200
    assert call("GET", f"accounts/{theirs.number}", token=tokens["access"]).json()["code"] == 2014
    assert call("POST", "ws-ticket", {"account": theirs.number}, token=tokens["access"]).status_code == 404


def test_a_ticket_is_good_once(user: User, tokens: dict[str, Any]) -> None:
    from accounts.services.trading_accounts import account_open

    account = account_open(user=user)
    answer = call("POST", "ws-ticket", {}, token=tokens["access"])
    assert answer.status_code == 201
    ticket = answer.json()["ticket"]
    verified = ticket_verify(ticket)
    assert (verified.user_id, verified.account) == (str(user.pk), account.number)
    with pytest.raises(ApiProblem) as refused:
        ticket_verify(ticket)
    assert refused.value.code == 2010


def test_a_forged_or_old_ticket_is_refused(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from brokerage.platform import auth

    ticket = ticket_issue(user)
    for wrong in ("", "x", ticket[:-2] + "xx", ticket + "x"):
        with pytest.raises(ApiProblem) as refused:
            ticket_verify(wrong)
        assert refused.value.code == 2010
    monkeypatch.setattr(auth, "TICKET_S", -1)
    with pytest.raises(ApiProblem) as refused:
        ticket_verify(ticket)
    assert refused.value.code == 2011


def test_the_table_of_refusals_is_whole() -> None:
    from brokerage.kernel.rejects import TABLE

    rows = call("GET", "errors").json()["results"]
    assert {row["code"] for row in rows} == {int(code) for code in TABLE}


def test_the_time_is_now() -> None:
    from brokerage.kernel.clock import SYSTEM_CLOCK, parse_rfc3339

    answer = call("GET", "time").json()
    assert abs(parse_rfc3339(answer["time"]) - SYSTEM_CLOCK.now_ns()) < 60 * 10**9
    assert int(answer["time_ns"]) // 1000 == parse_rfc3339(answer["time"]) // 1000


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\x7fé"]
)
@pytest.mark.parametrize("path", ["onboarding/submit", "onboarding/documents", "disclosures"])
def test_a_browsers_form_without_its_boundary_cannot_be_read(user: User, path: str, content_type: str) -> None:
    # Looking for the form's protection token reads the form before anything of ours does.
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    browser.cookies["csrftoken"] = "f" * 32
    answer = browser.generic(
        "POST", f"/api/v1/{path}", b"x", content_type=content_type, headers={"X-CSRFToken": "f" * 32}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, 1001)
