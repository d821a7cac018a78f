"""The recorder of the audit trail killed with -9, and cut off by PostgreSQL, while acts are recorded: each committed act is in the trail once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import connection, transaction

from tests.conftest_engine import empty_tables
from tests.crash.rotation import ROOT, wait
from tests.crash.test_rotate_kill import ring

__all__ = ["ring"]
KILLS = 5
CUTS = 3


class _TakenBackError(Exception):
    pass


def _record(stop: threading.Event, kept: list[str], failed: list[str]) -> None:
    """Acts one by one, each in a transaction of its own; every seventh is taken back."""
    from brokerage.platform.audit import record

    number = 0
    try:
        while not stop.is_set():
            number += 1
            try:
                with transaction.atomic():
                    record("listing.changed", object_type="instrument", object_id=number, after={"n": number})
                    if number % 7 == 0:
                        raise _TakenBackError
            except _TakenBackError:
                continue
            kept.append(str(number))
    except Exception as error:
        failed.append(repr(error))
    finally:
        connection.close()


def test_an_emptied_database_begins_a_trail_of_its_own(ring: Path, live_database: str, tmp_path: Path) -> None:
    from brokerage.platform.audit import record
    from compliance.audit.recorder import Recorder
    from compliance.audit.signing import signer
    from compliance.models import AuditEntry

    signer.cache_clear()
    for number in range(2):
        empty_tables()
        with transaction.atomic():
            record("listing.changed", object_type="instrument", object_id=number)
        Recorder([tmp_path / str(number)]).drain()
        assert list(AuditEntry.objects.values_list("seq", "source_id", "object_id")) == [(1, 1, str(number))]
    empty_tables()
    signer.cache_clear()


@pytest.mark.slow
def test_every_committed_act_is_in_the_trail_once(ring: Path, live_database: str, tmp_path: Path) -> None:
    from brokerage.platform.models import AuditPending
    from compliance.audit.recorder import Recorder
    from compliance.audit.signing import signer
    from compliance.audit.verify import trail_verify
    from compliance.models import AuditEntry

    seed = random.SystemRandom().randrange(1 << 32)
    dice = random.Random(seed)
    print(f"seed {seed}")
    signer.cache_clear()
    environment = {**os.environ, "DATABASE_URL": live_database, "KEYRING_FILE": str(ring), "BROKERAGE_VAR": str(tmp_path)}  # fmt: skip
    stop, kept, failed = threading.Event(), list[str](), list[str]()
    thread = threading.Thread(target=_record, args=(stop, kept, failed))
    thread.start()

    def begun() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "tests.crash.recorder"], cwd=ROOT, env=environment)

    def written() -> int:
        return AuditEntry.objects.count()

    child = begun()
    at: list[int] = []
    try:
        for turn in range(KILLS + CUTS):
            before = written()
            wait(lambda before=before, child=child: written() > before + 20 or child.poll() is not None, "acts come")
            assert child.poll() is None, "the recorder ended by itself"
            time.sleep(dice.random() / 20)
            if turn < KILLS:
                child.kill()
                child.wait()
                child = begun()
            else:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'recorder'")  # fmt: skip
                    assert cursor.fetchone()[0] >= 1
            at.append(written())
    finally:
        stop.set()
        thread.join(60)
        child.kill()
        child.wait()
    print(f"stopped at {at}; {len(kept)} acts")
    assert failed == []
    Recorder([tmp_path / "notes"]).drain()
    assert not AuditPending.objects.exists()
    found = list(AuditEntry.objects.order_by("seq").values_list("seq", "object_id"))
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    assert sorted(number for _, number in found) == sorted(kept)
    assert trail_verify(signer().public) == len(kept)
    signer.cache_clear()
