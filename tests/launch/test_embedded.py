"""The embedded servers start, keep their data, and never open a folder of the user's."""

import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from brokerage.launch.account import is_alive
from brokerage.launch.embedded import EmbeddedError, EmbeddedServers


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
        servers.remove()


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
        assert (servers.var / "postgres.location").read_text().strip() == str(servers.postgres.data)
        assert not servers.postgres.data.is_relative_to(tmp_path)
    finally:
        servers.remove()


def test_servers_of_a_killed_run_are_taken_over(tmp_path: Path) -> None:
    first = EmbeddedServers(tmp_path / "var", fast=True)
    second = EmbeddedServers(tmp_path / "var", fast=True)
    try:
        first.start()
        second.start()
        assert second.pids()["postgres"] == first.pids()["postgres"]
        assert redis.Redis.from_url(second.redis_url).ping()
    finally:
        first.remove()
        second.remove()


def test_a_killed_server_is_healed_with_its_data(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path / "var")
    try:
        servers.start()
        with psycopg.connect(servers.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS answer")
        for pid in servers.pids().values():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: servers.pids() == {}, 5)
        assert servers.heal() == ["valkey", "postgres"]
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (7,)
        assert redis.Redis.from_url(servers.redis_url).ping()
        assert servers.heal() == []
    finally:
        servers.remove()


def test_an_initdb_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    part = tmp_path / "var" / "postgres.part"
    part.mkdir(parents=True)
    (part / "PG_VERSION").write_text("18\n")
    with EmbeddedServers(tmp_path / "var", fast=True) as servers, psycopg.connect(servers.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.close()
        servers.remove()


def test_a_copied_folder_says_where_the_data_is(tmp_path: Path) -> None:
    var = tmp_path / "var"
    var.mkdir()
    (var / "postgres.location").write_text("/var/lib/brokerage-embedded/0123/postgres\n")
    with pytest.raises(EmbeddedError, match="moved or copied"):
        EmbeddedServers(var)


def test_removal_leaves_nothing(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path / "var", fast=True)
    servers.start()
    pids = servers.pids()
    servers.remove()
    assert list((tmp_path / "var").iterdir()) == []
    assert not servers.socket_dir.exists()
    assert [pid for pid in pids.values() if is_alive(pid)] == []
