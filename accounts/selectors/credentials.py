"""Credentials of programs as their owner sees them, and what the checks of ``brokerage/platform`` ask about them."""

from __future__ import annotations

import ipaddress
from typing import Any
from uuid import UUID

from accounts.models import ApiKey, TokenFamily
from brokerage.kernel.clock import ns_from_datetime, utc_now
from brokerage.platform.crypto import KeyDestroyedError, unseal
from brokerage.platform.signing import KeyGrant, KeyRecord

LISTED_MAX = 100


def family_lives(family: str) -> bool:
    """True while a sign-in has not ended."""
    try:
        key = UUID(family)
    except ValueError:
        return False
    return TokenFamily.objects.filter(pk=key, revoked_at=None, expires_at__gt=utc_now()).exists()


def families_of(user: Any) -> list[TokenFamily]:
    """The user's living sign-ins, last used first."""
    living = TokenFamily.objects.filter(user=user, revoked_at=None, expires_at__gt=utc_now())
    return list(living.order_by("-last_used_at", "pk")[:LISTED_MAX])


def api_keys_of(user: Any) -> list[ApiKey]:
    """The user's keys that were not revoked, newest first."""
    return list(ApiKey.objects.filter(user=user, revoked_at=None).order_by("-created_at", "pk")[:LISTED_MAX])


def key_record(key_id: str) -> KeyRecord | None:
    """A key that was not revoked, with its secret opened; expired ones too, so that their owner is told why."""
    key = ApiKey.objects.filter(key_id=key_id, revoked_at=None).first()
    if key is None:
        return None
    try:
        secret = unseal(key.secret_sealed, table="accounts_apikey", row=str(key.pk), field="secret_sealed")
    except KeyDestroyedError:
        return None
    grant = KeyGrant(
        id=key.pk,
        key_id=key.key_id,
        user_id=str(key.user_id),
        scopes=frozenset(key.scopes),
        networks=tuple(ipaddress.ip_network(text) for text in key.networks),
        expires_ns=ns_from_datetime(key.expires_at) if key.expires_at is not None else None,
    )
    return KeyRecord(grant, secret)
