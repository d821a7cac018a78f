"""Requests signed with an API key: HMAC-SHA256 over method, path, query, time, nonce and body (docs/api-security.md).

A request is taken once, within WINDOW_S of the server's clock, from an address the key lists. The signature is compared before anything
about the key is told. Owns the check and its memory of keys (KEY_AGE_NS). Leaves rows of keys to ``accounts``, which registers how to
ask, and scopes to ``policy.py``.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import redis
from django.utils.encoding import escape_uri_path
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, rfc3339
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from brokerage.platform.remembered import Remembered, write_if_there
from brokerage.platform.throttling import client_address
from brokerage.platform.valkey import get_valkey

VERSION = "HMAC-SHA256-V1"
WINDOW_S = 10
#: A revoked key is out of every process after this long.
KEY_AGE_NS = 3 * NS_PER_S
KEYS_MAX = 10_000
#: The time of last use is written at most this often per process.
TOUCH_NS = 60 * NS_PER_S
#: Repeating one of these changes nothing, so they go on while Valkey, which remembers nonces, is away.
REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
_KEY_ID = re.compile(r"bk_[A-Za-z0-9_-]{16}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_TIME = re.compile(r"[0-9]{13}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_NO_SECRET = secrets.token_bytes(32)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """A living key: ``request.auth`` of a signed call."""

    id: UUID
    key_id: str
    user_id: str
    scopes: frozenset[str]
    networks: tuple[Network, ...]
    expires_ns: int | None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is remembered of a key: its grant and its secret, which no repr shows."""

    grant: KeyGrant
    secret: bytes

    def __repr__(self) -> str:
        return f"KeyRecord({self.grant.key_id})"


_known: Remembered[str, KeyRecord | None] = Remembered(KEY_AGE_NS, size_max=KEYS_MAX)
_touched: dict[UUID, int] = {}
_lookup: Callable[[str], KeyRecord | None] | None = None
_touch: Callable[[UUID, str], None] | None = None


def key_lookup_register(lookup: Callable[[str], KeyRecord | None], touch: Callable[[UUID, str], None]) -> None:
    """Say how to ask for a key and how to note its use: the app above that keeps them does this once at start."""
    global _lookup, _touch
    _lookup, _touch = lookup, touch


def keys_forget(user: str | None = None) -> None:
    """Drop the remembered keys of a user, or all: after a change in this process, and between tests."""
    if user is None:
        _known.forget()
        _touched.clear()
    else:
        _known.forget_owner(user)


def _record(key_id: str) -> KeyRecord | None:
    ask = _lookup
    return _known.get(
        key_id,
        lambda: ask(key_id) if ask is not None else None,
        owner=lambda record: record.grant.user_id if record is not None else "",
    )


def canonical_string(method: str, path: str, query: str, timestamp: str, nonce: str, body: bytes) -> str:
    """What is signed: seven lines, none of them ending the last."""
    return "\n".join((VERSION, method, path, query, timestamp, nonce, hashlib.sha256(body).hexdigest()))


def signature_of(secret: bytes, canonical: str) -> str:
    """The signature, in lower-case hexadecimal."""
    return hmac.new(secret, canonical.encode(), hashlib.sha256).hexdigest()


def address_listed(networks: tuple[Network, ...], address: str) -> bool:
    """True when a key with these addresses may be used from ``address``; with none listed from anywhere."""
    if not networks:
        return True
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(here, ipaddress.IPv6Address) and here.ipv4_mapped:
        here = here.ipv4_mapped
    return any(here in network for network in networks)


def _path(request: Any) -> str:
    raw = (getattr(request, "scope", None) or {}).get("raw_path")
    if raw:
        return bytes(raw).split(b"?")[0].decode("latin-1")
    return escape_uri_path(request.path)


class SignatureAuthentication(BaseAuthentication):
    """``X-Api-Key``, ``X-Api-Timestamp`` (milliseconds), ``X-Api-Nonce`` and ``X-Api-Signature``."""

    def authenticate(self, request: Request) -> tuple[Any, KeyGrant] | None:
        """The key's user and grant, or None when no key was sent. The order of checks is that of docs/api-security.md."""
        key_id = request.headers.get("X-Api-Key")
        if key_id is None:
            return None
        base = request._request
        stamp = request.headers.get("X-Api-Timestamp", "")
        nonce = request.headers.get("X-Api-Nonce", "")
        signature = request.headers.get("X-Api-Signature", "")
        if not (
            _KEY_ID.fullmatch(key_id)
            and _TIME.fullmatch(stamp)
            and _NONCE.fullmatch(nonce)
            and _SIGNATURE.fullmatch(signature)
        ):
            raise ApiProblem(
                RejectCode.API_KEY_INVALID,
                "A signed request needs X-Api-Key, X-Api-Timestamp, X-Api-Nonce and X-Api-Signature in their forms.",
            )
        record = _record(key_id)
        canonical = canonical_string(
            request.method or "", _path(base), base.META.get("QUERY_STRING", ""), stamp, nonce, base.body
        )
        # The same work for a key that is not there, so that time does not tell which keys are.
        right = signature_of(record.secret if record is not None else _NO_SECRET, canonical)
        if not hmac.compare_digest(right, signature) or record is None:
            raise ApiProblem(RejectCode.API_KEY_INVALID)
        grant = record.grant
        self._time(grant, int(stamp))
        self._place(grant, client_address(base))
        # Late: auth.py names this class's neighbours.
        from brokerage.platform.auth import user_for_token

        user = user_for_token(grant.user_id)
        if user is None:
            raise ApiProblem(RejectCode.API_KEY_INVALID)
        self._once(grant, nonce, request.method or "")
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        touch = _touch
        if touch is not None and now_ns - _touched.get(grant.id, -TOUCH_NS) >= TOUCH_NS:
            _touched[grant.id] = now_ns
            write_if_there(lambda: touch(grant.id, client_address(base)))
        return user, grant

    @staticmethod
    def _time(grant: KeyGrant, stamp_ms: int) -> None:
        now_ns = SYSTEM_CLOCK.now_ns()
        apart_ms = abs(now_ns // 1_000_000 - stamp_ms)
        if apart_ms > WINDOW_S * 1_000:
            raise ApiProblem(
                RejectCode.TIMESTAMP_OUTSIDE_WINDOW, needed=str(WINDOW_S), available=str(-(-apart_ms // 1_000))
            )
        if grant.expires_ns is not None and now_ns >= grant.expires_ns:
            raise ApiProblem(RejectCode.API_KEY_EXPIRED, needed=rfc3339(grant.expires_ns))

    @staticmethod
    def _place(grant: KeyGrant, address: str) -> None:
        if not address_listed(grant.networks, address):
            raise ApiProblem(RejectCode.KEY_ADDRESS_NOT_ALLOWED, available=address)

    @staticmethod
    def _once(grant: KeyGrant, nonce: str, method: str) -> None:
        try:
            fresh = get_valkey().set(f"nonce:{grant.key_id}:{nonce}", "1", nx=True, ex=2 * WINDOW_S + 5)
        except redis.RedisError as error:
            if method in REPEATABLE:
                return
            raise ApiProblem(RejectCode.OVERLOADED, "Signed requests cannot be checked at the moment.") from error
        if not fresh:
            raise ApiProblem(RejectCode.NONCE_USED)

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says one should send."""
        return 'Bearer realm="api"'


class SignatureScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How signed requests are described in the OpenAPI document."""

    target_class = "brokerage.platform.signing.SignatureAuthentication"
    name = "signature"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "X-Api-Key",
            "description": "With X-Api-Timestamp, X-Api-Nonce and X-Api-Signature: see docs/api-security.md.",
        }
