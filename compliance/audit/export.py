"""The trail as the stand-alone verifier reads it, and the walk over the stored rows.

One entry a line: ``{"entry":<canonical>,"entry_hash":"<hex>"}``, from entry 1 to a checkpoint. Sealed payloads are not in it, their hashes are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from compliance.audit.recorder import entry_canonical
from compliance.audit.verifier.verify_audit import Checkpoint, TamperedError, export_verify
from compliance.models import AuditCheckpoint, AuditEntry

CHUNK = 2_000


def export_lines(size: int) -> Iterator[bytes]:
    """The lines of the first ``size`` entries, read by key in chunks."""
    after = 0
    while after < size:
        rows = list(AuditEntry.objects.filter(seq__gt=after, seq__lte=size).defer("payload").order_by("seq")[:CHUNK])
        if not rows:
            return
        for row in rows:
            yield (
                b'{"entry":'
                + entry_canonical(row)
                + b',"entry_hash":"'
                + bytes(row.entry_hash).hex().encode()
                + b'"}\n'
            )
        after = rows[-1].seq


def _checked(size: int) -> Iterator[bytes]:
    """The lines, with everything compared that the export itself does not show: sealed payloads, stored links and leaves."""
    after, previous = 0, bytes(32)
    while after < size:
        rows = list(AuditEntry.objects.filter(seq__gt=after).order_by("seq")[:CHUNK])
        if not rows:
            return
        for row in rows:
            expected = after + 1
            digest = bytes(row.entry_hash)
            if (
                row.seq != expected
                or hashlib.sha256(row.payload).digest() != bytes(row.payload_hash)
                or bytes(row.prev_hash) != previous
                or hashlib.sha256(b"\x00" + digest).digest() != bytes(row.leaf_hash)
            ):
                raise TamperedError(f"Entry {expected} is missing or was changed.", expected)
            yield b'{"entry":' + entry_canonical(row) + b',"entry_hash":"' + digest.hex().encode() + b'"}\n'
            after, previous = row.seq, digest
            if after == size:
                return


def trail_verify(key: bytes, notes: list[str] | None = None) -> int:
    """Verify the stored rows against signed notes (the stored ones unless given); the number of entries. Raises TamperedError."""
    texts = (
        notes if notes is not None else list(AuditCheckpoint.objects.order_by("size").values_list("note", flat=True))
    )
    points: dict[int, Checkpoint] = {}
    for text in texts:
        point = Checkpoint(text, key)
        if points.setdefault(point.size, point).root != point.root:
            raise TamperedError(f"Two checkpoints of size {point.size} differ: the trail was forked.", point.size)
    if not points:
        return 0
    newest = max(points)
    return export_verify(_checked(newest), [points[size] for size in sorted(points)])
