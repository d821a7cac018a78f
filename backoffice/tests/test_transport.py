"""Plain HTTP with the settings of production: pages go on to HTTPS, what programs call is refused and nothing is done."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import get_resolver

from accounts.models import TokenFamily, User
from brokerage.platform.transport import sockets_over_tls

TLS = {"X-Forwarded-Proto": "https"}


@pytest.fixture
def production(settings: Any) -> None:
    """What production.py says about transport."""
    wanted = importlib.import_module("brokerage.settings.production")
    for name in ("SECURE_SSL_REDIRECT", "SECURE_REDIRECT_EXEMPT", "SECURE_PROXY_SSL_HEADER", "SECURE_HSTS_SECONDS"):
        setattr(settings, name, getattr(wanted, name))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/v1/accounts"),
        ("post", "/api/v1/auth/token"),
        ("delete", "/api/v1/orders/1"),
        ("get", "/api/v1/no-such"),
        ("get", "/api/schema"),
        ("get", "/embed/acme/portfolio/data"),
        ("get", "/health/ready"),
        ("get", "/.well-known/jwks.json"),
    ],
)
def test_a_program_is_told_and_not_redirected(
    production: None, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    with caplog.at_level(logging.WARNING):
        answer = getattr(Client(), method)(path, headers={"Authorization": "Bearer abc"})
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert (document["code"], document["slug"]) == (2020, "tls_required")
    assert "https" in document["next_step"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Request-ID"]
    said = [record.getMessage() for record in caplog.records if record.name == "security.transport"]
    assert len(said) == 1
    assert "with credentials" in said[0]
    assert "abc" not in said[0]


@pytest.mark.django_db
def test_a_sign_in_sent_in_the_clear_begins_nothing(production: None) -> None:
    User.objects.create_user("ann@example.test", "a long enough password")
    body = {"email": "ann@example.test", "password": "a long enough password"}
    assert Client().post("/api/v1/auth/token", body, "application/json").status_code == 403
    assert not TokenFamily.objects.exists()
    assert Client().post("/api/v1/auth/token", body, "application/json", headers=TLS).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/signin", "/markets", "/api/docs", "/no-such-page"])
def test_a_page_goes_on_to_https(production: None, path: str) -> None:
    answer = Client().get(path)
    assert (answer.status_code, answer["Location"]) == (301, f"https://testserver{path}")


@pytest.mark.django_db
def test_over_tls_nothing_changes(production: None) -> None:
    assert Client().get("/api/v1/time", headers=TLS).status_code == 200
    assert Client().get("/health/live", headers=TLS).status_code == 200


@pytest.mark.django_db
def test_elsewhere_plain_http_is_served() -> None:
    assert Client().get("/api/v1/time").status_code == 200


def test_every_rest_route_is_on_the_list(production: None) -> None:
    """A new prefix for programs must be named in production.py."""
    import re

    from brokerage.platform.policy import REST

    listed = [re.compile(pattern) for pattern in django_settings.SECURE_REDIRECT_EXEMPT]
    reverse_dict = get_resolver().reverse_dict
    for name in REST:
        for shapes, *_ in reverse_dict.getlist(name):
            for path, _names in shapes:
                assert any(pattern.search(path) for pattern in listed), path


@pytest.mark.parametrize(
    ("_case", "scheme", "headers", "served"),
    [
        ("plain", "ws", [], False),
        ("the proxy says plain", "wss", [(b"x-forwarded-proto", b"http")], False),
        ("the proxy says TLS", "ws", [(b"x-forwarded-proto", b"https")], True),
        ("a list that begins plain", "ws", [(b"x-forwarded-proto", b"http, https")], False),
        ("TLS without a proxy", "wss", [], True),
    ],
)
def test_sockets_too(production: None, _case: str, scheme: str, headers: list[Any], served: bool) -> None:
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        sent.append("served")

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {
        "type": "websocket",
        "path": "/ws/v1/market",
        "scheme": scheme,
        "headers": headers,
        "client": ("1.2.3.4", 1),
    }
    asyncio.run(sockets_over_tls(application)(scope, receive, send))
    assert sent == (["served"] if served else ["websocket.close"])
