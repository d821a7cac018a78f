"""The systemd units are well formed and start what the supervisor starts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from brokerage.config import load_config
from brokerage.launch.processes import process_table
from tests.live_platform import ROOT

UNITS = ROOT / "deploy" / "systemd"


def test_the_target_starts_every_process_but_the_demo() -> None:
    wanted = set(re.findall(r"brokerage@([a-z-]+)\.service", (UNITS / "brokerage.target").read_text()))
    assert wanted == {process.name for process in process_table(replace(load_config({}), demo=False))}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in UNITS.glob("brokerage*"):
        text = unit.read_text().replace("/srv/brokerage/.venv/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text)
    result = subprocess.run(
        [
            "systemd-analyze",
            "verify",
            "--man=no",
            f"{tmp_path}/brokerage@engine.service",
            f"{tmp_path}/brokerage.target",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    about_ours = [line for line in result.stderr.splitlines() if "brokerage" in line]
    assert about_ours == []


def test_exec_refuses_an_unknown_process_and_becomes_a_known_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "brokerage.launch", "exec"]
    refused = subprocess.run([*command, "wbe"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "Unknown process 'wbe': choose from engine," in refused.stderr
    environment = {**os.environ, "BROKERAGE_VAR": str(tmp_path), "JOURNAL_DIR": str(tmp_path / "journal")}
    process = subprocess.Popen([*command, "engine"], cwd="/", env=environment | {"PYTHONPATH": str(ROOT)})
    try:
        ready = tmp_path / "run" / "engine.ready"
        for _ in range(600):
            if ready.exists() or process.poll() is not None:
                break
            with_timeout(process, 0.1)
        assert ready.read_text().strip() == str(process.pid)
    finally:
        process.terminate()
        assert process.wait(20) == 0


def with_timeout(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait a moment, or until the process ends."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
