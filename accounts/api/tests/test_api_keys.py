"""Signed requests: what a signature covers, scopes, addresses, expiry, replay; no secret in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.api.tests.signer import PASSWORD, code, key_of, send
from accounts.models import ApiKey, User
from accounts.services.api_keys import api_key_revoke
from accounts.services.trading_accounts import account_open
from brokerage.kernel.clock import NS_PER_S, utc_now
from brokerage.platform import policy, signing
from brokerage.platform.models import AuditPending
from brokerage.platform.signing import WINDOW_S, canonical_string, keys_forget, signature_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_key_files")]


@pytest.fixture
def user() -> User:
    user = User.objects.create_user("ann@example.test", PASSWORD)
    account_open(user=user)
    return user


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
    monkeypatch.setattr(signing, "KEY_AGE_NS", -1)
    assert code(signer.call("GET", "profile")) == (401, 2061)
    assert signing.KEY_AGE_NS <= 5 * NS_PER_S


def test_a_deactivated_users_key_is_dead(user: User) -> None:
    from brokerage.platform.auth import users_forget

    signer = key_of(user)
    User.objects.update(is_active=False)
    users_forget()
    assert code(signer.call("GET", "profile")) == (401, 2061)


def _rest_routes() -> Iterator[tuple[str, Any]]:
    def walk(patterns: Any, prefix: str) -> Iterator[tuple[str, str, Any]]:
        for entry in patterns:
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns, prefix + str(entry.pattern))
            elif isinstance(entry, URLPattern):
                yield prefix + str(entry.pattern), str(entry.name), entry.callback

    for route, name, callback in walk(get_resolver().url_patterns, ""):
        # A vendor's webhook has a signature of its own and knows no identities.
        if route.startswith("api/v1/") and name != "api-onboarding-webhook":
            yield name, callback.view_class


def test_every_rest_route_and_method_has_a_row() -> None:
    found = {
        name: {method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if hasattr(view, method.lower())}
        for name, view in _rest_routes()
        if name != "api-unknown"
    }
    declared = {name: set(row) for name, row in policy.ROUTES.items() if name != "api-unknown"}
    assert found == declared
    public = {name for name, view in _rest_routes() if not view.authentication_classes}
    rows = {name for name, row in policy.ROUTES.items() if set(row.values()) <= {policy.PUBLIC}}
    assert public <= rows, "what looks at no identity is public"


PATHS = {
    "api-sign-ins": "auth/sign-ins",
    "api-sign-in": "auth/sign-ins/00000000-0000-0000-0000-000000000000",
    "api-keys": "api-keys",
    "api-key": "api-keys/00000000-0000-0000-0000-000000000000",
    "api-profile": "profile",
    "api-accounts": "accounts",
    "api-account": "accounts/NONE",
    "api-ws-ticket": "ws-ticket",
    "api-orders": "orders",
    "api-orders-csv": "orders.csv",
    "api-orders-preview": "orders/preview",
    "api-orders-cancel-all": "orders/cancel-all",
    "api-order-by-client-id": "orders/by-client-id/none",
    "api-order": "orders/ZZZZZ",
    "api-order-events": "orders/ZZZZZ/events",
    "api-executions": "executions",
    "api-executions-csv": "executions.csv",
    "api-balances": "balances",
    "api-ledger": "ledger",
    "api-ledger-csv": "ledger.csv",
    "api-positions": "positions",
    "api-audit-entries": "audit/entries",
    "api-audit-entry": "audit/entries/1",
    "api-audit-inclusion": "audit/entries/1/proof",
    "api-audit-export": "audit/export",
    "api-disclosures": "disclosures",
    "api-limits": "limits",
    "api-onboarding": "onboarding",
    "api-onboarding-appeal": "onboarding/appeal",
    "api-onboarding-documents": "onboarding/documents",
    "api-onboarding-step": "onboarding/steps/identity",
    "api-onboarding-submit": "onboarding/submit",
}
CELLS = [
    (name, method, needed)
    for name, row in policy.ROUTES.items()
    for method, needed in row.items()
    # The desk's door takes sessions only (backoffice/tests/test_pages.py).
    if needed != policy.PUBLIC and not name.startswith("api-desk-")
]


def test_the_scope_matrix(user: User) -> None:
    """Every route that is not public × every method × {nobody, each scope alone, a stranger to scopes}: refused or passed on as the table says."""
    keys = {scope: key_of(user, scope, networks=["127.0.0.1"], expires_in_days=1) for scope in policy.SCOPES}
    cells = 0
    for name, method, needed in CELLS:
        path = PATHS[name]
        body = {"nonsense": True} if method in {"POST", "PUT", "PATCH"} else None
        assert send(method, f"/api/v1/{path}", b"", "", {}).status_code == 401, (name, method)
        for scope, signer in keys.items():
            answer = signer.call(method, path, body)
            refused = answer.status_code == 403 and answer.json()["code"] == 2066
            assert refused == (needed != scope), (name, method, scope, answer.content)
            assert answer.status_code not in {401, 500}, (name, method, scope, answer.content)
            cells += 1
        cells += 1
    assert cells == 4 * len(CELLS)
    assert cells >= 100


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
