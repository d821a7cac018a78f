"""Faults are logged with their request's id, without its secrets, and never mailed: Django's mails would hold cookies, forms and addresses."""

from __future__ import annotations

import io
import json
import logging
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from accounts.services.mail_tokens import mail_token_make
from accounts.services.token_families import family_begin
from brokerage.platform import throttling
from brokerage.platform.middleware import LineFormatter
from tests.canary.search import Search

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = f"Canary-fault-{secrets.token_hex(8)}"


@pytest.fixture
def logged(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the process would write, in the form of production, while Django knows whom to mail."""
    settings.ADMINS = [("Operator", "operator@example.test")]
    for scope in ("login", "login_address"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def boom(*args: Any, **more: Any) -> None:
    raise RuntimeError("the fault")


def test_faults_are_logged_without_secrets_and_not_mailed(logged: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    user = User.objects.create_user("fault@example.test", PASSWORD, country="GB")
    browser = Client(raise_request_exception=False)
    assert browser.post("/signin", {"email": user.email, "password": PASSWORD}).status_code == 302
    secret = {
        "password": PASSWORD,
        "session": browser.cookies["sessionid"].value,
        "device": browser.cookies["device"].value,
        "access": (access := family_begin(user=user)["access"]).rpartition(".")[2],
        "refresh": (refresh := family_begin(user=user)["refresh"]).rpartition(".")[2],
        "api signature": secrets.token_hex(32),
        "link": (link := mail_token_make(user=user, purpose="recover")).split(":")[0],
    }
    mail.outbox.clear()
    with monkeypatch.context() as patch:
        patch.setattr("accounts.views.identity.authenticate", boom)
        assert browser.post("/signin", {"email": user.email, "password": PASSWORD}).status_code == 500
    with monkeypatch.context() as patch:
        patch.setattr("accounts.views.mail_links.password_recover", boom)
        assert browser.post(f"/recover/{link}", {"password": PASSWORD}).status_code == 500
    with monkeypatch.context() as patch:
        patch.setattr("accounts.api.views.tokens.tokens_issue", boom)
        body = json.dumps({"email": user.email, "password": PASSWORD})
        answer = browser.post("/api/v1/auth/token", body, content_type="application/json")
        assert answer.status_code == 500
    with monkeypatch.context() as patch:
        patch.setattr("accounts.api.views.family_refresh", boom)
        body = json.dumps({"refresh": refresh})
        assert browser.post("/api/v1/auth/token/refresh", body, content_type="application/json").status_code == 500
    with monkeypatch.context() as patch:
        patch.setattr("accounts.api.views.accounts_of", boom)
        headers = {"Authorization": f"Bearer {access}", "X-Api-Signature": secret["api signature"]}
        assert browser.get("/api/v1/accounts", headers=headers).status_code == 500
    search = Search(secret)
    assert logged.getvalue().count("RuntimeError: the fault") == 5
    search.look(logged.getvalue().encode(), "log")
    assert sorted(search.found) == []
    assert [message.subject for message in mail.outbox] == []
