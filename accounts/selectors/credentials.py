"""Credentials of programs as their owner sees them, and what the checks of ``brokerage/platform`` ask about them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import ApiKey, FixKey, TokenFamily
from accounts.selectors.sessions import ABSOLUTE, SESSION_ID, session_state
from brokerage.kernel.clock import ns_from_datetime, utc_now
from brokerage.platform.auth import TokenGrant
from brokerage.platform.crypto import KeyDestroyedError, unseal
from brokerage.platform.signing import KeyGrant, KeyRecord, address_listed

LISTED_MAX = 100


def family_lives(family: str) -> bool:
    """True while a sign-in has not ended."""
    try:
        key = UUID(family)
    except ValueError:
        return False
    return TokenFamily.objects.filter(pk=key, revoked_at=None, expires_at__gt=utc_now()).exists()


@dataclass(frozen=True, slots=True)
class CredentialState:
    """Until when a credential that stands now may be used (epoch ns, None without end)."""

    ends_ns: int | None


def credential_of(request: Any) -> str:
    """Name what a REST request was made with, ``key:…``, ``family:…`` or ``session:…``: what it hands out ends with that.

    Empty for a session without a row, such as one made by a test.
    """
    if isinstance(request.auth, KeyGrant):
        return f"key:{request.auth.key_id}"
    if isinstance(request.auth, TokenGrant):
        return f"family:{request.auth.family}"
    session = request.session.get(SESSION_ID, "")
    return f"session:{session}" if session else ""


def credential_state(credential: str, address: str | None = None) -> CredentialState | None:
    """What stands behind a name of ``credential_of``, asked of the database; None when it has ended, or the key is not for ``address``."""
    kind, _, name = credential.partition(":")
    now = utc_now()
    if kind == "session":
        session = session_state(name, fresh=True)
        ends = session.created_at + ABSOLUTE if session is not None and session.alive else None
        return CredentialState(ns_from_datetime(ends)) if ends is not None else None
    if kind == "key":
        key = ApiKey.objects.filter(key_id=name, revoked_at=None).first()
        if key is None or (key.expires_at is not None and key.expires_at <= now):
            return None
        if address is not None and not address_listed(
            tuple(ipaddress.ip_network(one) for one in key.networks), address
        ):
            return None
        return CredentialState(ns_from_datetime(key.expires_at) if key.expires_at is not None else None)
    if kind == "fix":
        session_key = FixKey.objects.filter(comp_id=name, revoked_at=None).first()
        return _fix_state(session_key, address) if session_key is not None else None
    if kind == "family":
        try:
            family = TokenFamily.objects.filter(pk=UUID(name), revoked_at=None, expires_at__gt=now).first()
        except ValueError:
            return None
        return CredentialState(ns_from_datetime(family.expires_at)) if family is not None else None
    return CredentialState(None) if not credential else None


def _fix_state(key: FixKey, address: str | None) -> CredentialState | None:
    if key.expires_at is not None and key.expires_at <= utc_now():
        return None
    if address is not None and not address_listed(tuple(ipaddress.ip_network(one) for one in key.networks), address):
        return None
    return CredentialState(ns_from_datetime(key.expires_at) if key.expires_at is not None else None)


def fix_keys_of(user: Any) -> list[FixKey]:
    """The user's FIX sessions that were not revoked, newest first."""
    living = FixKey.objects.filter(user=user, revoked_at=None).select_related("account")
    return list(living.order_by("-created_at", "pk")[:LISTED_MAX])


def fix_key_by_comp_id(comp_id: str) -> FixKey | None:
    """The FIX session of a SenderCompID that was not revoked, its account with it."""
    return FixKey.objects.filter(comp_id=comp_id, revoked_at=None).select_related("account").first()


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
