"""Authenticator apps and recovery codes: set up, verified once each, removed. Passkeys are in ``passkeys.py``."""

from __future__ import annotations

import base64
import hmac
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.db import transaction
from django_otp.oath import hotp

from accounts.models import Passkey, RecoveryCode, TotpDevice, User
from accounts.selectors.factors import second_factor_enrolled
from accounts.services.lockout import Place, lockout_clear, lockout_demand, lockout_fail
from accounts.services.security import credentials_changed, settings_demand
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.blind import index_find, index_value
from brokerage.platform.crypto import seal, unseal

TABLE = "accounts_totpdevice"
STEP_S = 30
CODES = 10
#: Without 0, O, 1, I and L.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
#: 118 bits: so much that a fast digest of a stolen table cannot be tried through.
CODE_LENGTH = 24
#: Codes made before had 49 bits; they work until they are used or new ones are made.
OLD_CODE_LENGTH = 10
CODE_GROUP = 6
#: What is read of a code that was sent: groups apart, and some room for blanks.
CODE_MAX = 32
#: After staff removed the factors: time for the owner to object if it was not them.
RESET_FREEZE = timedelta(days=7)
#: Wrong codes for one user from all places, in the window of the lockout.
USER_MAX = 30


def _key(device: TotpDevice) -> bytes:
    return unseal(device.secret, table=TABLE, row=str(device.uid), field="secret")


def totp_secret(device: TotpDevice) -> str:
    """The secret as people type it, for the page that sets it up."""
    return base64.b32encode(_key(device)).decode().rstrip("=")


def totp_link(device: TotpDevice, email: str) -> str:
    """The otpauth link that an app reads from the QR code."""
    return f"otpauth://totp/Brokerage:{quote(email)}?secret={totp_secret(device)}&issuer=Brokerage&digits=6&period={STEP_S}"


def totp_begin(*, user: User) -> TotpDevice:
    """A secret that is not in use yet; the one begun before while it is not confirmed."""
    settings_demand(user)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        device = TotpDevice.objects.filter(user=user, confirmed=False).first()
        if device is None:
            device = TotpDevice(user=user, name="Authenticator", confirmed=False, created_at=utc_now())
            device.secret = seal(
                secrets.token_bytes(20), owner=f"user:{user.pk}", table=TABLE, row=str(device.uid), field="secret"
            )
            device.save()
    return device


def totp_confirm(*, user: User, code: str, place: Place, keep_session: Any = None) -> list[str]:
    """Take the begun secret into use with a code of it; returns fresh recovery codes. 2036 for a wrong code."""
    settings_demand(user)
    device = TotpDevice.objects.filter(user=user, confirmed=False).first()
    if device is None:
        raise RejectedError(RejectCode.FACTOR_NOT_USABLE)
    lockout_demand(email=f"factor:{user.pk}", place=place, user_max=USER_MAX)
    if not _totp_spend(device, code):
        lockout_fail(email=f"factor:{user.pk}", place=place, user_id=user.pk)
        raise RejectedError(RejectCode.WRONG_CODE, field="code")
    with transaction.atomic():
        TotpDevice.objects.filter(user=user, confirmed=True).delete()
        TotpDevice.objects.filter(pk=device.pk).update(confirmed=True)
        codes = _codes_replace(user)
        credentials_changed(
            user=user, what="an authenticator app was set up", action="factor.totp_added", keep_session=keep_session
        )
    return codes


def totp_remove(*, user: User, keep_session: Any = None) -> None:
    """Take the authenticator out of use; recovery codes go with the last factor."""
    settings_demand(user)
    with transaction.atomic():
        deleted, _ = TotpDevice.objects.filter(user=user).delete()
        if deleted:
            factors_tidy(user)
            credentials_changed(
                user=user, what="your authenticator app was removed", action="factor.totp_removed",
                keep_session=keep_session,
            )  # fmt: skip


def factors_tidy(user: User) -> None:
    """Remove the recovery codes of a user without a factor: alone they mean nothing."""
    if not second_factor_enrolled(user.pk):
        RecoveryCode.objects.filter(user=user).delete()


def factors_reset(*, user: User) -> None:
    """Remove every second factor of somebody who has lost them; 2038 for a user without any. Payouts are frozen for RESET_FREEZE.

    For staff, of whom one saw who it is and another agreed. Settings that are locked do not stand in the way: who lost the factor
    cannot unlock them.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if not second_factor_enrolled(user.pk):
            raise RejectedError(RejectCode.FACTOR_NOT_USABLE, "There is no second factor to remove.")
        TotpDevice.objects.filter(user=user).delete()
        Passkey.objects.filter(user=user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        credentials_changed(
            user=user, what="our staff removed your second factors, because they were told that you lost them", action="factor.reset",
            payout_freeze=RESET_FREEZE,
        )  # fmt: skip


def recovery_codes_make(*, user: User, keep_session: Any = None) -> list[str]:
    """Ten new codes; older ones stop working. 2035 for a user without a second factor."""
    settings_demand(user)
    if not second_factor_enrolled(user.pk):
        raise RejectedError(RejectCode.SECOND_FACTOR_NEEDED)
    with transaction.atomic():
        codes = _codes_replace(user)
        credentials_changed(
            user=user, what="new recovery codes were made", action="factor.codes_made", keep_session=keep_session
        )
    return codes


def code_verify(*, user: User, code: str, place: Place) -> str:
    """Use up a code of the authenticator or a recovery code: ``totp`` or ``recovery``. 2036 when wrong, 2030 after too many."""
    lockout_demand(email=f"factor:{user.pk}", place=place, user_max=USER_MAX)
    device = TotpDevice.objects.filter(user=user, confirmed=True).first()
    method = ""
    if device is not None and _totp_spend(device, code):
        method = "totp"
    elif _recovery_spend(user, code):
        method = "recovery"
        record("factor.recovery_code_used", object_type="user", object_id=user.pk, subject=user.pk)
    if not method:
        lockout_fail(email=f"factor:{user.pk}", place=place, user_id=user.pk)
        raise RejectedError(RejectCode.WRONG_CODE, field="code")
    lockout_clear(email=f"factor:{user.pk}", place=place)
    return method


def _totp_spend(device: TotpDevice, code: str) -> bool:
    digits = code.replace(" ", "")
    if len(digits) != 6 or not digits.isascii() or not digits.isdigit():
        return False
    key, now = _key(device), SYSTEM_CLOCK.now_ns() // NS_PER_S // STEP_S
    # Only the step of this moment: a code lives 30 seconds.
    if not hmac.compare_digest(f"{hotp(key, now):06d}", digits):
        return False
    # Each step once, also for two requests at the same moment.
    return bool(TotpDevice.objects.filter(pk=device.pk, last_step__lt=now).update(last_step=now))


def _recovery_digest(user: User, code: str) -> bytes:
    return index_value(code, f"recovery-code:{user.pk}")


def _recovery_spend(user: User, code: str) -> bool:
    plain = "".join(c for c in code.upper() if c.isalnum())
    if len(plain) not in (CODE_LENGTH, OLD_CODE_LENGTH):
        return False
    unused = RecoveryCode.objects.filter(user=user, used_at=None)
    return index_find(
        plain, f"recovery-code:{user.pk}", lambda lies: bool(unused.filter(digest__in=lies).update(used_at=utc_now()))
    )


def _codes_replace(user: User) -> list[str]:
    RecoveryCode.objects.filter(user=user).delete()
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH)) for _ in range(CODES)]
    now = utc_now()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=user, digest=_recovery_digest(user, code), created_at=now) for code in codes
    )
    return ["-".join(code[at : at + CODE_GROUP] for at in range(0, CODE_LENGTH, CODE_GROUP)) for code in codes]
