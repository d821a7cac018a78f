"""Health of long-running processes: a ready file for the supervisor, a heartbeat in Valkey for pages and probes.

Owns the key ``health:<name>`` (JSON, gone ten seconds after the last beat) and ``var/run/<name>.ready``. Leaves restarting to the supervisor.
"""

from __future__ import annotations

import json
import os
from typing import Any

import redis

from brokerage.config import get_config
from brokerage.kernel.clock import SYSTEM_CLOCK, rfc3339
from brokerage.platform.valkey import get_valkey

BEAT_TTL_S = 10
PROCESSES = ("engine", "projector", "marketdata", "runners", "demo")


def mark_ready(name: str) -> None:
    """Write ``run_dir/<name>.ready`` with our pid, atomically."""
    run_dir = get_config().run_dir
    run_dir.mkdir(parents=True, exist_ok=True)
    part = run_dir / f"{name}.ready.{os.getpid()}"
    part.write_text(str(os.getpid()))
    part.replace(run_dir / f"{name}.ready")


def heartbeat(name: str, state: str, **detail: Any) -> None:
    """Say that we live and how; Valkey being away is no reason to stop working."""
    beat = {"name": name, "pid": os.getpid(), "state": state, "at": rfc3339(SYSTEM_CLOCK.now_ns()), **detail}
    try:
        get_valkey().set(f"health:{name}", json.dumps(beat, default=str), ex=BEAT_TTL_S)
    except redis.RedisError:
        return


def health_of(names: tuple[str, ...] = PROCESSES) -> dict[str, dict[str, Any] | None]:
    """The last beat of each process, None where there is none younger than BEAT_TTL_S."""
    try:
        values = get_valkey().mget([f"health:{name}" for name in names])
    except redis.RedisError:
        return dict.fromkeys(names)
    return {name: json.loads(value) if value else None for name, value in zip(names, values, strict=True)}
