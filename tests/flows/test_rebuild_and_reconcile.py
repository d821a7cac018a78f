"""The projection can be made anew from the journal and equals the live one; reconcile finds what does not belong."""

from __future__ import annotations

import random

import pytest
from django.db import connection

from tests.conftest_engine import LivePlatform

PLANTED = (
    (
        "a balance that is one unit off",
        "UPDATE accounts_balance SET available = available + 1 WHERE core_account = %s AND core_asset = 1",
        "available = available - 1",
        "accounts_balance",
    ),
    (
        "an order that claims more",
        "UPDATE trading_order SET order_qty = order_qty + 1, leaves_qty = leaves_qty + 1 WHERE ord_status = 0 AND core_account = %s",
        "order_qty = order_qty - 1, leaves_qty = leaves_qty - 1",
        "trading_order",
    ),
    (
        "a position that is a lot off",
        "UPDATE risk_position SET net = net + 1 WHERE core_account = %s",
        "net = net - 1",
        "risk_position",
    ),
)


@pytest.fixture(scope="module")
def traded(live_platform: LivePlatform) -> int:
    """A platform on which two traders have done a little of everything; the first one's core account."""
    rng = random.Random(7)
    traders = [live_platform.trader(name, {"USD": "1000000"}) for name in ("left", "right")]
    for _ in range(40):
        side = rng.choice(("buy", "sell"))
        price = f"{rng.randint(108300, 108700) / 100000:.5f}"
        body = {
            "symbol": "EUR-USD",
            "side": side,
            "type": "limit",
            "qty": f"{rng.randint(1, 5) * 1000}",
            "price": price,
        }
        assert rng.choice(traders).api("POST", "orders", body).status_code == 201
    resting = {"symbol": "EUR-USD", "side": "buy", "type": "limit", "qty": "3000", "price": "1.07000"}
    assert traders[0].api("POST", "orders", resting).status_code == 201
    live_platform.settle()
    from accounts.models import TradingAccount

    return TradingAccount.objects.get(
        number=traders[0].api("GET", "accounts").json()["results"][0]["number"]
    ).core_account


def _broken(live_platform: LivePlatform) -> list[str]:
    from trading.projection.reconcile import reconcile

    found = reconcile(live_platform.engine.client, patience_s=10.0)
    assert found.moving == []
    return found.breaks


def test_nothing_is_broken_and_the_rebuild_is_equal(live_platform: LivePlatform, traded: int) -> None:
    from trading.models import Execution
    from trading.projection.rebuild import rebuild_compare

    assert Execution.objects.exists()
    assert _broken(live_platform) == []
    command, different = rebuild_compare(live_platform.engine.client)
    assert command > 0
    assert different == []


@pytest.mark.parametrize(("_case", "plant", "undo", "table"), PLANTED)
def test_a_planted_break_is_found_by_both(
    live_platform: LivePlatform, traded: int, _case: str, plant: str, undo: str, table: str
) -> None:
    from trading.projection.rebuild import rebuild_compare

    with connection.cursor() as cursor:
        cursor.execute(plant, [traded])
        assert cursor.rowcount > 0
    try:
        assert _broken(live_platform) != []
        _, different = rebuild_compare(live_platform.engine.client)
        assert [live.table for live, _ in different] == [table]
    finally:
        head, _, tail = plant.partition(" SET ")
        with connection.cursor() as cursor:
            cursor.execute(f"{head} SET {undo} WHERE {tail.partition(' WHERE ')[2]}", [traded])
    assert _broken(live_platform) == []


def test_a_rebuild_in_place_waits_for_the_projector_to_stop(live_platform: LivePlatform, traded: int) -> None:
    from trading.projection.rebuild import RebuildError, rebuild_replace

    with pytest.raises(RebuildError, match="projector is running"):
        rebuild_replace(live_platform.engine.client)
