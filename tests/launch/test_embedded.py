"""The embedded servers start, keep their data, and never open a folder of the user's."""

import os
import shutil
import stat
from pathlib import Path

import psycopg
import pytest
import redis

from brokerage.launch.embedded import EmbeddedServers


def _clean(servers: EmbeddedServers) -> None:
    servers.stop()
    shutil.rmtree(servers.socket_dir, ignore_errors=True)
    shutil.rmtree(servers._away, ignore_errors=True)


def test_data_outlives_a_restart_and_paths_may_be_long(tmp_path: Path) -> None:
    var = tmp_path / ("long" * 20) / ("path" * 20) / "var"
    servers = EmbeddedServers(var, fast=True)
    try:
        servers.start()
        assert set(servers.pids()) == {"postgres", "valkey"}
        assert redis.Redis.from_url(servers.redis_url).ping()
        with psycopg.connect(servers.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            version = connection.execute("SHOW server_version_num").fetchone()
        assert version is not None
        assert int(version[0]) >= 180000
        servers.stop()
        assert servers.pids() == {}
        again = EmbeddedServers(var, fast=True)
        again.start()
        with psycopg.connect(again.database_url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        again.stop()
    finally:
        _clean(servers)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand PostgreSQL to another account")
def test_a_closed_parent_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    servers = EmbeddedServers(closed / "checkout" / "var", fast=True)
    try:
        servers.start()
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert (servers.var / "postgres.location").read_text().strip() == str(servers._data)
        assert not servers._data.is_relative_to(tmp_path)
    finally:
        _clean(servers)


def test_servers_of_a_killed_run_are_taken_over(tmp_path: Path) -> None:
    first = EmbeddedServers(tmp_path / "var", fast=True)
    second = EmbeddedServers(tmp_path / "var", fast=True)
    try:
        first.start()
        second.start()
        assert second.pids()["postgres"] == first.pids()["postgres"]
        assert redis.Redis.from_url(second.redis_url).ping()
    finally:
        _clean(first)
        _clean(second)
