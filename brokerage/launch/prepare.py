"""Bring the database up to date before the processes start: migrate, seed, and say when history must be loaded.

Owns the stamps in ``var/run`` that make later starts quick. Leaves running the commands' processes to ``supervisor.py``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg

from brokerage.config import BASE_DIR

#: Files that decide what migrate, seed_reference and load_history would do.
DECIDING = (
    "requirements.txt",
    "*/migrations/*.py",
    "*/*/migrations/*.py",
    "*/management/commands/seed_reference.py",
    "*/management/commands/seed_staff.py",
    "accounts/roles.py",
    "accounts/services/roles.py",
    "backoffice/services/desks.py",
    "*/services/seed*.py",
    "*/services/seed*/*.py",
)
DECIDING_HISTORY = ("marketdata/history/*.py", "marketdata/services/history.py", "requirements.txt")


class DatabaseUnreachable(Exception):
    """The database does not answer; the text is one sentence that says what to do."""


def database_identity(url: str) -> str:
    """Return something that changes when the database is another one, also under the same address."""
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            row = connection.execute(
                "SELECT (SELECT system_identifier FROM pg_control_system()) || '-' ||"
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchone()
    except psycopg.Error as error:
        said = (str(error).strip().splitlines() or ["no answer"])[0]
        raise DatabaseUnreachable(f"The database cannot be reached ({said}): check DATABASE_URL.") from error
    return str(row[0]) if row else ""


class Stamp:
    """A file that says for which inputs a step was last done."""

    def __init__(self, path: Path, patterns: tuple[str, ...], *inputs: str) -> None:
        self.path = path
        digest = hashlib.sha256()
        for text in inputs:
            digest.update(text.encode() + b"\0")
        for pattern in patterns:
            for file in sorted(BASE_DIR.glob(pattern)):
                digest.update(str(file.relative_to(BASE_DIR)).encode() + b"\0" + file.read_bytes() + b"\0")
        self._wanted = digest.hexdigest()

    def holds(self) -> bool:
        """Tell whether the step was done for exactly these inputs."""
        return self.path.exists() and self.path.read_text() == self._wanted

    def set(self) -> None:
        """Remember that it is done."""
        self.path.write_text(self._wanted)
