"""The sequencer of the audit trail: takes waiting acts out of ``AuditPending`` and puts them into the chain, in one transaction.

One at a time (an advisory lock, held to the end of the transaction). Rows commit out of the order of their ids, so nothing is remembered
about ids: what is visible is read, exactly that is deleted, and a row that commits later is taken by a later batch. A crash at any point leaves
a row waiting or chained, never both and never neither.

    AuditPending ──seal, hash──> audit_entry, audit_node ──every 1,000 entries or 1 s with news──> audit_checkpoint ⇒ files outside

Owns batches, checkpoints and their copies. Leaves hashes to ``chain.py``, notes to ``signing.py``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, utc_now
from brokerage.platform.crypto import blind_index, owner_key, seal
from brokerage.platform.models import AuditPending
from compliance.audit import chain
from compliance.audit.signing import signer
from compliance.models import AuditCheckpoint, AuditEntry, AuditNode

BATCH = 1_000
CHECKPOINT_NS = NS_PER_S
LOCK = 0x61756469
SYSTEM_OWNER = "system:audit"
COLUMNS = (
    "seq", "source_id", "ts", "actor_type", "actor_id", "on_behalf_of", "action", "object_type", "object_id", "subject",
    "request_id", "ip_hash", "payload", "payload_hash", "prev_hash", "entry_hash", "leaf_hash",
)  # fmt: skip
TYPES = ("int8", "int8", "timestamptz", *["varchar"] * 9, *["bytea"] * 5)


def time_text(ts: datetime) -> str:
    """A time as the chain spells it."""
    return ts.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entry_canonical(row: Any) -> bytes:
    """The bytes that an entry's hash is over."""
    return chain.canonical(
        {
            "action": row.action,
            "actor_id": row.actor_id,
            "actor_type": row.actor_type,
            "ip_hash": row.ip_hash,
            "object_id": row.object_id,
            "object_type": row.object_type,
            "on_behalf_of": row.on_behalf_of,
            "payload_hash": bytes(row.payload_hash).hex(),
            "request_id": row.request_id,
            "seq": row.seq,
            "source_id": row.source_id,
            "subject": row.subject,
            "ts": time_text(row.ts),
        }
    )


def node_get(level: int, index: int) -> bytes:
    """The hash of a complete subtree, from the tables."""
    if level == 0:
        return bytes(AuditEntry.objects.values_list("leaf_hash", flat=True).get(seq=index + 1))
    return bytes(AuditNode.objects.values_list("hash", flat=True).get(level=level, index=index))


def owner_of(subject: str) -> str:
    """Whose key seals what an entry shows."""
    return f"user:{subject}" if subject else SYSTEM_OWNER


class Recorder:
    """Moves acts into the chain. Makes a checkpoint when a full batch was written or a second has passed with news."""

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        self.folders = [Path(folder) for folder in (settings.AUDIT_DIRS if folders is None else folders)]
        self._signed_ns = 0

    def drain(self) -> int:
        """Take everything that waits and sign for it; how many entries were written."""
        total = 0
        while True:
            written = self.run_once()
            total += written
            if written < BATCH:
                break
        self.checkpoint()
        return total

    def loop_once(self) -> int:
        """One call of the runners' loop: batches until none is full, a checkpoint when it is due."""
        total = 0
        while (written := self.run_once()) == BATCH:
            total += written
            self.checkpoint()
        if SYSTEM_CLOCK.monotonic_ns() - self._signed_ns >= CHECKPOINT_NS:
            self.checkpoint()
        return total + written

    def run_once(self) -> int:
        """One batch; 0 when nothing waits or another sequencer is at work."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return 0
            rows = list(AuditPending.objects.order_by("id")[:BATCH])
            if not rows:
                return 0
            last = AuditEntry.objects.order_by("-seq").values_list("seq", "entry_hash").first()
            size, previous = (last[0], bytes(last[1])) if last else (0, chain.GENESIS)
            tree = chain.Frontier(size, node_get)
            entries, nodes = self._chained(rows, size, previous, tree)
            _copy(cursor, "audit_entry", COLUMNS, TYPES, entries)
            _copy(cursor, "audit_node", ("level", "index", "hash"), ("int2", "int8", "bytea"), nodes)
            cursor.execute("DELETE FROM platform_auditpending WHERE id = ANY(%s)", [[row.pk for row in rows]])
            if cursor.rowcount != len(rows):
                raise RuntimeError("An act that waited was taken by somebody else.")
        return len(rows)

    @staticmethod
    def _chained(
        rows: list[AuditPending], size: int, previous: bytes, tree: chain.Frontier
    ) -> tuple[list[tuple[Any, ...]], list[tuple[int, int, bytes]]]:
        keys: dict[str, int] = {}
        entries, nodes = [], []
        for seq, row in enumerate(rows, size + 1):
            owner = owner_of(row.subject)
            if owner not in keys:
                keys[owner] = owner_key(owner)
            plain = json.dumps({"before": row.before, "after": row.after, "reason": row.reason, "ip": row.ip})
            payload = seal(
                plain, owner=owner, table="audit_entry", row=str(row.pk), field="payload", key_id=keys[owner]
            )
            entry = AuditEntry(
                seq=seq, source_id=row.pk, ts=row.created_at, actor_type=row.actor_type, actor_id=row.actor_id,
                on_behalf_of=row.on_behalf_of, action=row.action, object_type=row.object_type, object_id=row.object_id,
                subject=row.subject, request_id=row.request_id, payload=payload,
                ip_hash=blind_index(row.ip, "audit-ip").hex() if row.ip else "",
                payload_hash=hashlib.sha256(payload).digest(), prev_hash=previous,
            )  # fmt: skip
            entry.entry_hash = previous = chain.entry_hash(previous, entry_canonical(entry))
            entry.leaf_hash = chain.leaf_hash(previous)
            entries.append(tuple(getattr(entry, name) for name in COLUMNS))
            nodes += tree.append(entry.leaf_hash)
        return entries, nodes

    def checkpoint(self) -> str | None:
        """Sign for the tree as it is and copy the note outside; None when there is no news or another is at it."""
        self._signed_ns = SYSTEM_CLOCK.monotonic_ns()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return None
            size = AuditEntry.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
            latest = AuditCheckpoint.objects.order_by("-size").values_list("size", flat=True).first() or 0
            if size > latest:
                now = utc_now()
                root = chain.Frontier(size, node_get).root()
                note = signer().note(size, root, time_text(now))
                AuditCheckpoint.objects.create(size=size, root=root, ts=now, note=note)
        # After the commit: a note outside is one that the tables know too. What a crash in between left out is copied by the next call.
        if size:
            self._publish()
        return note if size > latest else None

    def _publish(self) -> None:
        for folder in self.folders:
            copy_notes(folder)


def copy_notes(folder: Path) -> None:
    """Append to ``checkpoints.jsonl`` every note that the file does not have yet. The file is only ever added to."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoints.jsonl"
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = _last_size(file)
        notes = AuditCheckpoint.objects.filter(size__gt=known).order_by("size").values_list("size", "note")
        lines = [json.dumps({"size": size, "note": note}, ensure_ascii=False) + "\n" for size, note in notes]
        if lines:
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())


def _last_size(file: Any) -> int:
    """The size in the last whole line; a line cut short by a crash is ended first, so that the next begins cleanly."""
    end = file.seek(0, os.SEEK_END)
    if not end:
        return 0
    file.seek(max(0, end - 65_536))
    lines = file.read().split(b"\n")
    if lines[-1]:
        file.truncate(end - len(lines[-1]))
    whole = [line for line in lines[:-1] if line]
    return int(json.loads(whole[-1])["size"]) if whole else 0


def _copy(cursor: Any, table: str, columns: tuple[str, ...], types: tuple[str, ...], rows: list[Any]) -> None:
    if not rows:
        return
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


_recorder: Recorder | None = None


def recorder_turn() -> int:
    """What the runners call."""
    global _recorder
    if _recorder is None:
        _recorder = Recorder()
    return _recorder.loop_once()
