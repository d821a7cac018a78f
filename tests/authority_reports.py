"""What the tests of reports to authorities share: random days of trading on the real engine by clients of every kind, and reading the files."""

from __future__ import annotations

import csv
import io
import os
import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import TradingAccount, TradingAccountMember, User
from brokerage.kernel.clock import NS_PER_DAY, utc_now
from compliance.reporting.mifid_rts22 import COLUMNS, Firm
from compliance.selectors import reports
from compliance.selectors.reports import Report, asked_of, report_make
from compliance.tests.factories import case_filled, factor_given, officer_make
from marketdata.models import Instrument
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from tests.statements import day_ns

SEED = int(os.environ.get("REPORT_SEED", "20261122"))
DAYS = 3
FIRM = Firm("DEMO00BROKERAGE00020", "GB", "DEMO", "DEMO", "DEMO")
#: Symbol -> smallest step of a price, quantity; prices are round those at listing.
MARKETS = {"AAPL": ("0.5", "10"), "GOOG": ("0.5", "5"), "SOL-USD": ("0.5", "0.5"), "EUR-USD": ("0.0005", "1000")}
FUNDS = {"USD": "9000000", "AAPL": "5000", "GOOG": "5000", "SOL": "500"}


@dataclass
class World:
    """Traders by what the reports make of them, and the days on which they traded."""

    traders: dict[str, Trader]
    first: date

    @property
    def last(self) -> date:
        return self.first + timedelta(days=DAYS - 1)


def _trader(platform: LivePlatform, name: str, jurisdiction: str, **identity: Any) -> Trader:
    made = platform.trader(name, FUNDS)
    if identity:
        case_filled(made.user, identity=identity)
    User.objects.filter(pk=made.user.pk).update(jurisdiction=jurisdiction)
    return made


def _traders(platform: LivePlatform) -> dict[str, Trader]:
    found = {
        "german": _trader(platform, "german", "EU", nationality="DE"),
        "british": _trader(platform, "british", "GB", nationality="GB", national_insurance="AB 12 34 56 C"),
        "without": _trader(platform, "without", "GB", nationality="GB", national_insurance=""),
        "unasked": _trader(platform, "unasked", "GB", nationality="GB"),
        "unknown": _trader(platform, "unknown", "GB"),
        "american": _trader(platform, "american", "US", nationality="US"),
        "american2": _trader(platform, "american2", "US"),
        "japanese": _trader(platform, "japanese", "JP", nationality="JP"),
        "shared": _trader(platform, "shared", "GB", nationality="DE"),
        "house": _trader(platform, "house", "GB"),
    }
    TradingAccountMember.objects.create(account=found["shared"].account, user=found["japanese"].user, role="trader")
    TradingAccount.objects.filter(pk=found["house"].account.pk).update(kind=TradingAccount.Kind.DEMO)
    return found


def _price(symbol: str) -> Decimal:
    instrument = Instrument.objects.get(symbol=symbol)
    return instrument.reference_price * instrument.tick_size.normalize()


def _order(who: Trader, symbol: str, side: str, qty: str) -> str:
    body = {
        "account": who.account.number, "symbol": symbol, "side": side, "type": "limit", "qty": qty, "price": str(_price(symbol)),
        "time_in_force": "gtc",
    }  # fmt: skip
    answer = who.api("POST", "orders", body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["order_id"])


def _something_of_each(traders: dict[str, Trader]) -> None:
    """What the tests below look for, whatever the seed: a fill of everybody in a share and most in a contract, a whole life of an order."""
    house, american = traders["house"], traders["american"]
    for name, who in traders.items():
        if who is not house:
            _order(house, "AAPL", "sell", "10")
            _order(who, "AAPL", "buy", "10")
            if name not in {"american", "american2"}:
                _order(house, "GOOG", "buy", "5")
                _order(who, "GOOG", "sell", "5")
        if name not in {"house", "japanese"}:
            _order(house, "EUR-USD", "sell", "1000")
            _order(who, "EUR-USD", "buy", "1000")
    _order(house, "SOL-USD", "sell", "1")
    _order(traders["german"], "SOL-USD", "buy", "1")
    number = _order(american, "AAPL", "buy", "100")
    _order(traders["american2"], "AAPL", "sell", "40")
    assert (
        american.api("PATCH", f"orders/{number}", {"account": american.account.number, "qty": "120"}).status_code == 200
    )
    assert american.api("DELETE", f"orders/{number}?account={american.account.number}").status_code == 200


def _spread(first: date) -> None:
    """Put what has happened on the days from ``first`` on, in its order; what is of one command stays together."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(cmd_seq), max(cmd_seq) FROM trading_orderevent")
        low, high = cursor.fetchone()
        step = DAYS * NS_PER_DAY // (high - low + 1)
        start = day_ns(first)
        cursor.execute("UPDATE trading_execution SET time_ns = %s + (cmd_seq - %s) * %s", [start, low, step])
        cursor.execute("UPDATE trading_orderevent SET time_ns = %s + (cmd_seq - %s) * %s", [start, low, step])
        cursor.execute(
            "UPDATE trading_order SET created_ns = %s + (entry_seq - %s) * %s WHERE order_id > 0 AND version = 1",
            [start, low, step],
        )
        # A replaced order that lost its place has the sequence of the replacing command as its entry: it was entered when it was accepted.
        cursor.execute(
            "UPDATE trading_order o SET created_ns = e.time_ns FROM trading_orderevent e WHERE e.order_id = o.order_id AND e.exec_type = 1"
        )


def _world(platform: LivePlatform) -> World:
    print(f"seed {SEED} (REPORT_SEED)")
    rng = random.Random(SEED)
    traders = _traders(platform)
    _something_of_each(traders)
    open_orders: list[tuple[Trader, str, dict[str, str]]] = []
    for turn in range(260):
        act = rng.random()
        if act < 0.10 and open_orders:
            who, number, body = rng.choice(open_orders[-12:])
            answer = who.api("DELETE", f"orders/{number}?account={who.account.number}")
        elif act < 0.22 and open_orders:
            who, number, body = rng.choice(open_orders[-12:])
            change = {"account": who.account.number, "qty": str(Decimal(body["qty"]) * 2), "price": body["price"]}
            answer = who.api("PATCH", f"orders/{number}", change)
        elif act < 0.24:
            who = rng.choice(list(traders.values()))
            answer = who.api("POST", "orders/cancel-all", {"account": who.account.number})
        else:
            who = rng.choice(list(traders.values()))
            symbol = rng.choice(list(MARKETS))
            step, qty = MARKETS[symbol]
            body = {
                "account": who.account.number, "symbol": symbol, "side": rng.choice(("buy", "sell")),
                "type": rng.choice(("limit", "limit", "limit", "market")), "qty": str(Decimal(qty) * rng.randint(1, 9)),
                "price": str(_price(symbol) + rng.randint(-4, 4) * Decimal(step)), "time_in_force": rng.choice(("gtc", "gtc", "ioc", "day")),
            }  # fmt: skip
            if body["type"] == "market":
                del body["price"]
                body["time_in_force"] = "ioc"
            answer = who.api("POST", "orders", body)
            if answer.status_code == 201 and "price" in body:
                open_orders.append((who, answer.json()["order_id"], body))
        assert answer.status_code in {200, 201, 202, 403, 404, 409, 422}, (turn, answer.content)
    platform.settle()
    first = utc_now().date() - timedelta(days=DAYS)
    _spread(first)
    forget_caches()
    return World(traders, first)


@pytest.fixture(scope="module")
def world(live_platform: LivePlatform) -> World:
    return _world(live_platform)


@pytest.fixture(autouse=True)
def known_firm(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.API_RATE_SCALE = 1_000
    monkeypatch.setattr(reports, "firm", lambda: FIRM)


def made(world: World, code: str, first: date | None = None, last: date | None = None, references: str = "") -> Report:
    return report_make(asked_of(code, first or world.first, last or world.last, references))


def rows_of(report: Report) -> list[dict[str, str]]:
    found = list(csv.reader(io.StringIO(report.content.decode(), newline="")))
    assert tuple(found[0]) == COLUMNS
    assert {len(row) for row in found} == {65}
    return [dict(zip(COLUMNS, row, strict=True)) for row in found[1:]]


@pytest.fixture
def officer(client: Client, world: World) -> Client:
    user = officer_make("decide_kyc", "view_auditentry")
    client.force_login(user)
    factor_given(client, user)
    return client
