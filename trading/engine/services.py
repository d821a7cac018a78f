"""Which process may do what on the engine's socket: a token each, rights by service. No Django.

The socket lets in processes of its own user only; of those each says with a token which service it is, and may do what that service is
for: the projector can read the feed but not place an order, whoever has taken it over. Owns the folder of tokens, the engine's list of
them and the rights. Leaves the hello to ``wire.py``, cutting to ``server.py``.

    FOLDER/<service>.token   64 hexadecimal digits, readable by that service alone
    FOLDER/services.json     {service: [digest, …]}, all the engine needs: a token cannot be told from it

``python -m trading.engine.services FOLDER`` makes what is missing; ``--rotate SERVICE`` a new token, beside which the one before counts
until ``--retire SERVICE``. The engine reads its list again when it has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import NamedTuple

from brokerage.config import get_config
from trading.engine import wire

LIST = "services.json"
NOTHING: frozenset[int] = frozenset()
READS = frozenset({wire.QUERY})
TRADES = frozenset({wire.QUERY, wire.SUBMIT})
FOLLOWS = frozenset({wire.QUERY, wire.SUBSCRIBE})
#: What each service may send. Who is not named here has no business with the engine.
RIGHTS: dict[str, frozenset[int]] = {
    "engine": READS,  # its own health check
    "projector": FOLLOWS,
    "marketdata": FOLLOWS,
    "runners": TRADES,
    "web": TRADES,
    "web-fallback": NOTHING,  # it must do without the engine
    "fix": TRADES,
    "worker": TRADES,
    "demo": TRADES,
    "console": TRADES | FOLLOWS,  # commands that people run
}
#: What a right is called when it is missing.
ACTS = {wire.QUERY: "ask", wire.SUBMIT: "send commands", wire.SUBSCRIBE: "follow the feed"}


class Service(NamedTuple):
    """Who is at the other end."""

    name: str
    rights: frozenset[int]


#: Where no list is kept (tests, a single engine by hand) the peer's user is all that is asked.
ANYBODY = Service("anybody", TRADES | FOLLOWS)


def _proof(token: str) -> bytes:
    """What a service shows: 32 bytes."""
    return hashlib.sha256(token.encode()).digest()


def _digest(proof: bytes) -> str:
    """What the engine keeps of it."""
    return hashlib.sha256(proof).hexdigest()


def own_proof() -> bytes:
    """What this process shows in its hello; empty when it has no token."""
    config = get_config()
    try:
        return _proof((config.engine_keys / f"{config.process}.token").read_text().strip())
    except OSError:
        return b""


class Services:
    """The engine's list, read again when the file has changed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LIST
        self._state: tuple[int, int, int] | None = None
        self._known: dict[str, Service] = {}
        self._read()

    def find(self, proof: bytes) -> Service | None:
        """The service that shows this; None for an unknown or missing token. A list that cannot be read leaves the last one in force."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._read()
        return self._known.get(_digest(proof)) if proof else None

    def _read(self) -> None:
        found = self.path.stat()
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        if state == self._state:
            return
        rows = json.loads(self.path.read_text())
        if not isinstance(rows, dict):
            raise ValueError("the list of services is an object of lists")
        self._known = {
            digest: Service(name, RIGHTS[name])
            for name, digests in rows.items()
            if name in RIGHTS
            for digest in digests
        }
        self._state = state


def tokens_ensure(folder: Path, *, rotate: str = "", retire: str = "") -> None:
    """Make the tokens that are missing and the engine's list; ``rotate`` names one to make anew, ``retire`` one whose old token ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / LIST
    rows: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
    for name in RIGHTS:
        file = folder / f"{name}.token"
        if name == rotate or not file.exists():
            _private(file, secrets.token_hex(32))
        now = _digest(_proof(file.read_text().strip()))
        before = [] if name == retire else [old for old in rows.get(name, []) if old != now][:1]
        rows[name] = [now, *before]
    _private(path, json.dumps({name: rows[name] for name in RIGHTS}, indent=1))


def _private(path: Path, text: str) -> None:
    """Write for this user's eyes only, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m trading.engine.services", description="Tokens of the engine's socket."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rotate", default="", choices=("", *RIGHTS), metavar="SERVICE", help="make a new token")
    parser.add_argument("--retire", default="", choices=("", *RIGHTS), metavar="SERVICE", help="end the token before")
    found = parser.parse_args(arguments)
    try:
        tokens_ensure(found.folder, rotate=found.rotate, retire=found.retire)
    except (OSError, ValueError) as error:
        print(f"{found.folder} cannot be used: {error}", file=sys.stderr)
        return 1
    print(f"{found.folder}: {', '.join(RIGHTS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
