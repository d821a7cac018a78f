"""Sessions of browsers whose keys are nowhere but in the cookie: database and cache know a session by a digest of its key.

Django's own store keeps the key as it is, so whoever reads a dump or Valkey could take over every open session. A key has 160 bits and more of
chance, so a digest without salt cannot be guessed back. Owns the names; everything else is Django's ``cached_db``.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.contrib.sessions.backends.cached_db import SessionStore as CachedStore
from django.contrib.sessions.models import Session

from brokerage.kernel.clock import utc_now

#: Twenty bytes as hexadecimal digits: the length of Django's column.
DIGEST_BYTES = 20


def session_name(session_key: str) -> str:
    """Under which name a session is kept: 40 hexadecimal digits."""
    return hashlib.blake2b(session_key.encode(), digest_size=DIGEST_BYTES, person=b"session").hexdigest()


class SessionStore(CachedStore):  # type: ignore[misc, unused-ignore]
    """Django's store in database and cache, under digests."""

    @property
    def cache_key(self) -> str:
        """Where the session lies in the cache."""
        return self.cache_key_prefix + session_name(self._get_or_create_session_key())

    async def acache_key(self) -> str:
        """``cache_key`` for asynchronous code."""
        return self.cache_key_prefix + session_name(await self._aget_or_create_session_key())

    def _get_session_from_db(self) -> Any:
        found = self._named(self.session_key).filter(expire_date__gt=utc_now()).first()
        if found is None:
            self._session_key = None
        return found

    async def _aget_session_from_db(self) -> Any:
        found = await self._named(self.session_key).filter(expire_date__gt=utc_now()).afirst()
        if found is None:
            self._session_key = None
        return found

    def _named(self, session_key: str | None) -> Any:
        return Session.objects.filter(session_key=session_name(session_key or ""))

    def exists(self, session_key: str) -> bool:
        """A session has this key."""
        return bool(session_key) and super().exists(session_name(session_key))

    async def aexists(self, session_key: str) -> bool:
        """``exists`` for asynchronous code."""
        return bool(session_key) and await super().aexists(session_name(session_key))

    def create_model_instance(self, data: Any) -> Any:
        """The row of this session."""
        row = super().create_model_instance(data)
        row.session_key = session_name(row.session_key)
        return row

    async def acreate_model_instance(self, data: Any) -> Any:
        """``create_model_instance`` for asynchronous code."""
        row = await super().acreate_model_instance(data)
        row.session_key = session_name(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        """Remove a session, this one when no key is given."""
        key = session_key or self.session_key
        if key is not None:
            super().delete(session_name(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """``delete`` for asynchronous code."""
        key = session_key or self.session_key
        if key is not None:
            await super().adelete(session_name(key))


class JsonSerializer:
    """Values of the cache as JSON: who can write to Valkey must not be able to run code here, as pickled values would let them."""

    def dumps(self, value: Any) -> Any:
        """Bytes for a value; whole numbers stay numbers, so that the cache can count with them."""
        return value if type(value) is int else json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: Any) -> Any:
        """The value of bytes."""
        return json.loads(data)
