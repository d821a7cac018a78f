"""Keys that sign tokens: Ed25519 pairs by key id in a private file beside the keyring, rotated with an overlap.

The file has the current key, which signs, and retired ones, which only verify until every token they signed has run out. Rotation is
``manage.py rotate_jwt_key``; processes see a changed file within KEYS_AGE_NS. Owns file and key set. Leaves tokens to ``tokens.py``.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.platform.crypto import private_file_ensure, private_file_write

KEYS_AGE_NS = 3 * NS_PER_S
#: A retired key goes when the longest-lived token it can have signed, a refresh token, is over.
RETIRED_KEEP_NS = 15 * 24 * 3600 * NS_PER_S


class JwtKeyError(Exception):
    """The file of signing keys is missing or damaged."""


@dataclass(frozen=True)
class JwtKeys:
    """The key set of one reading of the file."""

    current: str
    signing: Ed25519PrivateKey
    verifying: dict[str, Ed25519PublicKey]

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public halves as RFC 8037 keys."""
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "alg": "EdDSA",
                    "use": "sig",
                    "kid": kid,
                    "x": base64.urlsafe_b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
                    .decode()
                    .rstrip("="),
                }
                for kid, key in self.verifying.items()
            ]
        }


_lock = threading.Lock()
_known: tuple[int, tuple[int, int], JwtKeys] | None = None


def jwt_keys_path() -> Path:
    """Where the file lies."""
    return Path(settings.JWT_KEYS_FILE)


def _fresh_key() -> tuple[str, dict[str, object]]:
    return secrets.token_hex(6), {"seed": base64.b64encode(secrets.token_bytes(32)).decode(), "retired_ns": None}


def jwt_keys_make() -> dict[str, object]:
    """A fresh document with one key."""
    kid, entry = _fresh_key()
    return {"current": kid, "keys": {kid: entry}}


def jwt_keys() -> JwtKeys:
    """The key set, looked at again when it is older than three seconds and the file has changed."""
    global _known
    known, now_ns = _known, SYSTEM_CLOCK.monotonic_ns()
    if known is not None and now_ns - known[0] <= KEYS_AGE_NS:
        return known[2]
    path = jwt_keys_path()
    if settings.KEYRING_MAKE:
        private_file_ensure(path, jwt_keys_make)
    try:
        stat = path.stat()
        mark = (stat.st_mtime_ns, stat.st_ino)
        keys = known[2] if known is not None and known[1] == mark else _read(path)
    except (OSError, ValueError, KeyError) as error:
        raise JwtKeyError(f"The signing keys {path} cannot be read ({type(error).__name__}).") from error
    with _lock:
        _known = (now_ns, mark, keys)
    return keys


def _read(path: Path) -> JwtKeys:
    document = json.loads(path.read_text())
    private = {
        kid: Ed25519PrivateKey.from_private_bytes(base64.b64decode(entry["seed"]))
        for kid, entry in document["keys"].items()
    }
    public = {kid: key.public_key() for kid, key in private.items()}
    return JwtKeys(document["current"], private[document["current"]], public)


def jwt_keys_forget() -> None:
    """Read the file again at the next use."""
    global _known
    with _lock:
        _known = None


def jwt_key_rotate(*, at_once: bool = False) -> str:
    """Add a key and sign with it from now on; the id of it. ``at_once`` drops all older keys, and with them every token."""
    path, now_ns = jwt_keys_path(), SYSTEM_CLOCK.now_ns()
    private_file_ensure(path, jwt_keys_make)
    document = json.loads(path.read_text())
    kept: dict[str, dict[str, object]] = {}
    for kid, entry in document["keys"].items():
        retired_ns = now_ns if kid == document["current"] else entry["retired_ns"]
        if not at_once and now_ns - retired_ns <= RETIRED_KEEP_NS:
            kept[kid] = {**entry, "retired_ns": retired_ns}
    kid, entry = _fresh_key()
    private_file_write(path, {"current": kid, "keys": {**kept, kid: entry}})
    jwt_keys_forget()
    return kid
