"""A real engine process for tests: start, wait, kill, start again.

Owns: the process and its folder layout. For tests of every part that needs an engine; nothing in production imports it. Leaves to
others: what to send.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from brokerage.kernel.errors import EngineUnavailableError
from trading.engine.gateway import EngineClient, wait_ready

ROOT = Path(__file__).resolve().parent.parent.parent


class EngineProcess:
    """One engine under a folder of its own. ``with EngineProcess(tmp_path) as engine: engine.client().submit(...)``."""

    def __init__(
        self, folder: Path, *, durability: str = "os", arguments: tuple[str, ...] = ("--segment-kib", "1024")
    ) -> None:
        self.folder = Path(folder)
        self.journal = self.folder / "journal"
        # A socket's path has at most 107 bytes; pytest's folders may be longer than that.
        self._sockets = tempfile.TemporaryDirectory(prefix="eng")
        self.socket = str(Path(self._sockets.name) / "s" / "engine.sock")
        self.durability = durability
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[EngineClient] = []

    def start(self, *, wait: bool = True) -> EngineProcess:
        """Start it (again) on the same journal and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "trading.engine", "--journal", str(self.journal), "--socket", self.socket,
                    "--ready", str(self.folder / "engine.ready"), "--durability", self.durability, *self.arguments,
                ],
                cwd=ROOT, stdout=log, stderr=log, # The environment is ours: what is different goes on the command line.
            )  # fmt: skip
        if wait:
            try:
                wait_ready(self.socket, 30)
            except EngineUnavailableError as error:
                self.kill()
                raise AssertionError(f"the engine did not start:\n{self.log()}") from error
        return self

    def client(self, *, timeout_s: float = 5.0, pool_size: int = 8) -> EngineClient:
        """A client that is closed with the engine."""
        client = EngineClient(self.socket, timeout_s=timeout_s, pool_size=pool_size)
        self._clients.append(client)
        return client

    def log(self) -> str:
        """What it wrote so far."""
        return (self.folder / "engine.log").read_text(errors="replace")

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Clean stop; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self.process = None
        return code

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait until it ends by itself; the exit code."""
        assert self.process is not None  # noqa: S101
        code = self.process.wait(timeout=timeout_s)
        self.process = None
        return code

    def __enter__(self) -> EngineProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        self.kill()
        self._sockets.cleanup()
