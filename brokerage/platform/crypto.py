"""Encryption at rest: envelope encryption with one data key per owner, bound to the row and field it stands in.

    keyring file (KEK by id)  ──wraps──>  DataKey row (one per owner)  ──AES-256-GCM──>  sealed field

Owner is whose secret it is (``user:<id>``, ``system:<name>``), so destroying one key makes everything of that owner unreadable and leaves
every hash over the sealed bytes as it was. The associated data are owner, table, row and field: a ciphertext that is moved anywhere else does
not open. Rotation wraps data keys again and touches no field (``manage.py rotate_keys``). Keys of blind indexes are in the same file, by number.

Sealed bytes: version 1 (1 byte) · DataKey id (8, big endian) · nonce (12) · ciphertext and tag.
Owns sealing, opening, destroying and the file. Leaves indexes in columns to ``blind.py``, the keyring's place to ``brokerage/config.py``.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from brokerage.kernel.clock import utc_now
from brokerage.platform.models import DataKey

VERSION = 1
NONCE_BYTES = 12
KEY_BYTES = 32
HEAD_BYTES = 1 + 8 + NONCE_BYTES


class CryptoError(Exception):
    """Sealed bytes cannot be opened: damaged, moved from another place, or of a key that is not here."""


class KeyInUseError(CryptoError):
    """A key-encryption key still wraps something, or is the current one."""


class KeyDestroyedError(CryptoError):
    """The owner's key was destroyed on purpose: what it sealed is gone."""


@dataclass(frozen=True)
class Keyring:
    """Key-encryption keys by id; ``current`` wraps, the others only unwrap. Index keys by number; the highest is the current one."""

    current: str
    keys: dict[str, bytes]
    indexes: dict[int, bytes]

    @property
    def index_current(self) -> int:
        """The number of the index key under which values are made."""
        return max(self.indexes)

    def index(self, value: str, purpose: str, number: int) -> bytes:
        """32 bytes for a value of one purpose under one index key."""
        return hmac.digest(self.indexes[number], f"{purpose}\0{value}".encode(), "sha256")

    def wrap(self, data_key: bytes, owner: str) -> bytes:
        """Encrypt a data key under the current key; bound to its owner."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self.keys[self.current]).encrypt(nonce, data_key, f"datakey\0{owner}".encode())

    def unwrap(self, wrapped: bytes, kek_id: str, owner: str) -> bytes:
        """Decrypt a data key; CryptoError when the ring has no such key or the bytes were changed."""
        if kek_id not in self.keys:
            raise CryptoError(f"The keyring has no key {kek_id!r}.")
        try:
            aad = f"datakey\0{owner}".encode()
            return AESGCM(self.keys[kek_id]).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], aad)
        except InvalidTag:
            raise CryptoError(f"The data key of {owner} does not open.") from None


def keyring_make() -> dict[str, object]:
    """A fresh keyring document with one key."""
    key, index = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)
    return {
        "current": "k1",
        "keys": {"k1": base64.b64encode(key).decode()},
        "index": base64.b64encode(index).decode(),
    }


def keyring_add(path: Path, key_id: str) -> None:
    """Add a key to the file and make it the current one; older ones stay until everything is wrapped again."""
    document = json.loads(path.read_text())
    if key_id in document["keys"]:
        raise CryptoError(f"The keyring has a key {key_id!r} already.")
    document["keys"][key_id] = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    document["current"] = key_id
    private_file_write(path, document)
    keyring_forget()


def keyring_drop(path: Path, key_id: str) -> None:
    """Take a retired key out of the file; KeyInUseError while it is current or wraps anything."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Waits for whoever is making a data key and keeps others from it until the file is written: see _key_for.
        cursor.execute(f'LOCK TABLE "{DataKey._meta.db_table}" IN SHARE ROW EXCLUSIVE MODE')
        document = json.loads(path.read_text())
        if key_id == document["current"] or DataKey.objects.filter(kek_id=key_id, destroyed_at=None).exists():
            raise KeyInUseError(f"The key {key_id!r} is still in use.")
        document["keys"].pop(key_id, None)
        private_file_write(path, document)
    keyring_forget()


def keyring_ensure(path: Path) -> None:
    """Make the file with a fresh key where there is none."""
    private_file_ensure(path, keyring_make)


def private_file_ensure(path: Path, make: Callable[[], dict[str, object]]) -> None:
    """Make a file of keys where there is none; of two processes at once one wins and both use its file."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = _private_file(path, make())
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    _folder_sync(path.parent)


def _private_file(path: Path, document: dict[str, object]) -> Path:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600, exist_ok=False)
    with fresh.open("w") as file:
        file.write(json.dumps(document, indent=1))
        file.flush()
        os.fsync(file.fileno())
    return fresh


def private_file_write(path: Path, document: dict[str, object]) -> None:
    """Put a new document in the place of a file of keys; it is on the disk when this returns."""
    # A second file, then a rename: a crash leaves the old ring or the new one, never half of one. On the disk before anything is wrapped
    # under it: the database keeps that through a power cut, and must not be left without its key.
    _private_file(path, document).replace(path)
    _folder_sync(path.parent)


def private_file_tidy(path: Path) -> None:
    """Remove second files that killed processes left beside a file of keys: they hold keys too."""
    for left in path.parent.glob(f"{path.name}.{'[0-9a-f]' * 8}"):
        left.unlink(missing_ok=True)
    _folder_sync(path.parent)


def _folder_sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keyring_path() -> Path:
    """Where the keyring lies."""
    return Path(settings.KEYRING_FILE)


def keyring_fresh() -> Keyring:
    """The keyring as its file is now; read again only when the file is another one."""
    stat = keyring_path().stat() if keyring_path().exists() else None
    if stat is None or (stat.st_mtime_ns, stat.st_ino) != _ring_mark.get("mark"):
        keyring.cache_clear()
        if stat is not None:
            # Before reading: a change in between is seen the next time.
            _ring_mark["mark"] = (stat.st_mtime_ns, stat.st_ino)
    return keyring()


_ring_mark: dict[str, tuple[int, int]] = {}


@lru_cache(maxsize=1)
def keyring() -> Keyring:
    """The keyring of this process."""
    path = keyring_path()
    if settings.KEYRING_MAKE:
        keyring_ensure(path)
    try:
        document = json.loads(path.read_text())
        keys = {name: base64.b64decode(text) for name, text in document["keys"].items()}
        # Index key 1 has a place of its own: files made before index keys could be changed have only that.
        indexes = {"1": document["index"]} if "index" in document else {}
        indexes |= document.get("indexes", {})
        ring = Keyring(
            document["current"], keys, {int(number): base64.b64decode(text) for number, text in indexes.items()}
        )
    except (OSError, ValueError, KeyError) as error:
        raise CryptoError(f"The keyring {path} cannot be read ({type(error).__name__}).") from error
    if ring.current not in keys or any(len(key) != KEY_BYTES for key in [*keys.values(), *ring.indexes.values()]):
        raise CryptoError(f"The keyring {path} has no usable current key.")
    if not ring.indexes:
        raise CryptoError(f"The keyring {path} has no index key.")
    return ring


def keyring_forget() -> None:
    """Read the keyring and data keys again: after a change of the file, and between tests."""
    keyring.cache_clear()
    _data_key.cache_clear()


@lru_cache(maxsize=10_000)
def _data_key(key_id: int) -> tuple[str, bytes]:
    row = DataKey.objects.filter(pk=key_id).first()
    if row is None:
        raise CryptoError(f"There is no data key {key_id}.")
    if row.wrapped is None:
        raise KeyDestroyedError(f"The key of {row.owner} was destroyed.")
    return row.owner, _unwrapped(bytes(row.wrapped), row.kek_id, row.owner)


def _unwrapped(wrapped: bytes, kek_id: str, owner: str) -> bytes:
    try:
        return keyring().unwrap(wrapped, kek_id, owner)
    except CryptoError:
        # The ring may have been rotated since this process read it.
        keyring.cache_clear()
        return keyring().unwrap(wrapped, kek_id, owner)


def _key_for(owner: str) -> int:
    found = DataKey.objects.filter(owner=owner, destroyed_at=None).values_list("pk", flat=True).first()
    if found is not None:
        return found
    data_key = secrets.token_bytes(KEY_BYTES)
    try:
        with transaction.atomic():
            ring = keyring_fresh()
            row = DataKey.objects.create(owner=owner, kek_id=ring.current, wrapped=ring.wrap(data_key, owner))
            # From here on keyring_drop waits for this transaction. If it came first, its file has no such key any more.
            ring = keyring_fresh()
            if row.kek_id not in ring.keys:
                row.kek_id, row.wrapped = ring.current, ring.wrap(data_key, owner)
                row.save(update_fields=["kek_id", "wrapped"])
            return row.pk
    except IntegrityError:
        # Another transaction made it at the same moment.
        return DataKey.objects.get(owner=owner, destroyed_at=None).pk


def _aad(*parts: str) -> bytes:
    """The associated data for (owner, table, row, field), or a run of them."""
    data = [part.encode() for part in parts]
    return b"".join([len(part).to_bytes(4, "big") + part for part in data])


class Sealer:
    """What ``seal`` does, for one owner's key and one field of many rows: what does not change from row to row is made once."""

    def __init__(self, key_id: int, key: bytes, *, owner: str, table: str, field: str) -> None:
        self._encrypt = AESGCM(key).encrypt
        self._head = bytes([VERSION]) + key_id.to_bytes(8, "big")
        self._before, self._after = _aad(owner, table), _aad(field)

    def seal(self, data: bytes, row: str) -> bytes:
        """The sealed bytes for the field of that row."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self._head + nonce + self._encrypt(nonce, data, self._before + _aad(row) + self._after)


def sealers(owners: Iterable[str], *, table: str, field: str) -> dict[str, Sealer]:
    """A sealer for each owner: one statement for all of them, and some for each owner that has no key yet."""
    wanted = set(owners)
    for owner in wanted.difference(
        DataKey.objects.filter(owner__in=wanted, destroyed_at=None).values_list("owner", flat=True)
    ):
        _key_for(owner)
    rows = DataKey.objects.filter(owner__in=wanted, destroyed_at=None).values_list("pk", "owner", "kek_id", "wrapped")
    return {
        owner: Sealer(key_id, _unwrapped(bytes(wrapped or b""), kek_id, owner), owner=owner, table=table, field=field)
        for key_id, owner, kek_id, wrapped in rows
    }


def seal(data: bytes | str, *, owner: str, table: str, row: str, field: str) -> bytes:
    """Encrypt for one place. ``row`` is the row's own id, so make it before saving (UUID or ULID)."""
    key_id = _key_for(owner)
    _, key = _data_key(key_id)
    plain = data.encode() if isinstance(data, str) else data
    return Sealer(key_id, key, owner=owner, table=table, field=field).seal(plain, row)


def unseal(sealed: bytes | memoryview, *, table: str, row: str, field: str) -> bytes:
    """Decrypt what ``seal`` made for the same place; CryptoError, or KeyDestroyedError when it was erased."""
    data = bytes(sealed)
    if len(data) < HEAD_BYTES + 16 or data[0] != VERSION:
        raise CryptoError("These are not sealed bytes.")
    owner, key = _data_key(int.from_bytes(data[1:9], "big"))
    try:
        return AESGCM(key).decrypt(data[9:HEAD_BYTES], data[HEAD_BYTES:], _aad(owner, table, row, field))
    except InvalidTag:
        raise CryptoError(f"Sealed bytes in {table}.{field} do not open in row {row}.") from None


def unseal_text(sealed: bytes | memoryview, *, table: str, row: str, field: str) -> str:
    """``unseal`` as text."""
    return unseal(sealed, table=table, row=row, field=field).decode()


def owner_key_destroy(owner: str) -> bool:
    """Erase an owner's keys for good: everything sealed for it is unreadable. False when there was none.

    Other processes may still hold the key in memory until ``_data_key`` is forgotten there (a restart, or ten thousand other keys).
    """
    changed = DataKey.objects.filter(owner=owner, destroyed_at=None).update(wrapped=None, destroyed_at=utc_now())
    _data_key.cache_clear()
    return bool(changed)


def rewrap_batch(after_id: int, limit: int = 1_000) -> int | None:
    """Wrap up to ``limit`` data keys of retired KEKs under the current one; the last id done, None when none is left."""
    ring = keyring_fresh()
    with transaction.atomic():
        rows = list(
            DataKey.objects.select_for_update(skip_locked=True)
            .filter(pk__gt=after_id, destroyed_at=None)
            .exclude(kek_id=ring.current)
            .order_by("pk")[:limit]
        )
        wrapped = [ring.wrap(ring.unwrap(bytes(row.wrapped or b""), row.kek_id, row.owner), row.owner) for row in rows]
        with connection.cursor() as cursor:
            cursor.execute(
                f'UPDATE "{DataKey._meta.db_table}" AS d SET wrapped = v.wrapped, kek_id = %s '  # noqa: S608
                "FROM unnest(%s::bigint[], %s::bytea[]) AS v (id, wrapped) WHERE d.id = v.id",
                [ring.current, [row.pk for row in rows], wrapped],
            )
    return rows[-1].pk if rows else None


def rewrap_left() -> int:
    """How many data keys are wrapped by a KEK that is not the current one."""
    return DataKey.objects.filter(destroyed_at=None).exclude(kek_id=keyring_fresh().current).count()


def blind_index(value: str, purpose: str) -> bytes:
    """32 bytes that are equal for equal values of one purpose and say nothing without the keyring, until the index key is changed.

    For what is looked up in a column: ``blind.py``.
    """
    ring = keyring_fresh()
    return ring.index(value, purpose, ring.index_current)
