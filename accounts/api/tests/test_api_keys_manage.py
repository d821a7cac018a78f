"""Making, listing and revoking API keys over REST and on the page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.api.tests.signer import PASSWORD, code, key_of, send
from accounts.models import ApiKey, TotpDevice, User
from accounts.services.api_keys import KEYS_MAX
from accounts.services.second_factor import totp_begin
from accounts.services.step_up import PROOF
from accounts.services.token_families import family_begin
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.platform import crypto

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_key_files")]


def rest(method: str, path: str, token: str, body: Any = None) -> Any:
    raw = json.dumps(body).encode() if body is not None else b""
    return send(method, f"/api/v1/{path}", raw, "", {"Authorization": f"Bearer {token}"})


def test_keys_over_rest_are_shown_once_and_ones_own(user: User) -> None:
    mine = family_begin(user=user)["access"]
    theirs = family_begin(user=User.objects.create_user("bob@example.test", PASSWORD))["access"]
    made = rest("POST", "api-keys", mine, {"name": "bot", "scopes": ["trade", "read"], "networks": ["127.0.0.0/8"]})
    assert made.status_code == 201
    assert made.json()["scopes"] == ["read", "trade"]
    (row,) = rest("GET", "api-keys", mine).json()["results"]
    assert "secret" not in row
    assert made.json()["secret"] not in json.dumps(row)
    assert rest("GET", "api-keys", theirs).json()["results"] == []
    assert code(rest("DELETE", f"api-keys/{row['id']}", theirs)) == (404, 2014)
    assert rest("DELETE", f"api-keys/{row['id']}", mine).status_code == 204
    assert rest("GET", "api-keys", mine).json()["results"] == []


@pytest.mark.parametrize(
    ("_case", "change", "number"),
    [
        ("no scope", {"scopes": []}, 1014),
        ("unknown scope", {"scopes": ["admin"]}, 1001),
        ("no name", {"name": " "}, 1016),
        ("bad network", {"networks": ["10.0.0.1/8"]}, 1001),
        ("a name as network", {"networks": ["example.test"]}, 1001),
        ("too long a life", {"expires_in_days": 366}, 1014),
        ("withdraw from anywhere", {"scopes": ["withdraw"], "expires_in_days": 1}, 1001),
        ("withdraw for ever", {"scopes": ["withdraw"], "networks": ["10.0.0.1"]}, 1001),
        ("secret chosen", {"secret": "mine"}, 1010),
    ],
)
def test_bad_keys_are_refused(user: User, _case: str, change: dict[str, Any], number: int) -> None:
    token = family_begin(user=user)["access"]
    answer = rest("POST", "api-keys", token, {"name": "bot", "scopes": ["read"], **change})
    assert code(answer) == (400, number)
    assert not ApiKey.objects.exists()


def test_a_user_has_a_bounded_number_of_keys(user: User) -> None:
    token = family_begin(user=user)["access"]
    for _ in range(KEYS_MAX):
        key_of(user)
    assert code(rest("POST", "api-keys", token, {"name": "bot", "scopes": ["read"]})) == (429, 2068)


def test_a_second_factor_must_be_fresh_for_a_new_key(user: User) -> None:
    device = totp_begin(user=user)
    TotpDevice.objects.filter(pk=device.pk).update(confirmed=True)
    body = {"name": "bot", "scopes": ["read"]}
    token = family_begin(user=user)["access"]
    assert code(rest("POST", "api-keys", token, body)) == (403, 2034)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/profile/api-keys")["Location"].startswith("/step-up?next=")
    form = {"name": "bot", "scopes": ["read"]}
    for age_s, strong, made in ((301, True, 0), (-5, True, 0), (30, False, 0), (30, True, 1)):
        session = client.session
        session[PROOF] = {"at": SYSTEM_CLOCK.now_ns() // NS_PER_S - age_s, "method": "totp", "strong": strong}
        session.save()
        client.post("/profile/api-keys", form)
        assert ApiKey.objects.count() == made


def test_the_page_makes_shows_once_and_revokes(user: User) -> None:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert b"no API key" in client.get("/profile/api-keys").content
    bad = client.post("/profile/api-keys", {"name": "", "scopes": ["read"], "networks": "nonsense"})
    assert bad.status_code == 400
    made = client.post("/profile/api-keys", {"name": "<b>bot", "scopes": ["read"], "networks": "127.0.0.1\n10.0.0.0/8"})
    key = ApiKey.objects.get()
    assert key.networks == ["10.0.0.0/8", "127.0.0.1/32"]
    secret = crypto.unseal_text(
        key.secret_sealed, table="accounts_apikey", row=str(key.pk), field="secret_sealed"
    ).encode()
    assert secret in made.content
    assert b"&lt;b&gt;bot" in made.content
    assert made["Cache-Control"].startswith("max-age=0")
    later = client.get("/profile/api-keys").content
    assert secret not in later
    assert key.key_id.encode() in later
    stranger = User.objects.create_user("bob@example.test", PASSWORD)
    theirs = key_of(stranger).key
    for value in (str(theirs.pk), "x"):
        assert b"no such API key" in client.post("/profile/api-keys", {"revoke": value}, follow=True).content
    client.post("/profile/api-keys", {"revoke": str(key.pk)})
    assert ApiKey.objects.get(pk=key.pk).revoked_at is not None
    assert ApiKey.objects.get(pk=theirs.pk).revoked_at is None
