"""A FIX gateway of its own on the live platform, and sessions on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest_engine import Child, LivePlatform, Trader
from tests.fix.client import FixClient
from tests.ports import free_port

SYMBOL = "SOL-USD"


@dataclass
class LiveFix:
    """The process and its port."""

    port: int
    child: Child


def gateway_on(platform: LivePlatform, database: str, **more: str) -> Iterator[LiveFix]:
    """A gateway with these variables, stopped when done; for fixtures to ``yield from``."""
    port = free_port()
    environment = {
        **platform.engine.environment,
        "DATABASE_URL": database,
        "FIX_PORT": str(port),
        "RATE_SCALE": "1000",
        **more,
    }
    child = Child("fix", [sys.executable, "manage.py", "run_fix"], environment, platform.engine.var)
    try:
        child.start()
        yield LiveFix(port, child)
    finally:
        child.stop()
        print(child.tail())


@pytest.fixture(scope="module")
def live_fix(live_platform: LivePlatform, live_database: str) -> Iterator[LiveFix]:
    yield from gateway_on(live_platform, live_database)


@pytest.fixture(scope="module")
def maker(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("maker", {"USD": "10000000", "SOL": "100000"})


@pytest.fixture(scope="module")
def taker(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("taker", {"USD": "1000000", "SOL": "1000"})


@pytest.fixture
def price(live_platform: LivePlatform) -> Decimal:
    """The listing's reference price, in a market where nobody has an order."""
    from marketdata.models import Instrument
    from trading.engine import commands

    live_platform.engine.client.submit(commands.mass_cancel())
    live_platform.settle()
    row = Instrument.objects.get(symbol=SYMBOL)
    return row.reference_price * row.tick_size.normalize()


@dataclass
class Opened:
    """A session's key and a client for it."""

    key: Any
    password: str
    client: FixClient


@pytest.fixture
def session(live_fix: LiveFix) -> Iterator[Callable[..., Opened]]:
    """Make a FIX session for a trader; every client is cut at the end of the test."""
    from accounts.services.fix_keys import fix_key_create, fix_key_revoke

    made: list[tuple[Trader, Opened]] = []

    def make(trader: Trader, **more: Any) -> Opened:
        given = {"account": trader.account.number, "name": "desk", "scopes": ["read", "trade"], **more}
        key, password = fix_key_create(user=trader.user, **given)
        opened = Opened(key, password, FixClient(live_fix.port, key.comp_id, password))
        made.append((trader, opened))
        return opened

    yield make
    for trader, opened in made:
        opened.client.drop()
        fix_key_revoke(user=trader.user, id=opened.key.pk)
