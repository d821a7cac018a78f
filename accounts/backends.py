"""The password back end: every password, from a page or a program, is checked here, once, behind the lockout.

An unknown address costs as many hashes and queries as a known one: what is kept of a wrong try is written by a job. A frozen user's right
password is answered with 2031; a wrong one tells nothing.
"""

from __future__ import annotations

import copy
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import LoginEvent, User
from accounts.services.devices import device_place
from accounts.services.lockout import lockout_clear, lockout_demand, lockout_fail
from accounts.services.sessions import sign_in_refused
from brokerage.kernel.clock import utc_now
from brokerage.platform.jobs import enqueue
from brokerage.platform.remembered import Remembered
from brokerage.platform.throttling import client_address

#: Asked with every request; believed only while the database is away.
_users: Remembered[str, User | None] = Remembered(0)


class PasswordBackend(ModelBackend):
    """E-mail and password; and the user of every session, as all are begun with this back end."""

    def get_user(self, user_id: Any) -> User | None:
        """The user of a session. A copy of what is remembered: requests hang things on it and may change it."""
        user = _users.get(str(user_id), lambda: copy.copy(super(PasswordBackend, self).get_user(user_id)))
        return copy.copy(user)

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """The user, or None. ApiProblem 2030 while locked, 2013 while too many passwords are being checked."""
        if username is None or password is None:
            return None
        place = device_place(request, username)
        lockout_demand(email=username, place=place)
        user = User.objects.filter(email__iexact=username).first()
        if user is None:
            User().set_password(password)
        elif user.check_password(password) and self.user_can_authenticate(user):
            lockout_clear(email=username, place=place)
            return user
        lockout_fail(email=username, place=place, user_id=user.pk if user is not None else "")
        # Recorded of a known and an unknown address alike, so that time tells them apart no better.
        sign_in_refused(user, outcome=LoginEvent.Outcome.WRONG_PASSWORD, method="password")
        enqueue(
            "accounts.tasks.login_failed",
            user_id=str(user.pk) if user is not None else "",
            ip=client_address(request) if request is not None else "",
            user_agent=request.META.get("HTTP_USER_AGENT", "")[:200] if request is not None else "",
            at=utc_now().isoformat(),
        )
        # Ends the search: the back end after this one must not hash the same password again, past the lockout.
        raise PermissionDenied
