"""Every refusal of a right is in the security log; the audit trail keeps it and is not filled by a flood."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client

from accounts.models import User
from accounts.services.token_families import family_begin
from accounts.services.trading_accounts import account_open
from brokerage.kernel.errors import RejectedError
from brokerage.platform import refusals
from brokerage.platform.audit import Actor
from brokerage.platform.models import AuditPending
from brokerage.platform.refusals import ACTS_PER_MINUTE, refusal_note
from tests.ws import WsClient
from trading import consumers

pytestmark = pytest.mark.django_db
PASSWORD = "a long and calm sentence"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """The lines of the security log so far: (route, method, code, actor)."""

    def lines() -> list[tuple[str, str, int, str]]:
        return [
            (row.route, row.method, row.code, row.actor)  # type: ignore[attr-defined]
            for row in caplog.records
            if row.name == "security.access" and row.levelno == logging.WARNING
        ]

    with caplog.at_level(logging.WARNING, logger="security.access"):
        yield lines


@pytest.fixture
def ann() -> User:
    return User.objects.create_user(f"ann-{uuid.uuid4().hex}@example.test", PASSWORD)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def recorded(user: User) -> list[tuple[str, int, int]]:
    rows = AuditPending.objects.filter(action="access.refused", actor_id=str(user.pk)).order_by("pk")
    return [(row.object_id, row.after["code"], row.after["count"]) for row in rows]


def test_a_page_of_staff(ann: User, said: Any) -> None:
    assert signed_in(ann).get("/desk/clients").status_code == 403
    # The gate answers before the route is known: the address says what it was.
    assert [(method, code, actor) for _, method, code, actor in said()] == [("GET", 2012, f"user:{ann.pk}")]
    assert [(code, count) for _, code, count in recorded(ann)] == [(2012, 1)]


def test_a_strangers_account_over_the_api(ann: User, said: Any) -> None:
    owner = User.objects.create_user(f"own-{uuid.uuid4().hex}@example.test", PASSWORD)
    account = account_open(user=owner)
    account_open(user=ann)
    token = family_begin(user=ann)["access"]
    client = Client(headers={"Authorization": f"Bearer {token}"})
    assert client.get(f"/api/v1/accounts/{account.number}").status_code == 404
    assert client.get(f"/api/v1/orders?account={account.number}").status_code == 404
    assert [line[0] for line in said()] == ["api-account", "api-orders"]
    assert {line[3] for line in said()} == {f"user:{ann.pk}"}
    assert recorded(ann) == [("api-account", 2014, 1), ("api-orders", 2014, 1)]


def test_a_bad_token_and_no_token(said: Any) -> None:
    assert Client().get("/api/v1/accounts", headers={"Authorization": "Bearer x.y.z"}).status_code == 401
    assert Client().get("/api/v1/accounts").status_code == 401
    assert said() == [("api-accounts", "GET", 2010, "anonymous")] * 2


def test_a_visitor_sent_to_sign_in(said: Any) -> None:
    assert Client().get("/portfolio").status_code == 302
    assert said() == [("portfolio", "GET", 2010, "anonymous")]


def test_a_form_without_its_token(ann: User, said: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post("/security/lock").status_code == 403
    assert said()[0][2:] == (2017, f"user:{ann.pk}")


def test_what_is_allowed_or_not_there_is_no_refusal(ann: User, said: Any) -> None:
    client = signed_in(ann)
    assert client.get("/security").status_code == 200
    assert client.get("/no-such-page").status_code == 404
    assert client.get("/api/v1/instruments/NO-SUCH").status_code == 404
    assert Client().get("/no-such-page").status_code == 404
    # A wrong password is in the history of sign-ins, with a record of its own.
    assert Client().post("/signin", {"email": ann.email, "password": "wrong"}).status_code == 401
    assert said() == []


def test_a_flood_is_all_in_the_log_and_a_few_entries_in_the_trail(ann: User, said: Any) -> None:
    for _ in range(250):
        refusal_note(
            route="r", method="GET", code=2012, actor=Actor("user", str(ann.pk)), address="192.0.2.1", path="/r"
        )
    assert len(said()) == 250
    counts = [count for _, _, count in recorded(ann)]
    # A minute may end in between: then the count begins again.
    assert counts[0] == 1
    assert set(counts) <= {1, 10, 100}
    assert len(counts) <= 6


def test_many_routes_of_one_actor_are_bounded_too(ann: User, said: Any) -> None:
    for number in range(3 * ACTS_PER_MINUTE):
        refusal_note(route=f"r{number}", method="GET", code=2012, actor=Actor("user", str(ann.pk)), address="192.0.2.1")
    assert len(said()) == 3 * ACTS_PER_MINUTE
    assert ACTS_PER_MINUTE <= len(recorded(ann)) <= 2 * ACTS_PER_MINUTE


def test_the_path_cannot_forge_a_line_nor_show_a_token(caplog: pytest.LogCaptureFixture) -> None:
    from brokerage.platform.middleware import LineFormatter

    token = "aB3" * 12
    with caplog.at_level(logging.WARNING, logger="security.access"):
        refusal_note(
            route="r", method="GET", code=1, actor=Actor("anonymous"), address="-", path=f"/x\naccess refused/{token}"
        )
    line = LineFormatter("%(message)s").format(caplog.records[-1])
    assert "\n" not in line
    assert token not in line


def test_a_database_that_is_away_does_not_change_the_answer(
    ann: User, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(refusals, "record", away)
    assert signed_in(ann).get("/desk/clients").status_code == 403
    assert len(said()) == 1


def test_who_looks_as_a_client_is_named_with_both() -> None:
    actor = Actor("staff", "1", "2")
    refusal_note(route=uuid.uuid4().hex, method="POST", code=2090, actor=actor, address="-")
    row = AuditPending.objects.get(action="access.refused", actor_id="1", on_behalf_of="2")
    assert row.actor_type == "staff"


# ---- streams --------------------------------------------------------------------------------------------------------


def test_a_private_stream_of_a_strangers_account(ann: User, said: Any) -> None:
    owner = User.objects.create_user(f"own-{uuid.uuid4().hex}@example.test", PASSWORD)
    account = account_open(user=owner)
    account_open(user=ann)
    token = family_begin(user=ann)["access"]
    with pytest.raises(RejectedError):
        consumers._identify({"op": "auth", "token": token, "account": account.number}, "192.0.2.9")
    assert said() == [("ws/v1/private", "auth", 2014, f"user:{ann.pk}")]
    assert recorded(ann) == [("ws/v1/private", 2014, 1)]


def test_a_private_stream_with_a_bad_token(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[int, str]] = []
    monkeypatch.setattr(consumers, "_note", lambda code, actor, address: noted.append((code, actor.type)))

    async def knock() -> int:
        client = WsClient(consumers.PrivateConsumer.as_asgi())
        await client.connect()
        await client.send({"op": "auth", "token": "x.y.z"})
        return await client.closed()

    assert asyncio.run(knock()) == 4001
    assert noted == [(2010, "anonymous")]


def test_a_socket_from_a_foreign_origin(caplog: pytest.LogCaptureFixture) -> None:
    async def knock() -> bool:
        client = WsClient(
            consumers.PrivateConsumer.as_asgi(), headers={"origin": "https://evil.example", "host": "testserver"}
        )
        return await client.connect()

    with caplog.at_level(logging.WARNING, logger="security.access"):
        assert asyncio.run(knock()) is False
    assert "code=2018" in caplog.text
    assert "evil.example" in caplog.text
