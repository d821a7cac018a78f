"""Every request of a signed-in browser: is its session still good, and does the browser carry its device cookie; and
what does the page it asks for need.

A session that was ended, stood idle or is too old is signed out before any view sees it. One that no row stands for yet (made by a test
or before this table existed) is given one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django_otp.middleware import OTPMiddleware

from accounts.selectors.factors import second_factor_enrolled
from accounts.selectors.sessions import SESSION_ID, session_state
from accounts.services.sessions import SEEN_EVERY, session_begin, session_seen
from accounts.services.step_up import STRONG, step_up_required
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.policy import REST, ROUTES, Row
from brokerage.platform.policy_doors import factor_missing, staff_demand
from brokerage.platform.policy_fallback import FALLBACK
from brokerage.platform.policy_rules import ANYBODY, NOBODY, NONE, STAFF, Rule, method_of
from brokerage.platform.remembered import Remembered, write_if_there
from brokerage.platform.throttling import client_address
from brokerage.platform.web import refused

log = logging.getLogger(__name__)
DEVICE_COOKIE_S = 365 * 86_400
#: Sent to a browser whose session is over. The cache takes the pages kept for the back button with it, the storage holds nothing of ours today
#: and shall not keep what a script might put there. Not the cookies: Django has deleted the session's, the others are settings and the mark
#: by which a browser is known again, and they would go for every host below ours.
CLEAR_SITE_DATA = '"cache", "storage"'


def _to_second_factor(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        raise RejectedError(RejectCode.SECOND_FACTOR_NEEDED)
    if second_factor_enrolled(request.user.pk):
        return HttpResponseRedirect(f"{reverse('step-up')}?{urlencode({'next': request.get_full_path()})}")
    messages.info(request, "Everybody here needs a second factor. Set up an authenticator, or a passkey, to go on.")
    return HttpResponseRedirect(reverse("totp"))


def _seen(session_id: str, address: str) -> None:
    session_seen(session_id=UUID(session_id), ip=address)
    session_state(session_id, fresh=True)  # what is remembered says so too


class UserSessionMiddleware:
    """Refuse ended sessions; note the others as seen. Stands after AuthenticationMiddleware and AuditContextMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Requests without a session cookie (programs, visitors) cost nothing here.
        # Asked before the user is: Django empties a session made before the password changed when it looks for its user.
        has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
        signed_in = has_session and SESSION_ID in request.session
        if has_session and request.user.is_authenticated:
            self._check(request)
        response = self.get_response(request)
        # Ended here by its user, or found ended: by time, by a freeze or a new password elsewhere. Looking as a client keeps one signed in.
        if signed_in and not request.user.is_authenticated:
            response["Clear-Site-Data"] = CLEAR_SITE_DATA
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
            write_if_there(lambda: _seen(session_id, client_address(request)))


class FactorMiddleware(OTPMiddleware):
    """Which second factor this session gave. While the database is away the last answer stands, as for the user (``accounts/backends.py``)."""

    _devices: Remembered[str, Any] = Remembered(0)

    def _device_from_persistent_id(self, persistent_id: str) -> Any:
        return self._devices.get(
            persistent_id, lambda: super(FactorMiddleware, self)._device_from_persistent_id(persistent_id)
        )


class PolicyMiddleware:
    """The door of every page: what its row in the one table asks, before any view is reached. A route without a row is closed.

    REST has a door of its own (``policy_doors.api_demand``), because who calls is known there only after the body was begun.
    """

    table: dict[str, Row] = ROUTES

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """The refusal or the way to sign in; None lets through."""
        match = request.resolver_match
        name = match.view_name if match else ""
        if name in REST:
            return None
        row = self.table.get(name, {})
        rule = row.get(method_of(request.method or ""))
        if rule is None and row:
            return HttpResponseNotAllowed([*row])
        if rule is None:
            log.error("no row of the policy table lets anybody use %s", name)
            rule = NOBODY
        try:
            return self._turned_away(request, rule)
        except RejectedError as error:
            return refused(request, error)

    def _factor_asked(self, request: HttpRequest) -> HttpResponse:
        return _to_second_factor(request)

    def _turned_away(self, request: HttpRequest, rule: Rule) -> HttpResponse | None:
        if factor_missing(request, rule):
            return self._factor_asked(request)
        if rule.who == ANYBODY:
            return None
        user = request.user
        if not user.is_authenticated:
            return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': request.get_full_path()})}")
        if rule.who == NONE:
            raise RejectedError(RejectCode.PERMISSION_DENIED)
        if rule.who == STAFF:
            staff_demand(rule, user, verified=user.is_verified(), address=client_address(request))
        if rule.step_up:
            try:
                step_up_required(request, rule.step_up)
            except RejectedError as error:
                if error.code == RejectCode.SECOND_FACTOR_NEEDED:
                    return HttpResponseRedirect(f"{reverse('totp')}?{urlencode({'next': request.get_full_path()})}")
                if error.code != RejectCode.STEP_UP_NEEDED:
                    raise
                # Back to see the page, not to repeat a write; a form of money is begun again, so that what was typed is looked at anew.
                again = request.method == "GET" or rule.step_up in STRONG
                target = request.get_full_path() if again else reverse("security")
                return HttpResponseRedirect(f"{reverse('step-up')}?{urlencode({'next': target})}")
        return None


class FallbackPolicyMiddleware(PolicyMiddleware):
    """The same door before the routes of the fallback app, by its own table. A second factor cannot be set up there."""

    table = FALLBACK

    def _factor_asked(self, request: HttpRequest) -> HttpResponse:
        raise RejectedError(
            RejectCode.SECOND_FACTOR_NEEDED, "Everybody here needs a second factor, and this sign-in has given none."
        )
