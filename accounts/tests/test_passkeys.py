"""Passkeys against a software authenticator: registration, sign-in, second step, step-up and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Passkey, User, UserSession
from accounts.services.passkeys import Party, passkey_remove
from accounts.tests.authenticator import SoftAuthenticator
from accounts.tests.test_recovery_and_mail import PASSWORD, signed_in
from brokerage.kernel.errors import RejectedError
from brokerage.platform import throttling

pytestmark = pytest.mark.django_db(transaction=True)
ORIGIN, RP = "http://testserver", "testserver"


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    for scope in ("login", "login_address", "mail", "second_factor"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


@pytest.fixture
def device() -> SoftAuthenticator:
    return SoftAuthenticator(ORIGIN, RP)


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(path, json.dumps(body or {}), content_type="application/json")


def register(client: Client, device: SoftAuthenticator, **options: Any) -> Any:
    asked = post(client, "/security/passkeys/options").json()
    return post(client, "/security/passkeys", {"name": "Key", "credential": device.make(asked, **options)})


def use(client: Client, device: SoftAuthenticator, **options: Any) -> Any:
    asked = post(client, "/passkey/options").json()
    return post(client, "/passkey", {"credential": device.sign(asked, **options)})


def test_a_passkey_signs_in_without_a_password(user: User, device: SoftAuthenticator) -> None:
    client = signed_in(user)
    assert register(client, device).status_code == 200, Passkey.objects.count()
    assert b"Remove passkey Key" in client.get("/security").content
    visitor = Client()
    answer = use(visitor, device)
    assert (answer.status_code, answer.json()) == (200, {"next": "/"})
    assert visitor.get("/security").status_code == 200
    assert UserSession.objects.filter(method="passkey").count() == 1
    assert Passkey.objects.get().sign_count == 1
    assert visitor.get("/security/email").status_code == 200, "a passkey is a fresh proof"


def test_a_passkey_is_the_second_step(user: User, device: SoftAuthenticator) -> None:
    register(signed_in(user), device)
    client = Client()
    assert client.post("/signin", {"email": user.email, "password": PASSWORD})["Location"].startswith("/signin/second")
    assert b"data-passkey-use" in client.get("/signin/second").content
    assert use(client, device).status_code == 200
    assert UserSession.objects.filter(method="password+passkey").count() == 1


def test_anothers_key_is_not_the_second_step(user: User, device: SoftAuthenticator) -> None:
    register(signed_in(user), device)
    stranger = User.objects.create_user("eve@example.test", PASSWORD)
    theirs = SoftAuthenticator(ORIGIN, RP)
    register(signed_in(stranger), theirs)
    client = Client()
    client.post("/signin", {"email": user.email, "password": PASSWORD})
    assert use(client, theirs).json()["code"] == 2038
    assert client.get("/security").status_code == 302


@pytest.mark.parametrize(
    "case", ["other origin", "other host", "not verified", "other key", "replayed challenge", "no challenge"]
)
def test_answers_that_do_not_verify_are_refused(user: User, device: SoftAuthenticator, case: str) -> None:
    register(signed_in(user), device)
    client = Client()
    asked = post(client, "/passkey/options").json()
    if case == "other origin":
        device.origin = "https://evil.test"
    elif case == "other host":
        device.rp_id = "evil.test"
    elif case == "other key":
        device.key = SoftAuthenticator(ORIGIN, RP).key
    answer = {"credential": device.sign(asked, verified=case != "not verified")}
    if case == "replayed challenge":
        assert post(client, "/passkey", answer).status_code == 200
        client.post("/signout")
        post(client, "/passkey/options")
    if case == "no challenge":
        client = Client()
    refused = post(client, "/passkey", answer)
    assert (refused.status_code, refused.json()["code"]) == (403, 2038)


def test_a_counter_that_goes_back_is_refused(user: User, device: SoftAuthenticator) -> None:
    register(signed_in(user), device)
    assert use(Client(), device).status_code == 200
    device.count = 0
    assert use(Client(), device).json()["code"] == 2038


@pytest.mark.parametrize("case", ["not verified", "other origin", "twice"])
def test_registrations_that_are_refused(user: User, device: SoftAuthenticator, case: str) -> None:
    client = signed_in(user)
    if case == "twice":
        register(client, device)
        answer = register(client, device)
    else:
        if case == "other origin":
            device.origin = "https://evil.test"
        answer = register(client, device, verified=case != "not verified")
    assert (answer.status_code, answer.json()["code"]) == (403, 2038)
    assert Passkey.objects.count() == (1 if case == "twice" else 0)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"credential": 5}', '{"credential": {"id": 5}}', "{" * 50])
def test_what_is_no_answer_is_refused(user: User, body: str) -> None:
    client = Client()
    post(client, "/passkey/options")
    refused = client.post("/passkey", body, content_type="application/json")
    assert refused.status_code in {400, 403}
    assert refused["Content-Type"] == "application/problem+json"


def test_registering_needs_a_fresh_proof(user: User) -> None:
    client = Client()
    client.force_login(user, backend="accounts.backends.PasswordBackend")
    assert post(client, "/security/passkeys/options").status_code == 302


def test_only_ones_own_key_can_be_removed(user: User, device: SoftAuthenticator) -> None:
    client = signed_in(user)
    register(client, device)
    stranger = signed_in(User.objects.create_user("eve@example.test", PASSWORD))
    uid = Passkey.objects.get().uid
    assert stranger.post(f"/security/passkeys/{uid}/remove").status_code == 404
    assert client.post(f"/security/passkeys/{uid}/remove").status_code == 302
    assert not Passkey.objects.exists()


def test_the_last_way_in_is_kept(user: User, device: SoftAuthenticator) -> None:
    register(signed_in(user), device)
    user.set_unusable_password()
    user.save()
    with pytest.raises(RejectedError) as refused:
        passkey_remove(user=user, uid=Passkey.objects.get().uid)
    assert refused.value.code == 2039


@pytest.mark.parametrize(
    ("host", "usable"),
    [("localhost", True), ("broker.test", True), ("127.0.0.1", False), ("[::1]", False), ("", False)],
)
def test_bare_addresses_have_no_passkeys(host: str, usable: bool) -> None:
    assert Party(host, f"http://{host}").usable is usable
