"""From a proved identity to a session: the one way in for password, passkey, second factor and social sign-in.

The cookie's session id changes at sign-in and at each confirmation. A frozen user is let in only by what lifts the freeze: a password set
since the freeze together with a second factor.
"""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django_otp.models import Device

from accounts.models import LoginEvent, User
from accounts.selectors.factors import second_factor_enrolled
from accounts.selectors.sessions import SESSION_ID
from accounts.services.devices import device_note, device_place
from accounts.services.registration import first_account_open
from accounts.services.second_factor import code_verify
from accounts.services.security import user_unfreeze
from accounts.services.sessions import login_event_note, session_begin, session_end
from accounts.services.social import pending_link
from accounts.services.step_up import proof_set
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.throttling import client_address

PENDING = "pending_sign_in"
#: From the password to the second factor, in seconds.
PENDING_S = 600
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


def pending_begin(request: HttpRequest, user: User) -> None:
    """The password was right and a second factor is still to come: remember whose, under a new session id."""
    request.session.cycle_key()
    request.session[PENDING] = {"user": str(user.pk), "at": SYSTEM_CLOCK.now_ns() // NS_PER_S, "hash": _mark(user)}


def pending_user(request: HttpRequest) -> User | None:
    """Who is between password and second factor; None when nobody is, it took too long, or the password changed meanwhile."""
    pending = request.session.get(PENDING)
    if not pending or SYSTEM_CLOCK.now_ns() // NS_PER_S - pending["at"] > PENDING_S:
        return None
    user = User.objects.filter(pk=pending["user"], is_active=True).first()
    return user if user is not None and constant_time_compare(pending["hash"], _mark(user)) else None


def _mark(user: User) -> str:
    return user.get_session_auth_hash()


def sign_in_complete(request: HttpRequest, user: User, *, method: str, device: Device | None = None) -> None:
    """Begin the session: a new session id, its row, the history, the browser. ``device`` is the second factor that was used."""
    frozen_demand(request, user, second_factor=device is not None)
    first_account_open(user)
    request.session.pop(PENDING, None)
    login(request, user, backend=BACKEND)
    proof_set(request, method=method, strong=device is not None)
    session = session_begin(
        user=user, method=method, ip=client_address(request), user_agent=request.META.get("HTTP_USER_AGENT", "")
    )
    request.session[SESSION_ID] = str(session.pk)
    device_note(request=request, user=user)
    # After the session is whole: linking ends the others.
    if pending_link(request.session, user, keep_session=session.pk):
        messages.success(request, "Linked: you can sign in with the other provider from now on.")


def sign_out_complete(request: HttpRequest) -> None:
    """End the session of this browser, here and in every process."""
    # Who looks as a client signs out as themselves.
    session_id, user = request.session.get(SESSION_ID), getattr(request, "real_user", request.user)
    if session_id and user.is_authenticated:
        session_end(user=user, session_id=UUID(session_id))  # type: ignore[arg-type]
    logout(request)


def program_sign_in_demand(request: HttpRequest, *, email: str, code: str) -> None:
    """Refuse tokens to a user whose password was right: frozen (2031), or without the second factor they have set up (2035, 2036).

    Where everybody needs a second factor, who has none gets no tokens (2035). A user who has only passkeys cannot sign in for tokens with a
    password.
    """
    user = User.objects.get_by_natural_key(email)
    if second_factor_enrolled(user.pk):
        if not code:
            raise RejectedError(RejectCode.SECOND_FACTOR_NEEDED, field="code")
        second_factor_check(request, user, code=code)
        frozen_demand(request, user, second_factor=True)
    elif settings.CLIENT_SECOND_FACTOR:
        raise RejectedError(
            RejectCode.SECOND_FACTOR_NEEDED, "Everybody here needs a second factor: set one up in the portal first."
        )
    else:
        frozen_demand(request, user, second_factor=False)


def second_factor_check(request: HttpRequest, user: User, *, code: str) -> str:
    """Use up a code; a wrong one is noted in the user's history. Returns ``totp`` or ``recovery``."""
    try:
        return code_verify(user=user, code=code, place=device_place(request, user.email))
    except RejectedError as error:
        if error.code == RejectCode.WRONG_CODE:
            login_event_note(
                user=user,
                outcome=LoginEvent.Outcome.WRONG_CODE,
                method="code",
                ip=client_address(request),
                user_agent=request.META.get("HTTP_USER_AGENT", ""),
            )
        raise
