"""Rotation of the keyring: everything opens afterwards, an interrupted one is finished, the old key is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from brokerage.platform import crypto
from brokerage.platform.models import DataKey

PLACE = {"table": "t", "row": "1", "field": "f"}
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ring(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.KEYRING_FILE = tmp_path / "keys" / "keyring.json"
    crypto.keyring_forget()
    yield settings.KEYRING_FILE
    crypto.keyring_forget()


def _sealed(count: int) -> list[bytes]:
    return [crypto.seal(f"secret {n}", owner=f"user:{n}", **PLACE) for n in range(count)]


def _all_open(sealed: list[bytes]) -> bool:
    crypto.keyring_forget()
    return [crypto.unseal_text(item, **PLACE) for item in sealed] == [f"secret {n}" for n in range(len(sealed))]


def test_everything_opens_under_the_new_key_and_the_old_one_is_gone(ring: Path) -> None:
    sealed = _sealed(25)
    destroyed = crypto.seal("gone", owner="user:gone", **PLACE)
    crypto.owner_key_destroy("user:gone")
    old = json.loads(ring.read_text())["keys"]["k1"]
    call_command("rotate_keys", "--batch=10", verbosity=0)
    document = json.loads(ring.read_text())
    assert list(document["keys"]) == ["k2"]
    assert old not in ring.read_text()
    assert ring.stat().st_mode & 0o777 == 0o600
    assert set(DataKey.objects.filter(destroyed_at=None).values_list("kek_id", flat=True)) == {"k2"}
    assert _all_open(sealed)
    with pytest.raises(crypto.KeyDestroyedError):
        crypto.unseal(destroyed, **PLACE)


@pytest.mark.parametrize("batches", [0, 1, 2, 3])
def test_a_rotation_that_was_cut_off_is_finished_without_another_key(ring: Path, batches: int) -> None:
    sealed = _sealed(25)
    crypto.keyring_add(ring, "k2")
    after: int | None = 0
    for _ in range(batches):
        after = crypto.rewrap_batch(after or 0, 10)
    assert _all_open(sealed), "both keys are there meanwhile"
    call_command("rotate_keys", verbosity=0)
    assert list(json.loads(ring.read_text())["keys"]) == ["k2"]
    assert _all_open(sealed)


def test_a_process_that_remembers_the_old_ring_seals_under_the_new_one(ring: Path) -> None:
    _sealed(1)
    assert crypto.keyring().current == "k1"
    # As another process does it: this one is not told.
    document = json.loads(ring.read_text())
    added = crypto.keyring_make()["keys"]["k1"]
    crypto.private_file_write(ring, {**document, "current": "k2", "keys": {**document["keys"], "k2": added}})
    assert crypto.keyring().current == "k1", "still remembered"
    sealed = crypto.seal("later", owner="user:later", **PLACE)
    assert DataKey.objects.get(owner="user:later").kek_id == "k2"
    assert crypto.unseal_text(sealed, **PLACE) == "later"


def test_a_key_in_use_is_not_dropped(ring: Path) -> None:
    _sealed(1)
    crypto.keyring_add(ring, "k2")
    for key_id in ("k1", "k2"):
        with pytest.raises(crypto.CryptoError, match="in use"):
            crypto.keyring_drop(ring, key_id)
    assert set(json.loads(ring.read_text())["keys"]) == {"k1", "k2"}
