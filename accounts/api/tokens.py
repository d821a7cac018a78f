"""Signing in for programs: access and refresh tokens (JWT).

An access token lasts ten minutes. A refresh token is used once: its successor comes with the answer, and using it
again is refused. Owns issuing, rotating and revoking. Leaves checking of access tokens to
``brokerage/platform/auth.py``.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.auth import user_for_token
from brokerage.platform.problems import ApiProblem


def tokens_issue(request: HttpRequest, *, email: str, password: str) -> dict[str, Any]:
    """Tokens for a right e-mail and password; ApiProblem 2016 otherwise, the same for every reason."""
    user = authenticate(request, username=email, password=password)
    if user is None:
        raise ApiProblem(RejectCode.INVALID_CREDENTIALS)
    return _pair(user)


def tokens_rotate(refresh: str) -> dict[str, Any]:
    """New tokens for a refresh token that was not used before."""
    token = _spend(refresh)
    user = user_for_token(str(token.get(api_settings.USER_ID_CLAIM, "")))
    claim = token.get(api_settings.REVOKE_TOKEN_CLAIM)
    if user is None or (claim is not None and claim != get_md5_hash_password(user.password)):
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The refresh token is not valid.")
    return _pair(user)


def tokens_revoke(refresh: str) -> None:
    """Make a refresh token useless. One that already is, stays so."""
    try:
        _spend(refresh)
    except ApiProblem as problem:
        if problem.code not in {RejectCode.TOKEN_EXPIRED, RejectCode.NOT_AUTHENTICATED}:
            raise


def _spend(refresh: str) -> Any:
    """Check a refresh token and mark it used, in one step, so that two at once cannot both pass."""
    try:
        token = RefreshToken(refresh)  # type: ignore[arg-type]
    except ExpiredTokenError as error:
        raise ApiProblem(
            RejectCode.TOKEN_EXPIRED, "The refresh token has run out.", next_step="Sign in again."
        ) from error
    except (TokenError, ValueError, TypeError) as error:
        raise ApiProblem(
            RejectCode.NOT_AUTHENTICATED, "The refresh token is not valid.", next_step="Sign in again."
        ) from error
    outstanding = OutstandingToken.objects.filter(jti=token[api_settings.JTI_CLAIM]).first()
    if outstanding is None:
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The refresh token is not valid.", next_step="Sign in again.")
    try:
        with transaction.atomic():
            BlacklistedToken.objects.create(token=outstanding)
    except IntegrityError as error:
        raise ApiProblem(
            RejectCode.NOT_AUTHENTICATED, "The refresh token was used before.", next_step="Sign in again."
        ) from error
    return token


def _pair(user: Any) -> dict[str, Any]:
    token = RefreshToken.for_user(user)
    seconds = int(api_settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    return {"access": str(token.access_token), "refresh": str(token), "expires_in": seconds}
