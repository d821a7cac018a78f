"""The whole platform starts from nothing, heals after kills, starts again quickly with its data, and stops leaving nothing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from brokerage.config import load_config
from brokerage.launch.account import is_alive
from tests.live_platform import ROOT, LivePlatform
from trading.engine import wire

NAMES = ("engine", "projector", "marketdata", "runners", "web", "web-fallback", "fix", "demo", "kyc-sandbox", "worker")


def wait_for(holds: Callable[[], object], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def table(platform: LivePlatform) -> dict[str, int]:
    return json.loads((platform.var / "run" / "processes.json").read_text())


def ready(platform: LivePlatform, name: str) -> bool:
    """The process of the table is up and has itself said that it is ready."""
    pid = table(platform).get(name, 0)
    if name in {"web", "web-fallback"}:
        return is_alive(pid) and platform.answers(platform.base if name == "web" else platform.fallback)
    try:
        return is_alive(pid) and int((platform.var / "run" / f"{name}.ready").read_text()) == pid
    except (OSError, ValueError):
        return False


def fetch(platform: LivePlatform, path: str) -> tuple[int, str]:
    """Status and text of an answer of the portal."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def engine_says(platform: LivePlatform) -> str:
    """What the engine says to a program of the same user that shows no token."""
    said = b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(load_config(platform.environment).engine_socket)
        sock.sendall(wire.client_hello() + wire.frame(wire.QUERY, 1, wire.query(wire.Q_STATUS)))
        while part := sock.recv(65536):
            said += part
    return said.decode("latin-1")


def trades(platform: LivePlatform) -> int:
    """Count executions; -1 while the database is away."""
    try:
        with psycopg.connect(platform.servers.database_url) as connection:
            row = connection.execute("SELECT count(*) FROM trading_execution").fetchone()
    except psycopg.OperationalError:
        return -1
    return row[0] if row else 0


@pytest.mark.slow
def test_starts_heals_and_starts_again() -> None:
    with LivePlatform(keep=True) as platform:
        try:
            before = table(platform)
            assert {*NAMES, "postgres", "valkey", "supervisor"} == set(before)
            status = subprocess.run(
                [sys.executable, "-m", "brokerage.launch", "status"],
                cwd=ROOT,
                env=platform.environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            assert status.count(" up") == len(before)
            # As its users meet it: nothing of the inside on a page of an error, and the pages' own files are served.
            missing = fetch(platform, "/no-such-page")
            assert missing[0] == 404
            assert "There is no such page" in missing[1]
            assert "URLconf" not in missing[1]
            assert fetch(platform, "/static/css/base.css")[0] == 200
            # Another terminal needs no addresses: it finds the running platform's.
            rate = subprocess.run(
                [sys.executable, "manage.py", "demo_rate", "30"],
                cwd=ROOT,
                env=platform._launch_environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert rate.returncode == 0, rate.stderr
            wait_for(lambda: trades(platform) > 0, "the demo market trades")
            # Its engine knows every process by a token; who shows none is told so and learns nothing.
            assert "shows no token" in engine_says(platform)

            for name in ("valkey", "postgres", *NAMES):
                os.kill(before[name], signal.SIGKILL)
            wait_for(
                lambda: all(
                    table(platform).get(name) not in {None, before[name]} for name in (*NAMES, "postgres", "valkey")
                ),
                "all are started again",
            )
            wait_for(lambda: all(ready(platform, name) for name in NAMES if name != "worker"), "all are ready again")
            wait_for(
                lambda: redis.Redis.from_url(platform.servers.redis_url).exists("health:projector"),
                "the projector is heard of",
            )
            after_heal = trades(platform)
            wait_for(lambda: trades(platform) > after_heal, "the demo market trades on")
            stopped = table(platform)
            platform._stop()
            assert [name for name, pid in stopped.items() if is_alive(pid)] == []
            assert not platform.servers.socket_dir.exists()

            seen = time.monotonic()
            platform.__enter__()
            assert "Preparing the database" not in (platform.var / "launch.log").read_text()
            assert time.monotonic() - seen < 120
            assert trades(platform) >= after_heal
        finally:
            platform.keep = False
    assert not Path(platform.var).exists()
