"""The audit trail's hashes at the speed of C: rows as PostgreSQL sends them, and levels of the Merkle tree.

What for: verifying a stored trail (compliance/audit/verify.py). Owns: loading the library and its buffers.
Leaves to others: which rows, what a bad one means, signatures, roots.
"""

from __future__ import annotations

from collections.abc import Sequence

from native import build

ffi, lib = build.load(build.AUDIT)
HASH = 32


def rows_walk(data: bytes, first: int, previous: bytes, room: int) -> tuple[int, bytes, bytes]:
    """(good rows in front, entry hash of the last good one, leaf hashes of the good ones, one behind the other).

    ``data`` are rows of audit_entry by record_send, the first of them with sequence ``first``; at most ``room`` are looked at.
    """
    link = ffi.new("uint8_t[]", previous)
    leaves = ffi.new("uint8_t[]", HASH * room)
    good = lib.audit_walk(ffi.from_buffer(data), len(data), first, link, leaves, room)
    return good, bytes(ffi.buffer(link, HASH)), bytes(ffi.buffer(leaves, HASH * good))


def columns_walk(
    columns: Sequence[bytes], mark: bytes, first: int, previous: bytes, rows: int
) -> tuple[bytes, bytes] | None:
    """(entry hash of the last row, leaf hashes of all) when ``rows`` rows hold; None when one does not or a value is too many or too few.

    ``columns`` are those of audit_entry from sequence ``first`` on, values as native/audit/audit.h says, ``mark`` between them.
    """
    link = ffi.new("uint8_t[]", previous)
    leaves = ffi.new("uint8_t[]", HASH * rows)
    data = [ffi.from_buffer("uint8_t[]", column) for column in columns]
    lengths = [len(column) for column in columns]
    good = lib.audit_columns(data, lengths, mark, len(mark), first, link, leaves, rows)
    return (bytes(ffi.buffer(link, HASH)), bytes(ffi.buffer(leaves, HASH * rows))) if good else None


def pairs_hash(below: bytes) -> bytes:
    """The hashes of the nodes over neighbours of a level; an odd one at the end has no node yet."""
    pairs = len(below) // (2 * HASH)
    out = ffi.new("uint8_t[]", HASH * pairs)
    lib.audit_pairs(ffi.from_buffer(below), pairs, out)
    return bytes(ffi.buffer(out, HASH * pairs))


def sha256(data: bytes, *, plain: bool = False) -> bytes:
    """SHA-256 as the library computes it; ``plain`` without the processor's instructions for it."""
    out = ffi.new("uint8_t[32]")
    lib.audit_sha256(ffi.from_buffer(data), len(data), out, plain)
    return bytes(ffi.buffer(out, HASH))


def sha256_two(data: bytes, other: bytes) -> tuple[bytes, bytes]:
    """SHA-256 of two messages, computed side by side."""
    out, other_out = ffi.new("uint8_t[32]"), ffi.new("uint8_t[32]")
    lib.audit_sha256_two(ffi.from_buffer(data), len(data), out, ffi.from_buffer(other), len(other), other_out)
    return bytes(ffi.buffer(out, HASH)), bytes(ffi.buffer(other_out, HASH))
