"""The door of the staff pages, and looking at the portal as a client.

``StaffGateMiddleware`` lets through: the right network, somebody signed in, staff, with a second factor in this session. What a page needs
beyond that (a permission) is its own business. ``ViewAsMiddleware`` shows the portal as a client sees it: read only, with an end, each page
in the audit trail. Both leave everybody else's requests alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts.selectors.factors import second_factor_enrolled
from backoffice.services.view_as import view_as_current, view_as_seen
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.policy_doors import address_allowed
from brokerage.platform.throttling import client_address
from brokerage.platform.web import refused

GetResponse = Callable[[HttpRequest], HttpResponse]
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: The only writes while looking as a client: ending the session altogether.
WRITES_ALLOWED = frozenset({"/signout"})


def is_staff_path(path: str) -> bool:
    """Tell whether a path belongs to staff."""
    return any(
        path == prefix.rstrip("/") or path.startswith(prefix.rstrip("/") + "/") for prefix in settings.STAFF_PREFIXES
    )


class StaffGateMiddleware:
    """Network, sign-in, staff, second factor: in this order."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_staff_path(request.path):
            return self.get_response(request)
        answer = self._turned_away(request)
        return self.get_response(request) if answer is None else answer

    @staticmethod
    def _turned_away(request: HttpRequest) -> HttpResponse | None:
        if not address_allowed(client_address(request)):
            return refused(request, RejectedError(RejectCode.ADDRESS_NOT_ALLOWED))
        api = request.path.startswith("/api/")
        user: Any = request.user
        if not user.is_authenticated:
            if api:
                return refused(request, RejectedError(RejectCode.NOT_AUTHENTICATED))
            return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': request.get_full_path()})}")
        if not user.is_staff:
            return refused(request, RejectedError(RejectCode.PERMISSION_DENIED))
        if settings.STAFF_SECOND_FACTOR and not user.is_verified():
            if api or request.method not in SAFE:
                return refused(request, RejectedError(RejectCode.STAFF_FACTOR_NEEDED))
            page = reverse("step-up" if second_factor_enrolled(user.pk) else "totp")
            return HttpResponseRedirect(f"{page}?{urlencode({'next': request.get_full_path()})}")
        return None


class ViewAsMiddleware:
    """Swap the user for the client looked at; everywhere but on staff pages, where one stays oneself."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not view_as_known(request) or is_staff_path(request.path):
            return self.get_response(request)
        view = view_as_current(request)
        if view is None:
            return self.get_response(request)
        if request.method not in SAFE and request.path not in WRITES_ALLOWED:
            return refused(request, RejectedError(RejectCode.VIEW_AS_READ_ONLY))
        request.real_user = request.user  # type: ignore[attr-defined]
        request.user = view.client
        # Whatever asks for the client's second factor gets the true answer: it was not given.
        request.user.otp_device = None  # type: ignore[union-attr]
        request.user.is_verified = lambda: False  # type: ignore[union-attr]
        request.on_behalf_of = str(view.client_id)  # type: ignore[attr-defined]
        request.view_as = view  # type: ignore[attr-defined]
        view_as_seen(view=view, path=request.path)
        return self.get_response(request)


def view_as_known(request: HttpRequest) -> bool:
    """Tell whether this session looks as somebody, without opening sessions of callers that have none."""
    return settings.SESSION_COOKIE_NAME in request.COOKIES and "view_as" in request.session
