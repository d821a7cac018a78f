"""``rotate_keys --index`` killed with -9 in the middle while codes are made and used: no code is lost, none works twice, the next run finishes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from brokerage.kernel.clock import utc_now
from brokerage.platform import blind, crypto
from tests.crash.rotation import ROOT, wait
from tests.crash.test_rotate_kill import ring

__all__ = ["ring"]
CODES = 2_000
KILLS = 3
TABLE = blind.Column("accounts_recoverycode", "digest")


@pytest.fixture
def user(ring: Path, live_database: str) -> Iterator[Any]:
    from accounts.models import RecoveryCode, User

    made = User.objects.create_user("rotating@example.test", "x")
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=made, digest=blind.index_value(f"old {n}", "p"), created_at=utc_now()) for n in range(CODES)
    )
    yield made
    RecoveryCode.objects.filter(user=made).delete()


def spend(user: Any, value: str) -> bool:
    """Use a code up, as the sign-in does."""
    from accounts.models import RecoveryCode

    unused = RecoveryCode.objects.filter(user=user, used_at=None)
    return blind.index_find(value, "p", lambda lies: bool(unused.filter(digest__in=lies).update(used_at=utc_now())))


@pytest.mark.slow
def test_killed_in_the_middle_it_is_finished_by_the_next_run(ring: Path, user: Any, live_database: str) -> None:
    from accounts.models import RecoveryCode

    stop, failed, calls = threading.Event(), [], [0]

    def fire() -> None:
        number = 0
        try:
            # The old ones are 0 to CODES - 1; a fast machine uses them all.
            while not stop.is_set() and number < CODES - 1:
                number += 1
                RecoveryCode.objects.create(
                    user=user, digest=blind.index_value(f"new {number}", "p"), created_at=utc_now()
                )
                for value in (f"old {number}", f"new {number}"):
                    if not spend(user, value):
                        failed.append(f"{value} was not found")
                    if spend(user, value):
                        failed.append(f"{value} worked twice")
                    calls[0] += 2
        except Exception as error:
            failed.append(repr(error))
        finally:
            connection.close()

    def rotated() -> int:
        return RecoveryCode.objects.extra(where=["length(digest) = 34"]).count()

    environment = {**os.environ, "DATABASE_URL": live_database, "KEYRING_FILE": str(ring)}
    command = [sys.executable, "manage.py", "rotate_keys", "--index", "--batch=5"]
    thread = threading.Thread(target=fire)
    thread.start()
    kills: list[int] = []
    try:
        for _ in range(KILLS):
            before = rotated()
            run = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
            wait(lambda before=before, run=run: rotated() > before + 20 or run.poll() is not None, "it rotates")
            run.kill()
            run.wait()
            kills.append(rotated())
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    finally:
        stop.set()
        thread.join(60)
    print(f"\nkilled at {kills} of {CODES} rotated; meanwhile {calls[0]} uses, {len(failed)} failed")
    assert 0 < kills[0] < CODES
    assert failed == []
    assert calls[0] > 20
    assert "index_rotating" not in json.loads(ring.read_text())
    assert set(json.loads(ring.read_text())["indexes"]) == {"2"}, "finished without a third key"
    crypto.keyring_forget()
    assert blind.index_left() == 0
    left = RecoveryCode.objects.filter(user=user, used_at=None).count()
    assert sum(spend(user, f"old {n}") for n in range(CODES)) == left
