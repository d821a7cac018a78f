"""Devices of a user's programs that are told of changes to security by push message. Tokens are sealed, never shown again.

A program registers its token whenever it starts: the same one again renews the row. Settings that are locked do not stand in the way: a
device is only told, and every notice goes by mail as well, whatever becomes of the device.
"""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction

from accounts.models import PushDevice, User
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.crypto import KeyDestroyedError, seal, unseal_text
from brokerage.platform.jobs import enqueue
from brokerage.platform.messaging import push_on
from brokerage.platform.throttling import throttle_demand

TABLE = "accounts_pushdevice"
DEVICES_MAX = 10
TOKEN_MAX = 1024
PATTERN = r"^[\x21-\x7e]{16,1024}$"


def push_token(row: PushDevice) -> str:
    """The token of a row; empty for one whose owner was erased."""
    try:
        return unseal_text(row.sealed, table=TABLE, row=str(row.pk), field="sealed")
    except KeyDestroyedError:
        return ""


def push_devices_of(user: User) -> list[PushDevice]:
    """The user's devices, newest first."""
    return list(PushDevice.objects.filter(user=user))


def push_device_add(*, user: User, token: str, name: str) -> PushDevice:
    """Register a device, or renew the one with this token. 1014 when there are ten, 2013 after five in an hour, 2014 where there are none."""
    if not push_on():
        raise RejectedError(RejectCode.NOT_FOUND, "This installation sends no push messages.")
    if not re.fullmatch(PATTERN, token):
        raise RejectedError(
            RejectCode.MALFORMED, "A token is 16 to 1024 visible ASCII characters.", needed="a token of the push service",
            field="token",
        )  # fmt: skip
    now = utc_now()
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        mine = push_devices_of(user)
        for known in mine:
            if push_token(known) == token:
                known.seen_at, known.name = now, name
                known.save(update_fields=["seen_at", "name"])
                return known
        if len(mine) >= DEVICES_MAX:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE, f"There are at most {DEVICES_MAX} devices; remove one first.",
                needed=str(DEVICES_MAX),
            )  # fmt: skip
        # Each new one is told by mail: who has a token of the API does not fill the owner's mailbox with it.
        throttle_demand("mail", f"push:{user.pk}")
        row = PushDevice(user=user, name=name, created_at=now, seen_at=now)
        row.sealed = seal(token, owner=f"user:{user.pk}", table=TABLE, row=str(row.pk), field="sealed")
        row.save(force_insert=True)
        _record(row, "push_device.added")
        what = "a device was added that is told of changes like this one by push message"
        enqueue("accounts.tasks.mail_security_notice", user_id=str(user.pk), what=what)
    return row


def push_device_remove(*, user: User, device_id: Any) -> None:
    """Forget a device; 2014 for one that is not the user's."""
    with transaction.atomic():
        row = PushDevice.objects.select_for_update().filter(pk=device_id, user=user).first()
        if row is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such device.")
        _record(row, "push_device.removed")
        row.delete()


def _record(row: PushDevice, action: str) -> None:
    record(action, object_type="push_device", object_id=row.pk, subject=row.user_id, after={"name": row.name})
