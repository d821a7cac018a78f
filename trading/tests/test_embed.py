"""Tokens, marks and passes of frames: each is good for one thing, for a short time, in one place."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from accounts.models import TradingAccount, User
from accounts.services.api_keys import api_key_create, api_key_revoke
from accounts.services.trading_accounts import account_open
from brokerage.config import get_config
from brokerage.platform import embed, web
from brokerage.platform.auth import users_forget
from brokerage.platform.embed import EmbedGrant, embed_mark, embed_pass_issue, embed_token_issue

pytestmark = pytest.mark.django_db
ACME, OTHER, BETA = "https://acme.example", "https://app.acme.example", "https://beta.example"


@pytest.fixture(autouse=True)
def _partners(monkeypatch: pytest.MonkeyPatch) -> None:
    made = replace(get_config(), embed_partners=(("acme", (ACME, OTHER)), ("beta", (BETA,))))
    monkeypatch.setattr(web, "get_config", lambda: made)
    monkeypatch.setattr(embed, "get_config", lambda: made)


@pytest.fixture
def account() -> TradingAccount:
    return account_open(user=User.objects.create_user("ann@example.test", "x"))


def grant(account: TradingAccount, **other: str) -> EmbedGrant:
    return replace(EmbedGrant(str(account.owner_id), account.number, "acme", ACME, ""), **other)


def exchange(token: str, mark: str, partner: str = "acme") -> Any:
    body = json.dumps({"token": token, "mark": mark})
    return Client().post(f"/embed/{partner}/portfolio/session", body, content_type="application/json")


def read(text: str, partner: str = "acme") -> Any:
    return Client().get(f"/embed/{partner}/portfolio/data", headers={"Authorization": f"Bearer {text}"})


def test_a_token_becomes_a_pass_that_reads_one_account(account: TradingAccount) -> None:
    answer = exchange(embed_token_issue(grant(account)), embed_mark("acme", ACME))
    assert answer.status_code == 200, answer.content
    assert not answer.cookies
    assert answer["Cache-Control"].startswith("max-age=0")
    shown = read(answer.json()["pass"])
    assert (shown.status_code, shown.json()["account"]) == (200, account.number)
    assert not shown.cookies


@pytest.mark.parametrize(
    "case",
    ["used", "old", "forged", "another origin of the partner", "another partner", "mark of another", "old mark", "off the list",
     "a pass as token", "a ticket as token", "ended key", "frozen user", "no member any more", "no mark", "not json"],
)  # fmt: skip
def test_what_is_not_exchanged(account: TradingAccount, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good, mark, partner = grant(account), embed_mark("acme", ACME), "acme"
    token = embed_token_issue(good)
    if case == "used":
        assert exchange(token, mark).status_code == 200
    elif case == "old":
        monkeypatch.setattr(embed, "EMBED_TOKEN_S", -1)
    elif case == "old mark":
        monkeypatch.setattr(embed, "EMBED_MARK_S", -1)
    elif case == "forged":
        token = token[:-2] + ("AA" if not token.endswith("AA") else "BB")
    elif case == "another origin of the partner":
        token = embed_token_issue(grant(account, origin=OTHER))
    elif case == "another partner":
        partner, token, mark = "beta", embed_token_issue(good), mark
    elif case == "mark of another":
        mark = embed_mark("beta", BETA)
    elif case == "off the list":
        gone = "https://gone.example"
        token, mark = embed_token_issue(grant(account, origin=gone)), embed_mark("acme", gone)
    elif case == "a pass as token":
        token = embed_pass_issue(good)
    elif case == "a ticket as token":
        token = signing.dumps([str(account.owner_id), account.number, "n", ""], salt="ws-ticket")
    elif case == "ended key":
        key, _ = api_key_create(user=account.owner, name="k", scopes=["read"])
        token = embed_token_issue(grant(account, credential=f"key:{key.key_id}"))
        api_key_revoke(user=account.owner, id=key.pk)
    elif case == "frozen user":
        User.objects.update(is_active=False)
        users_forget()
    elif case == "no member any more":
        token = embed_token_issue(grant(account, user_id=str(User.objects.create_user("eve@example.test", "x").pk)))
    body = (
        '{"token"'
        if case == "not json"
        else json.dumps({"token": token} | ({} if case == "no mark" else {"mark": mark}))
    )
    answer = Client().post(f"/embed/{partner}/portfolio/session", body, content_type="application/json")
    assert answer.status_code in {400, 401, 404}, answer.content
    assert "pass" not in answer.json()


def test_a_pass_is_for_its_partner_a_short_time_and_ends_with_its_key(
    account: TradingAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = api_key_create(user=account.owner, name="k", scopes=["read"])
    text = embed_pass_issue(grant(account, credential=f"key:{key.key_id}"))
    assert read(text).status_code == 200
    assert read(text, "beta").status_code == 401
    assert read(embed_token_issue(grant(account))).status_code == 401
    assert read("").status_code == 401
    assert Client().get("/embed/acme/portfolio/data").status_code == 401
    # It opens nothing else.
    assert Client().get("/api/v1/balances", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    assert Client().post("/embed/acme/portfolio/data", headers={"Authorization": f"Bearer {text}"}).status_code == 405
    api_key_revoke(user=account.owner, id=key.pk)
    assert read(text).status_code == 401
    text = embed_pass_issue(grant(account))
    monkeypatch.setattr(embed, "EMBED_PASS_S", -1)
    assert (read(text).status_code, read(text).json()["code"]) == (401, 2011)


def test_the_page_is_served_for_one_origin_and_knows_nobody(account: TradingAccount) -> None:
    client = Client()
    client.force_login(account.owner, backend="django.contrib.auth.backends.ModelBackend")
    # A session made by a test is given its row with the first page.
    assert client.get("/profile").status_code == 200
    page = client.get(f"/embed/acme/portfolio?origin={OTHER}")
    assert page.status_code == 200
    assert f"frame-ancestors {OTHER}" in page["Content-Security-Policy"]
    assert ACME not in page["Content-Security-Policy"]
    assert "X-Frame-Options" not in page
    assert account.number.encode() not in page.content
    assert not page.cookies
    for path in ("/embed/acme/portfolio", f"/embed/acme/portfolio?origin={BETA}", f"/embed/nobody/portfolio?origin={ACME}",
                 "/embed/acme/portfolio?origin="):  # fmt: skip
        refused = client.get(path)
        assert refused.status_code == 404, path
        assert "frame-ancestors 'none'" in refused["Content-Security-Policy"], path
