"""Embedded PostgreSQL 18 and Valkey from installed wheels: no root needed, no containers, data under one folder.

Owns the pair: their addresses, start, stop, healing and removal. Both listen on Unix sockets in a folder with a short path (the
kernel allows 108 bytes, a checkout may be deep), never on a port. The servers themselves are in ``postgres.py`` and ``valkey.py``;
migrations and processes are left to ``supervisor.py``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from brokerage.launch.account import EmbeddedError
from brokerage.launch.postgres import EmbeddedPostgres
from brokerage.launch.valkey import EmbeddedValkey

__all__ = ["EmbeddedError", "EmbeddedServers"]


class EmbeddedServers:
    """Context manager that runs both servers with their data below ``var``.

    ``database_url`` and ``redis_url`` are known before the start. ``fast=True`` (tests) gives up durability of the database for speed.
    Starting is idempotent: servers left by a killed run are taken over (PostgreSQL) or replaced (Valkey).
    """

    def __init__(self, var: Path, *, database: str = "brokerage", fast: bool = False) -> None:
        self.var = var.resolve()
        key = hashlib.sha256(os.fsencode(self.var)).hexdigest()[:12]
        self.socket_dir = Path(tempfile.gettempdir()) / f"brokerage-{os.getuid()}-{key}"
        self.postgres = EmbeddedPostgres(self.var, self.socket_dir / "pg", key, database=database, fast=fast)
        self.valkey = EmbeddedValkey(self.var / "valkey", self.socket_dir / "valkey.sock")
        self.database_url = self.postgres.url
        self.redis_url = self.valkey.url

    def __enter__(self) -> EmbeddedServers:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start both servers and wait until they answer; raises EmbeddedError."""
        self.var.mkdir(parents=True, exist_ok=True)
        self._make_socket_dir()
        self.valkey.start()
        self.postgres.start()

    def stop(self) -> None:
        """Stop both servers; safe to call at any time."""
        self.postgres.stop()
        self.valkey.stop()
        shutil.rmtree(self.socket_dir, ignore_errors=True)

    def heal(self) -> list[str]:
        """Start again what has died; returns the names. A server that cannot start yet is tried again at the next call."""
        healed = []
        for name, server in (("valkey", self.valkey), ("postgres", self.postgres)):
            if server.pid() is None:
                self._make_socket_dir()
                server.start()
                healed.append(name)
        return healed

    def pids(self) -> dict[str, int]:
        """Return the process ids of the servers that run."""
        found = {"postgres": self.postgres.pid(), "valkey": self.valkey.pid()}
        return {name: pid for name, pid in found.items() if pid is not None}

    def remove(self) -> None:
        """Stop both and delete everything they keep."""
        self.postgres.remove()
        self.valkey.remove()
        shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _make_socket_dir(self) -> None:
        try:
            self.socket_dir.mkdir(mode=0o711, exist_ok=True)
        except OSError as error:
            raise EmbeddedError(
                f"The socket folder {self.socket_dir} cannot be made ({error.strerror}): set TMPDIR to a writable folder."
            ) from error
        if self.socket_dir.is_symlink() or self.socket_dir.stat().st_uid != os.geteuid():
            raise EmbeddedError(
                f"The socket folder {self.socket_dir} belongs to somebody else: remove it or set TMPDIR."
            )
        # Others may pass through (PostgreSQL's account must), not list; the sockets themselves are closed to them.
        self.socket_dir.chmod(0o711)
        self.postgres.prepare_socket_dir()
