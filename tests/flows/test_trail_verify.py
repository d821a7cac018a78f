"""A committed trail is read by two sessions at once: it is found whole, and one that was changed in the middle is named by its entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from tests.conftest_engine import empty_tables
from tests.crash.rotation import wait
from tests.crash.test_rotate_kill import ring

__all__ = ["ring"]
ACTS, CHUNK = 1_000, 64


@pytest.fixture
def trail(ring: Path, live_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from brokerage.platform.audit import record
    from compliance.audit import verify
    from compliance.audit.recorder import Recorder
    from compliance.audit.signing import signer

    signer.cache_clear()
    monkeypatch.setattr(verify, "CHUNK", CHUNK)
    monkeypatch.setattr(verify, "CHUNK_LEVELS", CHUNK.bit_length() - 1)
    with transaction.atomic():
        for number in range(ACTS):
            record("listing.changed", object_type="instrument", object_id=number)
    Recorder([tmp_path / "notes"]).drain()
    yield signer().public
    empty_tables()
    signer.cache_clear()


def is_open(backend_pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [backend_pid])
        return bool(cursor.fetchone()[0])


def test_two_sessions_find_it_whole_and_leave_nothing_open(trail: bytes) -> None:
    from compliance.audit import verify

    with verify._readers() as readers:
        own, other = (session.info.backend_pid for _, session in readers)
        assert own != other
        assert is_open(other)
    wait(lambda: not is_open(other), "the second session has ended")
    assert verify.trail_verify(trail) == ACTS
    with transaction.atomic():
        assert verify.trail_verify(trail) == ACTS, "one session finds the same"


@pytest.mark.parametrize("seq", [1, CHUNK, CHUNK + 1, 700, ACTS])
def test_an_entry_changed_in_any_chunk_is_named(trail: bytes, seq: int) -> None:
    from compliance.audit.verifier.verify_audit import TamperedError
    from compliance.audit.verify import trail_verify

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER audit_entry_keep")
        cursor.execute("UPDATE audit_entry SET object_id = '-1' WHERE seq = %s", [seq])
        cursor.execute("ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_keep")
    with pytest.raises(TamperedError) as told:
        trail_verify(trail)
    assert told.value.seq == seq
