"""Which operating system account a server runs under, and whether a process is alive.

PostgreSQL refuses to run as root, so for root another account is chosen. Owns that choice and the small questions about processes
that the servers and the supervisor share. Leaves running anything to them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM_ACCOUNT = "brokerage-pg"


class EmbeddedError(Exception):
    """A server could not be started; the text is one sentence that says what to do."""


@dataclass(frozen=True)
class Account:
    """An operating system account; None means our own."""

    uid: int | None = None
    gid: int | None = None

    def kwargs(self) -> dict[str, Any]:
        """Return what subprocess needs to become this account."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or folder to this account."""
        if self.uid is not None:
            os.chown(path, self.uid, self.gid if self.gid is not None else -1)

    def can(self, *command: str) -> bool:
        """Tell whether the command succeeds when this account runs it."""
        try:
            return subprocess.run(command, check=False, capture_output=True, cwd="/", **self.kwargs()).returncode == 0
        except OSError:
            return False


def account_for_server(data: Path) -> Account:
    """Choose the account: our own, unless we are root; then who owns the data already, else a system account, else ``nobody``."""
    if os.geteuid() != 0:
        return Account()
    if data.is_dir() and (data / "PG_VERSION").exists():
        owner = data.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid)
    for attempt in range(2):
        try:
            entry = pwd.getpwnam(SYSTEM_ACCOUNT)
            return Account(entry.pw_uid, entry.pw_gid)
        except KeyError:
            if attempt == 0 and shutil.which("useradd"):
                subprocess.run(
                    ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_ACCOUNT],
                    check=False,
                    capture_output=True,
                )
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL does not run as root and no other account could be made: "
            "run as an ordinary user, or set DATABASE_URL."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def is_alive(pid: int) -> bool:
    """Tell whether the process exists and is no zombie (where nobody reaps orphans, dead ones stay listed)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except (OSError, IndexError):
        return False
