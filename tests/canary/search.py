"""Look for secrets in everything that is written: a dump of the database, Valkey, files of journal, snapshots, vault and logs, answers, mails.

A secret is looked for as it is and in the dresses programs put on data: UTF-16, base64 (each of its three alignments, both alphabets), base32,
hexadecimal, URL and JSON escapes; and base64 or zlib found in the searched data is undressed first (Django's sessions are both).
Owns the search. What is planted, and where it may be found, is test_canary.py's.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import redis

LEAST = 6
_TOKEN = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
#: Of a long secret (a document) these many pieces of this length are looked for.
PIECE, PIECES = 48, 8
#: Between things that are searched together, so that nothing is found across them.
GAP = b"\n\xff\x00\xff\n"


def dresses(secret: bytes) -> set[bytes]:
    """All the forms one secret may have."""
    if len(secret) < LEAST:
        raise ValueError("a secret this short is found by chance")
    found: set[bytes] = set()
    bodies = [secret]
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        text = ""
    if text:
        bodies += [text.encode("utf-16-le"), text.encode("utf-16-be")]
        found.add(quote(text, safe="").encode())
        found |= {json.dumps(text)[1:-1].encode(), json.dumps(text, ensure_ascii=False)[1:-1].encode()}
    for body in bodies:
        found |= {body, body.hex().encode(), body.hex().upper().encode(), base64.b32encode(body).rstrip(b"=")}
        for skip in range(3):
            # The first and the last characters depend on neighbours: cut them off.
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                coded = encode(b"\0" * skip + body)
                found.add(coded[(0, 2, 3)[skip] : len(coded) // 4 * 4 - 4])
    return {form for form in found if len(form) >= LEAST}


class Search:
    """Secrets by name, and what was found: (secret's name, place)."""

    def __init__(self, secrets: dict[str, bytes | str]) -> None:
        self.found: set[tuple[str, str]] = set()
        self.looked: dict[str, int] = {}
        self._forms: list[tuple[bytes, str]] = []
        for name, secret in secrets.items():
            data = secret.encode() if isinstance(secret, str) else secret
            step = max(1, (len(data) - PIECE) // PIECES)
            pieces = (
                [data] if len(data) <= 4 * PIECE else [data[at : at + PIECE] for at in range(0, step * PIECES, step)]
            )
            for piece in pieces:
                self._forms += [(form, name) for form in dresses(piece)]

    def look(self, data: bytes, place: str) -> None:
        """Search one thing."""
        kind = place.partition(":")[0]
        self.looked[kind] = self.looked.get(kind, 0) + len(data)
        layers = GAP.join(undressed(data))
        for form, name in self._forms:
            if form in layers:
                self.found.add((name, place))

    # ---- places -----------------------------------------------------------------------------------------------------

    def database(self, url: str) -> None:
        """Every row of every table, as ``pg_dump`` would write it, and the server's log."""
        with psycopg.connect(url) as connection:
            tables = connection.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for (table,) in tables:
                with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT") as copy:
                    self.look(b"".join(bytes(part) for part in copy), f"database:{table}")
            row = connection.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchone()
            self.look((Path(row[0] if row else "") / "server.log").read_bytes(), "log:postgres")

    def valkey(self, url: str) -> None:
        """Every key and value."""
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter("*", count=1000):
                value = _value(client, key)
                self.look(key + b"\n" + b"\n".join(value), f"valkey:{key.decode(errors='replace')[:60]}")

    def files(self, folder: Path, kind: str) -> None:
        """Every file below a folder."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.look(file.name.encode() + b"\n" + file.read_bytes().rstrip(b"\0"), f"{kind}:{file.name}")


def undressed(data: bytes) -> Iterator[bytes]:
    """The data, and what its base64 and zlib parts hold."""
    yield data
    for match in _TOKEN.finditer(data):
        token = match[0].rstrip(b"=")
        try:
            inner = base64.urlsafe_b64decode(token.replace(b"+", b"-").replace(b"/", b"_") + b"=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            continue
        yield inner
        if inner[:1] == b"\x78":
            try:
                yield zlib.decompress(inner)
            except zlib.error:
                continue


def _value(client: Any, key: bytes) -> list[bytes]:
    kind = client.type(key).decode()
    readers: dict[str, Any] = {
        "string": lambda: [client.get(key) or b""],
        "list": lambda: client.lrange(key, 0, -1),
        "set": lambda: list(client.smembers(key)),
        "zset": lambda: client.zrange(key, 0, -1),
        "hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        "stream": lambda: [repr(entry).encode() for entry in client.xrange(key)],
    }
    return readers[kind]() if kind in readers else []
