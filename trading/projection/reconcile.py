"""Reconcile: engine against balances against ledger against orders, each break with both numbers.

Inside the database everything is compared in one snapshot. Engine and database move apart while the market trades, so an account is compared
only when the engine gives the same answer before and after the projection has passed it; one that never stands still is said to be moving.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from accounts.models import Balance, TradingAccount
from risk.models import Position
from trading.engine.gateway import EngineClient
from trading.models import Order, ProjectedListing, ProjectionState

BREAKS_MAX = 1_000
_BALANCE_AGAINST_LEDGER = """
SELECT COALESCE(b.core_account, l.core_account), COALESCE(b.core_asset, l.core_asset), COALESCE(b.available + b.held, 0), COALESCE(l.total, 0)
FROM accounts_balance AS b FULL JOIN (
    SELECT core_account, core_asset, sum(amount) AS total FROM accounts_ledgerentry WHERE book IN (1, 2) GROUP BY core_account, core_asset
) AS l ON l.core_account = b.core_account AND l.core_asset = b.core_asset
WHERE COALESCE(b.available + b.held, 0) <> COALESCE(l.total, 0)
ORDER BY 1, 2 LIMIT %s
"""
_LEDGER_NOT_ZERO = (
    "SELECT core_asset, sum(amount) FROM accounts_ledgerentry GROUP BY core_asset HAVING sum(amount) <> 0 ORDER BY 1"
)
_CLEARING = """
SELECT quote_asset, sum(p.cost), (SELECT COALESCE(sum(amount), 0) FROM accounts_ledgerentry WHERE book = 3 AND core_asset = quote_asset)
FROM risk_position AS p JOIN trading_projectedlisting AS i ON i.core_instrument = p.core_instrument
WHERE i.kind = 2 GROUP BY quote_asset
HAVING sum(p.cost) <> -(SELECT COALESCE(sum(amount), 0) FROM accounts_ledgerentry WHERE book = 3 AND core_asset = quote_asset)
"""
_ORDER_AGAINST_FILLS = """
SELECT o.order_id, o.cum_qty, COALESCE(sum(e.last_qty), 0) FROM trading_order AS o LEFT JOIN trading_execution AS e ON e.order_id = o.order_id
WHERE o.order_id > 0 GROUP BY o.order_id, o.cum_qty HAVING o.cum_qty <> COALESCE(sum(e.last_qty), 0) ORDER BY 1 LIMIT %s
"""


@dataclass
class Reconciliation:
    """What was found."""

    cmd_seq: int = 0
    accounts: int = 0
    breaks: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)


def reconcile(client: EngineClient, *, patience_s: float = 20.0) -> Reconciliation:
    """Compare everything; ``patience_s`` bounds the wait for an account to stand still."""
    found = Reconciliation()
    broken = client.check()
    if broken:
        found.breaks.append(f"core: {broken}")
    _inside(found)
    for account in TradingAccount.objects.order_by("core_account"):
        if len(found.breaks) >= BREAKS_MAX:
            break
        _account(client, account, found, patience_s)
        found.accounts += 1
    return found


def _inside(found: Reconciliation) -> None:
    """Balances, ledger, positions, orders and fills of one snapshot of the database."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        state = ProjectionState.objects.filter(pk=1).first()
        found.cmd_seq = state.cmd_seq if state else 0
        cursor.execute(_LEDGER_NOT_ZERO)
        found.breaks += [f"ledger of asset {asset} sums to {total}, not 0" for asset, total in cursor.fetchall()]
        cursor.execute(_BALANCE_AGAINST_LEDGER, [BREAKS_MAX])
        found.breaks += [
            f"account {account} asset {asset}: balance {balance}, ledger {ledger}"
            for account, asset, balance, ledger in cursor.fetchall()
        ]
        cursor.execute(_CLEARING)
        found.breaks += [
            f"asset {asset}: open cost {cost}, clearing {clearing}" for asset, cost, clearing in cursor.fetchall()
        ]
        cursor.execute(_ORDER_AGAINST_FILLS, [BREAKS_MAX])
        found.breaks += [f"order {order}: cum_qty {cum}, fills {fills}" for order, cum, fills in cursor.fetchall()]


def _account(client: EngineClient, account: TradingAccount, found: Reconciliation, patience_s: float) -> None:
    """One account: the engine's balances, margin positions and open orders against the tables."""
    number = account.core_account
    deadline = time.monotonic() + patience_s
    while True:
        before = _engine(client, number)
        reached = client.status().cmd_seq
        _wait_projected(reached, deadline)
        tables = _tables(number)
        if _engine(client, number) == before:
            break
        if time.monotonic() > deadline:
            found.moving.append(account.number)
            return
    for what in before:
        for key in sorted(before[what].keys() | tables[what].keys()):
            engine, table = before[what].get(key), tables[what].get(key)
            if engine != table:
                found.breaks.append(f"account {account.number} {what} {key}: engine {engine}, table {table}")


def _wait_projected(cmd_seq: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        state = ProjectionState.objects.filter(pk=1).first()
        if state is not None and state.cmd_seq >= cmd_seq:
            return
        time.sleep(0.02)


def _engine(client: EngineClient, number: int) -> dict[str, dict[Any, Any]]:
    orders = {}
    after = 0
    while True:
        page = client.query_orders(number, after, 1000)
        orders |= {row.order_id: (row.price, row.order_qty, row.leaves, row.cum_qty) for row in page}
        if len(page) < 1000:
            break
        after = page[-1].order_id
    return {
        "balance": {
            row.asset: (row.available, row.held) for row in client.query_balances(number) if row.available or row.held
        },
        "position": {row.instrument: (row.net, row.cost) for row in client.query_positions(number) if row.net},
        "order": orders,
    }


def _tables(number: int) -> dict[str, dict[Any, Any]]:
    balances = Balance.objects.filter(core_account=number).exclude(available=0, held=0)
    positions = Position.objects.filter(core_account=number).exclude(net=0)
    margin = _margin_instruments()
    orders = Order.objects.filter(core_account=number, ord_status__in=(Order.Status.NEW, Order.Status.PARTIALLY_FILLED))
    return {
        "balance": {row.core_asset: (row.available, row.held) for row in balances},
        "position": {row.core_instrument: (row.net, row.cost) for row in positions if row.core_instrument in margin},
        "order": {row.order_id: (row.price, row.order_qty, row.leaves_qty, row.cum_qty) for row in orders},
    }


def _margin_instruments() -> set[int]:
    return set(ProjectedListing.objects.filter(kind=2).values_list("core_instrument", flat=True))


def report(found: Reconciliation, say: Callable[[str], None]) -> bool:
    """Print the result; True when nothing is broken and nothing was left out."""
    for line in found.breaks[:BREAKS_MAX]:
        say(line)
    if found.moving:
        say(f"not compared with the engine, they never stood still: {', '.join(found.moving)}")
    say(f"{len(found.breaks)} breaks ({found.accounts} accounts, at command {found.cmd_seq})")
    return not found.breaks and not found.moving
