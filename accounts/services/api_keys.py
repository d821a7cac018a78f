"""API keys: create (the secret is shown once), revoke, note their use."""

from __future__ import annotations

import ipaddress
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.models import ApiKey, FixKey, User
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit, crypto
from brokerage.platform.policy_rules import SCOPES
from brokerage.platform.realtime import revoke_user
from brokerage.platform.signing import keys_forget

KEYS_MAX = 20
NETWORKS_MAX = 20
DAYS_MAX = 365
SECRET_PLACE = {"table": "accounts_apikey", "field": "secret_sealed"}


def networks_checked(given: Sequence[str]) -> list[str]:
    """Addresses and networks in their plain form; RejectedError 1001 for what is none, 1013 for too many."""
    if len(given) > NETWORKS_MAX:
        raise RejectedError(
            RejectCode.VALUE_OUT_OF_RANGE, "Too many addresses.", needed=str(NETWORKS_MAX), field="networks"
        )
    found = []
    for text in given:
        try:
            network = ipaddress.ip_network(text.strip())
        except ValueError as error:
            raise RejectedError(
                RejectCode.MALFORMED,
                f"{text[:43]!r} is not an address or network.",
                needed="such as 203.0.113.7 or 203.0.113.0/24",
                field="networks",
            ) from error
        found.append(str(network))
    return sorted(set(found))


@transaction.atomic
def api_key_create(
    *,
    user: Any,
    name: str,
    scopes: Sequence[str],
    networks: Sequence[str] = (),
    expires_in_days: int | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which cannot be shown again. A key that may withdraw must name addresses and expire."""
    chosen = [scope for scope in SCOPES if scope in scopes]
    if not chosen or len(chosen) != len(set(scopes)):
        raise RejectedError(RejectCode.MALFORMED, "Choose scopes.", needed=", ".join(SCOPES), field="scopes")
    if not name.strip():
        raise RejectedError(RejectCode.MISSING_FIELD, "Give the key a name.", needed="name", field="name")
    listed = networks_checked(networks)
    now = utc_now()
    expires_at = expiry_checked(expires_in_days, now)
    if "withdraw" in chosen and not (listed and expires_in_days):
        raise RejectedError(
            RejectCode.MALFORMED,
            "A key that may withdraw must list addresses and expire.",
            needed="networks and expires_in_days",
            field="networks" if not listed else "expires_in_days",
        )
    room_demand(ApiKey, user, now)
    row_id, secret = uuid.uuid4(), secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        id=row_id,
        user=user,
        name=name.strip()[:80],
        key_id=f"bk_{secrets.token_urlsafe(12)}",
        secret_sealed=crypto.seal(secret, owner=f"user:{user.pk}", row=str(row_id), **SECRET_PLACE),
        scopes=chosen,
        networks=listed,
        created_at=now,
        expires_at=expires_at,
    )
    audit.record(
        "api_key.created",
        object_type="api_key",
        object_id=key.pk,
        actor=audit.actor_of(user),
        subject=user.pk,
        after={"key_id": key.key_id, "name": key.name, "scopes": chosen, "networks": listed},
    )
    return key, secret


def expiry_checked(days: int | None, now: datetime) -> datetime | None:
    """When a key made now ends, None for never; RejectedError 1014 for days that cannot be."""
    if days is None:
        return None
    if not 1 <= days <= DAYS_MAX:
        raise RejectedError(RejectCode.VALUE_OUT_OF_RANGE, needed=f"1 to {DAYS_MAX} days", field="expires_in_days")
    return now + timedelta(days=days)


def room_demand(model: type[ApiKey] | type[FixKey], user: Any, now: datetime, text: str = "") -> None:
    """Refuse (API_KEY_LIMIT) one more key of a kind than a user may have. In the caller's transaction, which makes it."""
    # The user's row is the lock, so that two at once keep to the bound.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    living = model.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), user=user, revoked_at=None)
    if living.count() >= KEYS_MAX:
        raise RejectedError(RejectCode.API_KEY_LIMIT, text, needed=str(KEYS_MAX))


def api_key_revoke(*, user: Any, id: UUID) -> None:
    """End a key of the user; RejectedError 2014 when there is none such. Ending one twice changes nothing."""
    with transaction.atomic():
        key = ApiKey.objects.select_for_update().filter(pk=id, user=user).first()
        if key is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such API key.")
        if key.revoked_at is not None:
            return
        key.revoked_at = utc_now()
        # The secret has no use any more, so it does not stay.
        key.secret_sealed = b""
        key.save(update_fields=["revoked_at", "secret_sealed"])
        audit.record(
            "api_key.revoked",
            object_type="api_key",
            object_id=key.pk,
            actor=audit.actor_of(user),
            subject=user.pk,
            before={"key_id": key.key_id, "name": key.name},
        )
    keys_forget(str(user.pk))
    revoke_user(user.pk, f"key:{key.key_id}")


def api_key_touch(id: UUID, address: str) -> None:
    """Note that a key was used just now."""
    ApiKey.objects.filter(pk=id).update(last_used_at=utc_now(), last_address=address[:64])
