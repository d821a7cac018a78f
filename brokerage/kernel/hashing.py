"""Canonical bytes and hash chains: one byte form for one value, so that hashes can be compared years later.

Owns: ``canonical_bytes`` (a strict, sorted, float-free JSON), SHA-256 helpers and the chain rule. Leaves to others:
what is chained
(audit trail, journal segments) and where the heads are kept.

Chain rule: ``head' = SHA-256(head ‖ length as 8 bytes little-endian ‖ record)``; the first head is 32 zero bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal

from brokerage.kernel.errors import ChainBrokenError
from brokerage.kernel.units import format_plain

GENESIS = bytes(32)

Canonical = (
    None | bool | int | str | bytes | Decimal | list["Canonical"] | tuple["Canonical", ...] | Mapping[str, "Canonical"]
)


def canonical_bytes(value: Canonical) -> bytes:
    """The one byte form of a value: UTF-8 JSON, keys sorted, no spaces. Decimals and bytes are tagged; floats are
    refused."""
    return json.dumps(
        _plain(value, 0), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode("utf-8")


def _plain(value: object, depth: int) -> object:
    if depth > 64:
        raise ValueError("the value is nested too deeply")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Decimal):
        return {"$decimal": format_plain(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": bytes(value).hex()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            # $ marks our own tags: a key of the data must not be able to pass for one.
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"a key is text that does not begin with $, not {key!r}")
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no canonical form")


def sha256(data: bytes) -> bytes:
    """32 bytes."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def chain_next(head: bytes, record: bytes) -> bytes:
    """The head after appending a record."""
    if len(head) != 32:
        raise ValueError("a chain head has 32 bytes")
    return hashlib.sha256(head + len(record).to_bytes(8, "little") + record).digest()


def chain_of(records: Iterable[bytes], head: bytes = GENESIS) -> bytes:
    """The head after appending all records in order."""
    for record in records:
        head = chain_next(head, record)
    return head


def chain_verify(links: Iterable[tuple[bytes, bytes]], head: bytes = GENESIS) -> bytes:
    """Walk (record, head after it) pairs; return the last head or raise ChainBrokenError with the index of the first
    wrong one."""
    for index, (record, stated) in enumerate(links):
        head = chain_next(head, record)
        if head != stated:
            raise ChainBrokenError(index)
    return head
