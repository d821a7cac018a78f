"""Budgets: on every answer, per key, against guessing, and with room kept for cancels."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.api.tests.signer import code, key_of, send
from accounts.models import User
from brokerage.platform import throttling
from brokerage.platform.throttling import Budget, identity_hash

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_key_files")]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/time", 200),
        ("/api/v1/profile", 401),
        ("/api/v1/no/such/address", 404),
        ("/api/nowhere", 404),
        ("/api/schema?format=json", 200),
        ("/api/v1/instruments/NONE", 404),
        ("/api/v1/time?x=1", 400),
    ],
)
def test_every_answer_tells_the_budget(path: str, status: int) -> None:
    answer = Client().get(path)
    assert answer.status_code == status
    assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= set(answer.headers)


def test_a_fault_tells_the_budget_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from accounts.api import views

    def broken(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(views, "query_of", broken)
    answer = Client(raise_request_exception=False).get("/api/v1/time")
    assert code(answer) == (500, 9000)
    assert "RateLimit-Limit" in answer.headers


def test_who_has_no_budget_for_orders_can_still_cancel(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "orders", Budget(2, 3600))
    signer, other = key_of(user, "trade"), key_of(user, "trade")
    codes = [code(signer.call("POST", "orders", {}))[0] for _ in range(3)]
    assert codes == [400, 400, 429]
    refused = signer.call("POST", "orders", {})
    assert code(refused) == (429, 2013)
    assert 1 <= int(refused["Retry-After"]) <= 3600
    assert refused["RateLimit-Remaining"] == "0"
    assert code(signer.call("DELETE", "orders/ZZZZZ")) == (404, 2014)
    assert code(other.call("POST", "orders", {}))[0] == 400, "each key has a budget of its own"


def test_guessing_credentials_is_stopped_and_good_ones_go_on(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "auth_failed", Budget(3, 3600))
    signer = key_of(user)
    address = "203.0.113.77"
    guesses = [
        code(send("GET", "/api/v1/profile", b"", "", {"Authorization": f"Bearer guess{n}"}, address)) for n in range(5)
    ]
    assert guesses == [(401, 2010)] * 3 + [(429, 2013)] * 2
    assert code(signer.call("GET", "profile", secret="x" * 43, address=address)) == (429, 2013)
    assert signer.call("GET", "profile", address=address).status_code == 200


def test_a_name_in_a_key_cannot_be_guessed_without_the_secret(settings: Any) -> None:
    before = identity_hash(" Ann@example.test ")
    assert before == identity_hash("ann@example.test")
    settings.SECRET_KEY = "another" * 8
    assert identity_hash("ann@example.test") != before
