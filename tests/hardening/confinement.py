"""How a process is confined on the machine a test runs on: as strictly as that machine allows, and never without saying what was left out.

Always: no new privileges, no capabilities, the seccomp profile of the containers. As root also another user, without rights to anything but its
data folder, and every file system read-only; as a user the latter where user namespaces are permitted. ``left_out`` says what was not possible.
"""

from __future__ import annotations

import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parents[2]
CONFINE = str(Path(__file__).with_name("confine.py"))
#: Nobody's on any machine.
UID = 65_532
NEEDED = tuple(str(Path(path).resolve()) for path in (sys.base_prefix, sys.prefix, ROOT, ROOT / "node_modules"))
_NO_CAPABILITIES = ("--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all")


@dataclass(frozen=True)
class Confinement:
    """One way of confining. ``uid`` is who the process is; ``readonly`` whether all but the data folder is."""

    title: str
    uid: int
    readonly: bool
    unshare: tuple[str, ...]
    setpriv: tuple[str, ...]
    left_out: str = ""

    def command(self, command: list[str], data: Path) -> list[str]:
        """The command as it is confined: one chain of exec, so the pid stays."""
        outer = [*self.unshare, sys.executable, CONFINE, "--data", str(data), *NEEDED, "--"] if self.readonly else []
        return [*outer, "setpriv", *self.setpriv, "--no-new-privs", "--", sys.executable, CONFINE, "--", *command]

    def folder(self) -> Path:
        """A short, empty data folder of the confined user's own."""
        folder = Path(tempfile.mkdtemp(prefix="bk"))
        (folder / "tmp").mkdir()
        for path in (folder, folder / "tmp"):
            if self.uid != os.geteuid():
                os.chown(path, self.uid, self.uid)
        return folder

    def works(self) -> bool:
        """True when this machine lets a process be confined so, and the platform can be read from there."""
        folder = self.folder()
        try:
            program = "import django, native.core; open('made', 'w')"
            done = subprocess.run(
                self.command([sys.executable, "-c", f"import os; os.chdir({str(folder)!r}); {program}"], folder),
                cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
                capture_output=True, check=False,
            )  # fmt: skip
            return done.returncode == 0 and (folder / "made").exists()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def ways() -> list[Confinement]:
    """The ways of this user, the strictest first; the last always works."""
    if os.geteuid() == 0:
        user = (f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *_NO_CAPABILITIES)
        mounts = ("unshare", "--mount", "--propagation", "private", "--")
        return [
            Confinement("another user, all read-only", UID, True, mounts, user),
            Confinement("another user", UID, False, (), user, "root may mount nothing here: file systems stay writable, to that user's rights"),
            Confinement(
                "root without capabilities", 0, False, (), _NO_CAPABILITIES,
                "other users cannot read the checkout or its Python, and nothing can be mounted: the user stays root, without capabilities",
            ),
        ]  # fmt: skip
    mounts = ("unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--propagation", "private", "--")
    return [
        Confinement("this user, all read-only", os.geteuid(), True, mounts, _NO_CAPABILITIES),
        Confinement("this user", os.geteuid(), False, (), (), "no user namespaces here: file systems stay writable, to this user's rights"),
    ]  # fmt: skip


@lru_cache(maxsize=1)
def strictest() -> Confinement:
    """The strictest way that works here."""
    tried = ways()
    return next((way for way in tried[:-1] if way.works()), tried[-1])


class Doorway:
    """A Unix socket in the data folder that leads to a server only its owner may reach, as a network would in production."""

    def __init__(self, path: Path, upstream: str | tuple[str, int]) -> None:
        self._upstream = upstream
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o777)
        self._listener.listen(64)
        threading.Thread(target=self._accept, name="doorway", daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(inside,), daemon=True).start()

    def _carry(self, inside: socket.socket) -> None:
        outside = socket.socket(socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET)
        with inside, outside, selectors.DefaultSelector() as ready:
            try:
                outside.connect(self._upstream)
                for one, other in ((inside, outside), (outside, inside)):
                    ready.register(one, selectors.EVENT_READ, other)
                while True:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                        if not data:
                            return
                        key.data.sendall(data)
            except OSError:
                return


def database_through(url: str, folder: Path) -> tuple[str, Doorway]:
    """The database's address by a doorway in ``folder``."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host, port = query.get("host") or parts.hostname or "127.0.0.1", int(query.get("port") or parts.port or 5432)
    upstream = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
    user = f"{parts.username}{':' + parts.password if parts.password else ''}@" if parts.username else ""
    door = Doorway(folder / ".s.PGSQL.5432", upstream)
    return urlunsplit((parts.scheme, user, parts.path, f"host={folder}", "")), door


def valkey_through(url: str, folder: Path) -> tuple[str, Doorway]:
    """Valkey's address by a doorway in ``folder``."""
    parts = urlsplit(url)
    upstream = parts.path if parts.scheme == "unix" else (parts.hostname or "127.0.0.1", parts.port or 6379)
    return f"unix://{folder}/valkey.sock", Doorway(folder / "valkey.sock", upstream)
