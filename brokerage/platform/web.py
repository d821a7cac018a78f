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
import sys
from collections.abc import Awaitable, Callable
from functools import lru_cache, wraps
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from typing import Any
from urllib.parse import unquote
from zoneinfo import available_timezones as read_zones

import msgspec
import redis
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from brokerage.config import BASE_DIR, get_config
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform.problems import PROBLEM_TYPE, ApiProblem, problem_document, problem_response, refusal_text
from brokerage.platform.remembered import AWAY
from brokerage.platform.valkey import get_valkey

View = Callable[..., HttpResponseBase]
THEMES = ("system", "light", "dark")
DENSITIES = ("comfortable", "compact")
NOBODY = "'none'"
#: Powerful features no page here uses.
PERMISSIONS_OFF = (
    "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media", "geolocation", "gyroscope", "hid",
    "idle-detection", "local-fonts", "magnetometer", "microphone", "midi", "payment", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
PERMISSIONS_POLICY = ", ".join(f"{name}=()" for name in PERMISSIONS_OFF)


@lru_cache(maxsize=1)
def available_timezones() -> frozenset[str]:
    """Return the zone names there are; reading them costs a walk over files, so once."""
    return frozenset(read_zones())


def content_security_policy(nonce: str, path: str, socket_origin: str, ancestors: tuple[str, ...] = ()) -> str:
    """Return the policy for a page; ``socket_origin`` is this host for WebSockets, ``ancestors`` who may show it in a frame: nobody.

    Two makers' pages get the least more that they need. The administration's own script (Alpine) compiles the expressions in its
    attributes, hence eval, but inline scripts stay refused there too; it and the API documentation carry inline styles.
    """
    script, style = f"'self' 'nonce-{nonce}'", "'self'"
    if path.startswith(f"/{settings.ADMIN_PATH}/"):
        script, style = "'self' 'unsafe-eval'", "'self' 'unsafe-inline'"
    elif path == "/api/docs":
        script, style = "'self'", "'self' 'unsafe-inline'"
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
            f"frame-ancestors {' '.join(ancestors) or NOBODY}",
        )
    )


def embeddable(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let the partner of the address (``partner=``) show a page in a frame: their origins and no others; unknown partners get 404.

    With ``?origin=`` only that one of them, as a page that signs in needs. Such a page looks at no session and sets no cookie: what a
    foreign page shows in a frame must not act as the reader.
    """

    @wraps(view)
    def page(request: HttpRequest, *, partner: str, **kwargs: Any) -> HttpResponse:
        origins = dict(get_config().embed_partners).get(partner)
        only = request.GET.get("origin")
        if origins is None or (only is not None and only not in origins):
            raise Http404
        if only is not None:
            origins = (only,)
        response = view(request, partner=partner, **kwargs)
        response.frame_ancestors = origins  # type: ignore[attr-defined]
        response.xframe_options_exempt = True  # type: ignore[attr-defined]
        response["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response

    return page


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
        ancestors: tuple[str, ...] = getattr(response, "frame_ancestors", ())
        response.setdefault(
            "Content-Security-Policy", content_security_policy(nonce, request.path, socket_origin, ancestors)
        )
        response.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.setdefault("X-Permitted-Cross-Domain-Policies", "none")
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
    row = reject_row(error.code)
    page = _error(request, row.http, row.title, refusal_text(error))
    page.refusal_code = int(row.code)  # type: ignore[attr-defined]
    return page


def refusing_page(view: View) -> View:
    """A page of records or acts, never kept by a cache: a refusal is a page that says why and what next, what is not there is 404.

    Who may open it, the doors of the policy table and (for staff) the gate have seen to before.
    """

    @wraps(view)
    @never_cache
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except RejectedError as error:
            if error.code == RejectCode.NOT_FOUND:
                raise Http404 from error
            return refused(request, error)

    return page


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
    """Answer after a fault, with 503 when the database does not answer. Uses no database and no session: those may be what failed."""
    away = isinstance(sys.exception(), AWAY)
    status = 503 if away else 500
    if _is_api(request):
        return _problem(request, RejectCode.OVERLOADED if away else RejectCode.INTERNAL_ERROR, status)
    context = {
        "request_id": getattr(request, "request_id", "-"),
        "theme": preference(request, "theme", THEMES),
        "status": status,
        "away": away,
        # One slash: two would name another host.
        "again": "/" + request.get_full_path().lstrip("/") if away and request.method == "GET" else "/",
    }
    answer = render(None, "errors/500.html", context, status=status)  # type: ignore[arg-type]
    if away:
        answer["Retry-After"] = "5"
    return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose protection token is missing or old."""
    if _is_api(request):
        answer = _problem(request, RejectCode.CSRF_FAILED, 403)
    else:
        words = "Nothing was sent. Go back, reload the page and send the form again."
        answer = _error(request, 403, "This form is out of date", words)
    answer.refusal_code = int(RejectCode.CSRF_FAILED)  # type: ignore[attr-defined]
    return answer


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
