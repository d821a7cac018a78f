"""Signed requests: what a signature covers, addresses, expiry, replay; no secret in the database. Scopes: ``tests/authorization``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection

from accounts.api.tests.signer import PASSWORD, code, key_of, send
from accounts.models import ApiKey, User
from accounts.services.api_keys import api_key_revoke
from brokerage.kernel.clock import NS_PER_S, utc_now
from brokerage.platform import signing
from brokerage.platform.models import AuditPending
from brokerage.platform.signing import WINDOW_S, canonical_string, keys_forget, signature_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_key_files")]


def test_a_signed_request_is_taken_and_its_use_is_noted(user: User) -> None:
    signer = key_of(user)
    assert signer.call("GET", "profile").json()["email"] == user.email
    assert signer.call("GET", "accounts").status_code == 200
    signer.key.refresh_from_db()
    assert signer.key.last_used_at is not None
    assert signer.key.last_address == "127.0.0.1"


def test_the_documented_example_signs_to_the_documented_value() -> None:
    canonical = canonical_string(
        "POST", "/api/v1/orders", "account=A1", "1790000000000", "0123456789abcdef", b'{"qty":"1"}'
    )
    text = (Path(__file__).parents[3] / "docs" / "api-security.md").read_text()
    assert canonical in text
    assert signature_of(b"example-secret", canonical) in text


@pytest.mark.parametrize(
    ("_case", "change"),
    [
        ("other method", {"method": "HEAD"}),
        ("other path", {"path": "/api/v1/accounts"}),
        ("other query", {"query": "a=1"}),
        ("other body", {"raw": b"{}"}),
    ],
)
def test_a_signature_covers_the_whole_request(user: User, _case: str, change: dict[str, Any]) -> None:
    signer = key_of(user)
    request = {"method": "GET", "path": "/api/v1/profile", "raw": b"", "query": ""}
    headers = signer.headers("GET", "/api/v1/profile")
    assert send(**(request | change), headers=headers).status_code == 401
    assert send(**request, headers=headers).status_code == 200, "what was refused did not use the nonce up"


@pytest.mark.parametrize("header", ["X-Api-Timestamp", "X-Api-Nonce", "X-Api-Signature"])
def test_a_changed_or_missing_header_is_refused(user: User, header: str) -> None:
    signer = key_of(user)
    good = signer.headers("GET", "/api/v1/profile")
    last = good[header][-1]
    for wrong in ("", "x", good[header][:-1] + ("0" if last != "0" else "1"), "é", good[header] + "0"):
        answer = send("GET", "/api/v1/profile", b"", "", {**good, header: wrong})
        assert code(answer) == (401, 2061), wrong


def test_unknown_keys_and_wrong_secrets_are_one_answer(user: User) -> None:
    signer = key_of(user)
    wrong = signer.call("GET", "profile", secret="x" * 43)
    signer.key.key_id = "bk_" + "A" * 16
    unknown = signer.call("GET", "profile")
    assert code(wrong) == code(unknown) == (401, 2061)
    assert {**wrong.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


@pytest.mark.parametrize(
    ("shift_s", "taken"), [(-WINDOW_S - 2, 0), (-WINDOW_S + 2, 1), (WINDOW_S - 2, 1), (WINDOW_S + 2, 0)]
)
def test_the_clock_may_differ_by_the_window(user: User, shift_s: int, taken: int) -> None:
    answer = key_of(user).call("GET", "profile", shift_s=shift_s)
    assert code(answer) == ((200, 0) if taken else (401, 2063))


def test_a_request_is_taken_once(user: User) -> None:
    signer, other = key_of(user), key_of(user)
    headers = signer.headers("GET", "/api/v1/profile", nonce="n" * 16)
    assert send("GET", "/api/v1/profile", b"", "", headers).status_code == 200
    assert code(send("GET", "/api/v1/profile", b"", "", headers)) == (401, 2064)
    assert code(signer.call("GET", "accounts", nonce="n" * 16)) == (401, 2064)
    assert other.call("GET", "profile", nonce="n" * 16).status_code == 200, "nonces are counted per key"


def test_without_valkey_only_what_may_be_repeated_goes_on(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = key_of(user, "read", "trade")

    class Away:
        def set(self, *_: Any, **__: Any) -> None:
            raise redis.ConnectionError("away")

    monkeypatch.setattr(signing, "get_valkey", lambda: Away())
    assert signer.call("GET", "profile").status_code == 200
    assert code(signer.call("POST", "orders", {})) == (503, 9013)
    assert code(signer.call("DELETE", "orders/ZZZZZ")) == (404, 2014), "a cancel is looked at"


@pytest.mark.parametrize(
    ("address", "taken"),
    [("203.0.113.7", 1), ("203.0.113.8", 0), ("198.51.100.200", 1), ("::ffff:203.0.113.7", 1), ("2001:db8::1", 1), ("2001:db9::1", 0), ("", 0)],
)  # fmt: skip
def test_only_listed_addresses(user: User, address: str, taken: int) -> None:
    signer = key_of(user, networks=["203.0.113.7", "198.51.100.0/24", "2001:db8::/32"])
    answer = signer.call("GET", "profile", address=address)
    assert code(answer) == ((200, 0) if taken else (403, 2065))


def test_expired_and_revoked_keys_end(user: User) -> None:
    signer = key_of(user, expires_in_days=1)
    assert signer.call("GET", "profile").status_code == 200
    ApiKey.objects.update(expires_at=utc_now() - timedelta(seconds=1))
    keys_forget()
    assert code(signer.call("GET", "profile")) == (401, 2062)
    ApiKey.objects.update(expires_at=None)
    keys_forget()
    assert signer.call("GET", "profile").status_code == 200
    api_key_revoke(user=user, id=signer.key.pk)
    api_key_revoke(user=user, id=signer.key.pk)
    assert code(signer.call("GET", "profile")) == (401, 2061)
    assert bytes(ApiKey.objects.get().secret_sealed) == b""
    assert list(AuditPending.objects.values_list("action", flat=True)).count("api_key.revoked") == 1


def test_a_revoked_key_is_out_of_other_processes_within_seconds(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = key_of(user)
    assert signer.call("GET", "profile").status_code == 200
    ApiKey.objects.update(revoked_at=utc_now())
    assert signer.call("GET", "profile").status_code == 200
    monkeypatch.setattr(signing._known, "age_ns", -1)
    assert code(signer.call("GET", "profile")) == (401, 2061)
    assert signing.KEY_AGE_NS <= 5 * NS_PER_S


def test_a_deactivated_users_key_is_dead(user: User) -> None:
    from brokerage.platform.auth import users_forget

    signer = key_of(user)
    User.objects.update(is_active=False)
    users_forget()
    assert code(signer.call("GET", "profile")) == (401, 2061)


def test_the_database_has_no_secret(user: User) -> None:
    signer = key_of(user)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        tables = [row[0] for row in cursor.fetchall()]
        dump = ""
        for table in tables:
            cursor.execute(f'SELECT t::text, t.* FROM "{table}" t')  # noqa: S608
            for row in cursor.fetchall():
                dump += " ".join(
                    bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
                    for value in row
                )
    assert signer.key.key_id in dump, "the search sees the row"
    assert signer.secret not in dump
    assert signer.secret.encode().hex() not in dump
    assert PASSWORD not in dump
