"""The sequencer of the audit trail: takes waiting acts out of ``AuditPending`` and puts them into the chain, in one transaction.

One at a time (an advisory lock, held to the end of the transaction). Rows commit out of the order of their ids, so nothing is remembered
about ids: what is visible is deleted and read in one statement, and a row that commits later is taken by a later batch. A crash at any point leaves
a row waiting or chained, never both and never neither.

    AuditPending ──seal, hash──> audit_entry, audit_node ──every 1,000 entries or 1 s with news──> audit_checkpoint ⇒ files outside

Owns batches, checkpoints and their copies. Leaves hashes to ``chain.py``, notes to ``signing.py``.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from json.encoder import encode_basestring as _text
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, utc_now
from brokerage.platform.crypto import Sealer, blind_index, sealers
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
#: A batch of waiting rows in the order of their ids, which no longer wait; columns as in Act.
TAKE = """
WITH taken AS (
    DELETE FROM platform_auditpending WHERE id = ANY (ARRAY(SELECT id FROM platform_auditpending ORDER BY id LIMIT %s))
    RETURNING id, (extract(epoch FROM created_at) * 1000000)::bigint, actor_type, actor_id, on_behalf_of, action, object_type,
        object_id, subject, request_id, ip, reason, coalesce(before::text, 'null'), coalesce(after::text, 'null')
) SELECT * FROM taken ORDER BY id
"""

# What COPY (FORMAT BINARY) reads: a head, then of each row the number of columns and each value behind its length, then an end.
COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"
LENGTH = Struct("!i")
INTEGERS = Struct("!hiqiqiq")
HASHES = Struct("!" + "i32s" * 4)
NODE = Struct("!hihiqi32s")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: PostgreSQL counts from 2000.
MICROS_TO_2000 = 946_684_800_000_000


def time_text(ts: datetime) -> str:
    """A time as the chain spells it."""
    return ts.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


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


class Act(NamedTuple):
    """A waiting row: what TAKE returns."""

    id: int
    #: Microseconds since 1970.
    micros: int
    actor_type: str
    actor_id: str
    on_behalf_of: str
    action: str
    object_type: str
    object_id: str
    subject: str
    request_id: str
    ip: str
    reason: str
    #: JSON text as the database spells it: nobody needs the values here.
    before: str
    after: str


def _chained(
    acts: Iterable[Act],
    keys: Mapping[str, Sealer],
    size: int,
    previous: bytes,
    tree: chain.Frontier,
    nodes: list[bytes],
) -> Iterator[bytes]:
    """The rows of audit_entry for acts, behind an entry number ``size`` with hash ``previous``; ``nodes`` gets those of audit_node.

    Both as COPY takes them: to have psycopg look at the type of each of 20 values costs a third of the whole.
    """
    seconds: dict[int, str] = {}
    addresses = {"": ""}
    for seq, act in enumerate(acts, size + 1):
        id_, micros, actor_type, actor_id, on_behalf_of, action, object_type, object_id, subject, request_id, ip, *_ = (
            act
        )
        if ip not in addresses:
            addresses[ip] = blind_index(ip, "audit-ip").hex()
        second, rest = divmod(micros, 1_000_000)
        if second not in seconds:
            seconds[second] = time_text(EPOCH + timedelta(seconds=second))[: -len("000000Z")]
        plain = (
            f'{{"before": {act.before}, "after": {act.after}, "reason": {_quoted(act.reason)}, "ip": {_quoted(ip)}}}'
        )
        payload = keys[owner_of(subject)].seal(plain.encode(), str(id_))
        payload_hash = sha256(payload).digest()
        # The canonical bytes of entry_canonical, which the tests compare: a tenth of its time for columns that are always the same.
        text = (
            f'{{"action":{_text(action)},"actor_id":{_text(actor_id)},"actor_type":{_text(actor_type)}'
            f',"ip_hash":"{addresses[ip]}","object_id":{_text(object_id)},"object_type":{_text(object_type)}'
            f',"on_behalf_of":{_text(on_behalf_of)},"payload_hash":"{payload_hash.hex()}","request_id":{_text(request_id)}'
            f',"seq":{seq},"source_id":{id_},"subject":{_text(subject)},"ts":"{seconds[second]}{rest:06d}Z"}}'
        )
        link = chain.entry_hash(previous, text.encode())
        leaf = chain.leaf_hash(link)
        nodes += [NODE.pack(3, 2, level, 8, index, 32, digest) for level, index, digest in tree.append(leaf)]
        fields = [INTEGERS.pack(len(COLUMNS), 8, seq, 8, id_, 8, micros - MICROS_TO_2000)]
        for value in (
            actor_type,
            actor_id,
            on_behalf_of,
            action,
            object_type,
            object_id,
            subject,
            request_id,
            addresses[ip],
        ):
            data = value.encode()
            fields += (LENGTH.pack(len(data)), data)
        fields += (LENGTH.pack(len(payload)), payload, HASHES.pack(32, payload_hash, 32, previous, 32, link, 32, leaf))
        yield b"".join(fields)
        previous = link


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
            # Taken and read in one pass. Whatever happens before the commit puts every row back.
            cursor.execute(TAKE, [BATCH])
            rows = [Act(*row) for row in cursor]
            if not rows:
                return 0
            last = AuditEntry.objects.order_by("-seq").values_list("seq", "entry_hash").first()
            size, previous = (last[0], bytes(last[1])) if last else (0, chain.GENESIS)
            tree = chain.Frontier(size, node_get)
            # One owner's keys are asked for once, and before the COPY: while it runs, the connection answers nothing else.
            keys = sealers({owner_of(row.subject) for row in rows}, table="audit_entry", field="payload")
            nodes: list[bytes] = []
            # Entries are made while the database writes those before them.
            _copy(cursor, "audit_entry", COLUMNS, _chained(rows, keys, size, previous, tree, nodes))
            _copy(cursor, "audit_node", ("level", "index", "hash"), nodes)
        return len(rows)

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


def _copy(cursor: Any, table: str, columns: tuple[str, ...], rows: Iterable[bytes]) -> None:
    """COPY rows in its binary format into a table."""
    coming = iter(rows)
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(COPY_HEAD)
        while some := b"".join(islice(coming, 64)):
            copy.write(some)
        copy.write(COPY_END)


_recorder: Recorder | None = None


def recorder_turn() -> int:
    """What the runners call."""
    global _recorder
    if _recorder is None:
        _recorder = Recorder()
    return _recorder.loop_once()
