"""Browsers a user is known by: a random cookie, of which a digest is kept per user."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import KnownDevice, LoginEvent, User
from accounts.services.lockout import Place
from brokerage.kernel.clock import utc_now
from brokerage.platform.jobs import enqueue
from brokerage.platform.throttling import client_address

DEVICES_MAX = 50
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()


def device_place(request: Any, email: str) -> Place:
    """The place a try comes from: the known device when its cookie is of one of this user's, else the address."""
    if request is None:
        return Place("local")
    cookie = request.COOKIES.get(settings.DEVICE_COOKIE_NAME, "")
    known = None
    if _COOKIE.fullmatch(cookie):
        known = KnownDevice.objects.filter(digest=_digest(cookie), user__email__iexact=email).values_list("pk").first()
    return Place(client_address(request), str(known[0]) if known else "")


def device_note(*, request: Any, user: User) -> None:
    """Know this browser from now on; an owner who signed in before elsewhere is told of a new one by mail.

    Leaves the cookie to be set in ``request.device_cookie``.
    """
    cookie = request.COOKIES.get(settings.DEVICE_COOKIE_NAME, "")
    if not _COOKIE.fullmatch(cookie):
        cookie = secrets.token_urlsafe(32)
        request.device_cookie = cookie
    label = request.META.get("HTTP_USER_AGENT", "")[:200]
    now = utc_now()
    if KnownDevice.objects.filter(user=user, digest=_digest(cookie)).update(last_seen_at=now, label=label):
        return
    # The sign-in that brought us here is in the history already.
    first = LoginEvent.objects.filter(user=user, outcome=LoginEvent.Outcome.OK).count() <= 1
    try:
        with transaction.atomic():
            KnownDevice.objects.create(
                user=user, digest=_digest(cookie), label=label, first_seen_at=now, last_seen_at=now
            )
            old = KnownDevice.objects.filter(user=user).order_by("-last_seen_at").values_list("pk", flat=True)
            KnownDevice.objects.filter(pk__in=list(old[DEVICES_MAX:])).delete()
            if not first:
                enqueue("accounts.tasks.mail_new_device", user_id=str(user.pk), ip=client_address(request), label=label)
    except IntegrityError:
        # Two sign-ins of one browser at the same moment.
        return
