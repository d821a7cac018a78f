"""Verifying the stored trail in C: it agrees with Python and hashlib on every row there can be, and finds a thousand ways of tampering."""

# ruff: noqa: S608 - the statements are this test's own
from __future__ import annotations

import hashlib
import random
import threading
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from brokerage.platform.audit import Actor, record
from brokerage.platform.models import AuditPending
from compliance.audit import anchors, chain, verify
from compliance.audit.recorder import COLUMNS, entry_canonical
from compliance.audit.signing import signer, signing_rotate
from compliance.audit.verifier.verify_audit import TamperedError
from compliance.audit.verify import trail_verify
from compliance.models import AuditEntry, AuditNode
from compliance.tests.test_audit_recorder import ODD, acts, tampering, trail  # noqa: F401 - the fixture
from native import audit_walk
from trading.engine import commands
from trading.engine.testing import EngineProcess
from trading.services.engine_access import set_engine_client

SIZE = 150


def test_sha_256_with_and_without_the_processors_help_is_hashlibs():
    chance = random.Random(180)
    for length in (*range(130), 1_000, 4_096):
        data = chance.randbytes(length)
        assert audit_walk.sha256(data) == audit_walk.sha256(data, plain=True) == hashlib.sha256(data).digest()
        other = chance.randbytes(chance.choice((0, 1, 55, 56, 63, 64, 119, 120, 500)))
        assert audit_walk.sha256_two(data, other) == (hashlib.sha256(data).digest(), hashlib.sha256(other).digest())


def test_levels_of_the_tree_are_those_of_the_mathematics():
    leaves = [hashlib.sha256(bytes([number])).digest() for number in range(7)]
    wanted = [chain.node_hash(leaves[2 * n], leaves[2 * n + 1]) for n in range(3)]
    assert audit_walk.pairs_hash(b"".join(leaves)) == b"".join(wanted)


def test_the_columns_are_in_the_order_that_the_c_code_reads(trail):  # noqa: F811
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'audit_entry'::regclass AND attnum > 0 ORDER BY attnum"
        )
        assert tuple(row[0] for row in cursor.fetchall()) == COLUMNS


def test_rows_of_every_kind_verify_and_python_agrees_on_each(trail, monkeypatch):  # noqa: F811
    monkeypatch.setattr(verify, "CHUNK", 8)
    monkeypatch.setattr(verify, "CHUNK_LEVELS", 3)
    times = [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2000, 2, 29, tzinfo=UTC),
        datetime(2100, 3, 1, tzinfo=UTC),
        datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=UTC),
    ]
    for number in range(40):
        odd = ODD[number % len(ODD)]
        record(
            odd or "a.b", object_type=odd, object_id=odd * 2, actor=Actor("user", odd), reason=odd, before={"n": odd}
        )
        AuditPending.objects.filter(pk=AuditPending.objects.latest("id").pk).update(created_at=times[number % 5])
        if number % 7 == 0:
            trail.drain()
    trail.drain()
    assert trail_verify(signer().public) == 40
    # That was proved column by column: rows one by one are for a chunk that is bad.
    monkeypatch.setattr(verify, "rows_walk", None)
    assert trail_verify(signer().public) == 40
    for row in AuditEntry.objects.all():
        assert chain.entry_hash(bytes(row.prev_hash), entry_canonical(row)) == bytes(row.entry_hash)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 24, 31])
def test_chunks_of_every_shape_join_into_one_tree(trail, monkeypatch, size):  # noqa: F811
    monkeypatch.setattr(verify, "CHUNK", 8)
    monkeypatch.setattr(verify, "CHUNK_LEVELS", 3)
    for _ in range(size):
        acts(1)
        trail.drain()
    assert trail_verify(signer().public) == size


def test_notes_of_the_key_before_a_rotation_still_count(trail):  # noqa: F811
    acts(3)
    trail.drain()
    signing_rotate()
    acts(3)
    trail.drain()
    assert trail_verify(*signer().publics) == 6
    with pytest.raises(TamperedError, match="not signed by this key"):
        trail_verify(signer().public)


def test_a_value_that_holds_the_mark_by_accident_is_no_tampering(trail, monkeypatch):  # noqa: F811
    mark = verify.mark_make()
    monkeypatch.setattr(verify, "mark_make", lambda: mark)
    for object_id in ("a", mark.decode(), "b" + mark.decode() * 2, "c"):
        record("a.b", object_type="t", object_id=object_id)
    trail.drain()
    assert trail_verify(signer().public) == 4


def test_a_mark_is_text_of_which_no_part_is_its_beginning():
    marks = {verify.mark_make() for _ in range(1_000)}
    assert len(marks) == 1_000
    for mark in marks:
        assert len(mark) == 6
        assert mark.startswith(b"\x01")
        assert set(mark[1:]) <= set(range(2, 128))


@pytest.mark.parametrize(
    ("loosened", "change", "seq"),
    [
        # What one row lacks the next one has, so that the columns as a whole are what they were.
        (
            "DROP CONSTRAINT audit_entry_leaf_hash_check",
            "UPDATE audit_entry e SET leaf_hash = CASE seq WHEN 5 THEN substr(leaf_hash, 1, 31) ELSE (SELECT substr(o.leaf_hash, 32) FROM"
            " audit_entry o WHERE o.seq = 5) || leaf_hash END WHERE seq IN (5, 6)",
            5,
        ),
        (
            "DROP CONSTRAINT audit_entry_seq_check",
            "UPDATE audit_entry e SET payload = CASE seq WHEN 7 THEN ''::bytea ELSE (SELECT o.payload FROM audit_entry o WHERE o.seq = 7)"
            " || payload END WHERE seq IN (7, 8)",
            7,
        ),
        ("ALTER actor_id DROP NOT NULL", "UPDATE audit_entry SET actor_id = NULL WHERE seq = 3", 3),
        ("ALTER actor_id DROP NOT NULL", "UPDATE audit_entry SET actor_id = NULL", 1),
        ("ALTER source_id DROP NOT NULL", "UPDATE audit_entry SET source_id = NULL WHERE seq = 9", 9),
        (
            "ALTER actor_id TYPE varchar",
            "UPDATE audit_entry SET actor_id = '17' || chr(1) || '17' WHERE seq = 4",
            4,
        ),
        # The second row of one number is met where the next is expected.
        (
            "DROP CONSTRAINT audit_entry_pkey, DROP CONSTRAINT audit_entry_source_id_key",
            "INSERT INTO audit_entry SELECT * FROM audit_entry WHERE seq = 6",
            7,
        ),
    ],
)
def test_what_constraints_forbid_is_found_where_somebody_dropped_them(trail, loosened, change, seq):  # noqa: F811
    acts(20, actor=Actor("staff", "17"))
    trail.drain()
    with tampering() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE audit_entry {loosened}")
        cursor.execute(change)
    with pytest.raises(TamperedError) as caught:
        trail_verify(signer().public)
    assert caught.value.seq == seq


def _changes():
    """(statement, first bad seq): a thousand and more."""
    chance = random.Random(20261121)
    text = (
        "actor_type",
        "actor_id",
        "on_behalf_of",
        "action",
        "object_type",
        "object_id",
        "subject",
        "request_id",
        "ip_hash",
    )
    blobs = ("payload", "payload_hash", "prev_hash", "entry_hash", "leaf_hash")
    for seq in range(1, SIZE + 1):
        # A hash of the entry that was changed is found at the entry itself, in all its columns.
        yield f"UPDATE audit_entry SET {chance.choice(text)} = 'tampered' WHERE seq = {seq}", seq
        column, bit = chance.choice(blobs), chance.randrange(256)
        yield (
            f"UPDATE audit_entry SET {column} = set_bit({column}, {bit}, 1 - get_bit({column}, {bit})) WHERE seq = {seq}",
            seq,
        )
        yield f"UPDATE audit_entry SET source_id = source_id + 1000000 WHERE seq = {seq}", seq
        yield (
            f"UPDATE audit_entry SET ts = ts + interval '{chance.randrange(1, 9)} microseconds' WHERE seq = {seq}",
            seq,
        )
        yield f"DELETE FROM audit_entry WHERE seq = {seq}", seq
        yield f"DELETE FROM audit_entry WHERE seq >= {seq}", seq
        yield f"UPDATE audit_entry SET seq = seq + 1000 WHERE seq >= {seq}", seq
    for level, index in AuditNode.objects.values_list("level", "index"):
        yield (
            f"UPDATE audit_node SET hash = sha256(hash) WHERE level = {level} AND index = {index}",
            (index << level) + 1,
        )
    yield "UPDATE audit_checkpoint SET root = sha256(root)", SIZE


def test_a_thousand_ways_of_tampering_with_the_tables_are_found_and_named(trail):  # noqa: F811
    acts(SIZE)
    trail.drain()
    key, count = signer().public, 0
    assert trail_verify(key) == SIZE
    with tampering() as cursor:
        for change, seq in list(_changes()):
            cursor.execute("SAVEPOINT before")
            cursor.execute(change)
            with pytest.raises(TamperedError) as caught:
                trail_verify(key)
            assert caught.value.seq == seq, change
            cursor.execute("ROLLBACK TO SAVEPOINT before")
            count += 1
    assert count >= 1_000
    assert trail_verify(key) == SIZE


@pytest.mark.django_db(transaction=True)
def test_an_act_with_a_lower_id_that_commits_later_is_neither_lost_nor_forced_in_before(settings, tmp_path):
    from compliance.audit.recorder import Recorder  # the tables are shared here, so no fixture empties them

    settings.KEYRING_FILE = tmp_path / "keys" / "keyring.json"
    taken, go_on, failures = threading.Event(), threading.Event(), []

    def slow():
        try:
            with transaction.atomic():
                record("race.slow", object_type="t", object_id=1)
                taken.set()
                go_on.wait(20)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert taken.wait(20)
    record("race.fast", object_type="t", object_id=2)
    low = AuditPending.objects.get(action="race.fast").pk
    recorder = Recorder(folders=())
    first = AuditEntry.objects.count()
    try:
        assert recorder.run_once() >= 1
        assert AuditEntry.objects.filter(seq__gt=first, action="race.slow").count() == 0
    finally:
        go_on.set()
        thread.join()
    assert failures == []
    assert recorder.run_once() == 1
    fast, slow_row = AuditEntry.objects.filter(seq__gt=first, action__startswith="race.").order_by("seq")
    assert (fast.action, slow_row.action) == ("race.fast", "race.slow")
    # The one in front of the chain has the higher id: order is that of being seen, numbers have no gap.
    assert slow_row.source_id < fast.source_id == low
    assert slow_row.seq == fast.seq + 1
    assert bytes(slow_row.prev_hash) == bytes(fast.entry_hash)


def chain_at(folder, segment, offset):
    """The hash of the last frame before a place in a journal, computed from its bytes alone."""
    data = next(folder.glob(f"segment-{segment:08d}.log")).read_bytes()
    at, last = 4096, data[:4096]
    while at < offset:
        end = at + 48 + int.from_bytes(data[at : at + 4], "little")
        last, at = data[at:end], end
    assert at == offset
    return hashlib.sha256(last).digest()[:16].hex()


def test_the_journal_of_a_real_engine_is_anchored_by_the_hash_of_its_last_frame(trail, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(anchors, "_last", ("", 0))
    monkeypatch.setattr(anchors, "_last_halt", "")
    with EngineProcess(tmp_path / "engine") as engine:
        client = engine.client()
        client.submit(commands.asset_upsert(1, 6))
        set_engine_client(client)
        try:
            assert anchors.journal_anchor() is True
            assert anchors.journal_anchor() is False
            client.submit(commands.asset_upsert(2, 8))
            assert anchors.journal_anchor() is True
        finally:
            set_engine_client(None)
        engine.stop()
        journal = engine.journal
        rows = list(AuditPending.objects.filter(action="journal.anchored").order_by("id"))
        assert int(rows[1].after["cmd_seq"]) == int(rows[0].after["cmd_seq"]) + 1
        for row in rows:
            assert (row.actor_type, row.object_id) == ("engine", row.actor_id)
            place = row.after
            assert chain_at(journal, place["segment"], place["offset"]) == place["chain"]
        # A journal changed afterwards no longer has that hash at that place.
        path = next(journal.glob("segment-*.log"))
        data = bytearray(path.read_bytes())
        data[rows[-1].after["offset"] - 1] ^= 1
        path.write_bytes(data)
        assert chain_at(journal, rows[-1].after["segment"], rows[-1].after["offset"]) != rows[-1].after["chain"]
