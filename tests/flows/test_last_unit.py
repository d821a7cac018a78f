"""A hundred at once for the last unit there is: exactly one gets it, over REST and real connections; the engine's own commands as well."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest_engine import LivePlatform, LiveWeb, Trader

AT_ONCE = 100
BUY = {"symbol": "SOL-USD", "side": "buy", "type": "limit", "qty": "1", "price": "100"}
SELL = BUY | {"side": "sell", "price": "500"}


def post(web: LiveWeb, trader: Trader, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """(status, document) of an order."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{web.url}/api/v1/orders",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {trader.token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Begin all in the same moment."""
    start = threading.Barrier(AT_ONCE)

    def one(number: int) -> Any:
        start.wait(30)
        return work(number)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(AT_ONCE)))


def balance(platform: LivePlatform, trader: Trader, asset: str) -> tuple[Decimal, Decimal]:
    """(available, held) when the projection has caught up."""
    platform.settle()
    rows = trader.api("GET", "balances").json()["results"]
    row = next(row for row in rows if row["asset"] == asset)
    return Decimal(row["available"]), Decimal(row["held"])


@pytest.mark.parametrize("body", [BUY, SELL], ids=["last cash", "last asset"])
def test_a_hundred_orders_on_the_last_unit(
    live_platform: LivePlatform, live_web: LiveWeb, body: dict[str, Any]
) -> None:
    rich = live_platform.trader("rich")
    held = rich.api("POST", "orders/preview", BUY).json()["hold"]
    asset, amount = ("USD", held) if body is BUY else ("SOL", "1")
    poor = live_platform.trader("poor", {asset: amount})
    answers = at_once(lambda number: post(live_web, poor, body | {"client_order_id": f"race-{number}"}))
    counted = Counter(status for status, _ in answers)
    assert counted == {201: 1, 422: AT_ONCE - 1}, counted
    reasons = {document["slug"] for status, document in answers if status == 422}
    assert reasons == {"insufficient_funds"}, reasons
    assert balance(live_platform, poor, asset) == (0, Decimal(amount))
    rows = poor.api("GET", "orders?status=open").json()["results"]
    assert len(rows) == 1


def test_the_same_order_sent_a_hundred_times_is_one(live_platform: LivePlatform, live_web: LiveWeb) -> None:
    trader = live_platform.trader("echo")
    answers = at_once(lambda _: post(live_web, trader, BUY | {"client_order_id": "echo"}))
    assert {status for status, _ in answers} <= {200, 201}
    assert len({document["order_id"] for _, document in answers}) == 1
    assert sum(status == 201 for status, _ in answers) == 1
    live_platform.settle()
    assert len(trader.api("GET", "orders?status=open").json()["results"]) == 1


@pytest.mark.parametrize("kind", ["withdraw", "hold", "transfer"])
def test_a_hundred_payouts_of_the_last_money(live_platform: LivePlatform, kind: str) -> None:
    """The engine's own commands; the route that pays out races orders in ``test_withdrawals.py``."""
    from marketdata.models import Asset
    from trading.engine import commands
    from trading.engine.gateway import Accepted, EngineClient, Rejected

    poor, other = live_platform.trader("payer", {"USD": "10"}), live_platform.trader("payee", {})
    usd = Asset.objects.get(code="USD")
    account, amount = poor.account.core_account, 10 * 10**usd.scale

    def command(number: int) -> bytes:
        if kind == "transfer":
            return commands.transfer(account, other.account.core_account, usd.core_asset, amount, f"race-{number}")
        return getattr(commands, kind)(account, usd.core_asset, amount, f"race-{kind}-{number}")

    clients = [EngineClient(live_platform.engine.socket_path) for _ in range(10)]
    outcomes = at_once(lambda number: clients[number % len(clients)].submit(command(number)))
    counted = Counter(type(outcome) for outcome in outcomes)
    assert counted == {Accepted: 1, Rejected: AT_ONCE - 1}, counted
    available, held = balance(live_platform, poor, "USD")
    assert available == 0
    assert held == (10 if kind == "hold" else 0)
