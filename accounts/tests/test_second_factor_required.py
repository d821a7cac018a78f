"""Where everybody needs a second factor (``CLIENT_SECOND_FACTOR``): what a session without one reaches, and that programs get nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.middleware import PolicyMiddleware
from accounts.models import TotpDevice, User
from accounts.services.token_families import family_begin
from accounts.tests.test_recovery_and_mail import PASSWORD, signed_in
from accounts.tests.test_second_factor import clock, code_of, enrol
from brokerage import config
from brokerage.kernel.clock import ManualClock
from brokerage.kernel.errors import RejectedError
from brokerage.platform import throttling
from brokerage.platform.policy import PAGES, REST
from brokerage.platform.policy_doors import api_demand
from brokerage.platform.policy_rules import USER, factor_asked

__all__ = ["clock"]
#: What a session reaches that has given a password only: where the factor is set up, and the brake.
BARE = {"step-up", "totp", "passkey-add", "passkey-register-options", "passkey-register", "freeze-own"}


@pytest.fixture(autouse=True)
def _required(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CLIENT_SECOND_FACTOR = True
    for scope in ("login", "login_address", "second_factor"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def user(transactional_db: Any) -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


def somebody(verified: bool) -> Any:
    return SimpleNamespace(is_authenticated=True, is_active=True, is_staff=False, pk="1", is_verified=lambda: verified)


PAGE_ROWS = [(name, method) for name, row in PAGES.items() for method, rule in row.items() if factor_asked(rule)]
REST_ROWS = [(name, method) for name, row in REST.items() for method, rule in row.items() if rule.who == USER]


@pytest.mark.parametrize(("name", "method"), PAGE_ROWS)
def test_every_page_of_ones_own_asks_for_it(name: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.middleware.second_factor_enrolled", lambda pk: False)
    monkeypatch.setattr("accounts.middleware.messages.info", lambda request, text: None)
    monkeypatch.setattr("accounts.middleware.refused", lambda request, error: error)
    request: Any = getattr(RequestFactory(), method.lower())("/x")
    request.user, request.resolver_match = somebody(verified=False), SimpleNamespace(view_name=name)
    answer = PolicyMiddleware(lambda _: None).process_view(request, None, (), {})  # type: ignore[arg-type, return-value]
    assert answer is not None
    if method == "GET":
        assert answer["Location"] == reverse("totp")
    else:
        assert answer.code == 2035  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "method"), REST_ROWS)
def test_every_call_of_a_session_asks_for_it(name: str, method: str) -> None:
    inner: Any = RequestFactory().generic(method, "/x")
    inner.user, inner.resolver_match = somebody(verified=False), SimpleNamespace(view_name=name)
    request = SimpleNamespace(_request=inner, method=method, auth=None, user=inner.user)
    with pytest.raises(RejectedError) as refused:
        api_demand(request, "127.0.0.1")
    assert refused.value.code == 2035
    inner.user = somebody(verified=True)
    api_demand(request, "127.0.0.1")


def test_only_where_a_factor_is_set_up_is_open_without_one() -> None:
    assert {name for name, row in PAGES.items() for rule in row.values() if rule.bare} == BARE
    assert not [name for name, row in REST.items() for rule in row.values() if rule.bare]


def test_the_first_sign_in_leads_to_setting_one_up_and_then_everything_opens(user: User, clock: ManualClock) -> None:
    client = signed_in(user)
    assert b"Everybody here needs a second factor" in client.get("/profile", follow=True).content
    for path in ("/", "/orders", "/profile", "/security"):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"]) == (302, "/security/authenticator"), path
    assert client.get("/markets").status_code == 200, "public pages stay public"
    assert client.get("/api/v1/accounts").json()["code"] == 2035
    assert client.post("/api/v1/ws-ticket", {}, content_type="application/json").json()["code"] == 2035
    assert b"/security/passkeys/add" in client.get("/security/authenticator").content
    done = client.post("/security/authenticator", {"code": code_of(TotpDevice.objects.get(), clock)})
    assert done.status_code == 200
    assert client.get("/profile").status_code == 200
    assert client.get("/api/v1/accounts").status_code == 200


def test_removing_the_last_one_closes_everything_again(user: User, clock: ManualClock) -> None:
    client = signed_in(user)
    client.get("/security/authenticator")
    client.post("/security/authenticator", {"code": code_of(TotpDevice.objects.get(), clock)})
    assert client.post("/security/authenticator/remove").status_code == 302
    assert client.get("/profile")["Location"] == "/security/authenticator"
    assert client.get("/api/v1/accounts").json()["code"] == 2035


def test_who_signed_in_before_it_was_asked_confirms(user: User, clock: ManualClock) -> None:
    enrol(user, clock)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/profile")["Location"] == "/step-up?next=%2Fprofile"
    assert client.get("/step-up").status_code == 200


def test_programs_without_one_get_no_tokens(user: User, clock: ManualClock) -> None:
    def ask(**more: str) -> Any:
        body = {"email": user.email, "password": PASSWORD, **more}
        return Client().post("/api/v1/auth/token", body, content_type="application/json")

    old = family_begin(user=user)["refresh"]
    assert ask().json()["code"] == 2035
    body = {"refresh": old}
    refused = Client().post("/api/v1/auth/token/refresh", body, content_type="application/json")
    assert refused.json()["code"] == 2035, "tokens from before it was asked are not made anew"
    device, _ = enrol(user, clock)
    assert ask(code=code_of(device, clock)).status_code == 200


def test_it_is_asked_everywhere_but_in_the_demo() -> None:
    assert config.load_config({"DEMO": "0"}).client_second_factor
    assert not config.load_config({}).client_second_factor
    assert not config.load_config({"DEMO": "0", "CLIENT_SECOND_FACTOR": "0"}).client_second_factor
