"""Blind indexes in columns: equal values are found without being readable, and the key can be changed while they are used.

A value in a column says under which keys it lies: ``path · digest``. The path is one byte a key, the innermost first; a bare digest of 32 bytes
is key 1. A new key goes around what is there, so no plain value is needed and none was kept:

    made under key 1      H(k1, value)                      looked for as long as key 1 is in the ring
    rotated to key 2      1 2 · H(k2, H(k1, value))         who knows k1 alone can try nothing against a dump
    made afterwards       2 · H(k2, value)

Look-ups try every path there can be (``index_find``). A rotation (``manage.py rotate_keys --index``) goes row by row, may be killed anywhere
and is finished by the next. An inner key leaves the ring when no value rests on it any more. Columns name themselves with
``index_column_register``.
Owns paths, columns, the rotation. Leaves the ring's file to ``crypto.py``. What is only written and never looked up (``blind_index`` of an
address in the audit trail) has the key of its time and is not touched.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.db import connection, transaction

from brokerage.platform.crypto import (
    KEY_BYTES,
    CryptoError,
    KeyInUseError,
    Keyring,
    keyring_forget,
    keyring_fresh,
    private_file_write,
)

T = TypeVar("T")
DIGEST_BYTES = 32
NUMBER_MAX = 255
_AGAIN = b"\0again\0"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of indexed values. Names are ours, never input."""

    table: str
    column: str
    key: str = "id"


_columns: dict[tuple[str, str], Column] = {}


def index_column_register(table: str, column: str, key: str = "id") -> None:
    """Have a column rotated; ``key`` is the table's primary key."""
    _columns[table, column] = Column(table, column, key)


def index_value(value: str, purpose: str) -> bytes:
    """What to keep in a column. Call it in the transaction that writes, after a first statement that locks the table for writing
    (any INSERT, UPDATE or DELETE): the key cannot be dropped from then on."""
    ring = keyring_fresh()
    return _stored((ring.index_current,), ring.index(value, purpose, ring.index_current))


def index_values(value: str, purpose: str) -> list[bytes]:
    """What to look for: the value under every path it may lie under."""
    ring, found = keyring_fresh(), []
    for first in sorted(ring.indexes, reverse=True):
        path: tuple[int, ...] = (first,)
        digest = ring.index(value, purpose, first)
        runs = [(path, digest)]
        for number in range(first + 1, ring.index_current + 1):
            path, digest = (*path, number), _around(ring, number, digest)
            runs.append((path, digest))
        # While a rotation runs some rows lie one key short of the current one; earlier rotations were finished.
        found += [_stored(*run) for run in runs[-2:]]
    return found


def index_find(value: str, purpose: str, find: Callable[[list[bytes]], T]) -> T:
    """What ``find`` says to the values of ``index_values``; asked again when it found nothing and the ring was changed in between."""
    while True:
        ring = keyring_fresh()
        found = find(index_values(value, purpose))
        if found or keyring_fresh() is ring:
            return found


def index_add(path: Path) -> int:
    """Put a new index key into the ring's file and begin the rotation to it; the key's number."""
    document = json.loads(path.read_text())
    number = max(keyring_fresh().indexes) + 1
    if document.get("index_rotating"):
        raise KeyInUseError("A rotation of the index keys is not finished.")
    if number > NUMBER_MAX:
        raise CryptoError("There are no more numbers for index keys.")
    added = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    document["indexes"] = {**document.get("indexes", {}), str(number): added}
    document["index_rotating"] = True
    private_file_write(path, document)
    keyring_forget()
    return number


def index_rotating(path: Path) -> bool:
    """Tell whether a rotation was begun and not finished."""
    return bool(json.loads(path.read_text()).get("index_rotating"))


def index_rotate_batch(column: Column, limit: int) -> int:
    """Bring up to so many values of a column under the current key; how many. Rows that somebody holds are passed over."""
    ring = keyring_fresh()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column.key}, {column.column} FROM {column.table} WHERE {_OUTER.format(column.column)} <> %s "  # noqa: S608
            f"ORDER BY {column.key} LIMIT %s FOR UPDATE SKIP LOCKED",
            [ring.index_current, limit],
        )
        rows = [(key, _rotated(ring, bytes(stored))) for key, stored in cursor.fetchall()]
        cursor.executemany(
            f"UPDATE {column.table} SET {column.column} = %s WHERE {column.key} = %s",  # noqa: S608
            [(stored, key) for key, stored in rows],
        )
    return len(rows)


def index_left() -> int:
    """How many values do not lie under the current key."""
    current, left = keyring_fresh().index_current, 0
    with connection.cursor() as cursor:
        for column in _columns.values():
            cursor.execute(
                f"SELECT count(*) FROM {column.table} WHERE {_OUTER.format(column.column)} <> %s",  # noqa: S608
                [current],
            )
            left += cursor.fetchone()[0]
    return left


def index_rotate(batch: int) -> int:
    """Bring every value under the current key; how many batches it took."""
    done = 0
    while index_left():
        for column in _columns.values():
            while index_rotate_batch(column, batch):
                done += 1
    return done


def index_finish(path: Path) -> list[int]:
    """End the rotation: keys that no value rests on leave the file; their numbers. KeyInUseError when a value came under an older key meanwhile."""
    with transaction.atomic(), connection.cursor() as cursor:
        for column in _columns.values():
            # Waits for whoever writes a value and keeps others from it until the file is written.
            cursor.execute(f"LOCK TABLE {column.table} IN SHARE ROW EXCLUSIVE MODE")
        if index_left():
            raise KeyInUseError("A value lies under an older index key.")
        current = lowest = keyring_fresh().index_current
        for column in _columns.values():
            cursor.execute(f"SELECT min({_INNER.format(column.column)}) FROM {column.table}")  # noqa: S608
            found = cursor.fetchone()[0]
            lowest = lowest if found is None else min(lowest, found)
        document = json.loads(path.read_text())
        gone = [number for number in keyring_fresh().indexes if number < lowest <= current]
        document["indexes"] = {
            number: key for number, key in document.get("indexes", {}).items() if int(number) not in gone
        }
        if 1 in gone:
            document.pop("index", None)
        document.pop("index_rotating", None)
        private_file_write(path, document)
    keyring_forget()
    return gone


#: The outermost and the innermost key of a stored value, in SQL.
_OUTER = (
    f"(CASE WHEN length({{0}}) = {DIGEST_BYTES} THEN 1 ELSE get_byte({{0}}, length({{0}}) - {DIGEST_BYTES + 1}) END)"
)
_INNER = f"(CASE WHEN length({{0}}) = {DIGEST_BYTES} THEN 1 ELSE get_byte({{0}}, 0) END)"


def _around(ring: Keyring, number: int, digest: bytes) -> bytes:
    return hmac.digest(ring.indexes[number], _AGAIN + digest, "sha256")


def _stored(path: tuple[int, ...], digest: bytes) -> bytes:
    return digest if path == (1,) else bytes(path) + digest


def _rotated(ring: Keyring, stored: bytes) -> bytes:
    path, digest = tuple(stored[:-DIGEST_BYTES]) or (1,), stored[-DIGEST_BYTES:]
    for number in range(path[-1] + 1, ring.index_current + 1):
        path, digest = (*path, number), _around(ring, number, digest)
    return _stored(path, digest)
