"""Start the whole platform on one machine, keep it running, stop it cleanly: what ``make run`` does.

Owns: one copy per checkout (a lock), the embedded servers unless DATABASE_URL/REDIS_URL name real ones, migrations and seed data, the
processes of ``processes.py`` with readiness, restart with back-off, bounded logs and ``var/run/processes.json`` (name to pid).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from brokerage.config import BASE_DIR, Config
from brokerage.launch.embedded import EmbeddedError, EmbeddedServers
from brokerage.launch.processes import Process, process_table

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
LOG_BYTES_MAX = 20_000_000
BACKOFF_MAX_S = 10.0
#: A process that has run this long is healthy again: its next failure restarts at once.
HEALTHY_S = 30.0


class LaunchError(Exception):
    """The platform cannot start; the text is one plain sentence that says what to do."""


@dataclass
class Child:
    """A process under watch."""

    process: Process
    popen: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    retry_at: float = 0.0
    restarts: int = field(default=0)


class Supervisor:
    """Run the platform until SIGINT or SIGTERM. ``only`` restricts the processes; ``quiet`` prints less."""

    def __init__(self, config: Config, *, only: tuple[str, ...] = ()) -> None:
        self.config = config
        table = process_table(config)
        unknown = set(only) - {process.name for process in table}
        if unknown:
            raise LaunchError(
                f"Unknown process {sorted(unknown)[0]!r}: choose from {', '.join(process.name for process in table)}."
            )
        self.children = [Child(process) for process in table if not only or process.name in only]
        self.servers: EmbeddedServers | None = None
        self.environment = dict(os.environ)
        self._stopping = threading.Event()
        self._lock: IO[str] | None = None

    # ---- the whole --------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Start everything, watch it, stop it. Returns the exit code; raises LaunchError when it cannot start."""
        begun = time.monotonic()
        for folder in (self.config.var_dir, self.config.run_dir, self.config.log_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        try:
            self._stop_left_overs()
            self._check_port()
            self._start_servers()
            self._prepare()
            for child in self.children:
                self._start(child)
            self._write_table()
            self._wait_ready()
            if not self._stopping.is_set():
                self._announce(time.monotonic() - begun)
                self._load_history()
            self._watch()
        finally:
            self._stop_all()
        return 0

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping.set()

    def _take_lock(self) -> None:
        path = self.config.run_dir / "supervisor.lock"
        self._lock = path.open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            pid = self._lock.read().strip() or "unknown"
            raise LaunchError(
                f"The platform already runs from this folder (process {pid}): stop it with Ctrl-C there, or with `kill {pid}`."
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _stop_left_overs(self) -> None:
        """Stop processes that outlived a killed supervisor: two engines on one journal are refused anyway, but so would we be."""
        with contextlib.suppress(OSError, ValueError):
            table = json.loads((self.config.run_dir / "processes.json").read_text())
            pids = [
                pid for name, pid in table.items() if name not in {"postgres", "valkey", "supervisor"} and _is_ours(pid)
            ]
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while any(_is_ours(pid) for pid in pids) and time.monotonic() < deadline:
                time.sleep(0.05)
            for pid in pids:
                if _is_ours(pid):
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)

    def _check_port(self) -> None:
        if not any(child.process.name == "web" for child in self.children):
            return
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.config.host, self.config.port))
            except OSError as error:
                raise LaunchError(
                    f"Port {self.config.port} on {self.config.host} cannot be used ({error.strerror}): "
                    f"free it, or choose another with PORT, for example `make run PORT={self.config.port + 1}`."
                ) from None

    # ---- servers and data -------------------------------------------------------------------------------------------

    def _start_servers(self) -> None:
        if not (self.config.database_url and self.config.redis_url):
            servers = EmbeddedServers(self.config.var_dir)
            _say("Starting PostgreSQL and Valkey")
            try:
                servers.start()
            except EmbeddedError as error:
                servers.stop()
                raise LaunchError(str(error)) from error
            self.servers = servers
            self.config = replace(
                self.config,
                database_url=self.config.database_url or servers.database_url,
                redis_url=self.config.redis_url or servers.redis_url,
            )
        self.environment |= {
            "DATABASE_URL": self.config.database_url,
            "REDIS_URL": self.config.redis_url,
            "DJANGO_SETTINGS_MODULE": "brokerage.settings",
            "PYTHONUNBUFFERED": "1",
        }

    def _manage(self, *arguments: str) -> None:
        with self._open_log("setup") as log:
            code = subprocess.run(
                [sys.executable, "manage.py", *arguments],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=log,
                stderr=log,
                check=False,
            ).returncode
        if code != 0:
            tail = (self.config.log_dir / "setup.log").read_text(errors="replace").strip().splitlines()[-1:]
            raise LaunchError(
                f"`manage.py {arguments[0]}` failed: {tail[0] if tail else code}. See {self.config.log_dir / 'setup.log'}."
            )

    def _prepare(self) -> None:
        """Migrate and seed, unless neither the files that decide it nor the database have changed since the last time."""
        digest = hashlib.sha256(self.config.database_url.encode())
        for path in sorted(BASE_DIR.glob("*/migrations/*.py")) + sorted(BASE_DIR.glob("*/*/migrations/*.py")):
            digest.update(path.read_bytes())
        for path in (
            BASE_DIR / "requirements.txt",
            *sorted(BASE_DIR.glob("*/management/commands/seed_reference.py")),
            *sorted(BASE_DIR.glob("*/services/seed*.py")),
        ):
            digest.update(path.read_bytes())
        stamp = self.config.run_dir / "prepared"
        wanted = f"{digest.hexdigest()} {self._database_id()}"
        if stamp.exists() and stamp.read_text() == wanted:
            return
        _say("Preparing the database")
        self._manage("migrate", "--noinput")
        self._manage("seed_reference")
        stamp.write_text(wanted)

    def _database_id(self) -> str:
        """Return something that changes when the database is another one, also under the same address."""
        import psycopg

        try:
            with psycopg.connect(self.config.database_url, connect_timeout=10) as connection:
                row = connection.execute(
                    "SELECT (SELECT system_identifier FROM pg_control_system()) || '-' || (SELECT oid FROM pg_database WHERE datname = current_database())"
                ).fetchone()
        except psycopg.Error as error:
            raise LaunchError(
                f"The database cannot be reached ({str(error).strip().splitlines()[0]}): check DATABASE_URL."
            ) from error
        return str(row[0]) if row else ""

    def _load_history(self) -> None:
        """Load history beside the running platform; the first time it takes longer than anyone wants to wait."""
        stamp = self.config.run_dir / "history"
        if not self.config.demo or (stamp.exists() and stamp.read_text() == self._database_id()):
            return

        def load() -> None:
            with contextlib.suppress(LaunchError):
                self._manage("load_history")
                stamp.write_text(self._database_id())

        threading.Thread(target=load, name="history", daemon=True).start()

    # ---- processes --------------------------------------------------------------------------------------------------

    def _open_log(self, name: str) -> IO[bytes]:
        path = self.config.log_dir / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _start(self, child: Child) -> None:
        name = child.process.name
        (self.config.run_dir / f"{name}.ready").unlink(missing_ok=True)
        if child.log is not None:
            child.log.close()
        child.log = self._open_log(name)
        child.popen = subprocess.Popen(
            child.process.command,
            cwd=BASE_DIR,
            env=self.environment,
            stdout=child.log,
            stderr=child.log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        child.started = time.monotonic()

    def _write_table(self) -> None:
        table = {child.process.name: child.popen.pid for child in self.children if child.popen is not None}
        table["supervisor"] = os.getpid()
        if self.servers is not None:
            table |= self.servers.pids()
        path = self.config.run_dir / "processes.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(table, indent=1))
        part.replace(path)

    def _is_ready(self, child: Child) -> bool:
        if child.process.ready == "none":
            return True
        if child.process.ready == "file":
            return (self.config.run_dir / f"{child.process.name}.ready").exists()
        host = "127.0.0.1" if self.config.host == "0.0.0.0" else self.config.host  # noqa: S104
        try:
            with urllib.request.urlopen(f"http://{host}:{self.config.port}/health/live", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _wait_ready(self) -> None:
        _say("Starting " + ", ".join(child.process.name for child in self.children))
        deadline = time.monotonic() + READY_TIMEOUT_S
        waiting = list(self.children)
        while waiting and not self._stopping.is_set():
            waiting = [child for child in waiting if not self._is_ready(child)]
            self._restart_dead(first=True)
            if waiting and time.monotonic() > deadline:
                name = waiting[0].process.name
                raise LaunchError(
                    f"{name} did not become ready in {READY_TIMEOUT_S:.0f} s: see {self.config.log_dir / (name + '.log')}."
                )
            time.sleep(0.1)

    def _restart_dead(self, *, first: bool = False) -> None:
        now = time.monotonic()
        changed = False
        for child in self.children:
            if child.popen is None or child.popen.poll() is None:
                continue
            if child.retry_at == 0.0:
                if now - child.started > HEALTHY_S:
                    child.failures = 0
                child.failures += 1
                delay = 0.0 if child.failures == 1 else min(BACKOFF_MAX_S, 0.5 * 2 ** (child.failures - 2))
                child.retry_at = now + delay
                code = child.popen.returncode
                _say(
                    f"{child.process.name} ended ({code}), starting it again" + (f" in {delay:.1f} s" if delay else "")
                )
                if first and child.failures >= 5:
                    name = child.process.name
                    raise LaunchError(f"{name} ends again and again: see {self.config.log_dir / (name + '.log')}.")
            if now >= child.retry_at:
                child.retry_at = 0.0
                child.restarts += 1
                self._start(child)
                changed = True
        if changed:
            self._write_table()

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            self._restart_dead()
            for child in self.children:
                if child.log is not None and child.log.tell() > LOG_BYTES_MAX * 4:
                    # The child keeps its descriptor; cutting the file is the only bound that needs nothing from it.
                    os.ftruncate(child.log.fileno(), 0)

    def _stop_all(self) -> None:
        running = [child for child in self.children if child.popen is not None and child.popen.poll() is None]
        if running:
            _say("Stopping")
        # Top down: those who send orders first, the engine last.
        for child in reversed(running):
            if child.process.name != "engine":
                _terminate(child.popen)
        _wait([child.popen for child in running if child.process.name != "engine"])
        for child in running:
            if child.process.name == "engine":
                _terminate(child.popen)
                _wait([child.popen])
        if self.servers is not None:
            self.servers.stop()
        (self.config.run_dir / "processes.json").unlink(missing_ok=True)

    def _announce(self, seconds: float) -> None:
        base = self.config.base_url
        lines = [
            "",
            f"Ready after {seconds:.1f} s.",
            f"  Portal     {base}/",
            f"  API        {base}/api/docs",
            f"  Admin      {base}/admin/",
        ]
        if self.config.demo:
            lines += [
                "  Demo logins (password demo-Pass-2026):",
                "    investor@demo.test      investor",
                "    investor2@demo.test     second investor",
                "    dealer@demo.test        dealer",
                "    compliance@demo.test    compliance officer",
                "    admin@demo.test         administrator",
            ]
        lines += [
            f"  Durability {self.config.durability} · logs in {self.config.log_dir}",
            "  Ctrl-C stops everything.",
            "",
        ]
        print("\n".join(lines), flush=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _is_ours(pid: int) -> bool:
    """True when the pid is a live process that was started from this checkout."""
    try:
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return False
        return Path(os.readlink(f"/proc/{pid}/cwd")).resolve() == BASE_DIR
    except (OSError, IndexError):
        return False


def _terminate(popen: subprocess.Popen[bytes] | None) -> None:
    if popen is not None and popen.poll() is None:
        with contextlib.suppress(OSError):
            popen.terminate()


def _wait(popens: list[subprocess.Popen[bytes] | None]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for popen in popens:
        if popen is None:
            continue
        try:
            popen.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait(5)
