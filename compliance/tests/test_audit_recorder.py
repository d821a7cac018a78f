"""The sequencer on real PostgreSQL: everything once, in a chain that verifies; the tables refuse every change."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from brokerage.platform import crypto
from brokerage.platform.audit import Actor, record
from brokerage.platform.models import AuditPending, DataKey
from compliance.audit import recorder as recorder_module
from compliance.audit.export import export_lines
from compliance.audit.recorder import LOCK, Recorder
from compliance.audit.signing import signer, signing_path, signing_rotate
from compliance.audit.verifier import verify_audit
from compliance.audit.verify import trail_verify
from compliance.models import AuditCheckpoint, AuditEntry, AuditNode
from compliance.services.erasure import ErasureBusyError, subject_erase

ODD = ('"', "\\", "\b\f\n\r\t", "\x01\x1f\x7f", "é€😀", "\u2028</script>", "", "x" * 60)
TABLES = ("audit_entry", "audit_node", "audit_checkpoint")


@pytest.fixture
def trail(db, settings, tmp_path):
    """An empty trail (rolled back afterwards) and a recorder with two folders of its own."""
    settings.KEYRING_FILE = tmp_path / "keys" / "keyring.json"
    crypto.keyring_forget()
    signer.cache_clear()
    with tampering() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608
    settings.AUDIT_DIRS = [tmp_path / "one", tmp_path / "two"]
    yield Recorder()
    crypto.keyring_forget()
    signer.cache_clear()


class tampering:
    """What a superuser can do: switch the triggers off, change, switch them on."""

    def __enter__(self):
        self.cursor = connection.cursor()
        for table in TABLES:
            self.cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        return self.cursor

    def __exit__(self, *error):
        for table in TABLES:
            self.cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keep")
            self.cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keep_all")


def acts(count, **changes):
    for number in range(count):
        record("listing.changed", object_type="instrument", object_id=number, after={"n": number}, **changes)


def test_every_act_is_taken_once_and_the_trail_verifies(trail, monkeypatch):
    monkeypatch.setattr(recorder_module, "BATCH", 10)
    acts(25)
    assert trail.drain() == 25
    acts(4)
    assert trail.drain() == 4
    assert trail.drain() == 0
    assert AuditPending.objects.count() == 0
    assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 30))
    assert AuditNode.objects.count() == 29 - bin(29).count("1")
    assert [c.size for c in AuditCheckpoint.objects.order_by("size")] == [25, 29]
    assert trail_verify(signer().public) == 29


def test_a_second_sequencer_waits_its_turn(trail):
    acts(1)
    held, done = threading.Event(), threading.Event()

    def other():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
                held.set()
                done.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(10)
    assert trail.run_once() == 0
    assert AuditPending.objects.count() == 1
    record("a.b", object_type="t", object_id=1, subject="7")
    with pytest.raises(ErasureBusyError):
        subject_erase(subject=7, reason="asked")
    done.set()
    thread.join()
    assert trail.run_once() == 2


def test_a_batch_that_fails_leaves_every_act_waiting(trail, monkeypatch):
    acts(3)
    monkeypatch.setattr(recorder_module, "_copy", lambda *given: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        trail.run_once()
    assert (AuditPending.objects.count(), AuditEntry.objects.count()) == (3, 0)


def test_notes_are_copied_outside_once_and_a_torn_line_is_mended(trail, tmp_path):
    acts(2)
    trail.drain()
    path = tmp_path / "one" / "checkpoints.jsonl"
    with path.open("ab") as file:
        file.write(b'{"size": 9')
    acts(1)
    trail.drain()
    sizes = [json.loads(line)["size"] for line in path.read_text().splitlines()]
    assert sizes == [2, 3]
    assert path.read_text() == (tmp_path / "two" / "checkpoints.jsonl").read_text()


def test_the_stand_alone_file_verifies_an_export_in_a_process_without_the_project(trail, tmp_path):
    acts(20)
    trail.drain()
    (tmp_path / "export.jsonl").write_bytes(b"".join(export_lines(20)))
    done = subprocess.run(
        [sys.executable, "-I", verify_audit.__file__, "export", "export.jsonl", "one/checkpoints.jsonl", "--key",
         signer().public_text], cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "valid: 20 entries, every one signed for\n")


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("UPDATE audit_entry SET actor_id = 'x' WHERE seq = 5", 5),
        ("UPDATE audit_entry SET ts = ts + interval '1 us' WHERE seq = 6", 6),
        ("UPDATE audit_entry SET payload = payload || '\\x00'::bytea WHERE seq = 7", 7),
        ("UPDATE audit_entry SET prev_hash = entry_hash WHERE seq = 8", 8),
        ("UPDATE audit_entry SET leaf_hash = entry_hash WHERE seq = 9", 9),
        ("DELETE FROM audit_entry WHERE seq = 10", 10),
        ("DELETE FROM audit_entry WHERE seq > 15", 16),
        ("UPDATE audit_entry SET seq = seq + 100 WHERE seq >= 12", 12),
    ],
)
def test_a_change_by_a_superuser_is_found_in_the_tables(trail, change, seq):
    acts(20)
    trail.drain()
    with tampering() as cursor:
        cursor.execute(change)
    with pytest.raises(verify_audit.TamperedError) as caught:
        trail_verify(signer().public)
    assert caught.value.seq == seq


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("verb", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_the_tables_refuse_every_change_also_to_a_replication_role(trail, table, verb, role):
    acts(3)
    trail.drain()
    column = {"audit_entry": "seq", "audit_node": "level", "audit_checkpoint": "size"}[table]
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL session_replication_role = {role}")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(verb.format(table, column))


def test_an_erased_persons_payload_is_gone_and_every_proof_still_holds(trail):
    acts(2, subject="42")
    acts(1)
    assert subject_erase(subject=42, reason="asked by the client") is True
    trail.drain()
    rows = list(AuditEntry.objects.order_by("seq"))
    for row in rows[:2]:
        with pytest.raises(crypto.KeyDestroyedError):
            crypto.unseal(row.payload, table="audit_entry", row=str(row.source_id), field="payload")
    other = crypto.unseal(rows[2].payload, table="audit_entry", row=str(rows[2].source_id), field="payload")
    assert json.loads(other)["after"] == {"n": 0}
    assert rows[3].action == "subject.erased"
    assert trail_verify(signer().public) == 4
    assert subject_erase(subject=43, reason="none there") is False


def test_the_signing_key_is_private_and_the_old_public_key_is_remembered(trail):
    first = signer().public_text
    assert signing_path().stat().st_mode & 0o777 == 0o600
    signing_rotate()
    assert signer().public_text != first
    assert signer().previous == (first,)
    assert signing_path().stat().st_mode & 0o777 == 0o600


def test_the_same_acts_give_the_same_chain_to_the_byte_as_they_always_did(trail, settings, monkeypatch):
    """Keys, nonces, ids and times are given, so the root over sealed payloads, links and nodes is one number for ever."""
    key = base64.b64encode(bytes(range(32))).decode()
    settings.KEYRING_FILE.parent.mkdir(parents=True)
    settings.KEYRING_FILE.write_text(json.dumps({"current": "k1", "keys": {"k1": key}, "index": key}))
    crypto.keyring_forget()
    monkeypatch.setattr(crypto.secrets, "token_bytes", bytes)
    for number, owner in enumerate(("system:audit", "user:7", "user:8"), 9_000_001):
        DataKey.objects.create(
            id=number, owner=owner, kek_id="k1", wrapped=crypto.keyring().wrap(bytes([number % 256]) * 32, owner)
        )
    made = AuditPending.objects.bulk_create(
        AuditPending(
            id=9_000_000 + number, action="listing.changed", actor_type="staff", actor_id=str(number % 3),
            on_behalf_of="9" * (number % 2), object_type="instrument", object_id=ODD[number % len(ODD)] * 2,
            subject=("", "7", "8")[number % 3], before=[None, {"n": number, "t": [True, None, "a\n"]}][number % 2],
            after={"n": number + 1}, reason=ODD[number % 4], request_id=f"r{number}", ip="10.0.0.1" * (number % 2),
        )
        for number in range(1, 38)
    )  # fmt: skip
    for row in made:
        row.created_at = datetime(2026, 11, 21, 12, 0, row.id % 60, row.id % 7, tzinfo=UTC)
    AuditPending.objects.bulk_update(made, ["created_at"])
    assert trail.drain() == 37
    everything = [
        *(tuple(bytes(part) if isinstance(part, memoryview) else part for part in row)
          for row in AuditEntry.objects.order_by("seq").values_list(*recorder_module.COLUMNS)),
        *((level, index, bytes(hash_)) for level, index, hash_ in AuditNode.objects.order_by("level", "index").values_list("level", "index", "hash")),
    ]  # fmt: skip
    assert (
        AuditCheckpoint.objects.get().root.hex() == "827ab01567b63738138c0f196ad972e253bb2cc906188d2b9f4b09d3d4aca279"
    )
    assert (
        hashlib.sha256(repr(everything).encode()).hexdigest()
        == "aac8fffec1b1a32a528199e027bccd15c4cd4eeb2a0050a48d8ddca25c179b7f"
    )


def test_a_batch_asks_for_the_keys_of_all_its_people_at_once(trail, django_assert_num_queries):
    # 41 and 42 have as many peaks, which a batch reads first.
    for subject in range(41):
        acts(1, subject=subject)
    trail.drain()  # makes the keys
    acts(1, subject=0)
    with CaptureQueriesContext(connection) as one:
        assert trail.run_once() == 1
    for subject in range(41):
        acts(1, subject=subject)
    crypto.keyring_forget()
    with django_assert_num_queries(len(one)):
        assert trail.run_once() == 41
    for row in AuditEntry.objects.all():
        crypto.unseal(row.payload, table="audit_entry", row=str(row.source_id), field="payload")


def test_what_was_recorded_opens_again_as_it_was(trail):
    values = [None, {}, *({"text": odd, odd: [1, -2.5, 10**15, True, None, {"n": odd}]} for odd in ODD)]
    for value in values:
        record("a.b", object_type="t", object_id=1, before=value, after=value, reason=ODD[4], actor=Actor("user", "1"))
    trail.drain()
    for row, value in zip(AuditEntry.objects.order_by("seq"), values, strict=True):
        text = crypto.unseal_text(row.payload, table="audit_entry", row=str(row.source_id), field="payload")
        assert json.loads(text) == {"before": value, "after": value, "reason": ODD[4], "ip": ""}
