"""Sealing: only in its place, only with its key, gone when the key is gone, rotated without touching a field."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from brokerage.platform import crypto
from brokerage.platform.models import DataKey

PLACE = {"table": "accounts_profile", "row": "7", "field": "tax_id"}


@pytest.fixture(autouse=True)
def ring(tmp_path: Path, settings):
    settings.KEYRING_FILE = tmp_path / "keys" / "keyring.json"
    crypto.keyring_forget()
    yield settings.KEYRING_FILE
    crypto.keyring_forget()


@pytest.mark.django_db
def test_what_is_sealed_opens_in_its_place_and_shows_nothing():
    sealed = crypto.seal("123-45-6789", owner="user:1", **PLACE)
    assert b"123-45" not in sealed
    assert crypto.unseal_text(sealed, **PLACE) == "123-45-6789"
    assert crypto.seal("123-45-6789", owner="user:1", **PLACE) != sealed


@pytest.mark.django_db
@pytest.mark.parametrize("moved", [{"table": "other"}, {"row": "8"}, {"field": "iban"}])
def test_moved_to_another_place_it_does_not_open(moved):
    sealed = crypto.seal("secret", owner="user:1", **PLACE)
    with pytest.raises(crypto.CryptoError):
        crypto.unseal(sealed, **(PLACE | moved))


@pytest.mark.django_db
def test_every_changed_or_missing_byte_is_refused():
    sealed = crypto.seal("secret", owner="user:1", **PLACE)
    for at in range(len(sealed)):
        with pytest.raises(crypto.CryptoError):
            crypto.unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], **PLACE)
        with pytest.raises(crypto.CryptoError):
            crypto.unseal(sealed[:at], **PLACE)


@pytest.mark.django_db
def test_another_owners_key_under_the_same_place_does_not_open():
    sealed = crypto.seal("secret", owner="user:1", **PLACE)
    other = crypto.seal("other", owner="user:2", **PLACE)
    with pytest.raises(crypto.CryptoError):
        crypto.unseal(sealed[:1] + other[1:9] + sealed[9:], **PLACE)


@pytest.mark.django_db
def test_destroying_the_key_erases_what_it_sealed_and_nothing_else():
    gone = crypto.seal("secret", owner="user:1", **PLACE)
    kept = crypto.seal("kept", owner="user:2", **PLACE)
    assert crypto.owner_key_destroy("user:1")
    assert not crypto.owner_key_destroy("user:1")
    with pytest.raises(crypto.KeyDestroyedError):
        crypto.unseal(gone, **PLACE)
    assert crypto.unseal(kept, **PLACE) == b"kept"
    fresh = crypto.seal("again", owner="user:1", **PLACE)
    assert crypto.unseal(fresh, **PLACE) == b"again"


@pytest.mark.django_db
def test_rotation_wraps_every_key_again_can_be_resumed_and_the_old_one_can_go(ring):
    sealed = [crypto.seal(str(n), owner=f"user:{n}", **PLACE) for n in range(10)]
    crypto.keyring_add(ring, "k2")
    with pytest.raises(crypto.CryptoError):
        crypto.keyring_drop(ring, "k1")
    at = crypto.rewrap_batch(0, 4)
    assert at is not None
    assert DataKey.objects.filter(kek_id="k1").count() == 6
    while at is not None:
        at = crypto.rewrap_batch(at, 4)
    crypto.keyring_drop(ring, "k1")
    assert [crypto.unseal(one, **PLACE) for one in sealed] == [str(n).encode() for n in range(10)]
    assert "k1" not in ring.read_text()


@pytest.mark.django_db
def test_a_process_that_read_the_ring_before_the_rotation_still_opens(ring):
    sealed = crypto.seal("secret", owner="user:1", **PLACE)
    old = crypto.keyring()
    crypto.keyring_add(ring, "k2")
    while crypto.rewrap_batch(0) is not None:
        pass
    crypto.keyring_forget()
    crypto.keyring.cache_clear()
    assert "k2" not in old.keys
    assert crypto.unseal(sealed, **PLACE) == b"secret"


def test_two_processes_that_make_the_first_ring_use_the_same(tmp_path):
    path = tmp_path / "ring.json"
    barrier = threading.Barrier(8)
    seen = []

    def one():
        barrier.wait()
        crypto.keyring_ensure(path)
        seen.append(path.read_text())

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1
    assert path.stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == ["ring.json"]


def test_the_blind_index_depends_on_value_and_purpose():
    one = crypto.blind_index("a", "email")
    assert one == crypto.blind_index("a", "email")
    assert one != crypto.blind_index("b", "email")
    assert one != crypto.blind_index("a", "tax")
