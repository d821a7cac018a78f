"""Fixtures of the tests of the streams: a hub of the test's own loop, the database for what runs outside transactions."""

from __future__ import annotations

import pytest

from trading.private_hub import PrivateHub


@pytest.fixture
async def hub():
    """A hub that is closed with the test."""
    made = PrivateHub()
    yield made
    await made.close()


@pytest.fixture
def _database(django_db_blocker):
    with django_db_blocker.unblock():
        yield
