"""FIX keys by REST and page: who makes one, what is kept of it, how it ends."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import FixKey, TradingAccount, TradingAccountMember, User
from accounts.selectors.access import accounts_forget
from accounts.services.api_keys import KEYS_MAX
from accounts.services.fix_keys import fix_key_create, password_digest
from accounts.services.token_families import family_begin
from accounts.services.trading_accounts import account_open
from brokerage.kernel.errors import RejectedError
from brokerage.platform.models import AuditPending

pytestmark = pytest.mark.django_db
PASSWORD = "Correct-Horse-2026"


@pytest.fixture
def owner() -> tuple[User, TradingAccount]:
    user = User.objects.create_user("owner@example.test", PASSWORD, display_name="owner", country="GB")
    return user, account_open(user=user)


def call(user: User, method: str, path: str, body: Any = None) -> Any:
    return Client().generic(
        method,
        f"/api/v1/{path}",
        b"" if body is None else __import__("json").dumps(body).encode(),
        content_type="application/json",
        headers={"Authorization": f"Bearer {family_begin(user=user)['access']}"},
    )


def test_made_listed_and_revoked_by_rest(owner: tuple[User, TradingAccount]) -> None:
    user, account = owner
    body = {"name": "desk", "scopes": ["read", "trade"], "networks": ["203.0.113.7"], "expires_in_days": 30}
    made = call(user, "POST", "fix-keys", body | {"cancel_on_disconnect": True})
    assert made.status_code == 201, made.content
    document = made.json()
    assert re.fullmatch(r"FX[2-9A-Z]{12}", document["sender_comp_id"])
    assert (document["target_comp_id"], document["account"]) == ("BROKERAGE", account.number)
    assert document["networks"] == ["203.0.113.7/32"]
    assert document["cancel_on_disconnect"] is True
    # Of the password only a digest is kept, and nothing of it is recorded.
    key = FixKey.objects.get()
    assert bytes(key.password_digest) == password_digest(document["secret"])
    acts = list(AuditPending.objects.filter(action="fix_key.created"))
    assert len(acts) == 1
    assert document["secret"] not in str(acts[0].after)
    [listed] = call(user, "GET", "fix-keys").json()["results"]
    assert "secret" not in listed
    assert call(user, "DELETE", f"fix-keys/{document['id']}").status_code == 204
    assert call(user, "DELETE", f"fix-keys/{document['id']}").status_code == 204
    key.refresh_from_db()
    assert bytes(key.password_digest) == b""
    assert call(user, "GET", "fix-keys").json()["results"] == []
    assert AuditPending.objects.filter(action="fix_key.revoked").count() == 1


@pytest.mark.parametrize(
    ("_case", "more", "status", "code"),
    [
        ("no read", {"scopes": ["trade"]}, 400, 1001),
        ("withdraw", {"scopes": ["read", "withdraw"]}, 400, None),
        ("no name", {"name": " "}, 400, None),
        ("no address", {"networks": ["somewhere"]}, 400, 1001),
        ("too long", {"expires_in_days": 366}, 400, None),
        ("stranger's account", {"account": "A999999"}, 404, 2014),
        ("unknown field", {"user": "x"}, 400, 1010),
    ],
)
def test_what_is_refused(
    owner: tuple[User, TradingAccount], _case: str, more: dict[str, Any], status: int, code: int | None
) -> None:
    answer = call(owner[0], "POST", "fix-keys", {"name": "desk", "scopes": ["read"], **more})
    assert answer.status_code == status, answer.content
    assert code is None or answer.json()["code"] == code
    assert not FixKey.objects.exists()


def test_owners_and_traders_make_them_viewers_and_strangers_do_not(owner: tuple[User, TradingAccount]) -> None:
    _, account = owner
    other = User.objects.create_user("other@example.test", PASSWORD, display_name="other", country="GB")
    body = {"name": "desk", "scopes": ["read"], "account": account.number}
    assert call(other, "POST", "fix-keys", body).json()["code"] == 2014
    row = TradingAccountMember.objects.create(account=account, user=other, role="viewer")
    accounts_forget(other.pk)
    assert call(other, "POST", "fix-keys", body).json()["code"] == 2012
    TradingAccountMember.objects.filter(pk=row.pk).update(role="trader")
    accounts_forget(other.pk)
    made = call(other, "POST", "fix-keys", body)
    assert made.status_code == 201
    # It is the trader's own: the owner of the account neither sees nor ends it here.
    assert call(owner[0], "GET", "fix-keys").json()["results"] == []
    assert call(owner[0], "DELETE", f"fix-keys/{made.json()['id']}").status_code == 404


def test_there_is_a_bound(owner: tuple[User, TradingAccount]) -> None:
    for turn in range(KEYS_MAX):
        fix_key_create(user=owner[0], account=None, name=str(turn), scopes=["read"])
    with pytest.raises(RejectedError) as refused:
        fix_key_create(user=owner[0], account=None, name="more", scopes=["read"])
    assert refused.value.code == 2068


def test_the_page_shows_a_password_once(owner: tuple[User, TradingAccount]) -> None:
    user, account = owner
    client = Client()
    client.force_login(user)
    assert "There is no FIX session yet" in client.get("/profile/fix-keys").content.decode()
    form = {"name": "desk", "account": account.number, "scopes": ["read", "trade"], "expires_in_days": "90"}
    made = client.post("/profile/fix-keys", form).content.decode()
    assert "was made" in made
    key = FixKey.objects.get()
    found = re.search(r'<dd class="mono">([\w-]{43})</dd>', made)
    assert found is not None
    assert bytes(key.password_digest) == password_digest(found[1])
    again = client.get("/profile/fix-keys").content.decode()
    assert key.comp_id in again
    assert found[1] not in again
    refused = client.post("/profile/fix-keys", form | {"networks": "nowhere"})
    assert refused.status_code == 400
    assert FixKey.objects.count() == 1
    client.post("/profile/fix-keys", {"revoke": str(key.pk)})
    key.refresh_from_db()
    assert key.revoked_at is not None
