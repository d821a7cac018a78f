"""Fixtures of the tests of credentials: a user, and files of keys of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.api.tests.signer import PASSWORD
from accounts.models import User
from accounts.services.trading_accounts import account_open
from brokerage.platform import crypto
from brokerage.platform.jwt_keys import jwt_keys_forget
from brokerage.platform.signing import keys_forget


@pytest.fixture
def user() -> User:
    """Ann, with one account."""
    user = User.objects.create_user("ann@example.test", PASSWORD)
    account_open(user=user)
    return user


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
