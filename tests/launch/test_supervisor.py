"""The supervisor keeps its processes running, refuses what would go wrong, and leaves nothing behind.

The processes under watch are small programs here: what is tested is the watching. The platform itself is started in
``test_platform.py``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brokerage.launch.account import is_alive

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
name, run = sys.argv[2], Path(sys.argv[3])
signal.signal(signal.SIGTERM, lambda number, frame: (Path(run, name + ".stopped").write_text(str(time.monotonic_ns())), os._exit(0)))
if name.startswith("fails"):
    sys.exit("no cheese today")
Path(run, name + ".ready").write_text(str(os.getpid()))
while True:
    time.sleep(0.05)
"""
DRIVER = """
import sys
from brokerage.config import get_config
from brokerage.launch import supervisor
from brokerage.launch.processes import Process

class Small(supervisor.Supervisor):
    def _prepare(self): pass

config = get_config()
supervisor.process_table = lambda config: [
    Process(name, (sys.executable, sys.argv[1], "manage.py", name, str(config.run_dir)), ready="file") for name in sys.argv[2].split(",")
]
try:
    sys.exit(Small(config).run())
except supervisor.LaunchError as error:
    sys.exit(str(error))
"""


class Running:
    """A supervisor in a process of its own."""

    def __init__(self, var: Path, names: str) -> None:
        program = var.parent / "program.py"
        program.write_text(PROGRAM)
        self.run = var / "run"
        self.output = var.parent / f"output-{time.monotonic_ns()}"
        with self.output.open("w") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(program), names],
                cwd=ROOT,
                env={**os.environ, "BROKERAGE_VAR": str(var)},
                stdout=output,
                stderr=output,
            )

    def table(self) -> dict[str, int]:
        try:
            return json.loads((self.run / "processes.json").read_text())
        except (OSError, ValueError):
            return {}

    def ready_pid(self, name: str) -> int | None:
        try:
            return int((self.run / f"{name}.ready").read_text())
        except (OSError, ValueError):
            return None

    def said(self) -> str:
        return self.output.read_text()


def wait_for(holds: Callable[[], object], what: Callable[[], str], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


@contextmanager
def running(var: Path, names: str = "engine,first,second") -> Iterator[Running]:
    it = Running(var, names)
    try:
        yield it
    finally:
        pids = it.table().values()
        it.popen.terminate()
        try:
            it.popen.wait(30)
        finally:
            for pid in [it.popen.pid, *pids]:
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def var(tmp_path: Path) -> Path:
    return tmp_path / "var"


def is_ready(it: Running) -> Callable[[], bool]:
    return lambda: "Ready after" in it.said()


def test_starts_restarts_and_stops_with_the_engine_last(var: Path) -> None:
    with running(var) as it:
        wait_for(is_ready(it), it.said)
        before = it.table()
        assert {"engine", "first", "second", "supervisor"} <= set(before)
        for name in ("engine", "first", "second"):
            os.kill(before[name], signal.SIGKILL)
        wait_for(
            lambda: all(it.table().get(name) not in {None, before[name]} for name in ("engine", "first", "second")),
            it.said,
        )
        after = it.table()
        for name in ("engine", "first", "second"):
            wait_for(lambda name=name: it.ready_pid(name) == after[name], it.said)
        it.popen.terminate()
        assert it.popen.wait(20) == 0
        assert [name for name, pid in after.items() if is_alive(pid)] == []
        stopped = {name: int((it.run / f"{name}.stopped").read_text()) for name in ("engine", "first", "second")}
        assert stopped["engine"] == max(stopped.values())
        assert not (it.run / "processes.json").exists()


def test_a_second_copy_is_refused_and_the_first_goes_on(var: Path) -> None:
    with running(var) as first:
        wait_for(is_ready(first), first.said)
        second = Running(var, "engine")
        assert second.popen.wait(20) == 1
        assert f"already runs from this folder (process {first.popen.pid})" in second.said()
        assert first.popen.poll() is None
        assert is_alive(first.table()["engine"])


def test_a_killed_supervisor_leaves_nothing_the_next_one_keeps(var: Path) -> None:
    with running(var) as first:
        wait_for(is_ready(first), first.said)
        old = first.table()
        first.popen.kill()
        first.popen.wait(5)
        assert is_alive(old["engine"])
        with running(var) as second:
            wait_for(is_ready(second), second.said)
            assert [name for name, pid in old.items() if is_alive(pid)] == []
            assert second.table()["engine"] != old["engine"]


def test_a_process_that_never_comes_up_stops_the_start_with_its_own_words(var: Path) -> None:
    it = Running(var, "first,fails")
    assert it.popen.wait(40) == 1
    assert "fails ends again and again: no cheese today" in it.said()
    assert it.table() == {}


@pytest.mark.parametrize(
    ("name", "variable"), [("web", "PORT"), ("web-fallback", "FALLBACK_PORT"), ("fix", "FIX_PORT")]
)
def test_a_taken_port_is_named_with_the_variable(
    var: Path, monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv(variable, str(port))
        it = Running(var, name)
        assert it.popen.wait(20) == 1
    assert f"Port {port} on 127.0.0.1 cannot be used (Address already in use)" in it.said()
    assert f"make run {variable}={port + 1}" in it.said()


def test_an_unknown_process_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "brokerage.launch", "--only", "engien"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Unknown process 'engien': choose from engine," in result.stderr


def test_status_and_stop_of_a_platform_that_does_not_run(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERAGE_VAR", str(var))
    outputs = [
        subprocess.run(
            [sys.executable, "-m", "brokerage.launch", action], cwd=ROOT, capture_output=True, text=True, check=False
        )
        for action in ("status", "stop")
    ]
    assert [output.returncode for output in outputs] == [1, 0]
    assert all("not running" in output.stdout for output in outputs)
