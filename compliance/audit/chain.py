"""The mathematics of the audit trail: canonical bytes, the hash chain, the Merkle tree and its proofs. Knows no database.

    canonical   RFC 8785 JSON of an entry's columns, without its own hashes
    entry hash  SHA-256(0x02 ‖ previous entry hash ‖ canonical)      each entry binds all before it
    leaf hash   SHA-256(0x00 ‖ entry hash), node SHA-256(0x01 ‖ left ‖ right): RFC 9162

Nodes are kept for complete subtrees only, so an append costs constant work on average and a node never changes once written.
``verifier/verify_audit.py`` checks the same by an implementation of its own, on purpose: neither can hide the other's mistake.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

GENESIS = bytes(32)
EMPTY_ROOT = hashlib.sha256(b"").digest()
INTEGER_MAX = 2**53 - 1
#: (level, index) -> hash of a complete subtree; level 0 are the leaves.
Node = Callable[[int, int], bytes]


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes; ValueError for what it cannot say exactly (floats, integers beyond 2^53, keys that are no text)."""
    _demand_exact(value)
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode()


def _sorted(value: Any) -> Any:
    # Keys go in the order of their UTF-16 units, as the RFC demands; code points sort differently beyond the basic plane.
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda text: text.encode("utf-16-be"))}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _demand_exact(value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError("Keys must be text.")
            _demand_exact(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _demand_exact(item)
    elif isinstance(value, bool | str) or value is None:
        return
    elif not isinstance(value, int) or abs(value) > INTEGER_MAX:
        raise ValueError(f"{value!r} has no exact canonical form.")


def entry_hash(previous: bytes, data: bytes) -> bytes:
    """The link of the chain for an entry's canonical bytes."""
    return hashlib.sha256(b"\x02" + previous + data).digest()


def leaf_hash(data: bytes) -> bytes:
    """RFC 9162 hash of a leaf's data (here: an entry hash)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees at the right edge of a tree of ``size`` leaves: all that appending needs."""

    def __init__(self, size: int, node: Node) -> None:
        self.size = size
        self.peaks: dict[int, bytes] = {}
        for level in range(size.bit_length()):
            if size >> level & 1:
                self.peaks[level] = node(level, (size >> level) - 1)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf; the inner nodes (level, index, hash) that became complete."""
        made = []
        level, index, digest = 0, self.size, leaf
        while level in self.peaks:
            digest = node_hash(self.peaks.pop(level), digest)
            level, index = level + 1, index >> 1
            made.append((level, index, digest))
        self.peaks[level] = digest
        self.size += 1
        return made

    def root(self) -> bytes:
        """The root of the tree as it is."""
        digest: bytes | None = None
        for level in sorted(self.peaks):
            digest = self.peaks[level] if digest is None else node_hash(self.peaks[level], digest)
        return EMPTY_ROOT if digest is None else digest


def root_of(low: int, high: int, node: Node) -> bytes:
    """The root over the leaves from ``low`` to before ``high``."""
    size = high - low
    if size == 0:
        return EMPTY_ROOT
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, low >> level)
    middle = low + _split(size)
    return node_hash(root_of(low, middle, node), root_of(middle, high, node))


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """The path from the leaf at ``index`` to the root of the first ``size`` leaves."""
    if not 0 <= index < size:
        raise ValueError("The leaf is not in the tree.")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(root_of(middle, high, node))
            high = middle
        else:
            path.append(root_of(low, middle, node))
            low = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """The proof that the tree of ``old`` leaves is the beginning of that of ``new``."""
    if not 0 < old <= new:
        raise ValueError("The older tree must have a leaf and not be larger.")
    low, high, complete, path = 0, new, True, []
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(root_of(middle, high, node))
            high = middle
        else:
            path.append(root_of(low, middle, node))
            low, complete = middle, False
    if not complete:
        path.append(root_of(low, high, node))
    return path[::-1]


def inclusion_root(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to (RFC 9162 2.1.3.2); None when it has the wrong length."""
    if not 0 <= index < size:
        return None
    first, last, digest = index, size - 1, leaf
    for step in path:
        if last == 0:
            return None
        if first & 1 or first == last:
            digest = node_hash(step, digest)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            digest = node_hash(digest, step)
        first, last = first >> 1, last >> 1
    return digest if last == 0 else None
