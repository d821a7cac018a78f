"""Tokens: what is refused however well it is forged, rotation, reuse, sign-out, keys that change."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.management import call_command
from django.test import Client

from accounts.models import TokenFamily, User
from accounts.services.token_families import FAMILIES_MAX, families_revoke_all, family_begin
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.platform import jwt_keys as keys_module
from brokerage.platform import tokens as tokens_module
from brokerage.platform.jwt_keys import jwt_keys, jwt_keys_forget, jwt_keys_path
from brokerage.platform.models import AuditPending
from brokerage.platform.tokens import families_forget, token_make

PASSWORD = "Correct-Horse-2026"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_keys(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.JWT_KEYS_FILE = tmp_path / "keys" / "jwt.json"
    jwt_keys_forget()
    yield
    jwt_keys_forget()


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD)


@pytest.fixture
def pair(user: User) -> dict[str, Any]:
    return family_begin(user=user, name="bot")


def api(method: str, path: str, body: Any = None, token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    raw = json.dumps(body).encode() if body is not None else b""
    return Client().generic(method, f"/api/v1/{path}", raw, content_type="application/json", headers=headers)


def code(answer: Any) -> tuple[int, int]:
    return answer.status_code, answer.json().get("code", 0) if answer.content else 0


def _b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _signed(claims: Any, header: dict[str, Any] | None = None, key: Any = None) -> str:
    """A token signed with the house's own key, whatever it says."""
    keys = jwt_keys()
    head = header if header is not None else {"alg": "EdDSA", "typ": "JWT", "kid": keys.current}
    signing = f"{_b64(head)}.{_b64(claims)}"
    return f"{signing}.{_b64((key or keys.signing).sign(signing.encode()))}"


def _hmac(claims: Any, key: bytes, header: dict[str, Any]) -> str:
    signing = f"{_b64(header)}.{_b64(claims)}"
    return f"{signing}.{_b64(hmac.new(key, signing.encode(), hashlib.sha256).digest())}"


def _public() -> bytes:
    return jwt_keys().signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _pem() -> bytes:
    return jwt_keys().signing.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _head(**more: Any) -> dict[str, Any]:
    return {"alg": "EdDSA", "typ": "JWT", "kid": jwt_keys().current, **more}


STRANGER = Ed25519PrivateKey.generate()
#: what was done -> (claims, good token) -> forged token
FORGED: dict[str, Callable[[dict[str, Any], str], str]] = {
    "algorithm none": lambda c, t: f"{_b64(_head(alg='none'))}.{_b64(c)}.",
    "algorithm None with a signature": lambda c, t: f"{_b64(_head(alg='None'))}.{_b64(c)}.{t.split('.')[2]}",
    "no algorithm": lambda c, t: _signed(c, {"typ": "JWT", "kid": jwt_keys().current}),
    "HS256 with the public key": lambda c, t: _hmac(c, _public(), _head(alg="HS256")),
    "HS256 with the public key as PEM": lambda c, t: _hmac(c, _pem(), _head(alg="HS256")),
    "HS256 with an empty key": lambda c, t: _hmac(c, b"", _head(alg="HS256")),
    "RS256 named": lambda c, t: _signed(c, _head(alg="RS256")),
    "ES256 named": lambda c, t: _signed(c, _head(alg="ES256")),
    "algorithm in lower case": lambda c, t: _signed(c, _head(alg="eddsa")),
    "another's key": lambda c, t: _signed(c, key=STRANGER),
    "unknown key id": lambda c, t: _signed(c, _head(kid="0" * 12)),
    "key id is a path": lambda c, t: _signed(c, _head(kid="../../dev/null")),
    "key id is a number": lambda c, t: _signed(c, _head(kid=1)),
    "no key id": lambda c, t: _signed(c, {"alg": "EdDSA", "typ": "JWT"}),
    "key by address": lambda c, t: _signed(c, _head(jku="https://evil.example/keys")),
    "certificate by address": lambda c, t: _signed(c, _head(x5u="https://evil.example/cert")),
    "key embedded": lambda c, t: _signed(c, _head(jwk={"kty": "OKP", "crv": "Ed25519", "x": "AA"}), STRANGER),
    "critical extension": lambda c, t: _signed(c, _head(crit=["exp"])),
    "unencoded payload": lambda c, t: _signed(c, _head(b64=False, crit=["b64"])),
    "other kind of object": lambda c, t: _signed(c, _head(typ="at+jwt")),
    "refresh for access": lambda c, t: _signed({**c, "typ": "refresh"}),
    "no type": lambda c, t: _signed({k: v for k, v in c.items() if k != "typ"}),
    "other audience": lambda c, t: _signed({**c, "aud": "somebody-else"}),
    "several audiences": lambda c, t: _signed({**c, "aud": ["brokerage-api", "x"]}),
    "no audience": lambda c, t: _signed({k: v for k, v in c.items() if k != "aud"}),
    "other issuer": lambda c, t: _signed({**c, "iss": "evil"}),
    "no issuer": lambda c, t: _signed({k: v for k, v in c.items() if k != "iss"}),
    "not yet valid": lambda c, t: _signed({**c, "nbf": c["nbf"] + 60}),
    "issued in the future": lambda c, t: _signed({**c, "iat": c["iat"] + 60}),
    "no expiry": lambda c, t: _signed({k: v for k, v in c.items() if k != "exp"}),
    "expiry as text": lambda c, t: _signed({**c, "exp": str(c["exp"])}),
    "expiry with a fraction": lambda c, t: _signed({**c, "exp": c["exp"] + 0.5}),
    "expiry beyond time": lambda c, t: _signed({**c, "exp": 2**62}),
    "other user": lambda c, t: _signed({**c, "sub": str(uuid4())}),
    "user is a list": lambda c, t: _signed({**c, "sub": [c["sub"]]}),
    "no family": lambda c, t: _signed({k: v for k, v in c.items() if k != "fam"}),
    "unknown family": lambda c, t: _signed({**c, "fam": str(uuid4())}),
    "family is no id": lambda c, t: _signed({**c, "fam": "x"}),
    "other password": lambda c, t: _signed({**c, "pwd": "0" * 16}),
    "payload is a list": lambda c, t: _signed([c]),
    "payload changed after signing": lambda c, t: ".".join((t.split(".")[0], _b64({**c, "jti": "y"}), t.split(".")[2])),
    "signature cut": lambda c, t: t[:-4],
    "signature missing": lambda c, t: t.rsplit(".", 1)[0] + ".",
    "two parts": lambda c, t: t.rsplit(".", 1)[0],
    "four parts": lambda c, t: t + ".x",
    "very long": lambda c, t: t + "x" * 5000,
}


@pytest.mark.parametrize("forgery", FORGED)
def test_a_forged_token_is_refused(pair: dict[str, Any], forgery: str) -> None:
    good = pair["access"]
    claims = jwt.decode(good, options={"verify_signature": False})
    assert api("GET", "profile", token=_signed(claims)).status_code == 200, "the forger's tools sign well"
    assert code(api("GET", "profile", token=FORGED[forgery](claims, good))) == (401, 2010)
    assert api("GET", "profile", token=good).status_code == 200


def test_an_expired_token_is_refused_even_when_it_was_seen_before(
    pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api("GET", "profile", token=pair["access"]).status_code == 200
    now_ns = SYSTEM_CLOCK.now_ns()

    class Later:
        now_ns = staticmethod(lambda: now_ns + 600 * NS_PER_S)
        monotonic_ns = staticmethod(SYSTEM_CLOCK.monotonic_ns)

    monkeypatch.setattr(tokens_module, "SYSTEM_CLOCK", Later)
    assert code(api("GET", "profile", token=pair["access"])) == (401, 2011)


def test_a_refresh_token_used_twice_ends_the_whole_sign_in(user: User, pair: dict[str, Any]) -> None:
    other = family_begin(user=user)
    second = api("POST", "auth/token/refresh", {"refresh": pair["refresh"]}).json()
    assert api("GET", "profile", token=second["access"]).status_code == 200
    assert code(api("POST", "auth/token/refresh", {"refresh": pair["refresh"]})) == (401, 2060)
    for dead in (second["access"], pair["access"]):
        assert code(api("GET", "profile", token=dead)) == (401, 2010)
    assert code(api("POST", "auth/token/refresh", {"refresh": second["refresh"]})) == (401, 2010)
    assert api("GET", "profile", token=other["access"]).status_code == 200, "another sign-in goes on"
    ended = AuditPending.objects.get(action="token_family.ended")
    assert ended.reason == "refresh token reused"


def test_signing_out_ends_access_at_once_here_and_within_seconds_elsewhere(
    pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api("GET", "profile", token=pair["access"]).status_code == 200
    elsewhere = copy.copy(tokens_module._families)
    elsewhere._known = dict(elsewhere._known)
    assert api("POST", "auth/logout", {"refresh": pair["refresh"]}).status_code == 204
    assert code(api("GET", "profile", token=pair["access"])) == (401, 2010)
    # Another process still remembers the family as alive, but not for longer than FAMILY_AGE_NS.
    monkeypatch.setattr(tokens_module, "_families", elsewhere)
    assert api("GET", "profile", token=pair["access"]).status_code == 200
    monkeypatch.setattr(elsewhere, "age_ns", -1)
    assert code(api("GET", "profile", token=pair["access"])) == (401, 2010)
    assert tokens_module.FAMILY_AGE_NS <= 60 * NS_PER_S


def test_refresh_after_password_change_deactivation_or_long_time_is_refused(user: User) -> None:
    pairs = [family_begin(user=user) for _ in range(3)]
    TokenFamily.objects.filter(user=user).first()
    family = TokenFamily.objects.get(pk=jwt.decode(pairs[0]["refresh"], options={"verify_signature": False})["fam"])
    family.expires_at = family.created_at
    family.save()
    assert code(api("POST", "auth/token/refresh", {"refresh": pairs[0]["refresh"]})) == (401, 2010)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert code(api("POST", "auth/token/refresh", {"refresh": pairs[1]["refresh"]})) == (401, 2010)
    User.objects.filter(pk=user.pk).update(is_active=True)
    user.set_password("Another-Horse-2026")
    user.save()
    assert code(api("POST", "auth/token/refresh", {"refresh": pairs[2]["refresh"]})) == (401, 2010)


def test_sign_ins_are_listed_and_ended_by_their_owner_only(user: User, pair: dict[str, Any]) -> None:
    stranger = family_begin(user=User.objects.create_user("bob@example.test", PASSWORD))
    (row,) = api("GET", "auth/sign-ins", token=pair["access"]).json()["results"]
    assert (row["name"], row["current"]) == ("bot", True)
    path = f"auth/sign-ins/{row['id']}"
    assert code(api("DELETE", path, token=stranger["access"])) == (404, 2014)
    assert api("DELETE", path, token=pair["access"]).status_code == 204
    assert code(api("GET", "profile", token=pair["access"])) == (401, 2010)
    assert api("GET", "auth/sign-ins", token=stranger["access"]).json()["results"][0]["id"] != row["id"]


def test_the_page_lists_and_ends_sign_ins(user: User, pair: dict[str, Any]) -> None:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert b"bot" in client.get("/profile/api").content
    stranger = User.objects.create_user("bob@example.test", PASSWORD)
    theirs = TokenFamily.objects.get(
        pk=jwt.decode(family_begin(user=stranger)["refresh"], options={"verify_signature": False})["fam"]
    )
    for value in (str(theirs.pk), "nonsense", ""):
        assert b"no such sign-in" in client.post("/profile/api", {"sign_in": value}, follow=True).content
    theirs.refresh_from_db()
    assert theirs.revoked_at is None
    mine = TokenFamily.objects.get(user=user)
    client.post("/profile/api", {"sign_in": str(mine.pk)})
    assert code(api("GET", "profile", token=pair["access"])) == (401, 2010)
    assert b"No program is signed in" in client.get("/profile/api").content
    assert Client().get("/profile/api").status_code == 302


def test_the_oldest_sign_in_gives_way(user: User) -> None:
    for _ in range(FAMILIES_MAX + 3):
        family_begin(user=user)
    assert TokenFamily.objects.filter(user=user, revoked_at=None).count() == FAMILIES_MAX
    assert families_revoke_all(user=user, reason="test") == FAMILIES_MAX


def test_keys_rotate_with_an_overlap_and_are_published(user: User, pair: dict[str, Any]) -> None:
    first = jwt_keys().current
    assert jwt_keys_path().stat().st_mode & 0o777 == 0o600
    call_command("rotate_jwt_key", verbosity=0)
    assert jwt_keys().current != first
    assert api("GET", "profile", token=pair["access"]).status_code == 200, "the old key still verifies"
    fresh = api("POST", "auth/token/refresh", {"refresh": pair["refresh"]}).json()
    assert jwt.get_unverified_header(fresh["access"])["kid"] == jwt_keys().current
    published = Client().get("/.well-known/jwks.json").json()["keys"]
    assert {key["kid"] for key in published} == {first, jwt_keys().current}
    assert all(set(key) == {"kty", "crv", "alg", "use", "kid", "x"} for key in published), "no private half"
    key = next(jwt.PyJWK(row) for row in published if row["kid"] == jwt_keys().current)
    assert jwt.decode(fresh["access"], key.key, algorithms=["EdDSA"], audience="brokerage-api")["sub"] == str(user.pk)


def test_retired_keys_go_after_the_longest_token_and_at_once_when_told(
    pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("rotate_jwt_key", verbosity=0)
    monkeypatch.setattr(keys_module, "RETIRED_KEEP_NS", -1)
    call_command("rotate_jwt_key", verbosity=0)
    assert len(jwt_keys().verifying) == 1
    monkeypatch.undo()
    families_forget()
    token = pair["access"]
    call_command("rotate_jwt_key", "--at-once", verbosity=0)
    assert len(jwt_keys().verifying) == 1
    assert code(api("GET", "profile", token=token)) == (401, 2010)


def test_a_token_of_a_dropped_key_dies_although_its_signature_is_remembered(user: User, pair: dict[str, Any]) -> None:
    family = jwt.decode(pair["access"], options={"verify_signature": False})["fam"]
    token = token_make(user, kind="access", family=family, lifetime_s=60)
    assert api("GET", "profile", token=token).status_code == 200
    call_command("rotate_jwt_key", "--at-once", verbosity=0)
    assert code(api("GET", "profile", token=token)) == (401, 2010)
