"""Where the running platform's database and Valkey are, for management commands typed in another terminal.

Owns ``var/run/addresses.json``: written by the supervisor, removed when it stops, readable by its user only (an address may hold a
password). Leaves reading the environment to ``brokerage/config.py``: what is found here is put into it first.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from brokerage.config import Config, get_config

NAMES = ("DATABASE_URL", "REDIS_URL")


def _path(config: Config) -> Path:
    return config.run_dir / "addresses.json"


def write_addresses(config: Config) -> None:
    """Tell other terminals the addresses of this configuration."""
    part = _path(config).with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"DATABASE_URL": config.database_url, "REDIS_URL": config.redis_url}, file)
    part.replace(_path(config))


def remove_addresses(config: Config) -> None:
    """The platform has stopped."""
    _path(config).unlink(missing_ok=True)


def use_running_platform() -> None:
    """Put the addresses of the platform that runs from this folder into our environment, where none are given."""
    config = get_config()
    if config.production or (config.database_url and config.redis_url):
        return
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(_path(config).read_text())
        for name in NAMES:
            os.environ.setdefault(name, told[name])
    get_config.cache_clear()
