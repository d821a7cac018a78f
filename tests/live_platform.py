"""A whole platform of its own in a temporary folder, as `make run` starts it: for the kill loop and the benchmarks."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType

from brokerage.launch.embedded import EmbeddedServers
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
START_S = 240.0


class LivePlatform:
    """Context manager: started and answering inside, stopped and removed after it (unless ``keep``)."""

    def __init__(
        self,
        *,
        demo_rate: int = 40,
        keep: bool = False,
        rate_scale: int = 1000,
        more: dict[str, str] | None = None,
        command: tuple[str, ...] = (sys.executable, "-m", "brokerage.launch"),
    ) -> None:
        self.command = command
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.fallback_port = free_port()
        self.fallback = f"http://127.0.0.1:{self.fallback_port}"
        self.keep = keep
        self.var = Path(tempfile.mkdtemp(prefix="brokerage-live-"))
        self.servers = EmbeddedServers(self.var)
        environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
        environment |= {"BROKERAGE_VAR": str(self.var), "BROKERAGE_ENV": "local", "PORT": str(self.port), "DEMO": "1"}
        environment["FALLBACK_PORT"] = str(self.fallback_port)
        # Mostly the platform is measured, not a client's budget; 1 is what users have.
        environment |= {"RATE_SCALE": str(rate_scale)} | (more or {})
        self._launch_environment = environment | {"DEMO_RATE": str(demo_rate)}
        #: For management commands against the running platform.
        self.environment = self._launch_environment | {
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
            "DJANGO_SETTINGS_MODULE": "brokerage.settings",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LivePlatform:
        log = (self.var / "launch.log").open("wb")
        self._process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=self._launch_environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        deadline = time.monotonic() + START_S
        try:
            while "Ready after" not in (self.var / "launch.log").read_text():
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise SystemExit(f"the platform did not start:\n{(self.var / 'launch.log').read_text()[-2000:]}")
                time.sleep(0.2)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
        if not self.keep:
            self.servers.remove()
            shutil.rmtree(self.var, ignore_errors=True)

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a management command against it."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
        )

    def answers(self, base: str = "") -> bool:
        """The web process (or the one at ``base``) is alive."""
        try:
            with urllib.request.urlopen(f"{base or self.base}/health/live", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except OSError:
            return False
