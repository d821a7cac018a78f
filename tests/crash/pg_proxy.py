"""A proxy in front of PostgreSQL that reads what a client says and acts between two statements of its transaction.

It is the seam for killing the projector at a chosen statement: nothing in the product knows of it, a process is given its address as its
database. Statements are counted from the one that moves the projector's offset to the end of that transaction, and are named by what they do:
``COPY trading_execution``, ``rows of trading_execution`` (the rows begin to flow), ``INSERT trading_order``, ``COMMIT``, and
``COMMIT unanswered``: the server has committed, the client never hears of it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

FIRST = "UPDATE trading_projectionstate SET cmd_seq"
UNANSWERED = "COMMIT unanswered"


def label_of(statement: str) -> str:
    """What a statement does, in two words."""
    words = re.match(r"(COPY|INSERT INTO|UPDATE|COMMIT|BEGIN|ROLLBACK)\s*\"?(\w*)", statement.strip())
    if words is None:
        return statement.strip()[:30]
    return " ".join(word for word in (words[1].split()[0], words[2]) if word)


class CuttingProxy:
    """Listens on a Unix socket of its own; ``url`` is the database behind it. ``seen`` counts the points that went by."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        host, port = query.get("host") or parts.hostname or "127.0.0.1", int(query.get("port") or parts.port or 5432)
        self._upstream: str | tuple[str, int] = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self.folder = Path(tempfile.mkdtemp(prefix="bkpg"))
        user = f"{parts.username}{':' + parts.password if parts.password else ''}@" if parts.username else ""
        # Through a socket of this kind a client asks for no TLS, so every word can be read here.
        self.url = urlunsplit((parts.scheme, user, parts.path, f"host={self.folder}", ""))
        self.seen: dict[str, int] = {}
        self._plan: tuple[str, Callable[[], None]] | None = None
        self.done = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self._listener.listen(16)
        threading.Thread(target=self._accept, name="pg-proxy", daemon=True).start()

    def at(self, label: str, act: Callable[[], None]) -> None:
        """At the next ``label`` do not pass it on (``COMMIT unanswered``: not its answer), call ``act`` and cut the connection."""
        self.done.clear()
        self._plan = (label, act)

    def close(self) -> None:
        """Stop listening; connections end with their ends."""
        self._listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- one connection ---------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET)
                try:
                    server.connect(self._upstream)
                except OSError:
                    client.close()
                    continue
                Connection(self, client, server).start()

    def passes(self, label: str) -> Callable[[], None] | None:
        """Count a point; what to do there, when it was planned."""
        self.seen[label] = self.seen.get(label, 0) + 1
        if self._plan is not None and self._plan[0] == label:
            act, self._plan = self._plan[1], None
            return act
        return None


class Connection:
    """Two threads that pass bytes on; the one from the client understands where a message begins."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self._inside = self._copying = False
        self._label = ""
        self._mute = threading.Event()
        self._answered = threading.Event()

    def start(self) -> None:
        for work in (self._from_client, self._from_server):
            threading.Thread(target=work, daemon=True).start()

    def _from_server(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.server.recv(65536):
                if self._mute.is_set():
                    self._answered.set()
                    continue
                self.client.sendall(data)
        self._cut()

    def _from_client(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            for kind, message in self._messages():
                act = self._look(kind, message)
                if act is not None:
                    if self._label == UNANSWERED:
                        self._mute.set()
                        self.server.sendall(message)
                        # Extended protocol: the answer comes after the Sync that follows.
                        if kind == b"P":
                            for follows, more in self._messages():
                                self.server.sendall(more)
                                if follows == b"S":
                                    break
                        self._answered.wait(10)
                    act()
                    self._cut()
                    self.proxy.done.set()
                    return
                self.server.sendall(message)
        self._cut()

    def _messages(self) -> Iterator[tuple[bytes, bytes]]:
        if not hasattr(self, "_reader"):
            self._reader = self.client.makefile("rb")
            head = self._read(4)
            yield b"", head + self._read(struct.unpack("!I", head)[0] - 4)  # the start-up message has no type
        while True:
            head = self._read(5)
            yield head[:1], head + self._read(struct.unpack("!I", head[1:])[0] - 4)

    def _read(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _look(self, kind: bytes, message: bytes) -> Callable[[], None] | None:
        """Name the point this message is, when it is one; what to do there."""
        if kind in (b"Q", b"P"):
            text = message[5:] if kind == b"Q" else message[5:].split(b"\0", 1)[1]
            statement = text.split(b"\0", 1)[0].decode(errors="replace")
            if statement.startswith(FIRST):
                self._inside = True
            if not self._inside:
                return None
            self._label = label_of(statement)
            self._copying = self._label.startswith("COPY")
            if self._label in ("COMMIT", "ROLLBACK"):
                self._inside = False
            act = self.proxy.passes(self._label)
            if act is None and self._label == "COMMIT":
                act = self.proxy.passes(UNANSWERED)
                self._label = UNANSWERED if act is not None else self._label
            return act
        if kind == b"d" and self._inside and self._copying:
            self._copying = False
            return self.proxy.passes(f"rows of {self._label.removeprefix('COPY ')}")
        return None

    def _cut(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
