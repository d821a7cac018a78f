"""The key that signs checkpoints, and the notes it signs (C2SP signed-note, Ed25519).

The key lies in a file of mode 0600 beside the keyring, outside the database: who can change rows cannot sign. Earlier public keys stay in the
file, so that old checkpoints can still be checked. Leaves sizes and roots to ``recorder.py``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

ORIGIN = "brokerage/audit"
FILE_NAME = "audit-signing.json"


@dataclass(frozen=True)
class Signer:
    """The current key and the public keys before it."""

    private: Ed25519PrivateKey
    previous: tuple[str, ...]

    @property
    def public(self) -> bytes:
        """32 bytes."""
        return self.private.public_key().public_bytes_raw()

    @property
    def public_text(self) -> str:
        """The public key as base64."""
        return base64.b64encode(self.public).decode()

    @property
    def publics(self) -> list[bytes]:
        """The present key and all before it."""
        return [self.public, *(base64.b64decode(text) for text in self.previous)]

    def note(self, size: int, root: bytes, time: str) -> str:
        """A signed checkpoint."""
        body = f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\ntime {time}\n"
        key_id = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + self.public).digest()[:4]
        signature = base64.b64encode(key_id + self.private.sign(body.encode())).decode()
        return f"{body}\n— {ORIGIN} {signature}\n"


def signing_path() -> Path:
    """Where the key lies: beside the keyring."""
    return Path(settings.KEYRING_FILE).with_name(FILE_NAME)


def _fresh() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _write(path: Path, document: dict[str, object]) -> Path:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_text(json.dumps(document, indent=1))
    return fresh


def signing_ensure(path: Path) -> None:
    """Make the key where there is none; of two processes at once one wins."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = _write(path, {"seed": _fresh(), "previous": []})
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def signing_rotate() -> None:
    """Sign with a new key from now on; the public key before it is remembered."""
    path = signing_path()
    signing_ensure(path)
    old = signer()
    _write(path, {"seed": _fresh(), "previous": [*old.previous, old.public_text]}).replace(path)
    signer.cache_clear()


@lru_cache(maxsize=1)
def signer() -> Signer:
    """The signer of this process."""
    path = signing_path()
    if settings.KEYRING_MAKE:
        signing_ensure(path)
    document = json.loads(path.read_text())
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(document["seed"]))
    return Signer(private, tuple(document["previous"]))
