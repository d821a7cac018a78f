"""Signing in with an OpenID provider, against a real HTTP server that signs id tokens: one account, never two."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from accounts.models import SocialLink, TradingAccount, User, UserSession
from accounts.services.social import social_unlink
from accounts.tests.test_recovery_and_mail import PASSWORD, signed_in
from brokerage.kernel.errors import RejectedError
from brokerage.platform import throttling
from brokerage.platform.models import AuditPending
from tests.oidc_provider import CLIENT, SECRET, OidcProvider

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    for scope in ("login", "login_address", "mail"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def provider(settings: Any) -> Iterator[OidcProvider]:
    made = OidcProvider()
    made.claims = {"sub": "u-1", "email": "ann@example.test", "email_verified": True, "name": "Ann"}
    settings.OIDC_PROVIDERS = [
        {"id": "acme", "name": "Acme", "server_url": made.url, "client_id": CLIENT, "secret": SECRET}
    ]
    yield made
    made.close()


def through(client: Client, path: str = "/social/acme") -> Any:
    """Go to the provider and come back, as a browser does."""
    begun = client.get(path)
    assert begun.status_code == 302, begun.content
    back = httpx.get(begun["Location"]).headers["Location"]
    return client.get(back.removeprefix("http://testserver"))


def test_a_verified_address_makes_one_user_who_comes_back(provider: OidcProvider) -> None:
    client = Client()
    assert b"Continue with Acme" in client.get("/signin").content
    answer = through(client, "/social/acme?next=/profile")
    assert (answer.status_code, answer["Location"]) == (302, "/profile")
    assert client.get("/profile").status_code == 200
    user = User.objects.get()
    assert (user.email, user.display_name, user.has_usable_password()) == ("ann@example.test", "Ann", False)
    assert user.email_confirmed_at is not None
    assert through(Client()).status_code == 302
    assert (User.objects.count(), TradingAccount.objects.count(), SocialLink.objects.count()) == (1, 1, 1)
    assert UserSession.objects.filter(method="acme").count() == 2


def test_a_subject_stays_its_user_when_the_address_changes(provider: OidcProvider) -> None:
    through(Client())
    User.objects.create_user("other@example.test", PASSWORD)
    provider.claims["email"] = "other@example.test"
    client = Client()
    through(client)
    assert client.get("/profile").context["request"].user.email == "ann@example.test"


def test_a_known_address_is_linked_only_after_its_own_sign_in(provider: OidcProvider) -> None:
    user = User.objects.create_user("Ann@Example.test", PASSWORD)
    client = Client()
    answer = through(client)
    assert answer["Location"].startswith("/signin?email=")
    assert client.get("/profile").status_code == 302, "the provider's word alone opens nothing"
    assert not SocialLink.objects.exists()
    assert client.post("/signin", {"email": user.email, "password": PASSWORD}).status_code == 302
    assert SocialLink.objects.get().user_id == user.pk
    assert client.get("/profile").status_code == 200
    assert AuditPending.objects.filter(action="social.linked").count() == 1
    other = Client()
    assert through(other)["Location"] == "/"
    assert User.objects.count() == 1


def test_somebody_elses_sign_in_takes_no_link(provider: OidcProvider) -> None:
    User.objects.create_user("ann@example.test", PASSWORD)
    eve = User.objects.create_user("eve@example.test", PASSWORD)
    client = Client()
    through(client)
    assert client.post("/signin", {"email": eve.email, "password": PASSWORD}).status_code == 302
    assert not SocialLink.objects.exists()


def test_the_second_factor_is_still_asked_for(provider: OidcProvider) -> None:
    from accounts.models import TotpDevice
    from accounts.services.second_factor import totp_begin

    through(Client())
    totp_begin(user=User.objects.get())
    TotpDevice.objects.update(confirmed=True)
    client = Client()
    assert through(client)["Location"].startswith("/signin/second")
    assert client.get("/profile").status_code == 302


def test_a_frozen_user_is_not_let_in(provider: OidcProvider) -> None:
    from accounts.services.security import user_freeze

    through(Client())
    user_freeze(user=User.objects.get(), reason="test")
    assert through(Client()).status_code == 403


def test_linking_and_unlinking_on_the_security_page(provider: OidcProvider) -> None:
    user = User.objects.create_user("bob@example.test", PASSWORD)
    client = signed_in(user)
    assert through(client)["Location"] == "/security"
    assert SocialLink.objects.get().user_id == user.pk
    taken = signed_in(User.objects.create_user("eve@example.test", PASSWORD))
    assert through(taken).status_code == 403, "a subject is one user"
    assert client.post("/social/acme/unlink").status_code == 302
    assert not SocialLink.objects.exists()
    assert client.post("/social/acme/unlink").status_code == 404


def test_the_last_way_in_is_kept(provider: OidcProvider) -> None:
    through(Client())
    with pytest.raises(RejectedError) as refused:
        social_unlink(user=User.objects.get(), provider="acme")
    assert refused.value.code == 2039


@pytest.mark.parametrize(
    "case",
    [
        "address not verified", "verified as text", "no address", "no subject", "wrong audience", "wrong issuer", "expired", "no expiry",
        "other key", "unknown key id", "hs256 with the secret", "for another client", "no id token", "denied",
        "wrong nonce", "no nonce", "nonce as number",
    ],
)  # fmt: skip
def test_identities_that_are_refused(provider: OidcProvider, case: str) -> None:
    now = int(time.time())
    changes: dict[str, dict[str, Any]] = {
        "address not verified": {"email_verified": False},
        "verified as text": {"email_verified": "true"},
        "no address": {"email": None},
        "no subject": {"sub": None},
        "wrong audience": {"aud": "somebody-else"},
        "wrong issuer": {"iss": "http://127.0.0.1:1"},
        "expired": {"exp": now - 600, "iat": now - 900},
        "no expiry": {"exp": None},
        "for another client": {"aud": [CLIENT, "x"], "azp": "x"},
        "wrong nonce": {"nonce": "A" * 32},
        "no nonce": {"nonce": None},
        "nonce as number": {"nonce": 1},
    }
    provider.claims.update(changes.get(case, {}))
    if case == "other key":
        provider.signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    elif case == "unknown key id":
        provider.headers = {"kid": "k2"}
    elif case == "hs256 with the secret":
        provider.algorithm, provider.signing_key = "HS256", SECRET * 2
    elif case == "no id token":
        provider.with_id_token = False
    elif case == "denied":
        provider.deny = True
    client = Client()
    assert through(client).status_code == 403
    assert not User.objects.exists()
    assert client.get("/profile").status_code == 302


def test_each_sign_in_has_a_nonce_of_its_own_that_the_address_cannot_choose(provider: OidcProvider) -> None:
    client, said = Client(), []
    for path in ("/social/acme", "/social/acme", "/social/acme?auth_params=nonce%3Dchosen-by-somebody-else-1"):
        said.append(parse_qs(urlsplit(client.get(path)["Location"]).query)["nonce"][0])
    assert len(set(said)) == 3
    assert "chosen" not in "".join(said)


def test_an_id_token_of_another_sign_in_is_refused(provider: OidcProvider) -> None:
    """A code of one's own put into a victim's callback: PKCE stops the code, the nonce stops the id token."""
    first = Client().get("/social/acme")
    provider.claims["nonce"] = parse_qs(urlsplit(first["Location"]).query)["nonce"][0]
    assert through(Client()).status_code == 403
    assert not User.objects.exists()


def test_a_provider_that_is_away_is_a_refusal(provider: OidcProvider, settings: Any) -> None:
    settings.OIDC_PROVIDERS = [{**settings.OIDC_PROVIDERS[0], "server_url": "http://127.0.0.1:9"}]
    assert Client().get("/social/acme").status_code == 403


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:1", "{url}/", "{url}/x", "", None, 1])
def test_metadata_of_another_issuer_is_refused(provider: OidcProvider, issuer: Any) -> None:
    """One provider must not pass for another, not even when its id tokens agree with its metadata."""
    client = Client()
    back = httpx.get(client.get("/social/acme")["Location"]).headers["Location"].removeprefix("http://testserver")
    said = issuer.format(url=provider.url) if isinstance(issuer, str) else issuer
    provider.metadata = {"issuer": said}
    provider.claims["iss"] = said
    assert Client().get("/social/acme").status_code == 403, "the browser is not even sent there"
    assert client.get(back).status_code == 403
    assert not User.objects.exists()


def test_an_issuer_may_end_with_a_slash(provider: OidcProvider, settings: Any) -> None:
    settings.OIDC_PROVIDERS = [{**settings.OIDC_PROVIDERS[0], "server_url": f"{provider.url}/"}]
    provider.metadata = {"issuer": f"{provider.url}/"}
    provider.claims["iss"] = f"{provider.url}/"
    assert through(Client())["Location"] == "/"


def test_a_callback_without_its_beginning_is_refused(provider: OidcProvider) -> None:
    begun = Client().get("/social/acme")
    back = httpx.get(begun["Location"]).headers["Location"].removeprefix("http://testserver")
    assert Client().get(back).status_code == 403, "another browser's state"
    assert Client().get("/social/acme/callback?code=x&state=y").status_code == 403


def test_an_unknown_provider_is_not_there(provider: OidcProvider) -> None:
    assert Client().get("/social/nobody").status_code == 404
    assert Client().get("/social/nobody/callback").status_code == 404


def test_the_next_page_is_ours(provider: OidcProvider) -> None:
    assert through(Client(), "/social/acme?next=https://evil.test/")["Location"] == "/"


def test_the_protocol_librarys_own_pages_are_not_there(provider: OidcProvider) -> None:
    for path in ("/accounts/", "/accounts/login/", "/accounts/signup/", "/accounts/social/signup/"):
        assert Client().get(path).status_code == 404, path
