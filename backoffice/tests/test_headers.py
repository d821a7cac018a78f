"""Every route there is, errors and files included, answers with the headers that tell a browser what it may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from brokerage import config
from brokerage.config import ConfigError, get_config, load_config
from brokerage.platform import web
from brokerage.platform.http import BARE_HEADERS
from marketdata.services.seed import reference_seed

pytestmark = pytest.mark.django_db
#: A value for each name in an address; what is not there answers 404, which must carry the headers as well.
VALUES = {
    "symbol": "BTC-USD",
    "number": "A000001",
    "partner": "nobody",
    "kind": "money",
    "user_id": "0" * 32,
    "app_label": "trading",
}
UNSAFE = ("'unsafe-inline'", "'unsafe-eval'")


def routes(patterns: Any = None, prefix: str = "/") -> Iterator[str]:
    """Every address of the URL configuration, filled in."""
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        part = str(entry.pattern)
        part = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", lambda m: VALUES.get(m[1], "1"), part)
        part = re.sub(r"<(?:\w+:)?(\w+)>", lambda m: VALUES.get(m[1], "1"), part)
        part = re.sub(r"[\^$?*+]|\\Z|\\|\(.*?\)|\.\*", "", part)
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, prefix + part)
        elif isinstance(entry, URLPattern):
            yield prefix + part


def directives(answer: Any) -> dict[str, str]:
    return dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))


def check(answer: Any, where: str) -> None:
    policy = directives(answer)
    assert policy["default-src"] == "'none'", where
    assert policy["frame-ancestors"] == "'none'", where
    assert policy["base-uri"] == "'none'", where
    assert policy["form-action"] == "'self'", where
    assert answer["X-Frame-Options"] == "DENY", where
    assert answer["X-Content-Type-Options"] == "nosniff", where
    assert answer["Referrer-Policy"] == "same-origin", where
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin", where
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin", where
    assert "camera=()" in answer["Permissions-Policy"], where
    if answer.get("Content-Type", "").startswith("text/html"):
        assert "no-store" in answer["Cache-Control"], where
    for cookie in answer.cookies.values():
        assert cookie["samesite"] == "Lax", (where, cookie.key)
        assert cookie["path"] == "/", (where, cookie.key)
        assert not cookie["domain"], (where, cookie.key)
    allowed = (
        {"script-src": ("'unsafe-eval'",), "style-src": ("'unsafe-inline'",)} if where.startswith("/admin/") else {}
    )
    if where == "/api/docs":
        allowed = {"style-src": ("'unsafe-inline'",)}
    for name, value in policy.items():
        for word in UNSAFE:
            assert word not in value or word in allowed.get(name, ()), (where, name)


@pytest.mark.parametrize("who", ["nobody", "client", "superuser"])
def test_every_route_has_them(who: str, settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = False
    reference_seed(demo=True)
    client = Client(raise_request_exception=False)
    if who != "nobody":
        user = User.objects.create_user(
            "u@example.test", "x", is_staff=who == "superuser", is_superuser=who == "superuser"
        )
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    seen: dict[int, int] = {}
    for path in sorted(set(routes())):
        answer = client.get(path)
        check(answer, path)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
    assert sum(seen.values()) > 150, seen
    assert 500 not in seen, seen
    assert seen[200] > 10, seen


def test_errors_files_and_refusals_have_them(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(raise_request_exception=False)
    check(client.get("/no-such-page"), "/no-such-page")
    check(client.get("/api/v1/no-such"), "/api/v1/no-such")
    check(client.get("/static/css/base.css"), "/static/css/base.css")
    check(client.get("/static/no-such.css"), "/static/no-such.css")
    check(client.get("/", headers={"host": "evil.example"}), "bad host")
    strict = Client(enforce_csrf_checks=True)
    refused = strict.post("/signin", {})
    assert refused.status_code == 403
    check(refused, "csrf")

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("broken on purpose")

    monkeypatch.setattr("trading.views.pages.market_rows", broken)
    for path in ("/", "/trade/BTC-USD"):
        reference_seed(demo=True)
        answer = client.get(path)
        assert answer.status_code == 500
        check(answer, path)
        assert b"broken on purpose" not in answer.content


def test_answers_given_before_django_have_the_least() -> None:
    names = {name for name, _ in BARE_HEADERS}
    assert {b"Content-Security-Policy", b"X-Content-Type-Options", b"X-Frame-Options"} <= names


def test_each_answer_has_a_nonce_of_its_own() -> None:
    client = Client()
    nonces = {re.search(r"'nonce-([^']+)'", client.get("/signin")["Content-Security-Policy"])[1] for _ in range(5)}  # type: ignore[index]
    assert len(nonces) == 5
    page = client.get("/signin")
    found = re.search(r"'nonce-([^']+)'", page["Content-Security-Policy"])
    assert found is not None
    scripts = re.findall(r"<script\b[^>]*>", page.content.decode())
    assert scripts
    assert all(f'nonce="{found[1]}"' in tag for tag in scripts)


def test_over_tls_cookies_are_bound_to_the_host_and_hsts_is_on(settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    settings.DEVICE_COOKIE_NAME = "__Host-device"
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 31_536_000, True
    client = Client()
    answer = client.get("/signin", secure=True)
    assert answer["Strict-Transport-Security"].startswith("max-age=31536000; includeSubDomains")
    User.objects.create_user("u@example.test", "Correct-Horse-2026")
    signed = client.post("/signin", {"email": "u@example.test", "password": "Correct-Horse-2026"}, secure=True)
    assert signed.status_code == 302
    for name in ("__Host-session", "__Host-csrf", "__Host-device"):
        cookie = client.cookies[name]
        assert cookie["secure"]
        assert cookie["path"] == "/"
        assert not cookie["domain"]
    assert client.cookies["__Host-session"]["httponly"]
    assert set(client.cookies) == {"__Host-session", "__Host-csrf", "__Host-device"}


# Frames


@pytest.fixture
def partners(monkeypatch: pytest.MonkeyPatch) -> None:
    made = replace(
        get_config(), embed_partners=(("acme", ("https://acme.example",)), ("beta", ("https://beta.example",)))
    )
    monkeypatch.setattr(web, "get_config", lambda: made)
    reference_seed(demo=True)


@pytest.mark.usefixtures("partners")
def test_a_partner_may_frame_the_embeddable_page_and_only_with_their_own_origin() -> None:
    client = Client()
    answer = client.get("/embed/acme/markets")
    assert answer.status_code == 200
    assert directives(answer)["frame-ancestors"] == "https://acme.example"
    assert "X-Frame-Options" not in answer
    assert directives(client.get("/embed/beta/markets"))["frame-ancestors"] == "https://beta.example"
    assert not answer.cookies


@pytest.mark.usefixtures("partners")
def test_everything_else_may_be_framed_by_nobody_errors_included() -> None:
    client = Client(raise_request_exception=False)
    for path in ("/", "/signin", "/markets", "/embed/gamma/markets", "/embed/acme/orders", "/api/v1/time", "/no-such"):
        answer = client.get(path)
        assert directives(answer)["frame-ancestors"] == "'none'", path
        assert answer["X-Frame-Options"] == "DENY", path
    answer = client.post("/embed/acme/markets")
    assert answer.status_code == 405


@pytest.mark.usefixtures("partners")
def test_an_embedded_page_knows_nobody() -> None:
    user = User.objects.create_user("secret-person@example.test", "x", display_name="Secret Person")
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/embed/acme/markets").content
    assert b"ecret" not in page
    assert b"csrf" not in page
    assert b"<script" not in page


@pytest.mark.parametrize(
    ("_case", "environ", "names"),
    [
        ("partner without origin", {"EMBED_PARTNERS": "acme"}, "EMBED_PARTNERS"),
        ("partner with a wildcard", {"EMBED_PARTNERS": "acme=https://*.example"}, "EMBED_PARTNERS"),
        ("partner with a path", {"EMBED_PARTNERS": "acme=https://a.example/x"}, "EMBED_PARTNERS"),
        ("partner that breaks the header", {"EMBED_PARTNERS": "acme=https://a.example;script-src"}, "EMBED_PARTNERS"),
        ("admin path with a slash", {"ADMIN_PATH": "a/b"}, "ADMIN_PATH"),
        ("admin path of another", {"ADMIN_PATH": "api"}, "ADMIN_PATH"),
        ("no network", {"STAFF_NETWORKS": "office"}, "STAFF_NETWORKS"),
        ("no factor outside the demo", {"STAFF_SECOND_FACTOR": "0", "DEMO": "0"}, "STAFF_SECOND_FACTOR"),
    ],
)
def test_what_cannot_be_configured_is_named(_case: str, environ: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        load_config(environ)


def test_configured_partners_paths_and_networks_are_read() -> None:
    made = load_config(
        {"EMBED_PARTNERS": "acme=https://a.example https://b.example:8443,beta=http://localhost:9000",
         "ADMIN_PATH": "/office-7f3a/", "STAFF_NETWORKS": "10.0.0.0/8,::1/128", "STAFF_SECOND_FACTOR": "1"}
    )  # fmt: skip
    assert made.embed_partners[0] == ("acme", ("https://a.example", "https://b.example:8443"))
    assert (made.admin_path, made.staff_networks) == ("office-7f3a", ("10.0.0.0/8", "::1/128"))
    assert made.staff_second_factor
    assert not load_config({}).staff_second_factor
    assert config.load_config({"DEMO": "0"}).staff_second_factor
