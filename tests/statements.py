"""What the tests of statements share: accounts that did something of everything on the real engine, and reading the forms of a statement."""

from __future__ import annotations

import csv
import io
import os
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts.models import TradingAccount
from brokerage.kernel.clock import NS_PER_DAY, utc_now
from brokerage.platform.reporting import text_uncell
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from trading.engine import commands

SEED = int(os.environ.get("STATEMENT_SEED", "20261121"))
DAYS = 30
#: (symbol, price, smallest step of it, quantity)
MARKETS = (
    ("SOL-USD", "150", "0.5", "0.5"),
    ("BTC-USD", "64000", "100", "0.0013"),
    ("EUR-USD", "1.085", "0.0005", "3000"),
    ("XAU-USD", "2400", "3", "0.7"),
)


def day_ns(day: date) -> int:
    """Midnight UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000_000


@dataclass
class Month:
    """Some accounts that did something of everything, spread over the days before today."""

    traders: list[Trader]
    first: date

    @property
    def end(self) -> date:
        return self.first + timedelta(days=DAYS)


def spread(first: date, traders: list[Trader]) -> None:
    """Put what has happened on the days from ``first`` on, in its order: entries and fills of one event stay together."""
    cores = [trader.account.core_account for trader in traders]
    low, high = connection_row("SELECT min(entry_seq), max(entry_seq) FROM accounts_ledgerentry")
    step = DAYS * NS_PER_DAY // (high - low + 1)
    with connection.cursor() as cursor:
        for table, seq in (("accounts_ledgerentry", "entry_seq"), ("trading_execution", "exec_id")):
            cursor.execute(
                f"UPDATE {table} SET time_ns = %s + ({seq} - %s) * %s",  # noqa: S608 - names of our own
                [day_ns(first), low, step],
            )
    TradingAccount.objects.filter(core_account__in=cores).update(
        created_at=datetime(first.year, first.month, first.day, 9, tzinfo=UTC)
    )
    forget_caches()


def connection_row(sql: str) -> tuple[Any, ...]:
    """The one row of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()


def month_make(platform: LivePlatform) -> Month:
    """Trade, pay in, take out and move for a while; the seed is printed."""
    print(f"seed {SEED} (STATEMENT_SEED)")
    rng = random.Random(SEED)
    funds = {"USD": "200000", "SOL": "200", "BTC": "2"}
    traders = [platform.trader(name, funds) for name in ("ada", "ben", "cy", "dot")]
    client = platform.engine.client
    for turn in range(160):
        who = rng.choice(traders)
        core, act = who.account.core_account, rng.random()
        if act < 0.06:
            client.submit(commands.deposit(core, 1, rng.randint(1, 10**9), f"more-{turn}"))
        elif act < 0.12:
            client.submit(commands.withdraw(core, 1, rng.randint(1, 10**8), f"less-{turn}"))
        elif act < 0.18:
            other = rng.choice([one for one in traders if one is not who]).account.core_account
            client.submit(commands.transfer(core, other, rng.choice((1, 4)), rng.randint(1, 10**7), f"move-{turn}"))
        else:
            symbol, price, step, qty = rng.choice(MARKETS)
            body = {
                "symbol": symbol, "side": rng.choice(("buy", "sell")), "type": "limit", "qty": str(Decimal(qty) * rng.randint(1, 9)),
                "price": str(Decimal(price) + rng.randint(-6, 6) * Decimal(step)), "time_in_force": rng.choice(("gtc", "ioc")),
            }  # fmt: skip
            if symbol == "EUR-USD":
                body["qty"] = str(1000 * rng.randint(1, 9))
            answer = who.api("POST", "orders", body)
            assert answer.status_code in {201, 422}, answer.content
    platform.settle()
    first = utc_now().date() - timedelta(days=DAYS)
    spread(first, traders)
    return Month(traders, first)


def shown(trader: Trader, first: date, end: date) -> dict[str, Any]:
    """The figures over REST."""
    answer = trader.api("GET", f"accounts/{trader.account.number}/statement?from={first}&to={end}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def file(trader: Trader, form: str, first: date, end: date) -> bytes:
    """A file of the statement."""
    answer = trader.api("GET", f"accounts/{trader.account.number}/statement.{form}?from={first}&to={end}")
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def rows_of(content: bytes) -> dict[str, list[dict[str, str]]]:
    """A CSV file by section, cells as they were before escaping."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(content.decode())):
        found.setdefault(row["section"], []).append({name: text_uncell(cell) for name, cell in row.items()})
    return found


@pytest.fixture(autouse=True)
def many_downloads(settings: Any) -> None:
    """No test is about the budget of downloads."""
    settings.API_RATE_SCALE = 1_000


@pytest.fixture(scope="module")
def month(live_platform: LivePlatform) -> Month:
    """One for the tests of a module."""
    return month_make(live_platform)
