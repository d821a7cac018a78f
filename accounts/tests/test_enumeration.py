"""Whether an address has an account cannot be told from how much work an answer takes: the same hashes, the same statements, in the same order.

The clock itself is measured by ``python -m tests.bench --only enumeration``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import hashers
from accounts.models import LoginEvent, MailToken, TradingAccount, User
from brokerage.celery import app
from brokerage.platform import jobs, throttling
from brokerage.platform.models import AuditPending, OutboxEvent
from brokerage.settings import base

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "correct-Horse-battery-9"
KNOWN, UNKNOWN = "known@example.test", "nobody@example.test"


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    for scope in ("login", "login_address", "register", "mail", "mail_address"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Any], str], tuple[Any, ...]]:
    """What answering costs: (status, body, kinds of hashes, statements, jobs sent). Jobs run elsewhere, as in production."""
    hashes: list[str] = []
    sent: list[str] = []
    for name in ("encode", "verify"):
        real = getattr(hashers.Gated, name)

        def counted(self: Any, *args: Any, real: Any = real, **options: Any) -> Any:
            if not getattr(hashers._hashing, "here", False):
                hashes.append(type(self).__name__)
            return real(self, *args, **options)

        monkeypatch.setattr(hashers.Gated, name, counted)
    monkeypatch.setattr(jobs, "_send", lambda name, arguments: sent.append(name))

    def measured(act: Callable[[str], Any], email: str) -> tuple[Any, ...]:
        act(f"warm.{email}")
        hashes.clear()
        sent.clear()
        with CaptureQueriesContext(connection) as queries:
            answer = act(email)
        statements = [shape(row["sql"]) for row in queries]
        body = re.sub(rb'[\w.]*@example\.test|csrf[^>]*|nonce="[^"]*"|"request_id": ?"[^"]*"', b"", answer.content)
        return answer.status_code, body, tuple(hashes), statements, len(sent)

    return measured


def shape(sql: str) -> str:
    """A statement without its values."""
    text = re.sub(r"'(?:[^']|'')*'(::\w+)?|\b[\d.]+\b", "?", sql)
    text = re.sub(r"(RELEASE|ROLLBACK TO) SAVEPOINT", "END OF SAVEPOINT", text)
    return re.sub(r"s\?_x\?|s\d+_x\d+|\"s[\w]+\"", "savepoint", text)[:160]


def user() -> User:
    return User.objects.create_user(KNOWN, PASSWORD, display_name="Known", country="GB")


def token(email: str) -> Any:
    body = json.dumps({"email": email, "password": "wrong-Horse-battery-1"})
    return Client().post("/api/v1/auth/token", body, content_type="application/json")


def sign_in(email: str) -> Any:
    return Client().post("/signin", {"email": email, "password": "wrong-Horse-battery-1"})


def register(email: str) -> Any:
    body = json.dumps({"email": email, "password": PASSWORD, "display_name": "X", "country": "GB"})
    return Client().post("/api/v1/auth/register", body, content_type="application/json")


def recover(email: str) -> Any:
    return Client().post("/recover", {"email": email})


@pytest.mark.parametrize(("act", "hashed"), [(token, 1), (sign_in, 1), (register, 1), (recover, 0)])
def test_known_and_unknown_addresses_cost_the_same_work(work: Any, act: Any, hashed: int) -> None:
    user()
    unknown = work(act, UNKNOWN)
    known = work(act, KNOWN)
    assert len(unknown[2]) == hashed
    assert known == unknown


@pytest.mark.parametrize(("act", "status"), [(register, 202), (recover, 302)])
def test_what_is_set_going_is_the_same_work(monkeypatch: pytest.MonkeyPatch, act: Any, status: int) -> None:
    """What a registration, or asking for a new password, sets going is felt by the next request: it must tell no more than the answer itself."""
    user()
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(jobs, "_send", lambda name, arguments: sent.append((name, arguments)))
    app.loader.import_default_modules()
    left: list[Any] = []
    for email in (UNKNOWN, KNOWN):
        events, waiting = OutboxEvent.objects.count(), AuditPending.objects.count()
        sent.clear()
        assert act(email).status_code == status
        ((name, arguments),) = sent
        mail.outbox.clear()
        with CaptureQueriesContext(connection) as queries:
            app.tasks[name].apply(kwargs=arguments, throw=True)
        assert [message.to for message in mail.outbox] == [[email]]
        left.append(
            (
                name,
                sorted(arguments),
                [shape(row["sql"]) for row in queries],
                OutboxEvent.objects.count() - events,
                AuditPending.objects.count() - waiting,
            )
        )
    assert left[0] == left[1]
    assert left[0][3] == 0, "nothing for the engine before somebody signs in"


def test_the_comparison_would_see_one_statement_more(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from accounts import backends

    user()
    real = backends.lockout_fail

    def leaky(*, email: str, **rest: Any) -> None:
        real(email=email, **rest)
        if User.objects.filter(email=email).exists():
            User.objects.count()

    monkeypatch.setattr(backends, "lockout_fail", leaky)
    known, unknown = work(token, KNOWN), work(token, UNKNOWN)
    assert (known[0], unknown[0]) == (401, 401)
    assert known != unknown


def test_a_second_registration_leaves_nothing_but_a_note() -> None:
    first = user()
    assert register(KNOWN).status_code == 202
    assert list(User.objects.values_list("email", flat=True)) == [KNOWN]
    assert not TradingAccount.objects.exists()
    assert not MailToken.objects.exists()
    row = AuditPending.objects.get()
    assert (row.action, row.object_id) == ("user.registered_again", str(first.pk))


def test_a_wrong_password_is_in_the_history_with_its_time_and_place() -> None:
    known = user()
    assert token(KNOWN).status_code == 401
    event = LoginEvent.objects.get()
    assert (event.user_id, event.outcome, event.ip) == (known.pk, "wrong_password", "127.0.0.1")
    assert token(UNKNOWN).status_code == 401
    assert LoginEvent.objects.count() == 1
