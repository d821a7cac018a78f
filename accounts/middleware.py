"""Every request of a signed-in browser: is its session still good, and does the browser carry its device cookie.

A session that was ended, stood idle or is too old is signed out before any view sees it. One that no row stands for yet (made by a test
or before this table existed) is given one.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

from accounts.selectors.sessions import SESSION_ID, session_state, sessions_forget
from accounts.services.sessions import SEEN_EVERY, session_begin, session_seen
from brokerage.kernel.clock import utc_now
from brokerage.platform.throttling import client_address

DEVICE_COOKIE_S = 365 * 86_400


class UserSessionMiddleware:
    """Refuse ended sessions; note the others as seen. Stands after AuthenticationMiddleware and AuditContextMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Requests without a session cookie (programs, visitors) cost nothing here.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            self._check(request)
        response = self.get_response(request)
        fresh = getattr(request, "device_cookie", "")
        if fresh:
            response.set_cookie(
                settings.DEVICE_COOKIE_NAME,
                fresh,
                max_age=DEVICE_COOKIE_S,
                httponly=True,
                samesite="Lax",
                secure=settings.SESSION_COOKIE_SECURE,
            )
        return response

    @staticmethod
    def _check(request: HttpRequest) -> None:
        session_id = request.session.get(SESSION_ID, "")
        if not session_id:
            row = session_begin(
                user=request.user,  # type: ignore[arg-type]
                method="session",
                ip=client_address(request),
                user_agent=request.META.get("HTTP_USER_AGENT", ""),
            )
            request.session[SESSION_ID] = str(row.pk)
            return
        state = session_state(session_id)
        if state is None or not state.alive or state.user_id != request.user.pk or not request.user.is_active:
            logout(request)
        elif utc_now() - state.last_seen_at > SEEN_EVERY:
            session_seen(session_id=UUID(session_id), ip=client_address(request))
            sessions_forget()
