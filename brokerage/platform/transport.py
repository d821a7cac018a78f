"""What is said over plain HTTP in production: pages send a browser on to HTTPS, everything for programs is refused.

A redirect would hide the mistake of a program that is set up with ``http://``: its token goes over the wire in the clear with every call, and
every call works. So it is told (2020, 403) and nothing is done. What Django must not redirect is what is refused here: one list,
``SECURE_REDIRECT_EXEMPT`` (``brokerage/settings/production.py``). Does nothing where ``SECURE_SSL_REDIRECT`` is off.
Leaves ending TLS to the proxy, which says so in X-Forwarded-Proto.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem, problem_response
from brokerage.platform.throttling import client_address

log = logging.getLogger("security.transport")
SPOKEN = "The request came over plain HTTP; what it carried has been seen by whoever listens."


class PlainHttpMiddleware:
    """Refuse calls of programs that came without TLS. Stands after the headers' middleware, so that the refusal has them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._for_programs = [re.compile(pattern) for pattern in settings.SECURE_REDIRECT_EXEMPT]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.SECURE_SSL_REDIRECT or request.is_secure():
            return self.get_response(request)
        # The same text that Django compares with its exemptions.
        path = request.path.lstrip("/")
        if not any(pattern.search(path) for pattern in self._for_programs):
            return self.get_response(request)
        carried = "with" if "HTTP_AUTHORIZATION" in request.META or "HTTP_X_API_KEY" in request.META else "without"
        log.warning(
            "plain HTTP refused: %s %s from %s, %s credentials",
            request.method,
            request.path[:200],
            client_address(request),
            carried,
        )
        return problem_response(ApiProblem(RejectCode.TLS_REQUIRED, SPOKEN))


def sockets_over_tls(application: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Refuse WebSockets that came without TLS, as the middleware refuses calls."""

    async def checked(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if not settings.SECURE_SSL_REDIRECT or _came_by_tls(scope):
            await application(scope, receive, send)
            return
        await receive()
        log.warning(
            "plain WebSocket refused: %s from %s", scope["path"][:200], (scope.get("client") or ("unknown",))[0]
        )
        await send({"type": "websocket.close", "code": 4403})

    return checked


def _came_by_tls(scope: dict[str, Any]) -> bool:
    if settings.SECURE_PROXY_SSL_HEADER:
        name, secure = settings.SECURE_PROXY_SSL_HEADER
        wanted = name.removeprefix("HTTP_").replace("_", "-").lower().encode()
        values = [value.decode("latin-1") for header, value in scope.get("headers", []) if header.lower() == wanted]
        if values:
            # The first of a list, as Django reads it.
            return bool(values[0].split(",")[0].strip() == secure)
    return bool(scope.get("scheme") == "wss")
