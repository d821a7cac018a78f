"""Fixtures of the tests of credentials: a user, and files of keys of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokerage.platform import crypto
from brokerage.platform.jwt_keys import jwt_keys_forget
from brokerage.platform.signing import keys_forget


@pytest.fixture
def own_key_files(tmp_path: Path, settings: Any) -> Iterator[None]:
    """A keyring and signing keys of this test."""
    settings.KEYRING_FILE = tmp_path / "keys" / "keyring.json"
    settings.JWT_KEYS_FILE = tmp_path / "keys" / "jwt.json"
    for forget in (crypto.keyring_forget, keys_forget, jwt_keys_forget):
        forget()
    yield
    for forget in (crypto.keyring_forget, keys_forget, jwt_keys_forget):
        forget()
