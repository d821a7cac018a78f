"""Who tried what they may not: every refusal of a right is a line of the security log, and the audit trail keeps it without being filled by it.

    page, REST call ──RefusalLogMiddleware──┐
    private stream  ──────refusal_note──────┴──> log "security.access" (each one) and audit ``access.refused`` (bounded)

Counted are answers 401 and 403, being sent to sign in, and 404 where a route names somebody's object: a stranger's does not exist. In the trail
stand the first of one actor on one route in one minute and then the tenth, the hundredth and so on, with the count: a flood of a million is
seven entries. Actors that nobody signed in for are one actor. Wrong passwords and codes have records of their own (``sign_in.refused``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import Actor, actor_of, record
from brokerage.platform.policy import ROUTES
from brokerage.platform.policy_fallback import FALLBACK
from brokerage.platform.policy_rules import NOTHING, method_of
from brokerage.platform.throttling import client_address, throttle_hit

log = logging.getLogger("security.access")
#: What these refuse is a wrong password, code or link, and recorded as such where it is found out.
SIGN_INS = frozenset(
    {
        "signin",
        "signup",
        "second-step",
        "passkey-use",
        "passkey-use-options",
        "step-up",
        "api-token",
        "api-register",
        "fallback-signin",
        "fallback-second",
    }
)
#: Refusals of one actor that may be counted in one minute, over all routes: beyond it only the log tells.
ACTS_PER_MINUTE = 30
_POWERS = frozenset(10**n for n in range(10))


def refusal_note(*, route: str, method: str, code: int, actor: Actor, address: str, path: str = "") -> None:
    """Log one refusal, and record it when its count is one, ten, a hundred … in this minute. Never raises for its own troubles."""
    who = f"{actor.type}:{actor.id}" if actor.id else actor.type
    fields = {"route": route, "method": method, "code": code, "actor": who, "on_behalf_of": actor.on_behalf_of}
    log.warning(
        "access refused route=%s method=%s code=%d actor=%s on_behalf_of=%s address=%s path=%s",
        *(value or "-" for value in fields.values()),
        address,
        path[:200] or "-",
        extra={**fields, "address": address},
    )
    try:
        count = throttle_hit("refused", f"{who}:{route}").used
        if count not in _POWERS or throttle_hit("refused_acts", who).used > ACTS_PER_MINUTE:
            return
        with transaction.atomic():
            record(
                "access.refused",
                object_type="route",
                object_id=route,
                actor=actor,
                after={"method": method, "code": code, "count": count},
            )
    except DatabaseError:
        log.exception("a refusal could not be recorded")


def _code_of(request: HttpRequest, response: HttpResponse) -> int:
    """The refusal an answer means, 0 when it is none."""
    match = request.resolver_match
    name = match.view_name if match else ""
    if response.status_code in {401, 403}:
        default = RejectCode.NOT_AUTHENTICATED if response.status_code == 401 else RejectCode.PERMISSION_DENIED
        code: int = getattr(response, "refusal_code", default)
        return 0 if name in SIGN_INS and code != RejectCode.CSRF_FAILED else int(code)
    signed_in = request.user.is_authenticated
    if response.status_code == 302 and not signed_in:
        return int(RejectCode.NOT_AUTHENTICATED) if response["Location"].startswith(f"{settings.LOGIN_URL}?") else 0
    if response.status_code == 404 and signed_in:
        rule = (ROUTES.get(name) or FALLBACK.get(name, {})).get(method_of(request.method or ""))
        return int(RejectCode.NOT_FOUND) if rule is not None and rule.of != NOTHING else 0
    return 0


class RefusalLogMiddleware:
    """Note what was refused. Stands after AuditContextMiddleware and before every door."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code in {302, 401, 403, 404} and (code := _code_of(request, response)):
            match = request.resolver_match
            user: Any = getattr(request, "real_user", None) or request.user
            refusal_note(
                route=match.view_name if match else "-",
                method=request.method or "",
                code=code,
                actor=actor_of(user, getattr(request, "on_behalf_of", "")),
                address=client_address(request),
                path=request.path,
            )
        return response
