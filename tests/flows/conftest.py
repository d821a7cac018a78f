"""Traders and a price for the flows of orders: each module has its own live platform."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conftest_engine import LivePlatform, Trader
from tests.flows.steps import SYMBOL


@pytest.fixture(scope="module")
def maker(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("maker", {"USD": "10000000", "SOL": "100000", "BTC": "1000"})


@pytest.fixture(scope="module")
def taker(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("taker", {"USD": "20000"})


@pytest.fixture(scope="module")
def stranger(live_platform: LivePlatform) -> Trader:
    return live_platform.trader("stranger")


@pytest.fixture
def price(live_platform: LivePlatform) -> Decimal:
    """The listing's reference price, in a market where nobody has an order."""
    from marketdata.models import Instrument
    from trading.engine import commands

    live_platform.engine.client.submit(commands.mass_cancel())
    row = Instrument.objects.get(symbol=SYMBOL)
    return row.reference_price * row.tick_size.normalize()
