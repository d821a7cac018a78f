"""When a session is over its browser is told to forget: at sign-out at once, else with the next answer it gets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User, UserSession
from accounts.selectors.sessions import sessions_forget
from accounts.services.passwords import password_change
from accounts.services.security import user_freeze
from accounts.services.sessions import sessions_end_all
from brokerage.kernel.clock import utc_now

pytestmark = pytest.mark.django_db
PASSWORD = "a long and calm sentence"
NEW = "another long and calm sentence"
WHAT = {'"cache"', '"storage"'}


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD)


def signed_in(user: User) -> Client:
    client = Client()
    assert client.post("/signin", {"email": user.email, "password": PASSWORD}).status_code == 302
    return client


def told(answer: Any) -> set[str]:
    return set(answer.get("Clear-Site-Data", "").split(", ")) - {""}


def test_signing_out_clears(user: User) -> None:
    client = signed_in(user)
    assert told(client.get("/security")) == set()
    answer = client.post("/signout")
    assert (answer.status_code, told(answer)) == (302, WHAT)
    # Settings of the page and the mark of a known browser stay: cookies are not on the list.
    assert "device" in client.cookies
    assert told(client.get("/signin")) == set()


def timed_out(user: User) -> None:
    UserSession.objects.update(last_seen_at=utc_now() - timedelta(minutes=31))
    sessions_forget()


@pytest.mark.parametrize(
    ("_case", "end"),
    [
        ("frozen", lambda user: user_freeze(user=user, reason="a test")),
        ("a new password elsewhere", lambda user: password_change(user=user, current=PASSWORD, new=NEW)),
        ("ended from another browser", lambda user: sessions_end_all(user=user, reason="a test")),
        ("idle for too long", timed_out),
    ],
)
@pytest.mark.parametrize("path", ["/security", "/", "/api/v1/profile"])
def test_a_browser_whose_session_was_ended_is_told_with_its_next_answer(
    user: User, _case: str, end: Callable[[User], None], path: str
) -> None:
    client = signed_in(user)
    end(user)
    sessions_forget()
    assert told(client.get(path)) == WHAT
    assert told(client.get(path)) == set(), "once is enough"


def test_the_browser_that_changed_the_password_goes_on(user: User) -> None:
    client = signed_in(user)
    answer = client.post("/security/password", {"current": PASSWORD, "password": NEW})
    assert (answer.status_code, told(answer)) == (302, set())
    assert told(client.get("/security")) == set()


def test_closing_the_account_clears(user: User) -> None:
    client = signed_in(user)
    answer = client.post("/profile/close", {"sure": "on"})
    assert (answer.status_code, answer["Location"], told(answer)) == (302, "/signin", WHAT)


def test_visitors_and_programs_are_told_nothing() -> None:
    assert told(Client().get("/")) == set()
    assert told(Client().get("/api/v1/profile")) == set()
    assert told(Client().post("/signout")) == set()
