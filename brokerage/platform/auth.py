"""Who is calling: bearer tokens for programs, the session for the portal's own scripts, tickets for WebSockets.

Owns the two DRF authentication classes, the cache of users behind tokens and the one-use tickets. Leaves signing in
and registering to ``accounts/services`` and what a caller may touch to ``accounts/selectors/access.py``.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import redis
from django.contrib.auth import get_user_model
from django.core import signing
from django.middleware.csrf import CsrfViewMiddleware
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from brokerage.kernel.clock import NS_PER_S
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from brokerage.platform.remembered import Remembered
from brokerage.platform.signing import keys_forget
from brokerage.platform.tokens import families_forget, family_alive, password_mark, token_check
from brokerage.platform.valkey import get_valkey

#: A user who is shut out is out of every process after this long.
USER_AGE_NS = 3 * NS_PER_S
#: A second factor is fresh for this long.
TICKET_S = 30
TICKET_SALT = "ws-ticket"

log = logging.getLogger(__name__)

_users: Remembered[str, Any] = Remembered(USER_AGE_NS)


def user_for_token(user_id: str) -> Any:
    """The active user with that id, or None; remembered for three seconds."""

    def ask() -> Any:
        user = get_user_model().objects.filter(pk=user_id, is_active=True).first()
        return None if user is None or getattr(user, "is_frozen", False) else user

    try:
        UUID(user_id)
    except ValueError:
        return None
    return _users.get(user_id, ask)


def users_forget(user_id: object = None) -> None:
    """Drop what is remembered of a user, their sign-ins and keys, or of all: after a change in this process, and between tests."""
    whose = None if user_id is None else str(user_id)
    _users.forget(whose)
    families_forget(whose)
    keys_forget(whose)


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a bearer token gives: ``request.auth`` of such a call."""

    family: str
    ends_s: int


def access_token_grant(token: str) -> tuple[Any, TokenGrant]:
    """User and grant of an access token; ApiProblem 2011 when it has run out, 2010 when it is no good."""
    said = token_check(token, "access")
    user = user_for_token(said.user)
    if user is None or not family_alive(said.family, said.user):
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The access token is not valid.")
    # A token made before the password changed is dead.
    if said.password != password_mark(user):
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The password was changed since this token was issued.")
    return user, TokenGrant(said.family, said.ends_s)


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer <access token>``."""

    def authenticate(self, request: Request) -> tuple[Any, TokenGrant] | None:
        """The user, or None when no bearer token was sent."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            if header:
                raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "Authorization must be a Bearer token.")
            return None
        token = token.strip()
        if not token or len(token) > 4096:
            raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "Authorization must be a Bearer token.")
        return access_token_grant(token)

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says one should send."""
        return 'Bearer realm="api"'


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: Any, reason: str) -> str:  # type: ignore[override]
        return reason


class PortalSessionAuthentication(BaseAuthentication):
    """The portal's session; every write must carry the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """The signed-in user, or None."""
        user = getattr(request._request, "user", None)
        if user is None or not user.is_authenticated or not user.is_active:
            return None
        check = _CsrfCheck(lambda _request: None)  # type: ignore[arg-type, return-value]
        check.process_request(request._request)
        if check.process_view(request._request, None, (), {}):  # type: ignore[arg-type]
            raise ApiProblem(RejectCode.CSRF_FAILED)
        return user, None


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the bearer token is described in the OpenAPI document."""

    target_class = "brokerage.platform.auth.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the portal's session is described in the OpenAPI document."""

    target_class = "brokerage.platform.auth.PortalSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a verified ticket says: whose socket, for which account (its number, or empty), asked for with which credential (or empty)."""

    user_id: str
    account: str
    credential: str = ""


def ticket_issue(user: Any, account: str = "", credential: str = "") -> str:
    """A signed ticket for one WebSocket, good once within TICKET_S seconds and no longer than the credential it was asked with stands.

    ``credential`` is ``key:…``, ``family:…`` or ``session:…`` (``accounts/selectors/credentials.py``).
    """
    return signing.dumps([str(user.pk), account, secrets.token_urlsafe(12), credential], salt=TICKET_SALT)


def ticket_verify(ticket: str) -> Ticket:
    """Use a ticket up; ApiProblem 2010 when it is forged, old or used, 9013 when that cannot be known."""
    try:
        user_id, account, nonce, credential = signing.loads(ticket, salt=TICKET_SALT, max_age=TICKET_S)
    except signing.SignatureExpired as error:
        raise ApiProblem(RejectCode.TOKEN_EXPIRED, "The ticket is too old.") from error
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The ticket is not valid.") from error
    try:
        fresh = get_valkey().set(f"ticket:{nonce}", "1", nx=True, ex=TICKET_S * 2)
    except redis.RedisError as error:
        # Without the list of used tickets one could be used twice: refuse.
        raise ApiProblem(RejectCode.OVERLOADED, "Tickets cannot be checked at the moment.") from error
    if not fresh:
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The ticket was used before.")
    user = user_for_token(user_id)
    if user is None:
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The ticket is not valid.")
    return Ticket(user_id, account, credential)
