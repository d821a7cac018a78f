"""``manage.py`` finds the running platform, and says in a sentence when there is none."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from brokerage.config import load_config
from brokerage.launch import addresses
from tests.live_platform import ROOT


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    own = {"DATABASE_URL", "REDIS_URL", "BROKERAGE_ENV"}
    return {name: value for name, value in os.environ.items() if name not in own} | {"BROKERAGE_VAR": str(tmp_path)}


def manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_platform_one_sentence_says_so(environment: dict[str, str]) -> None:
    result = manage(environment, "migrate", "--check")
    assert result.returncode == 1
    assert (
        result.stderr == "The platform is not running: start it with `make run`, or set DATABASE_URL and REDIS_URL.\n"
    )


def test_a_variable_that_cannot_be_used_is_one_sentence(environment: dict[str, str]) -> None:
    result = manage(environment | {"PORT": "http"}, "check")
    assert result.returncode == 1
    assert result.stderr == "PORT='http' is not a whole number from 1 to 65535.\n"


def test_the_running_platform_is_found(environment: dict[str, str], tmp_path: Path) -> None:
    config = load_config(environment)
    config.run_dir.mkdir()
    mine = replace(config, database_url=os.environ["DATABASE_URL"], redis_url=os.environ["REDIS_URL"])
    addresses.write_addresses(mine)
    path = tmp_path / "run" / "addresses.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shell = "from django.conf import settings; from django.db import connection; connection.ensure_connection(); print(settings.REDIS_URL)"
    result = manage(environment, "shell", "-v", "0", "-c", shell)
    assert result.stdout.strip() == json.loads(path.read_text())["REDIS_URL"] == os.environ["REDIS_URL"]
    addresses.remove_addresses(config)
    assert not path.exists()
