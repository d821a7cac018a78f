"""From a proved identity to a session: the one way in for password, passkey, second factor and social sign-in.

The cookie's session id changes at sign-in and at each confirmation. A frozen user is let in only by what lifts the freeze: a password set
since the freeze together with a second factor.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import login, logout
from django.http import HttpRequest

from accounts.models import LoginEvent, User
from accounts.selectors.sessions import SESSION_ID
from accounts.services.devices import device_note
from accounts.services.security import user_unfreeze
from accounts.services.sessions import login_event_note, session_begin, session_end
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.throttling import client_address

BACKEND = "accounts.backends.PasswordBackend"


def frozen_demand(request: HttpRequest, user: User, *, second_factor: bool) -> None:
    """Refuse (2031) a frozen user, or unfreeze one who has recovered the password and confirmed with a second factor."""
    if not user.is_frozen:
        return
    recovered = user.password_changed_at is not None and user.password_changed_at > user.frozen_at
    if recovered and second_factor:
        user_unfreeze(user=user, reason="new password and second factor")
        return
    login_event_note(
        user=user,
        outcome=LoginEvent.Outcome.FROZEN,
        method="password",
        ip=client_address(request),
        user_agent=request.META.get("HTTP_USER_AGENT", ""),
    )
    raise RejectedError(RejectCode.USER_FROZEN)


def sign_in_complete(request: HttpRequest, user: User, *, method: str, second_factor: bool = False) -> None:
    """Begin the session: a new session id, its row, the history, the device."""
    frozen_demand(request, user, second_factor=second_factor)
    login(request, user, backend=BACKEND)
    session = session_begin(
        user=user, method=method, ip=client_address(request), user_agent=request.META.get("HTTP_USER_AGENT", "")
    )
    request.session[SESSION_ID] = str(session.pk)
    device_note(request=request, user=user)


def sign_out_complete(request: HttpRequest) -> None:
    """End the session of this browser, here and in every process."""
    session_id, user = request.session.get(SESSION_ID), request.user
    if session_id and user.is_authenticated:
        session_end(user=user, session_id=UUID(session_id))  # type: ignore[arg-type]
    logout(request)


def program_sign_in_demand(request: HttpRequest, *, email: str) -> None:
    """Refuse tokens to a frozen user whose password was right."""
    frozen_demand(request, User.objects.get_by_natural_key(email), second_factor=False)
