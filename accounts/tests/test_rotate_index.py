"""The key of blind indexes is changed while values are looked up: found before, meanwhile and afterwards, whatever is cut where."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import RecoveryCode, User
from brokerage.kernel.clock import utc_now
from brokerage.platform import blind, crypto
from brokerage.platform.blind import index_find, index_left, index_value, index_values

pytestmark = pytest.mark.django_db
CODES = blind.Column("accounts_recoverycode", "digest")


@pytest.fixture(autouse=True)
def ring(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.KEYRING_FILE = tmp_path / "keys" / "keyring.json"
    crypto.keyring_forget()
    crypto.keyring()
    yield settings.KEYRING_FILE
    crypto.keyring_forget()


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", "x")


def keep(user: User, *values: str) -> None:
    for value in values:
        RecoveryCode.objects.create(user=user, digest=index_value(value, "p"), created_at=utc_now())


def found(user: User, value: str, purpose: str = "p") -> int:
    return RecoveryCode.objects.filter(user=user, digest__in=index_values(value, purpose)).count()


def paths(user: User) -> set[tuple[int, ...]]:
    return {
        tuple(bytes(digest)[:-32]) or (1,)
        for digest in RecoveryCode.objects.filter(user=user).values_list("digest", flat=True)
    }


def rotate(**options: Any) -> None:
    call_command("rotate_keys", "--index", verbosity=0, **options)


def test_values_made_before_and_after_are_found(ring: Path, user: User) -> None:
    keep(user, *(f"old {n}" for n in range(25)))
    assert paths(user) == {(1,)}
    rotate(batch=10)
    assert paths(user) == {(1, 2)}
    keep(user, "new")
    assert paths(user) == {(1, 2), (2,)}
    for value in ("old 0", "old 24", "new"):
        assert found(user, value) == 1, value
        assert found(user, value, "another purpose") == 0
    assert found(user, "never kept") == 0
    rotate()
    rotate()
    assert paths(user) == {(1, 2, 3, 4), (2, 3, 4)}
    assert all(found(user, value) == 1 for value in ("old 0", "old 24", "new"))
    assert len(set(RecoveryCode.objects.values_list("digest", flat=True))) == 26
    assert ring.stat().st_mode & 0o777 == 0o600


def test_the_old_key_alone_says_nothing_about_what_lies_there(ring: Path, user: User) -> None:
    keep(user, "value")
    old = crypto.keyring()
    rotate()
    stolen = crypto.Keyring(old.current, old.keys, old.indexes)
    tried = stolen.index("value", "p", 1)
    stored = bytes(RecoveryCode.objects.get().digest)
    assert tried not in stored


def test_a_key_leaves_when_nothing_rests_on_it(ring: Path, user: User) -> None:
    keep(user, "old")
    old = json.loads(ring.read_text())["index"]
    rotate()
    assert old in ring.read_text(), "the value needs it"
    RecoveryCode.objects.all().delete()
    keep(user, "new")
    rotate()
    document = json.loads(ring.read_text())
    assert old not in ring.read_text()
    assert set(document["indexes"]) == {"2", "3"}
    assert "index" not in document
    crypto.keyring_forget()
    assert found(user, "new") == 1
    # The keyring itself still rotates.
    call_command("rotate_keys", verbosity=0)
    assert found(user, "new") == 1


def test_a_file_from_before_is_read_as_key_one(ring: Path, user: User) -> None:
    key = base64.b64encode(bytes(32)).decode()
    ring.write_text(json.dumps({"current": "k1", "keys": {"k1": key}, "index": key}))
    crypto.keyring_forget()
    assert crypto.keyring().index_current == 1
    assert index_value("value", "p") == crypto.blind_index("value", "p")
    assert len(index_value("value", "p")) == 32


@pytest.mark.parametrize("batches", [0, 1, 2, 3])
def test_a_rotation_that_was_cut_is_finished_without_another_key(ring: Path, user: User, batches: int) -> None:
    keep(user, *(f"v{n}" for n in range(25)))
    blind.index_add(ring)
    for _ in range(batches):
        blind.index_rotate_batch(CODES, 10)
    assert all(found(user, f"v{n}") == 1 for n in range(25)), "found meanwhile"
    keep(user, "meanwhile")
    with pytest.raises(crypto.KeyInUseError):
        blind.index_add(ring)
    if index_left():
        with pytest.raises(crypto.KeyInUseError):
            blind.index_finish(ring)
    rotate()
    document = json.loads(ring.read_text())
    assert (set(document["indexes"]), "index_rotating" in document) == ({"2"}, False)
    assert index_left() == 0
    assert all(found(user, value) == 1 for value in ("v0", "v24", "meanwhile"))


def test_a_process_that_remembers_the_old_ring_reads_the_new_one(ring: Path, user: User) -> None:
    keep(user, "value")
    remembered = crypto.keyring()
    document = json.loads(ring.read_text())
    added = base64.b64encode(b"n" * 32).decode()
    # As another process does it: this one is not told.
    crypto.private_file_write(ring, {**document, "indexes": {"2": added}, "index_rotating": True})
    assert crypto.keyring() is remembered
    assert index_value("later", "p")[:1] == b"\x02"


def test_a_look_up_that_crosses_the_beginning_is_asked_again(ring: Path, user: User) -> None:
    keep(user, "value")
    asked: list[int] = []

    def find(lies: list[bytes]) -> bool:
        if not asked:
            # Between making the values and asking for them a whole rotation happens.
            rotate()
        asked.append(len(lies))
        return RecoveryCode.objects.filter(digest__in=lies).exists()

    assert index_find("value", "p", find) is True
    assert asked == [1, 3]
    assert index_find("nothing", "p", lambda lies: False) is False


def test_new_entries_of_the_trail_have_the_new_key(ring: Path) -> None:
    before = crypto.blind_index("192.0.2.1", "audit-ip")
    rotate()
    assert crypto.blind_index("192.0.2.1", "audit-ip") != before
