"""How long a rotation of 100,000 data keys takes: ``python -m pytest -s tests/bench/rotate_keys.py``. Bound: 60 s."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from brokerage.platform import crypto
from brokerage.platform.models import DataKey

COUNT = 100_000


@pytest.mark.django_db
def test_a_hundred_thousand_data_keys(tmp_path: Path, settings: Any) -> None:
    settings.KEYRING_FILE = tmp_path / "keys" / "keyring.json"
    crypto.keyring_forget()
    ring = crypto.keyring()
    DataKey.objects.bulk_create(
        (
            DataKey(owner=f"user:{n}", kek_id=ring.current, wrapped=ring.wrap(n.to_bytes(32, "big"), f"user:{n}"))
            for n in range(COUNT)
        ),
        batch_size=5_000,
    )
    begun = time.monotonic()
    call_command("rotate_keys", verbosity=0)
    took = time.monotonic() - begun
    print(f"\n{COUNT} data keys in {took:.1f} s")
    assert not DataKey.objects.exclude(kek_id="k2").exists()
    assert took < 60
    crypto.keyring_forget()
