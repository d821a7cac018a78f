"""How long a rotation of 100,000 data keys takes: ``python -m pytest -s tests/bench/rotate_keys.py``. Bound: 60 s, killed and under load or not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.core.management import call_command

from brokerage.platform.models import DataKey
from tests.crash.rotation import all_open, rotate_under_fire
from tests.crash.test_rotate_kill import keys_make, ring

__all__ = ["ring"]
COUNT = 100_000
BOUND_S = 60


@pytest.fixture(autouse=True)
def _keys(ring: Path) -> None:
    DataKey.objects.all().delete()
    keys_make(COUNT)


def test_a_hundred_thousand_data_keys() -> None:
    begun = time.monotonic()
    call_command("rotate_keys", verbosity=0)
    took = time.monotonic() - begun
    print(f"\n{COUNT} data keys in {took:.1f} s")
    assert not DataKey.objects.exclude(kek_id="k2").exists()
    assert took < BOUND_S


def test_killed_five_times_while_two_processes_seal_and_open(ring: Path, live_database: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DATABASE_URL": live_database, "KEYRING_FILE": str(ring)}
    fire = rotate_under_fire(environment, tmp_path, kills=5, batch=1_000)
    print(
        f"\n{COUNT} data keys, {fire.kills} kills at {fire.wrapped_at_kill} wrapped: {fire.rotations_s:.1f} s over all starts; "
        f"meanwhile {fire.calls} calls, {len(fire.failed)} failed, {fire.sealed} new owners"
    )
    assert fire.kills >= 3
    assert fire.failed == []
    assert not DataKey.objects.exclude(kek_id="k2").exists()
    assert all_open(tmp_path) == fire.sealed
    assert fire.rotations_s < BOUND_S
