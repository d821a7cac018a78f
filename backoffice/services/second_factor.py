"""The second factor of staff: give a code, or set an authenticator up when there is none yet."""

from __future__ import annotations

import base64
from binascii import unhexlify
from typing import Any
from urllib.parse import quote

from django.db import transaction
from django.http import HttpRequest
from django_otp import login as otp_login
from django_otp import match_token, user_has_device
from django_otp.plugins.otp_totp.models import TOTPDevice

from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit
from brokerage.platform.throttling import throttle_demand

NAME = "authenticator"


def factor_setup(user: Any) -> tuple[str, str] | None:
    """(secret, otpauth link) to enter into an authenticator, or None when there is a confirmed device."""
    if user_has_device(user):
        return None
    device, _ = TOTPDevice.objects.get_or_create(user=user, name=NAME, confirmed=False)
    secret = base64.b32encode(unhexlify(device.key)).decode("ascii")
    label = quote(f"Brokerage:{user.email}")
    return secret, f"otpauth://totp/{label}?secret={secret}&issuer=Brokerage&digits=6&period=30"


def factor_give(*, request: HttpRequest, code: str) -> None:
    """Check a code; the session is verified after it, under a new id. RejectedError 2016 for a wrong one, 2013 for too many."""
    user: Any = request.user
    throttle_demand("login", f"factor:{user.pk}")
    code = code.replace(" ", "")
    with transaction.atomic():
        if user_has_device(user):
            device = match_token(user, code)
        else:
            device = TOTPDevice.objects.filter(user=user, name=NAME, confirmed=False).first()
            if device is not None and not device.verify_token(code):
                device = None
            if device is not None:
                device.confirmed = True
                device.save(update_fields=["confirmed"])
                audit.record("second_factor.confirmed", object_type="user", object_id=user.pk)
    if device is None:
        raise RejectedError(RejectCode.INVALID_CREDENTIALS, "The code is wrong or was used before.", field="code")
    request.session.cycle_key()
    otp_login(request, device)
