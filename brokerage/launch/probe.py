"""Ask one process whether it does its work: what a container's health check and an operator run (``python -m brokerage.launch probe web``).

The engine is asked over its socket, web over HTTP, the loops by the heartbeat each writes, the worker over the queue. Prints one sentence;
exit code 0 for well, 1 for not.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from brokerage.config import Config

TIMEOUT_S = 5.0


class UnwellError(Exception):
    """The text says what is wrong."""


def _engine(config: Config) -> str:
    from trading.engine.gateway import EngineClient, EngineUnavailable

    client = EngineClient(config.engine_socket, timeout_s=TIMEOUT_S, pool_size=1)
    try:
        status = client.status()
    except (EngineUnavailable, OSError) as error:
        raise UnwellError(str(error)) from error
    finally:
        client.close()
    return f"at command {status.cmd_seq}"


def web_live(config: Config, timeout_s: float, name: str = "web") -> int:
    """What ``web`` or ``web-fallback`` answers when it is asked whether it lives; UnwellError when it answers nothing."""
    fallback = name == "web-fallback"
    host = "127.0.0.1" if config.host in {"0.0.0.0", "::"} else config.host  # noqa: S104 - compared, not bound
    # As the proxy would ask: by a name of ours, over TLS.
    known_as = urlsplit(config.fallback_url if fallback else config.base_url).netloc
    port = config.fallback_port if fallback else config.port
    request = urllib.request.Request(
        f"http://{host}:{port}/health/live", headers={"Host": known_as, "X-Forwarded-Proto": "https"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return int(answer.status)
    except (urllib.error.URLError, OSError) as error:
        raise UnwellError(str(error)) from error


def _web(config: Config, name: str = "web") -> str:
    return f"HTTP {web_live(config, TIMEOUT_S, name)}"


def _beat(config: Config, name: str) -> str:
    import redis

    try:
        value = redis.Redis.from_url(config.redis_url, socket_timeout=TIMEOUT_S).get(f"health:{name}")
    except (redis.RedisError, ValueError) as error:
        raise UnwellError(f"Valkey does not say: {error}") from error
    if not isinstance(value, bytes):
        raise UnwellError("no heartbeat in the last ten seconds")
    beat = json.loads(value)
    return f"{beat['state']}, beat at {beat['at']}"


def _worker(config: Config) -> str:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
    from brokerage.celery import app

    node = f"celery@{socket.gethostname()}"
    try:
        answers = app.control.ping(destination=[node], timeout=TIMEOUT_S)
    except Exception as error:
        raise UnwellError(f"the queue does not answer: {error}") from error
    if not answers:
        raise UnwellError(f"{node} does not answer")
    return f"{node} answers"


PROBES: dict[str, Callable[[Config], str]] = {
    "engine": _engine,
    "web": _web,
    "web-fallback": lambda config: _web(config, "web-fallback"),
    "worker": _worker,
    **{name: lambda config, name=name: _beat(config, name) for name in ("projector", "marketdata", "runners", "fix")},  # type: ignore[misc]
}


def probe(config: Config, name: str) -> int:
    """Ask; 1 also for a process nobody can ask."""
    if name not in PROBES:
        print(f"Unknown process {name!r}: choose from {', '.join(PROBES)}.", file=sys.stderr)
        return 1
    try:
        print(f"{name}: {PROBES[name](config)}")
    except UnwellError as error:
        print(f"{name} is not well: {error}", file=sys.stderr)
        return 1
    return 0
