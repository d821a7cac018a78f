"""Signing in for programs: access and refresh tokens for an e-mail and password.

Leaves sign-ins and their tokens to ``accounts/services/token_families.py``, checking of access tokens to ``brokerage/platform/auth.py``.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from django.http import HttpRequest

from accounts.services.registration import first_account_open
from accounts.services.sign_in import program_sign_in_demand
from accounts.services.token_families import family_begin
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from brokerage.platform.throttling import client_address


def tokens_issue(request: HttpRequest, *, email: str, password: str, name: str = "", code: str = "") -> dict[str, Any]:
    """Tokens for a right e-mail and password; ApiProblem 2016 otherwise, the same for every reason. Then 2031, 2035 or 2036."""
    user = authenticate(request, username=email, password=password)
    if user is None:
        raise ApiProblem(RejectCode.INVALID_CREDENTIALS)
    program_sign_in_demand(request, email=email, code=code)
    return tokens_for(request, user, name=name)


def tokens_for(request: HttpRequest, user: Any, *, name: str = "") -> dict[str, Any]:
    """Tokens for a user who proved who they are."""
    first_account_open(user)
    agent = "".join(letter for letter in request.headers.get("User-Agent", "") if letter.isprintable())
    return family_begin(user=user, name=name, agent=agent, address=client_address(request))
