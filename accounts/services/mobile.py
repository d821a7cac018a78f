"""A user's mobile number: given with a fresh proof, confirmed by a code sent to it, then told of changes to security if the user wants that.

The code proves that the number is the user's to read, nothing else: it signs nobody in and is no second factor. It is made by the job that
sends it, so that none lies in a queue, kept as a keyed digest, good for ten minutes and five tries. One number a user; another one is
added after the first was removed, which is told by mail.
"""

from __future__ import annotations

import hmac
import re
import secrets
from datetime import timedelta
from typing import Any

from django.db import transaction

from accounts.models import MobileNumber, User
from accounts.services.security import settings_demand
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.crypto import KeyDestroyedError, blind_index, seal, unseal_text
from brokerage.platform.jobs import enqueue
from brokerage.platform.messaging import number_masked, sms_on
from brokerage.platform.throttling import identity_hash, throttle_demand

TABLE = "accounts_mobilenumber"
CODE_LIFE = timedelta(minutes=10)
TRIES_MAX = 5
#: E.164: a country code, which begins with no zero, and 8 to 15 digits in all.
_NUMBER = re.compile(r"\+[1-9][0-9]{7,14}")
_BETWEEN = re.compile(r"[\s().\-]")


def number_read(text: str) -> str:
    """A number as people write it, in E.164; 1001 for what is none."""
    number = _BETWEEN.sub("", text)
    if not _NUMBER.fullmatch(number):
        raise RejectedError(
            RejectCode.MALFORMED,
            "A mobile number begins with + and the country code, as in +44 7700 900123.",
            needed="+ and 8 to 15 digits",
            field="number",
        )
    return number


def mobile_number(row: MobileNumber) -> str:
    """The number of a row; empty for one whose owner was erased."""
    try:
        return unseal_text(row.sealed, table=TABLE, row=str(row.user_id), field="sealed")
    except KeyDestroyedError:
        return ""


def mobile_of(user: User) -> MobileNumber | None:
    """The user's number, confirmed or not."""
    return MobileNumber.objects.filter(user=user).first()


def mobile_ask(*, user: User, number: str) -> None:
    """Note a number and send it a code; again for another code or, while it is not confirmed, another number.

    2037 while settings are locked, 2013 after too many codes to this user or this number, 2014 where there are no text messages.
    """
    settings_demand(user)
    if not sms_on():
        raise RejectedError(RejectCode.NOT_FOUND, "This installation sends no text messages.")
    plain = number_read(number)
    # By the number too: nobody makes the house ring somebody's telephone through many users.
    for whose in (f"user:{user.pk}", f"number:{identity_hash(plain)}"):
        throttle_demand("sms", whose)
    now = utc_now()
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        known = MobileNumber.objects.filter(user=user).first()
        if known is not None and known.confirmed_at is not None:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE, "There is a number already: remove it first.", needed="no number",
                field="number",
            )  # fmt: skip
        sealed = seal(plain, owner=f"user:{user.pk}", table=TABLE, row=str(user.pk), field="sealed")
        MobileNumber.objects.update_or_create(
            user=user,
            defaults={
                "sealed": sealed, "created_at": now, "code_digest": None, "code_expires_at": now + CODE_LIFE, "tries": 0,
            },
        )  # fmt: skip
        _record(user, "mobile.asked", plain)
        enqueue("accounts.tasks.text_mobile_code", user_id=str(user.pk))


def mobile_code_make(user_id: Any) -> tuple[str, str] | None:
    """(number, code) to be sent now; what was sent before works no more. None when the number is confirmed or gone."""
    with transaction.atomic():
        row = MobileNumber.objects.select_for_update().filter(pk=user_id, confirmed_at=None).first()
        if row is None:
            return None
        code = f"{secrets.randbelow(10**6):06d}"
        row.code_digest, row.code_expires_at, row.tries = _digest(row, code), utc_now() + CODE_LIFE, 0
        row.save(update_fields=["code_digest", "code_expires_at", "tries"])
    return mobile_number(row), code


def mobile_confirm(*, user: User, code: str) -> None:
    """Take the number into use with the code sent to it; 2036 for a wrong one, one too old, and after five wrong ones."""
    settings_demand(user)
    with transaction.atomic():
        row = MobileNumber.objects.select_for_update().filter(user=user, confirmed_at=None).first()
        if row is None or row.code_digest is None or row.code_expires_at <= utc_now() or row.tries >= TRIES_MAX:
            raise RejectedError(
                RejectCode.WRONG_CODE, "There is no code to confirm: have a new one sent.", field="code"
            )
        right = hmac.compare_digest(bytes(row.code_digest), _digest(row, code.replace(" ", "")))
        if right:
            row.confirmed_at, row.code_digest, row.notices = utc_now(), None, True
        else:
            row.tries += 1
        row.save()
        if right:
            masked = _record(user, "mobile.confirmed", mobile_number(row))
            _told(user, f"the mobile number {masked} was added; it is told of changes like this one")
    # After the transaction: the try counts.
    if not right:
        raise RejectedError(RejectCode.WRONG_CODE, field="code")


def mobile_notices_set(*, user: User, on: bool) -> None:
    """Choose whether changes to security are told by text message too; 1014 without a confirmed number."""
    settings_demand(user)
    with transaction.atomic():
        row = MobileNumber.objects.select_for_update().exclude(confirmed_at=None).filter(user=user).first()
        if row is None:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE, "There is no confirmed mobile number.", needed="a confirmed number"
            )
        if row.notices == on:
            return
        MobileNumber.objects.filter(pk=row.pk).update(notices=on)
        record("mobile.notices_set", object_type="user", object_id=user.pk, subject=user.pk, after={"notices": on})
        _told(user, f"notices like this one by text message were switched {'on' if on else 'off'}")


def mobile_remove(*, user: User) -> None:
    """Forget the number; nothing happens without one."""
    settings_demand(user)
    with transaction.atomic():
        row = MobileNumber.objects.select_for_update().filter(user=user).first()
        if row is None:
            return
        number, confirmed = mobile_number(row), row.confirmed_at is not None
        row.delete()
        masked = _record(user, "mobile.removed", number)
        if confirmed:
            _told(user, f"the mobile number {masked} was removed")


def _digest(row: MobileNumber, code: str) -> bytes:
    # The number is part of it: a code for one number confirms no other.
    return blind_index(f"{mobile_number(row)} {code}", f"mobile-code:{row.user_id}")


def _record(user: User, action: str, number: str) -> str:
    masked = number_masked(number)
    record(action, object_type="user", object_id=user.pk, subject=user.pk, after={"number": masked})
    return masked


def _told(user: User, what: str) -> None:
    enqueue("accounts.tasks.mail_security_notice", user_id=str(user.pk), what=what)
