"""Statements of accounts on the real engine: every period adds up and joins the next, figures by example, what is refused and why."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Balance, LedgerEntry
from accounts.selectors.access import account_for_user
from brokerage.kernel.clock import utc_now
from brokerage.platform.pdf import pdf_make
from brokerage.platform.tests.pdf_reader import text_of
from marketdata.models import Candle, Instrument
from risk.models import Position
from tests.conftest_engine import LivePlatform, Trader
from tests.flows.steps import limit, placed, refused
from tests.statements import DAYS, SEED, Month, day_ns, many_downloads, month, shown
from trading.engine import commands
from trading.models import Execution
from trading.selectors import statement as made
from trading.selectors import statement_figures as figures
from trading.selectors.statement_paper import statement_paper
from trading.services import statements

__all__ = ["many_downloads", "month"]


def balances(one: dict[str, Any], which: str) -> dict[str, Decimal]:
    return {row["asset"]: Decimal(row[which]) for row in one["assets"] if Decimal(row[which])}


def adds_up(one: dict[str, Any]) -> None:
    for row in one["assets"]:
        moved = sum((Decimal(line["amount"]) for line in row["lines"]), Decimal(0))
        assert Decimal(row["opening"]) + moved == Decimal(row["closing"]), row


def test_every_period_adds_up_and_closes_where_the_next_opens(month: Month) -> None:
    rng = random.Random(SEED + 1)
    kinds: set[str] = set()
    for trader in month.traders:
        cuts = sorted({0, DAYS, *rng.sample(range(1, DAYS), 6)})
        before: dict[str, Decimal] = {}
        entries = trades = 0
        realised: dict[str, Decimal] = {}
        for low, high in itertools.pairwise(cuts):
            one = shown(trader, month.first + timedelta(days=low), month.first + timedelta(days=high))
            adds_up(one)
            assert balances(one, "opening") == before
            before = balances(one, "closing")
            entries, trades = entries + one["entries"], trades + one["trades"]
            for row in one["positions"]:
                realised[row["symbol"]] = realised.get(row["symbol"], Decimal(0)) + Decimal(row["realised"])
            kinds |= {line["kind"] for row in one["assets"] for line in row["lines"]}
        whole = shown(trader, month.first, month.end)
        adds_up(whole)
        assert (whole["entries"], whole["trades"]) == (entries, trades)
        assert {row["symbol"]: Decimal(row["realised"]) for row in whole["positions"]} == realised
        # At the end of everything it is what the account has.
        have = {row["asset"]: Decimal(row["total"]) for row in trader.api("GET", "balances").json()["results"]}
        assert before == {asset: total for asset, total in have.items() if total}
        held = {row["symbol"]: row for row in trader.api("GET", "positions").json()["results"]}
        for row in whole["positions"]:
            mine = held[row["symbol"]]
            assert [row[name] for name in ("qty", "cost", "avg_price")] == [
                mine[name] for name in ("qty", "cost", "avg_price")
            ]
            assert Decimal(row["realised"]) == Decimal(mine["realised_pnl"])
    assert kinds == {"trade", "fee", "pnl", "deposit", "withdrawal", "transfer"}


def test_an_example_by_hand(live_platform: LivePlatform) -> None:
    """Deposit 1,000; buy 2 SOL at 150 and sell one at 155; take out 50. A currency position is left open at a loss."""
    live_platform.engine.client.submit(commands.mass_cancel())
    trader, other = (
        live_platform.trader("hand", {"USD": "1000"}),
        live_platform.trader("other", {"USD": "100000", "SOL": "10"}),
    )
    placed(other, limit("sell", "2", "150"))
    placed(trader, limit("buy", "2", "150"))
    placed(other, limit("buy", "1", "155"))
    placed(trader, limit("sell", "1", "155"))
    placed(other, {**limit("sell", "1000", "1.085"), "symbol": "EUR-USD"})
    placed(trader, {**limit("buy", "1000", "1.085"), "symbol": "EUR-USD"})
    live_platform.engine.client.submit(commands.withdraw(trader.account.core_account, 1, 50_000_000, "hand-out"))
    placed(trader, limit("buy", "0.5", "140"))
    live_platform.settle()
    core = {row.symbol: row.core_instrument for row in Instrument.objects.all()}
    soon, end = trader.account.created_at.astimezone(UTC).date(), utc_now().date() + timedelta(days=1)
    bar = {"frame": 86_400, "volume": 0, "open_time": day_ns(soon - timedelta(days=1)) // 10**9}
    for symbol, close, source in (("SOL-USD", 149_000, 1), ("EUR-USD", 108_400, 2)):
        Candle.objects.create(
            core_instrument=core[symbol], open=close, high=close, low=close, close=close, source=source, **bar
        )
    one = shown(trader, soon, end)
    assert (one["so_far"], one["entries"], one["trades"]) == (True, 9, 3)
    usd = next(row for row in one["assets"] if row["asset"] == "USD")
    lines = {line["kind"]: line["amount"] for line in usd["lines"]}
    # Fees: taker 0.1 % of 300 and of 155, 0.003 % of 1,085.
    assert lines == {"trade": "-145.000000", "fee": "-0.487550", "deposit": "1000.000000", "withdrawal": "-50.000000"}
    assert (usd["opening"], usd["closing"]) == ("0.000000", "804.512450")
    (sol,) = [row for row in one["holdings"] if row["asset"] == "SOL"]
    assert (Decimal(sol["amount"]), Decimal(sol["value"]), sol["price_source"]) == (1, 149, "recorded")
    held = {row["symbol"]: row for row in one["positions"]}
    assert [Decimal(held["SOL-USD"][name]) for name in ("qty", "cost", "realised", "unrealised")] == [1, 150, 5, -1]
    assert held["SOL-USD"]["margin"] is None
    fx = held["EUR-USD"]
    assert [Decimal(fx[name]) for name in ("qty", "cost", "unrealised")] == [1000, 1085, -1]
    # ceil(3.3333 % of 1,085)
    assert (fx["price_source"], Decimal(fx["margin"])) == ("simulated", Decimal("36.166305"))
    assert Decimal(one["value"]) == Decimal("804.512450") + 149 - 1
    assert one["open_orders"]["count"] == 1
    assert one["no_price"] == []
    # A day before there was no price of anything yet.
    Candle.objects.all().delete()
    one = shown(trader, soon, end)
    assert (sorted(one["no_price"]), Decimal(one["value"])) == (["EUR-USD", "SOL"], Decimal("804.512450"))
    assert next(row for row in one["holdings"] if row["asset"] == "SOL")["value"] is None


def test_what_does_not_agree_is_not_shown(month: Month, caplog: pytest.LogCaptureFixture) -> None:
    trader = month.traders[2]
    core = trader.account.core_account
    path = f"accounts/{trader.account.number}/statement"
    days = f"?from={month.first}&to={month.end}"
    entry = LedgerEntry.objects.filter(core_account=core, book=1, kind=1).first()
    fill = Execution.objects.filter(core_account=core).first()
    position = Position.objects.filter(core_account=core).exclude(net=0).first()
    balance = Balance.objects.filter(core_account=core, core_asset=1).get()
    assert entry
    assert fill
    assert position
    for row, name in ((balance, "available"), (entry, "amount"), (fill, "fee"), (position, "cost")):
        value = getattr(row, name)
        type(row).objects.filter(pk=row.pk).update(**{name: value + 1})
        try:
            caplog.clear()
            for form in ("", ".csv", ".pdf"):
                assert refused(trader.api("GET", path + form + days)) == (500, 9015), name
            assert trader.account.number in caplog.text
            assert "withheld" in caplog.text
        finally:
            type(row).objects.filter(pk=row.pk).update(**{name: value})
    assert trader.api("GET", path + days).status_code == 200


def test_periods_that_are_none_are_refused(month: Month) -> None:
    trader, today = month.traders[0], utc_now().date()
    path = f"accounts/{trader.account.number}/statement"
    later = today + timedelta(days=40)
    for query, code, needed in (
        ("from=2026-02-30&to=2026-03-01", 1001, "YYYY-MM-DD"),
        ("from=20260101&to=2026-03-01", 1001, "YYYY-MM-DD"),
        (f"to={today}", 1016, None),
        (f"from={today}&to={today}", 1014, str(today + timedelta(days=1))),
        (f"from={today}&to={month.first}", 1014, str(today + timedelta(days=1))),
        (f"from={later}&to={later + timedelta(days=1)}", 1014, str(today)),
        ("from=2001-01-01&to=2001-02-01", 1014, str(month.first + timedelta(days=1))),
        (f"from={today}&to={today + timedelta(days=367)}", 1014, "366"),
        ("from=9999-12-31&to=9999-12-31", 1014, "9999-12-31"),
        (f"from={today}&to={later}&colour=red", 1010, None),
    ):
        for form in ("", ".csv", ".pdf"):
            answer = trader.api("GET", f"{path}{form}?{query}")
            document = answer.json()
            assert (answer.status_code, document["code"]) == (400, code), (query, document)
            assert needed is None or document["needed"] == needed, (query, document)
            assert document["next_step"]
    # Before the account's first day there is nothing: it begins there.
    assert shown(trader, month.first - timedelta(days=300), month.end)["from"] == str(month.first)


def test_too_many_rows_point_to_the_other_form(month: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    trader = month.traders[0]
    path, days = f"accounts/{trader.account.number}/statement", f"?from={month.first}&to={month.end}"
    monkeypatch.setattr(statements, "PDF_ROWS_MAX", 3)
    answer = trader.api("GET", f"{path}.pdf{days}")
    assert refused(answer) == (400, 1014)
    assert answer.json()["needed"] == "3"
    assert "CSV" in answer.json()["next_step"]
    assert trader.api("GET", f"{path}.csv{days}").status_code == 200
    monkeypatch.setattr(statements, "CSV_ROWS_MAX", 3)
    assert refused(trader.api("GET", f"{path}.csv{days}")) == (400, 1014)
    # An account with more fills than are gone through again says so instead of guessing.
    monkeypatch.setattr(figures, "FILLS_MAX", 2)
    one = shown(trader, month.first, month.end)
    adds_up(one)
    assert {row["cost"] for row in one["positions"]} == {None}
    assert "not computed" in text_of(statement_paper_of(trader, month))


def statement_paper_of(trader: Trader, month: Month) -> bytes:
    account = account_for_user(trader.user.pk, trader.account.number)
    one = made.statement_get(account, made.period_of(account, month.first, month.end))
    return pdf_make(statement_paper(one, made_for="a", made_at=utc_now())).content
