"""OpenID Connect: django-allauth speaks the protocol (state, PKCE, code for tokens), the nonce is added here, the services decide what it means.

The id token's signature, issuer, audience and times are always verified here, though it comes over a direct line; nothing but the id token is
believed. allauth's own accounts, sign-in and sign-up are never reached: the adapter answers before them.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from typing import Any

import jwt
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, get_adapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from requests import RequestException

from accounts.selectors.factors import second_factor_enrolled
from accounts.services import social
from accounts.services.sign_in import pending_begin, sign_in_complete
from accounts.services.step_up import step_up_required
from accounts.views.common import own_session, refusals_shown, refused_page
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.throttling import client_address, throttle_demand

log = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
CLAIMS = ("iss", "sub", "aud", "exp", "iat")
LEEWAY_S = 30


def providers() -> list[dict[str, str]]:
    """The providers of this installation: id and name."""
    return [{"id": row["id"], "name": row["name"]} for row in settings.OIDC_PROVIDERS]


def issuer_of(server_url: str) -> str:
    """Who must call themselves so in the metadata and in each id token: the address, without the place of its metadata."""
    return server_url.partition("/.well-known/")[0]


class VerifyingAdapter(OpenIDConnectOAuth2Adapter):
    """allauth's client, with an id token that is verified like one from a stranger."""

    #: What this browser's sign-in sent as its nonce; without one no id token is believed.
    nonce = ""

    @property
    def openid_config(self) -> Any:
        """The provider's metadata, of exactly the issuer we were told of: no provider passes for another."""
        metadata = super().openid_config
        if metadata.get("issuer") != self.get_provider().app.settings["issuer"]:
            raise OAuth2Error("The metadata is of another issuer.")
        return metadata

    def _decode_id_token(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        try:
            kid = jwt.get_unverified_header(id_token).get("kid")
            with get_adapter().get_requests_session() as session:
                answer = session.get(self.openid_config["jwks_uri"])
                answer.raise_for_status()
                keys = jwt.PyJWKSet.from_dict(answer.json())
            key = keys[kid]
            data: dict[str, Any] = jwt.decode(
                id_token,
                key,
                algorithms=list(ALGORITHMS),
                audience=app.client_id,
                issuer=self.openid_config["issuer"],
                leeway=LEEWAY_S,
                options={"require": list(CLAIMS)},
            )
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise OAuth2Error("The id token does not verify.") from error
        if data.get("azp", app.client_id) != app.client_id:
            raise OAuth2Error("The id token is for another client.")
        said = data.get("nonce")
        if not self.nonce or not isinstance(said, str) or not hmac.compare_digest(said.encode(), self.nonce.encode()):
            raise OAuth2Error("The id token is of another sign-in.")
        return data

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> SocialLogin:
        """Take the id token alone; without one there is no sign-in."""
        id_token = kwargs["response"].get("id_token")
        if not isinstance(id_token, str):
            raise OAuth2Error("There is no id token.")
        return self.get_provider().sociallogin_from_response(request, self._decode_id_token(app, id_token))


class _Callback(OAuth2CallbackView):
    """allauth's callback; the nonce lies with the state of the same sign-in, in the browser's session, and is used up with it."""

    def _get_state(self, request: HttpRequest, provider: Any) -> Any:
        state, refusal = super()._get_state(request, provider)
        self.adapter.nonce = str((state or {}).get("nonce") or "")
        return state, refusal


class PortalSocialAdapter(DefaultSocialAccountAdapter):
    """Takes over as soon as allauth knows who it is, or that something went wrong."""

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[SocialApp]:
        """The providers of the settings; none are kept in the database, where their secrets would lie open."""
        return [
            SocialApp(
                provider="openid_connect",
                provider_id=row["id"],
                name=row["name"],
                client_id=row["client_id"],
                secret=row["secret"],
                settings={"server_url": row["server_url"].rstrip("/"), "issuer": issuer_of(row["server_url"])},
            )
            for row in settings.OIDC_PROVIDERS
            if provider in (None, "openid_connect", row["id"]) and client_id in (None, row["client_id"])
        ]

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Decide here, always."""
        data = sociallogin.account.extra_data
        claim = social.Claim(
            sociallogin.account.provider,
            sociallogin.account.uid,
            str(data.get("email") or ""),
            data.get("email_verified") is True,
            str(data.get("name") or ""),
        )
        target = str((sociallogin.state or {}).get("next") or "/")
        if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
            target = "/"
        raise ImmediateHttpResponse(_arrived(request, claim, target))

    def on_authentication_error(self, request: HttpRequest, provider: Any, *args: Any, **options: Any) -> None:
        """A cancelled, forged or failed sign-in."""
        raise ImmediateHttpResponse(refused_page(request, RejectedError(RejectCode.SOCIAL_REFUSED)))


@refusals_shown
def _arrived(request: HttpRequest, claim: social.Claim, target: str) -> HttpResponse:
    if request.user.is_authenticated:
        step_up_required(request, "security")
        social.social_link(user=request.user, claim=claim, keep_session=own_session(request))
        messages.success(request, "Linked. You can sign in with it from now on.")
        return redirect("security")
    user = social.linked_user(claim) or social.user_from_claim(claim)
    if user is None:
        social.pending_set(request.session, claim)
        messages.info(
            request, "You have an account with this address already: sign in to it once, and the two are linked."
        )
        return redirect(f"{reverse('signin')}?{urlencode({'email': claim.email})}")
    if second_factor_enrolled(user.pk):
        pending_begin(request, user)
        return redirect(f"{reverse('second-step')}?{urlencode({'next': target})}")
    sign_in_complete(request, user, method=claim.provider)
    return redirect(target)


def _provider_demand(provider: str) -> None:
    if provider not in {row["id"] for row in providers()}:
        raise Http404


@never_cache
@require_GET
@refusals_shown
def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Send the browser to the provider."""
    _provider_demand(provider_id)
    throttle_demand("login_address", client_address(request))
    provider = VerifyingAdapter(request, provider_id).get_provider()
    provider.oauth2_adapter_class = VerifyingAdapter
    more = provider.get_redirect_from_request_kwargs(request)
    nonce = secrets.token_urlsafe(24)
    # Nothing of the address goes to the provider: it could choose the nonce.
    more |= {"auth_params": {"nonce": nonce}, "scope": None, "nonce": nonce}
    try:
        answer: HttpResponse = provider.redirect(request, **more)
    except ImmediateHttpResponse as done:
        return done.response  # type: ignore[no-any-return]
    except (RequestException, OAuth2Error) as error:
        log.warning("the OpenID provider %s does not answer as it should: %s", provider_id, type(error).__name__)
        return refused_page(request, RejectedError(RejectCode.SOCIAL_REFUSED))
    return answer


@never_cache
@require_GET
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """The browser comes back with a code."""
    _provider_demand(provider_id)
    try:
        answer: HttpResponse = _Callback.adapter_view(VerifyingAdapter(request, provider_id))(request)
    except OAuth2Error:
        # What allauth asks of the metadata before it begins to look for errors.
        log.warning("the OpenID provider %s does not answer as it should", provider_id)
        return refused_page(request, RejectedError(RejectCode.SOCIAL_REFUSED))
    return answer


@require_POST
@refusals_shown
def unlink(request: HttpRequest, provider: str) -> HttpResponse:
    """Forget a link."""
    social.social_unlink(user=request.user, provider=provider, keep_session=own_session(request))  # type: ignore[arg-type]
    messages.success(request, "The link is removed.")
    return redirect("security")
