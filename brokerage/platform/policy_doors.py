"""What the doors ask: the row of a REST call, and what every staff route needs."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from django.conf import settings

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.policy import ROUTES
from brokerage.platform.policy_rules import ANYBODY, NOBODY, NONE, PERSON, STAFF, Rule, factor_asked, method_of
from brokerage.platform.problems import ApiProblem
from brokerage.platform.signing import KeyGrant


def address_allowed(address: str) -> bool:
    """Tell whether staff routes are open from an address."""
    if not settings.STAFF_NETWORKS:
        return True
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(known in ipaddress.ip_network(network) for network in settings.STAFF_NETWORKS)


_has_factor: list[Callable[[Any], bool]] = []


def factor_lookup_register(lookup: Callable[[Any], bool]) -> None:
    """``accounts`` says how to ask whether a user (by key) has a second factor."""
    _has_factor[:] = [lookup]


def staff_demand(rule: Rule, user: Any, *, verified: bool, address: str) -> None:
    """Refuse who is no staff or has not the permission (2012), a wrong network (2092), a caller without second factor (2091)."""
    if not user.is_staff:
        raise ApiProblem(RejectCode.PERMISSION_DENIED)
    if not address_allowed(address):
        raise ApiProblem(RejectCode.ADDRESS_NOT_ALLOWED)
    if rule.permission and not user.has_perm(rule.permission):
        raise ApiProblem(RejectCode.PERMISSION_DENIED, needed=rule.permission)
    if settings.STAFF_SECOND_FACTOR and not verified:
        raise ApiProblem(RejectCode.STAFF_FACTOR_NEEDED)


def factor_missing(request: Any, rule: Rule) -> bool:
    """Tell whether everybody needs a second factor for this, and this browser has not given one. ``request`` is Django's.

    Looking as a client is the staff's, whose factor was asked for at their own door.
    """
    if not settings.CLIENT_SECOND_FACTOR or not factor_asked(rule) or getattr(request, "view_as", None) is not None:
        return False
    return bool(request.user.is_authenticated and not request.user.is_verified())


def api_demand(request: Any, address: str) -> None:
    """Refuse a REST call that its row does not allow: scopes of a key (2066), and what staff need. Without a row: nobody."""
    match = request._request.resolver_match
    row = ROUTES.get(match.view_name if match else "", {})
    method = method_of(request.method)
    if row and method not in row:
        return  # the view does not have it and says so
    rule = row.get(method, NOBODY)
    if rule.who == ANYBODY:
        return
    if rule.who == NONE:
        raise ApiProblem(RejectCode.PERMISSION_DENIED)
    grant = request.auth
    if isinstance(grant, KeyGrant) and rule.key not in grant.scopes:
        if rule.key == PERSON:
            raise ApiProblem(
                RejectCode.SCOPE_MISSING,
                "API keys cannot do this.",
                next_step="Do it signed in, in the portal or with a token.",
            )
        raise ApiProblem(RejectCode.SCOPE_MISSING, needed=rule.key, available=" ".join(sorted(grant.scopes)))
    # Tokens were given for a second factor (``accounts/api/tokens.py``), keys are made by who gave one: only sessions are asked here.
    if grant is None and factor_missing(request._request, rule):
        raise ApiProblem(
            RejectCode.SECOND_FACTOR_NEEDED, next_step="Set up a second factor in the portal, or confirm with it."
        )
    if rule.who == STAFF:
        # A token of somebody with a second factor was given for one (``accounts/api/tokens.py``); a session says so itself.
        verified = request._request.user.is_verified() if grant is None else _has_factor[0](request.user.pk)
        staff_demand(rule, request.user, verified=verified, address=address)
