"""The process's synchronous connection to Valkey, with short time limits.

Owns the client and its pool. Leaves what is stored to the callers; the asynchronous side and publishing are in
``realtime.py``.
"""

from __future__ import annotations

from functools import lru_cache

import redis
from django.conf import settings

#: Valkey is on the same host or network segment: an answer that takes longer than this is an outage for the caller.
TIMEOUT_S = 0.5


@lru_cache(maxsize=1)
def get_valkey() -> redis.Redis:
    """The shared client; safe to use from threads. Raises ``redis.RedisError`` on use when Valkey is away."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        max_connections=64,
        decode_responses=True,
    )
