"""FIX keys: create (the password is shown once), revoke, note their use.

The rules are those of API keys (``api_keys.py``): names, addresses, expiry, how many. A FIX key is for one account, which its maker may trade with.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import FixKey
from accounts.selectors.access import account_for_user
from accounts.services.api_keys import expiry_checked, networks_checked, room_demand
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit
from brokerage.platform.policy_rules import READ, TRADE
from brokerage.platform.realtime import revoke_user

#: Reports are part of every session, so reading always is; trading may be left out.
FIX_SCOPES = (READ, TRADE)
#: Letters and digits that are not mistaken for one another.
_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


def password_digest(password: str) -> bytes:
    """What is kept of a password. It has 256 random bits, so one round of SHA-256 is as good as many."""
    return hashlib.sha256(b"fix\0" + password.encode()).digest()


@transaction.atomic
def fix_key_create(
    *,
    user: Any,
    account: str | None,
    name: str,
    scopes: Sequence[str],
    networks: Sequence[str] = (),
    expires_in_days: int | None = None,
    cancel_on_disconnect: bool = False,
) -> tuple[FixKey, str]:
    """A new session for an account (its number; None: the first) and its password, which cannot be shown again.

    2012 when the user may only look at the account, 2014 when it is not theirs.
    """
    chosen = [scope for scope in FIX_SCOPES if scope in scopes]
    if READ not in chosen or len(chosen) != len(set(scopes)):
        raise RejectedError(
            RejectCode.MALFORMED, "Choose read, or read and trade.", needed="read, trade", field="scopes"
        )
    if not name.strip():
        raise RejectedError(RejectCode.MISSING_FIELD, "Give the session a name.", needed="name", field="name")
    listed = networks_checked(networks)
    now = utc_now()
    expires_at = expiry_checked(expires_in_days, now)
    ref = account_for_user(user.pk, account)
    if not ref.may_trade:
        raise RejectedError(
            RejectCode.PERMISSION_DENIED, "Only owners and traders of an account make its FIX sessions."
        )
    room_demand(FixKey, user, now, "There are as many FIX sessions as one user may have.")
    password = secrets.token_urlsafe(32)
    key = FixKey.objects.create(
        id=uuid.uuid4(),
        user=user,
        account_id=ref.id,
        name=name.strip()[:80],
        comp_id="FX" + "".join(secrets.choice(_LETTERS) for _ in range(12)),
        password_digest=password_digest(password),
        scopes=chosen,
        networks=listed,
        cancel_on_disconnect=cancel_on_disconnect,
        created_at=now,
        expires_at=expires_at,
    )
    audit.record(
        "fix_key.created",
        object_type="fix_key",
        object_id=key.pk,
        actor=audit.actor_of(user),
        subject=user.pk,
        after={
            "comp_id": key.comp_id, "name": key.name, "account": ref.number, "scopes": chosen, "networks": listed,
            "cancel_on_disconnect": cancel_on_disconnect,
        },
    )  # fmt: skip
    return key, password


def fix_key_revoke(*, user: Any, id: UUID) -> None:
    """End a session's credential and the session that lives; RejectedError 2014 when there is none such. Twice changes nothing."""
    with transaction.atomic():
        key = FixKey.objects.select_for_update().filter(pk=id, user=user).first()
        if key is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such FIX session.")
        if key.revoked_at is not None:
            return
        key.revoked_at = utc_now()
        # The digest has no use any more, so it does not stay.
        key.password_digest = b""
        key.save(update_fields=["revoked_at", "password_digest"])
        audit.record(
            "fix_key.revoked",
            object_type="fix_key",
            object_id=key.pk,
            actor=audit.actor_of(user),
            subject=user.pk,
            before={"comp_id": key.comp_id, "name": key.name},
        )
    revoke_user(user.pk, f"fix:{key.comp_id}")


def fix_key_touch(id: UUID, address: str) -> None:
    """Note that a session was opened just now."""
    FixKey.objects.filter(pk=id).update(last_used_at=utc_now(), last_address=address[:64])
