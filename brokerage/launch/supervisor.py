"""Start the whole platform on one machine, keep it running, stop it cleanly: what ``make run`` does.

Owns: one copy per checkout (a lock), the embedded servers unless DATABASE_URL/REDIS_URL name real ones, migrations and seed data, the
processes of ``processes.py`` with readiness, restart with back-off, bounded logs and ``var/run/processes.json`` (name to pid).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import IO

from brokerage.config import Config
from brokerage.launch.addresses import remove_addresses, write_addresses
from brokerage.launch.children import (
    LOG_BYTES_MAX,
    STOP_TIMEOUT_S,
    Child,
    is_ours,
    last_line,
    open_log,
    spawn,
    terminate,
    wait,
)
from brokerage.launch.embedded import EmbeddedError, EmbeddedServers
from brokerage.launch.prepare import DECIDING, DECIDING_HISTORY, DatabaseUnreachable, Stamp, database_identity
from brokerage.launch.probe import UnwellError, web_live
from brokerage.launch.processes import process_table
from trading.engine.services import tokens_ensure

READY_TIMEOUT_S = 120.0
BACKOFF_MAX_S = 10.0
#: A process that has run this long is healthy again: its next failure restarts at once.
HEALTHY_S = 30.0


class LaunchError(Exception):
    """The platform cannot start; the text is one plain sentence that says what to do."""


class Supervisor:
    """Run the platform until SIGINT, SIGTERM or SIGHUP. ``only`` restricts the processes."""

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
        self._database = ""
        self._history: tuple[subprocess.Popen[bytes], Stamp] | None = None
        self._servers_at = 0.0
        self._servers_said = ""

    # ---- the whole --------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Start everything, watch it, stop it. Returns the exit code; raises LaunchError when it cannot start."""
        begun = time.monotonic()
        try:
            for folder in (self.config.var_dir, self.config.run_dir, self.config.log_dir):
                folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except PermissionError as error:
            raise LaunchError(
                f"{error.filename} cannot be written: it belongs to another user (was the platform run as root before?); "
                "run as that user, or set BROKERAGE_VAR to a folder of your own."
            ) from None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup sets SIGHUP to be ignored, and that is to stay.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        try:
            self._stop_left_overs()
            self._check_port()
            self._start_servers()
            self._prepare()
            if not self._stopping.is_set():
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
                pid for name, pid in table.items() if name not in {"postgres", "valkey", "supervisor"} and is_ours(pid)
            ]
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while any(is_ours(pid) for pid in pids) and time.monotonic() < deadline:
                time.sleep(0.05)
            for pid in pids:
                if is_ours(pid):
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)

    def _check_port(self) -> None:
        config = self.config
        wanted = {
            "web": ("PORT", config.host, config.port),
            "web-fallback": ("FALLBACK_PORT", config.host, config.fallback_port),
            "fix": ("FIX_PORT", config.fix_host, config.fix_port),
        }
        for variable, host, port in [
            wanted[child.process.name] for child in self.children if child.process.name in wanted
        ]:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise LaunchError(
                        f"Port {port} on {host} cannot be used ({error.strerror}): "
                        f"free it, or choose another with {variable}, for example `make run {variable}={port + 1}`."
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
            "ENGINE_KEYS": str(self.config.engine_keys),
        }
        tokens_ensure(self.config.engine_keys)
        write_addresses(self.config)

    def _prepare(self) -> None:
        """Migrate and seed, unless neither the files that decide it nor the database have changed since the last time."""
        try:
            self._database = database_identity(self.config.database_url)
        except DatabaseUnreachable as error:
            raise LaunchError(str(error)) from error
        stamp = Stamp(self.config.run_dir / "prepared", DECIDING, self._database, str(self.config.demo))
        if stamp.holds():
            return
        _say("Preparing the database")
        steps: list[tuple[str, ...]] = [("migrate",), ("seed_reference",), ("seed_staff",)]
        if self.config.demo:
            steps.append(("load_sanctions", "--made-up"))
        for step in steps:
            code = self._manage(*step).wait()
            if self._stopping.is_set():
                return
            if code != 0:
                log = self.config.log_dir / "setup.log"
                raise LaunchError(f"`manage.py {step[0]}` failed: {last_line(log) or code}. See {log}.")
        stamp.set()

    def _manage(self, *command: str) -> subprocess.Popen[bytes]:
        with open_log(self.config.log_dir, "setup") as log:
            return spawn((sys.executable, "manage.py", *command), self.environment, log)

    def _load_history(self) -> None:
        """Load history beside the running platform: the first time it takes longer than anyone wants to wait."""
        if not self.config.demo or not any(child.process.name == "web" for child in self.children):
            return
        stamp = Stamp(self.config.run_dir / "history", DECIDING_HISTORY, self._database, str(self.config.demo_seed))
        if not stamp.holds():
            self._history = (self._manage("load_history"), stamp)

    def _watch_history(self) -> None:
        if self._history is None or self._history[0].poll() is None:
            return
        popen, stamp = self._history
        self._history = None
        if popen.returncode == 0:
            stamp.set()
            _say("Price history is loaded")
        else:
            log = self.config.log_dir / "setup.log"
            _say(f"Price history could not be loaded ({last_line(log)}): see {log}; the next start tries again")

    def _watch_servers(self) -> None:
        """Start a dead embedded server again; tried every second, told once."""
        now = time.monotonic()
        if self.servers is None or now < self._servers_at:
            return
        self._servers_at = now + 1.0
        try:
            healed = self.servers.heal()
        except (EmbeddedError, OSError) as error:
            if str(error) != self._servers_said:
                self._servers_said = str(error)
                _say(f"An embedded server ended and does not start again: {error}")
            return
        if healed:
            self._servers_said = ""
            _say(f"{' and '.join(healed)} ended and was started again")
            self._write_table()

    # ---- processes --------------------------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        name = child.process.name
        (self.config.run_dir / f"{name}.ready").unlink(missing_ok=True)
        if child.log is not None:
            child.log.close()
        child.log = open_log(self.config.log_dir, name)
        environment = self.environment | {"BROKERAGE_PROCESS": name}
        child.popen = spawn(child.process.command, environment, child.log, child.process.nice)
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
        try:
            return web_live(self.config, 2.0, child.process.name) == 200
        except UnwellError:
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
                log = self.config.log_dir / f"{name}.log"
                raise LaunchError(
                    f"{name} did not become ready in {READY_TIMEOUT_S:.0f} s: {last_line(log)}. See {log}."
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
                    log = self.config.log_dir / f"{name}.log"
                    raise LaunchError(f"{name} ends again and again: {last_line(log)}. See {log}.")
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
            self._watch_servers()
            self._watch_history()
            for child in self.children:
                if child.log is not None and os.fstat(child.log.fileno()).st_size > LOG_BYTES_MAX * 4:
                    # The child keeps its descriptor; cutting the file is the only bound that needs nothing from it.
                    os.ftruncate(child.log.fileno(), 0)

    def _stop_all(self) -> None:
        running = [child for child in self.children if child.popen is not None and child.popen.poll() is None]
        if running:
            _say("Stopping")
        if self._history is not None:
            terminate(self._history[0])
            wait([self._history[0]])
        # Top down: those who send orders first, the engine last.
        for child in reversed(running):
            if child.process.name != "engine":
                terminate(child.popen)
        wait([child.popen for child in running if child.process.name != "engine"])
        for child in running:
            if child.process.name == "engine":
                terminate(child.popen)
                wait([child.popen])
        if self.servers is not None:
            self.servers.stop()
        remove_addresses(self.config)
        (self.config.run_dir / "processes.json").unlink(missing_ok=True)

    def _announce(self, seconds: float) -> None:
        base = self.config.base_url
        lines = [
            "",
            f"Ready after {seconds:.1f} s.",
            f"  Portal     {base}/",
            f"  API        {base}/api/docs",
            f"  FIX        {self.config.fix_host}:{self.config.fix_port}",
            f"  Desk       {base}/desk (staff)",
            f"  Admin      {base}/{self.config.admin_path}/",
            f"  Fallback   {self.config.fallback_url}/ (needs PostgreSQL only)",
        ]
        if self.config.demo:
            lines += [
                "  Demo logins (password demo-Pass-2026):",
                "    investor@demo.test      investor",
                "    investor2@demo.test     second investor",
                "    dealer@demo.test        dealer",
                "    compliance@demo.test    compliance officer",
                "    compliance2@demo.test   second compliance officer",
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
