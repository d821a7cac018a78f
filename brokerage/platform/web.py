"""Plumbing of the pages: security headers, what every template needs, error pages, health and version.

Owns the content security policy (a nonce per request, nothing inline without it) and the error pages of Django's
handlers; below ``/api/`` those answer problem+json. Leaves the refusals themselves to ``problems.py``, page contents to
the apps' views and who is healthy to ``health.py`` (read here from Valkey). Preferences of the page (theme, density,
hidden amounts) are cookies, so that the first byte is right.
"""

from __future__ import annotations

import platform as python_platform
import secrets
import subprocess
from collections.abc import Awaitable, Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from typing import Any
from urllib.parse import unquote
from zoneinfo import available_timezones as read_zones

import msgspec
import redis
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from brokerage.config import BASE_DIR, get_config
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import PROBLEM_TYPE, ApiProblem, problem_document, problem_response
from brokerage.platform.valkey import get_valkey

THEMES = ("system", "light", "dark")
DENSITIES = ("comfortable", "compact")
#: Pages of other makers (admin, API documentation) carry inline scripts; their policy is wider but still same-origin.
FOREIGN_PAGES = ("/admin/", "/api/docs")


@lru_cache(maxsize=1)
def available_timezones() -> frozenset[str]:
    """Return the zone names there are; reading them costs a walk over files, so once."""
    return frozenset(read_zones())


def content_security_policy(nonce: str, path: str, socket_origin: str) -> str:
    """Return the policy for a page; ``socket_origin`` is this host for WebSockets."""
    config = get_config()
    ancestors = " ".join(config.frame_ancestors) or "'none'"
    if path.startswith(FOREIGN_PAGES):
        script, style = "'self' 'unsafe-inline' 'unsafe-eval'", "'self' 'unsafe-inline'"
    else:
        script, style = f"'self' 'nonce-{nonce}'", "'self'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {script}",
            f"style-src {style}",
            "img-src 'self' data:",
            "font-src 'self' data:",
            f"connect-src 'self' {socket_origin}".rstrip(),
            "manifest-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {ancestors}",
        )
    )


class SecurityHeadersMiddleware:
    """Set ``request.csp_nonce`` and the headers that tell a browser what a page may do; sync and async capable."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        request.csp_nonce = secrets.token_urlsafe(16)  # type: ignore[attr-defined]
        if iscoroutinefunction(self):
            return self._call_async(request)
        return self._headers(request, self.get_response(request))  # type: ignore[arg-type]

    async def _call_async(self, request: HttpRequest) -> HttpResponse:
        return self._headers(request, await self.get_response(request))  # type: ignore[misc]

    @staticmethod
    def _headers(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        # 'self' does not cover ws: in every browser, so this host is named; an odd Host must not break the policy.
        host = request.META.get("HTTP_HOST", "")
        safe = host and all(character.isalnum() or character in ".-:[]_" for character in host)
        socket_origin = f"{'wss' if request.is_secure() else 'ws'}://{host}" if safe else ""
        nonce: str = request.csp_nonce  # type: ignore[attr-defined]
        response.setdefault("Content-Security-Policy", content_security_policy(nonce, request.path, socket_origin))
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if response.get("Content-Type", "").startswith("text/html"):
            # Pages show money: neither a shared cache nor the back button after sign-out should have them.
            response.setdefault("Cache-Control", "no-store")
        return response


def preference(request: HttpRequest, name: str, allowed: tuple[str, ...]) -> str:
    """Return a page preference from its cookie, the first allowed value when there is none."""
    value = request.COOKIES.get(name, "")
    return value if value in allowed else allowed[0]


def _zone(request: HttpRequest) -> str:
    """Return the reader's time zone: the one chosen in the profile, else the device's as its cookie says, else none."""
    user = getattr(request, "user", None)
    chosen = getattr(user, "time_zone", "") if user is not None and user.is_authenticated else ""
    name = chosen or unquote(request.COOKIES.get("zone", ""))
    return name if name in available_timezones() else ""


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Return what every page needs: nonce, preferences, request id, kind of installation."""
    config = get_config()
    return {
        "csp_nonce": getattr(request, "csp_nonce", ""),
        "request_id": getattr(request, "request_id", "-"),
        "theme": preference(request, "theme", THEMES),
        "density": preference(request, "density", DENSITIES),
        "hide_amounts": request.COOKIES.get("hide") == "1",
        "zone": _zone(request),
        "is_demo": config.demo,
        "is_debug": config.debug,
    }


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _problem(request: HttpRequest, code: RejectCode, status: int) -> HttpResponse:
    document = problem_document(ApiProblem(code), getattr(request, "request_id", "-"))
    return HttpResponse(msgspec.json.encode({**document, "status": status}), content_type=PROBLEM_TYPE, status=status)


def _error(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    context = {"status": status, "title": title, "text": text}
    return render(request, "errors/error.html", context, status=status)


def refused(request: HttpRequest, error: RejectedError) -> HttpResponse:
    """Answer with a refusal: a problem document below ``/api/``, else a page that says what and what next."""
    if _is_api(request):
        return problem_response(error)
    document = problem_document(error, getattr(request, "request_id", "-"))
    text = f"{document['detail']} {document['next_step']}"
    return _error(request, int(document["status"]), str(document["title"]), text)


def page_400(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer a request that cannot be read."""
    if _is_api(request):
        return _problem(request, RejectCode.MALFORMED, 400)
    return _error(
        request, 400, "This request cannot be read", "Something in the address or the form is not as it should be."
    )


def page_403(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer a request that is not allowed."""
    if _is_api(request):
        return _problem(request, RejectCode.PERMISSION_DENIED, 403)
    return _error(
        request,
        403,
        "You may not open this page",
        "Your sign-in does not include it. Sign in with another account, or go back.",
    )


def page_404(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer a request for something that is not there."""
    if _is_api(request):
        return _problem(request, RejectCode.NOT_FOUND, 404)
    return _error(
        request, 404, "There is no such page", "The address may be mistyped, or it belongs to another account."
    )


def page_500(request: HttpRequest) -> HttpResponse:
    """Answer after a fault. Uses no database and no session: those may be what failed."""
    if _is_api(request):
        return _problem(request, RejectCode.INTERNAL_ERROR, 500)
    context = {"request_id": getattr(request, "request_id", "-"), "theme": preference(request, "theme", THEMES)}
    return render(None, "errors/500.html", context, status=500)  # type: ignore[arg-type]


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose protection token is missing or old."""
    if _is_api(request):
        return _problem(request, RejectCode.CSRF_FAILED, 403)
    return _error(
        request, 403, "This form is out of date", "Nothing was sent. Go back, reload the page and send the form again."
    )


def health_live(request: HttpRequest) -> HttpResponse:
    """Say that this process answers; touches nothing else."""
    return HttpResponse("ok", content_type="text/plain")


def health_ready(request: HttpRequest) -> JsonResponse:
    """Say whether the database, Valkey and the engine answer; 503 and which do not otherwise."""
    checks: dict[str, bool] = {"database": False, "valkey": False, "engine": False}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = True
    except DatabaseError:
        pass
    try:
        # The engine writes its heartbeat every two seconds; the key dies ten seconds after the last.
        checks["engine"] = bool(get_valkey().exists("health:engine"))
        checks["valkey"] = True
    except redis.RedisError:
        pass
    return JsonResponse({"ready": all(checks.values()), "checks": checks}, status=200 if all(checks.values()) else 503)


@lru_cache(maxsize=1)
def _version() -> dict[str, str]:
    def installed(name: str) -> str:
        try:
            return package_version(name)
        except PackageNotFoundError:
            return "unknown"

    try:
        answer = subprocess.run(
            ["git", "-C", str(BASE_DIR), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
        commit = answer.stdout.strip() or "unknown"
    except (OSError, subprocess.TimeoutExpired):
        commit = "unknown"
    return {"commit": commit, "django": installed("django"), "python": python_platform.python_version()}


def version(request: HttpRequest) -> JsonResponse:
    """Say which commit runs and on what."""
    return JsonResponse(_version())
