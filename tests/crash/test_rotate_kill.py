"""``rotate_keys`` killed with -9 in the middle while other processes seal and open: the next run finishes it, nothing fails meanwhile.

The long run with 100,000 data keys: ``python -m pytest -s tests/bench/rotate_keys.py``.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from brokerage.platform import crypto
from tests.crash.rotation import PLACE, all_open, rotate_under_fire, wait

KEYS = 1_500


@pytest.fixture
def ring(tmp_path: Path, settings: Any, live_database: str, django_db_blocker: Any) -> Iterator[Path]:
    settings.KEYRING_FILE = tmp_path / "keys" / "keyring.json"
    crypto.keyring_forget()
    with django_db_blocker.unblock():
        crypto.keyring()
        yield settings.KEYRING_FILE
    crypto.keyring_forget()


def keys_make(count: int) -> None:
    """Data keys of so many owners."""
    from brokerage.platform.models import DataKey

    ring = crypto.keyring()
    DataKey.objects.bulk_create(
        (
            DataKey(owner=f"user:{n}", kek_id=ring.current, wrapped=ring.wrap(n.to_bytes(32, "big"), f"user:{n}"))
            for n in range(count)
        ),
        batch_size=5_000,
    )


def left_in(folder: Path, secret: str) -> list[str]:
    """Files of a folder that hold a text."""
    return [file.name for file in folder.iterdir() if secret in file.read_text(errors="replace")]


@pytest.mark.slow
def test_killed_in_the_middle_it_is_finished_by_the_next_run(ring: Path, live_database: str, tmp_path: Path) -> None:
    from brokerage.platform.models import DataKey

    keys_make(KEYS)
    old = json.loads(ring.read_text())["keys"]["k1"]
    # What a kill between writing the new ring and putting it in place leaves behind.
    (ring.parent / "keyring.json.0badcafe").write_text(ring.read_text())
    assert len(left_in(ring.parent, old)) == 2
    environment = {**os.environ, "DATABASE_URL": live_database, "KEYRING_FILE": str(ring)}
    fire = rotate_under_fire(environment, tmp_path, kills=3, batch=10)
    print(f"\n{fire}")
    assert fire.kills >= 1
    assert 0 < fire.wrapped_at_kill[0] < KEYS
    assert fire.failed == []
    assert fire.calls > 100
    assert list(json.loads(ring.read_text())["keys"]) == ["k2"], "finished without a third key"
    assert left_in(ring.parent, old) == [], "the old key lies nowhere"
    assert set(DataKey.objects.filter(destroyed_at=None).values_list("kek_id", flat=True)) == {"k2"}
    assert all_open(tmp_path) == fire.sealed
    fresh = crypto.keyring()
    for row in DataKey.objects.filter(owner__in=[f"user:{n}" for n in range(KEYS)]):
        assert fresh.unwrap(bytes(row.wrapped or b""), row.kek_id, row.owner) == int(row.owner[5:]).to_bytes(32, "big")


def test_a_key_made_by_a_transaction_that_ends_late_is_wrapped_again_too(ring: Path) -> None:
    from brokerage.platform.models import DataKey

    crypto.seal("first", owner="user:first", **PLACE)
    begun, end = threading.Event(), threading.Event()
    sealed: list[bytes] = []

    def slow() -> None:
        try:
            with transaction.atomic():
                sealed.append(crypto.seal("late", owner="user:late", **PLACE))
                begun.set()
                end.wait(20)
        finally:
            connection.close()

    def release() -> None:
        # The rotation waits for this transaction with everything else done: only then may it end.
        try:
            wait(waits_for_lock, "the rotation waits", 20)
        finally:
            end.set()
            connection.close()

    threads = [threading.Thread(target=work) for work in (slow, release)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    call_command("rotate_keys", verbosity=0)
    for thread in threads:
        thread.join(20)
    assert list(json.loads(ring.read_text())["keys"]) == ["k2"]
    assert DataKey.objects.get(owner="user:late").kek_id == "k2"
    crypto.keyring_forget()
    assert crypto.unseal_text(sealed[0], **PLACE) == "late"


def waits_for_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareRowExclusiveLock'")
        return bool(cursor.fetchone()[0])


def test_a_new_ring_is_on_the_disk_before_it_takes_the_place(ring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the keys wrapped under it are in the database: the ring must not be an empty file then."""
    steps: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        steps.append("sync " + ("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"))
        real_sync(descriptor)

    def replace(self: Path, target: Any) -> Path:
        steps.append("replace")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    crypto.keyring_add(ring, "k2")
    assert steps == ["sync file", "replace", "sync folder"]
