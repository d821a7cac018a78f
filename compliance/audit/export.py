"""The trail as the stand-alone verifier reads it.

One entry a line: ``{"entry":<canonical>,"entry_hash":"<hex>"}``, from entry 1 to a checkpoint. Sealed payloads are not in it, their hashes are.
"""

from __future__ import annotations

from collections.abc import Iterator

from compliance.audit.recorder import entry_canonical
from compliance.models import AuditEntry

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
