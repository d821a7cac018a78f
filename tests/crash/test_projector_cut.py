"""The projector between two statements of its transaction: killed with -9, or its connection cut, at every one of them, under orders.

Afterwards the tables are what a replay of the journal makes of them, and engine, ledger, balances and orders agree.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest_engine import Child, LiveEngine, LivePlatform, projector_of
from tests.crash.pg_proxy import FIRST, UNANSWERED, CuttingProxy, label_of

TABLES = (
    "trading_execution",
    "trading_orderevent",
    "accounts_ledgerentry",
    "stage_order",
    "stage_balance",
    "stage_position",
)
POINTS = (
    label_of(FIRST),
    *[f"COPY {table}" for table in TABLES],
    *[f"rows of {table}" for table in TABLES],
    "INSERT trading_order",
    "INSERT accounts_balance",
    "INSERT risk_position",
    "COMMIT",
    UNANSWERED,
)
WAIT_S = 30.0


@pytest.fixture(scope="module")
def proxy(live_database: str) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(live_database)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def live_projection(live_engine: LiveEngine, live_database: str, proxy: CuttingProxy) -> Iterator[Child]:
    """The usual projector, which reaches its database through the proxy."""
    yield from projector_of(live_engine, proxy.url)


class Load(threading.Thread):
    """Two accounts that trade with each other, some orders rest, until told to stop."""

    def __init__(self, platform: LivePlatform, seed: int) -> None:
        super().__init__(daemon=True)
        from accounts.models import TradingAccount
        from marketdata.models import Instrument
        from trading.engine.gateway import EngineClient

        row = Instrument.objects.get(symbol="EUR-USD")
        self.instrument, self.price = row.core_instrument, row.reference_price
        self.accounts = [
            TradingAccount.objects.get(pk=platform.trader(name, {"USD": "1000000"}).account.pk).core_account
            for name in ("left", "right")
        ]
        self.client = EngineClient(platform.engine.socket_path)
        self.rng = random.Random(seed)
        self.stopping = threading.Event()
        self.sent = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._pair()
                time.sleep(0.02)
        except BaseException as error:
            self.failure = error

    def end(self) -> None:
        """Stop; what went wrong is raised."""
        self.stopping.set()
        self.join(20)
        assert self.failure is None, self.failure

    def _pair(self) -> None:
        from trading.engine import commands
        from trading.engine.events import Accepted

        orders = []
        for account, side in zip(self.accounts, self.rng.sample((1, 2), 2), strict=True):
            self.sent += 1
            orders.append(
                commands.order_new(
                    account, self.instrument, side, 2, 1, self.price + self.rng.randint(-2, 2), self.rng.randint(1, 3),
                    cl_ord_id=f"cut-{self.sent}",
                )
            )  # fmt: skip
        outcomes: list[Any] = self.client.submit_many(orders)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes
        if self.sent % 40 == 0:
            for account in self.accounts:
                self.client.submit(commands.mass_cancel(account))


@pytest.fixture
def load(live_platform: LivePlatform) -> Iterator[Load]:
    load = Load(live_platform, seed=16)
    load.start()
    yield load
    load.end()
    load.client.close()


def wait_for_all_points(proxy: CuttingProxy) -> None:
    until = time.monotonic() + WAIT_S
    while missing := set(POINTS) - set(proxy.seen):
        assert time.monotonic() < until, f"transactions never had {missing}; seen {proxy.seen}"
        time.sleep(0.05)


def compare(live_platform: LivePlatform) -> None:
    """Equal to a replay, nothing broken between engine and tables."""
    from trading.projection.rebuild import rebuild_compare
    from trading.projection.reconcile import reconcile

    command, different = rebuild_compare(live_platform.engine.client)
    assert command > 0
    assert different == []
    found = reconcile(live_platform.engine.client, patience_s=20.0)
    assert (found.breaks, found.moving) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "cut"])
def test_at_every_statement_nothing_is_lost_or_doubled(
    live_platform: LivePlatform, live_projection: Child, proxy: CuttingProxy, load: Load, how: str
) -> None:
    from trading.selectors.projection import projection_get

    wait_for_all_points(proxy)
    for point in POINTS:
        stored: list[int] = []

        def act(stored: list[int] = stored) -> None:
            if how == "kill":
                live_projection.kill()
            stored.append(1)

        proxy.at(point, act)
        assert proxy.done.wait(WAIT_S), f"no transaction came to {point}: {live_projection.tail()}"
        assert stored, point
        before = projection_get().cmd_seq
        if how == "kill":
            live_projection.start()
        until = time.monotonic() + WAIT_S
        while projection_get().cmd_seq <= before:
            assert time.monotonic() < until, f"nothing was projected after {point}: {live_projection.tail()}"
            time.sleep(0.02)
    load.end()
    live_platform.settle(WAIT_S)
    compare(live_platform)
    print(f"\n{how}: {len(POINTS)} points, {load.sent} orders, projection equals replay")


def test_a_lost_row_would_be_seen(live_platform: LivePlatform, load: Load) -> None:
    """The comparison these tests stand on finds a fill that is missing."""
    from django.db import connection

    from trading.projection.rebuild import rebuild_compare

    while load.sent < 20 and load.is_alive():
        time.sleep(0.02)
    load.end()
    live_platform.settle(WAIT_S)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM trading_execution WHERE exec_id = (SELECT max(exec_id) FROM trading_execution)")
        assert cursor.rowcount == 1
    _, different = rebuild_compare(live_platform.engine.client)
    assert [live.table for live, _ in different] == ["trading_execution"]
