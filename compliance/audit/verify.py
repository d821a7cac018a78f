"""Verifies the stored trail: every row, every link, every node of the tree, against every signed checkpoint.

Rows come column by column, thousands of values in one, and are hashed in C (native/audit_walk.py): nothing of what the tables say is
believed, and the database computes none of it. Where that does not prove a chunk, its rows come one by one and show which is bad. Owns
order, verdicts and their words. Leaves the mathematics to ``chain.py`` and the check of files that left the house to the stand-alone verifier.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection
from psycopg import Cursor

from compliance.audit import chain
from compliance.audit.recorder import COLUMNS
from compliance.audit.verifier.verify_audit import Checkpoint, TamperedError
from compliance.models import AuditCheckpoint
from native.audit_walk import HASH, columns_walk, pairs_hash, rows_walk

#: Rows asked for at once; a power of two, so that a chunk is a whole subtree but for the last. Twice as many leave the caches: a third slower.
CHUNK = 1 << 12
#: Chunks each reader reads before they are wanted: with one it waits for the word to go on, which costs a tenth and more.
AHEAD = 3
CHUNK_LEVELS = CHUNK.bit_length() - 1
# One row behind the other, each with its lengths; for the chunk that something is wrong with, since every value costs a call and a piece of
# memory. The whole row, not a list of columns: putting a record together again costs the server as much as reading it. native/audit/walk.c knows
# the order of the columns (recorder.COLUMNS, a test compares) and refuses a row with more or fewer.
ROWS = "SELECT string_agg(record_send(e), ''::bytea ORDER BY e.seq) FROM audit_entry e WHERE e.seq > %s AND e.seq <= %s"
# The values of a chunk by column, appended one to the other: a third less for the server to do than rows are. Between them stands a mark
# that was drawn for this verification: no value can hold it, so none can pass as two, nor two as one, and NULL, which is left out, makes a
# value too few. Parameters: the range, the mark as text and as bytes.
COLUMNS_OF_ROWS = f"""
SELECT string_agg(int8send(seq), ''), string_agg(int8send(source_id), ''), string_agg(timestamptz_send(ts), ''),
    {", ".join(f"string_agg({name}, m.text)" for name in COLUMNS[3:12])},
    {", ".join(f"string_agg({name}, m.bytes)" for name in COLUMNS[12:])}
FROM (SELECT * FROM audit_entry WHERE seq > %s AND seq <= %s ORDER BY seq) e, (SELECT %s::text AS text, %s::bytea AS bytes) m
"""  # noqa: S608 - names of our own
NODES = """
SELECT level, (SELECT string_agg(n.hash, ''::bytea ORDER BY n.index) FROM audit_node n
               WHERE n.level = l.level AND n.index >= %s::bigint >> l.level AND n.index < %s::bigint >> l.level)
FROM generate_series(1, %s::int) AS l (level)
"""


def signature_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Ed25519 by the library: a hundred times as fast as the stand-alone verifier's own."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def note_read(text: str, keys: Sequence[bytes]) -> Checkpoint:
    """A note that one of the keys signed; TamperedError when none did."""
    for key in keys[:-1]:
        try:
            return Checkpoint(text, key, signature_holds)
        except TamperedError:
            continue
    return Checkpoint(text, keys[-1], signature_holds)


def checkpoints_of(notes: Sequence[str], keys: Sequence[bytes]) -> list[Checkpoint]:
    """The notes by size; TamperedError for one that no key signed and for two of one size that differ."""
    points: dict[int, Checkpoint] = {}
    for text in notes:
        point = note_read(text, keys)
        if points.setdefault(point.size, point).root != point.root:
            raise TamperedError(f"Two checkpoints of size {point.size} differ: the trail was forked.", point.size)
    return [points[size] for size in sorted(points)]


def trail_verify(*keys: bytes, notes: Sequence[str] | None = None) -> int:
    """Verify the tables against notes (the stored ones unless given) that one of the keys signed; the number of entries.

    Raises TamperedError. A trail whose key was rotated has notes of both.
    """
    texts = (
        notes if notes is not None else list(AuditCheckpoint.objects.order_by("size").values_list("note", flat=True))
    )
    points = checkpoints_of(texts, keys)
    if notes is None:
        _stored_roots_hold(points)
    walk = _Walk(points)
    # The database gathers the next chunks while one is hashed. Entries up to a checkpoint are committed and never change, so it does not matter
    # that two sessions look at two moments: a change in between is found like any other.
    with _readers() as readers:
        begins = zip(cycle(readers), range(0, walk.newest, CHUNK), strict=False)
        asked = (pool.submit(_chunk_read, session, walk.mark, begin, walk.newest) for (pool, session), begin in begins)
        coming = deque(islice(asked, AHEAD * len(readers)))
        while coming:
            chunk = coming.popleft().result()
            coming.extend(islice(asked, 1))
            if not walk.step(*chunk):
                wait(coming)
                walk.blame(_rows_read(readers[0][1], walk.size, walk.newest), chunk[1])
    return walk.newest


@contextmanager
def _readers() -> Iterator[list[tuple[ThreadPoolExecutor, Any]]]:
    """Threads, each with its session. Two; inside a transaction, whose rows a second session does not see, one."""
    with ExitStack() as stack:
        wrappers = [connection]
        if not connection.in_atomic_block:
            wrappers.append(connection.copy())
            stack.callback(wrappers[-1].close)
        readers = []
        for wrapper in wrappers:
            wrapper.ensure_connection()
            readers.append((stack.enter_context(ThreadPoolExecutor(1)), wrapper.connection))
        yield readers


def mark_make() -> bytes:
    """What stands between the values of a column: its first byte nowhere else in it, no zero (text has none), the others by lot."""
    return b"\x01" + bytes(2 + secrets.randbelow(126) for _ in range(5))


def _rows_read(session: Any, begin: int, newest: int) -> bytes:
    with Cursor(session) as cursor:
        return cursor.execute(ROWS, [begin, min(begin + CHUNK, newest)], binary=True).fetchone()[0] or b""


def _chunk_read(session: Any, mark: bytes, begin: int, newest: int) -> tuple[list[bytes | None], dict[int, bytes]]:
    """The columns of a chunk, None for one without values, and the stored nodes that it completes by level."""
    end = min(begin + CHUNK, newest)
    # Django's own cursors take text only, which doubles the bytes.
    with Cursor(session) as cursor:
        result = cursor.execute(COLUMNS_OF_ROWS, [begin, end, mark.decode(), mark], binary=True).pgresult
        columns = [result.get_value(0, place) for place in range(result.nfields)]
        levels = (end ^ begin).bit_length() - 1
        nodes = cursor.execute(NODES, [begin, end, levels], binary=True).fetchall() if levels else []
    return columns, {level: stored or b"" for level, stored in nodes}


def _stored_roots_hold(points: list[Checkpoint]) -> None:
    for (size, root), point in zip(
        AuditCheckpoint.objects.order_by("size").values_list("size", "root"), points, strict=True
    ):
        if size != point.size or bytes(root) != point.root:
            raise TamperedError(f"The checkpoint of size {size} is not what its note says.", size)


class _Walk:
    """How far the rows hold, and the complete subtrees behind it."""

    def __init__(self, points: list[Checkpoint]) -> None:
        self.points = points
        self.mark = mark_make()
        self.newest = points[-1].size if points else 0
        self.size = 0
        self.previous = chain.GENESIS
        self._tree = chain.Frontier(0, self._no_node)
        self._next_point = 0
        self._agreed = 0

    def step(self, columns: Sequence[bytes | None], nodes: dict[int, bytes]) -> bool:
        """The next chunk by columns: its rows, its checkpoints, its nodes. False, and nothing done, when its rows do not hold."""
        wanted = min(CHUNK, self.newest - self.size)
        whole = [column for column in columns if column is not None]
        if len(whole) != len(COLUMNS):
            return False
        found = columns_walk(whole, self.mark, self.size + 1, self.previous, wanted)
        if found is None:
            return False
        self.previous, leaves = found
        self._take(wanted, leaves, nodes)
        return True

    def blame(self, data: bytes, nodes: dict[int, bytes]) -> None:
        """The next chunk by rows, after ``step`` refused it. Raises TamperedError with the first bad entry."""
        wanted = min(CHUNK, self.newest - self.size)
        good, self.previous, leaves = rows_walk(data, self.size + 1, self.previous, wanted)
        self._take(good, leaves, nodes)

    def _take(self, good: int, leaves: bytes, nodes: dict[int, bytes]) -> None:
        begin, wanted = self.size, min(CHUNK, self.newest - self.size)
        levels = [leaves]
        while len(levels[-1]) > HASH:
            levels.append(pairs_hash(levels[-1]))
        self._compare_roots(begin, good, levels)
        if good < wanted:
            seq = begin + good + 1
            raise TamperedError(f"Entry {seq} is missing or was changed.", seq)
        above = self._append(begin, good, levels)
        for level, stored in nodes.items():
            wanted_hashes = levels[level] if level < len(levels) else above.get(level, b"")
            if stored != wanted_hashes:
                raise _node_changed(level, begin >> level, stored, wanted_hashes)
        self.size += good

    def _compare_roots(self, begin: int, good: int, levels: list[bytes]) -> None:
        """Every checkpoint within the good rows has the root that they lead to."""

        def node(level: int, index: int) -> bytes:
            before = begin >> level
            if before & 1 and index == before - 1:
                return self._tree.peaks[level]
            if level < len(levels) and index >= before:
                place = HASH * (index - before)
                return levels[level][place : place + HASH]
            # Complete by this chunk and larger than it.
            return chain.node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

        while self._next_point < len(self.points):
            point = self.points[self._next_point]
            if point.size > begin + good:
                return
            if chain.Frontier(point.size, node).root() != point.root:
                low = self._agreed + 1
                span = f"entry {low}" if point.size <= low else f"one of the entries {low} to {point.size}"
                raise TamperedError(f"The trail was written again: {span} is not what was signed.", low)
            self._agreed = point.size
            self._next_point += 1

    def _append(self, begin: int, good: int, levels: list[bytes]) -> dict[int, bytes]:
        """Move the frontier on; the nodes above the chunk that became complete, by level. A part of a chunk, the last, completes none."""
        made: dict[int, bytes] = {}
        if good == CHUNK:
            top, level = levels[-1], CHUNK_LEVELS
            while level in self._tree.peaks:
                top = chain.node_hash(self._tree.peaks.pop(level), top)
                level += 1
                made[level] = top
            self._tree.peaks[level] = top
        return made

    @staticmethod
    def _no_node(level: int, index: int) -> bytes:
        raise LookupError(f"{level}/{index}")


def _node_changed(level: int, first: int, stored: bytes, wanted: bytes) -> TamperedError:
    places = range(0, max(len(stored), len(wanted)), HASH)
    place = next(at for at in places if stored[at : at + HASH] != wanted[at : at + HASH])
    index = first + place // HASH
    seq = (index << level) + 1
    return TamperedError(f"The tree over the entries from {seq} on was changed (node {level}/{index}).", seq)
