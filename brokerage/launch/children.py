"""A process under watch, and the few things one does with it: start, ask to stop, wait, read its last words.

Owns the bounds of log files. Leaves when to do what to ``supervisor.py``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from brokerage.config import BASE_DIR
from brokerage.launch.account import is_alive
from brokerage.launch.processes import Process

LOG_BYTES_MAX = 20_000_000
STOP_TIMEOUT_S = 15.0
#: What the command line of a process of the platform contains; guards against a number that has gone to another program.
MARKS = (b"manage.py", b"trading.engine", b"brokerage.serve", b"celery")


@dataclass
class Child:
    """A process under watch."""

    process: Process
    popen: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    retry_at: float = 0.0
    restarts: int = 0


def spawn(
    command: tuple[str, ...], environment: dict[str, str], log: IO[bytes], nice: int = 0
) -> subprocess.Popen[bytes]:
    """Start a command in the checkout with its output in the log, ``nice`` steps behind the others."""
    # Its own session: a Ctrl-C in the terminal reaches the supervisor only, which stops things in order.
    started = subprocess.Popen(
        command,
        cwd=BASE_DIR,
        env=environment,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    if nice:
        with contextlib.suppress(OSError):
            # The whole session, as it may have threads already.
            os.setpriority(os.PRIO_PGRP, started.pid, nice)
    return started


def open_log(folder: Path, name: str) -> IO[bytes]:
    """Open a log for appending; one that has grown too long becomes ``.log.1`` first."""
    path = folder / f"{name}.log"
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def last_line(path: Path) -> str:
    """Return the last words of a log, for a message; logs are bounded, so is this."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return "it wrote nothing"
    return lines[-1].strip() if lines else "it wrote nothing"


def is_ours(pid: int) -> bool:
    """True when the pid is a live process of the platform that was started from this checkout."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        folder = Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return False
    return is_alive(pid) and folder == BASE_DIR and any(mark in words for mark in MARKS)


def terminate(popen: subprocess.Popen[bytes] | None) -> None:
    """Ask a process to stop."""
    if popen is not None and popen.poll() is None:
        with contextlib.suppress(OSError):
            popen.terminate()


def wait(popens: list[subprocess.Popen[bytes] | None]) -> None:
    """Wait for processes that were asked to stop; kill those that do not."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for popen in popens:
        if popen is None:
            continue
        try:
            popen.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait(5)
