"""Early pytest plugin (``-p tests.servers``): real PostgreSQL and Valkey for the run.

Loaded before Django's settings, because they need the addresses. Servers given by DATABASE_URL/REDIS_URL are used as they are; else an
embedded pair of this run's own is started below ``var/test`` and removed afterwards, so that several runs can go on side by side. Each worker of
``pytest -n`` has a pair of its own as well: what is published in Valkey reaches all its databases.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from brokerage.launch.account import is_alive
from brokerage.launch.embedded import EmbeddedError, EmbeddedServers

ROOT = Path(__file__).resolve().parent.parent
_servers: EmbeddedServers | None = None

os.environ["BROKERAGE_ENV"] = "test"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
#: Set by this module: the addresses in the environment are those of the process that started this one, not somebody's servers.
OURS = "TEST_SERVERS_EMBEDDED"
_given = bool(os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")) and OURS not in os.environ
_base = ROOT / "var" / "test" / str(os.getpid())
if not _given:
    os.environ[OURS] = "1"
    _servers = EmbeddedServers(_base / "servers", database="brokerage", fast=True)
    os.environ["DATABASE_URL"] = _servers.database_url
    os.environ["REDIS_URL"] = _servers.redis_url
    os.environ["BROKERAGE_VAR"] = str(_base)


def _remove_left_overs() -> None:
    """Stop and remove the servers of test runs that were killed."""
    for folder in (ROOT / "var" / "test").glob("[0-9]*"):
        if not is_alive(int(folder.name)):
            EmbeddedServers(folder / "servers").remove()
            shutil.rmtree(folder, ignore_errors=True)


def _remove() -> None:
    if _servers is not None:
        _servers.remove()
        shutil.rmtree(_base, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, in each process that runs tests."""
    if _servers is not None and not _hands_out(config):
        if not hasattr(config, "workerinput"):
            _remove_left_overs()
        # A run that is told to stop (a CI job's time limit) must leave no server behind: SIGTERM acts like Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _servers.start()
        except EmbeddedError as error:
            _remove()
            pytest.exit(str(error), returncode=3)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers and remove their data."""
    if _servers is not None and not _hands_out(config):
        _remove()


def _hands_out(config: pytest.Config) -> bool:
    """This process gives tests to workers and runs none itself."""
    return not hasattr(config, "workerinput") and bool(config.getoption("numprocesses", None))
