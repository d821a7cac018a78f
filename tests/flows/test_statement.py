"""Statements of accounts on the real engine: every period reconciles and joins the next, all forms say the same, refusals, who may."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import os
import random
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts.models import Balance, LedgerEntry, TradingAccount, TradingAccountMember
from accounts.selectors.access import account_for_user
from brokerage.kernel.clock import NS_PER_DAY, utc_now
from brokerage.platform.models import AuditPending
from brokerage.platform.reporting import text_uncell
from brokerage.platform.tests.pdf_reader import reader_of, text_of
from marketdata.models import Asset, Candle, Instrument
from risk.models import Position
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from tests.flows.steps import limit, placed, refused
from trading.engine import commands
from trading.models import Execution
from trading.selectors import statement as made
from trading.selectors import statement_figures as figures
from trading.services import statements

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
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()


@pytest.fixture(scope="module")
def month(live_platform: LivePlatform) -> Month:
    print(f"seed {SEED} (STATEMENT_SEED)")
    rng = random.Random(SEED)
    funds = {"USD": "200000", "SOL": "200", "BTC": "2"}
    traders = [live_platform.trader(name, funds) for name in ("ada", "ben", "cy", "dot")]
    client = live_platform.engine.client
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
    live_platform.settle()
    first = utc_now().date() - timedelta(days=DAYS)
    spread(first, traders)
    return Month(traders, first)


def shown(trader: Trader, first: date, end: date) -> dict[str, Any]:
    answer = trader.api("GET", f"accounts/{trader.account.number}/statement?from={first}&to={end}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def file(trader: Trader, form: str, first: date, end: date) -> bytes:
    answer = trader.api("GET", f"accounts/{trader.account.number}/statement.{form}?from={first}&to={end}")
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def rows_of(content: bytes) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(content.decode())):
        found.setdefault(row["section"], []).append({name: text_uncell(cell) for name, cell in row.items()})
    return found


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


def test_the_table_is_the_ledger_and_the_fills(month: Month) -> None:
    scales = dict(Asset.objects.values_list("code", "scale"))
    for trader in month.traders:
        first, end = month.first + timedelta(days=4), month.first + timedelta(days=26)
        one, rows = shown(trader, first, end), rows_of(file(trader, "csv", first, end))
        stored = LedgerEntry.objects.filter(
            core_account=trader.account.core_account, book=1, time_ns__gte=day_ns(first), time_ns__lt=day_ns(end)
        ).order_by("id")
        assert len(rows["cash"]) == stored.count() == one["entries"]
        running = {row["asset"]: Decimal(row["opening"]) for row in one["assets"]}
        for row, entry in zip(rows["cash"], stored, strict=True):
            assert int(Decimal(row["amount"]).scaleb(scales[row["asset"]])) == entry.amount
            running[row["asset"]] += Decimal(row["amount"])
            assert Decimal(row["balance"]) == running[row["asset"]]
        assert running == {row["asset"]: Decimal(row["closing"]) for row in one["assets"]}
        fills = Execution.objects.filter(
            core_account=trader.account.core_account, time_ns__gte=day_ns(first), time_ns__lt=day_ns(end)
        )
        assert len(rows["trade"]) == fills.count() == one["trades"]
        assert {row["amount"] for row in rows["summary"] if row["kind"] == "closing"} == {
            row["closing"] for row in one["assets"]
        }


def test_paper_says_what_the_table_says(month: Month) -> None:
    trader = month.traders[0]
    content = file(trader, "pdf", month.first, month.end)
    rows = rows_of(file(trader, "csv", month.first, month.end))
    text = text_of(content)
    words = re.sub(r"[,\s]", "", text).replace("−", "-")
    for row in rows["trade"]:
        assert row["id"] in words
        assert row["order_id"] in words
    for row in rows["cash"]:
        assert row["id"] in words
    amounts = re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", "").replace("−", "-"))
    printed = {Decimal(amount) for amount in amounts}
    for section, names in (
        ("cash", ("amount", "balance")),
        ("trade", ("qty", "price", "value", "fee")),
        ("summary", ("amount",)),
    ):
        for row in rows[section]:
            for name in names:
                assert Decimal(row[name]) in printed, (section, name, row)
    file_of = reader_of(content)
    assert file_of.metadata["/Title"] == f"Statement of account {trader.account.number}"
    assert f"Page 1 of {len(file_of.pages)}" in text
    for heading in ("Holdings at the end", "Amount, USD", "Balance, SOL", "Base currency", "ada"):
        assert heading in text


def test_the_file_is_the_same_again_and_its_digest_is_kept(month: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    from brokerage.kernel.clock import ManualClock

    trader = month.traders[1]
    account = account_for_user(trader.user.pk, trader.account.number)
    clock = ManualClock(day_ns(month.end) + 3_600 * 10**9)
    period = made.period_of(account, month.first, month.end, clock=clock)
    one, two = (statements.statement_pdf(account=account, period=period, made_for="a", clock=clock) for _ in range(2))
    assert one.content == two.content
    content = file(trader, "pdf", month.first, month.end)
    act = AuditPending.objects.filter(action="statement.made", object_id=trader.account.number).latest("pk")
    assert (act.actor_type, act.actor_id, act.after["form"]) == ("user", str(trader.user.pk), "pdf")
    assert act.after["sha256"] == hashlib.sha256(content).hexdigest()
    assert (act.after["from"], act.after["to"]) == (str(month.first), str(month.end))


def test_an_example_by_hand(live_platform: LivePlatform) -> None:
    """Deposit 1,000; buy 2 SOL at 100 and sell one at 130, 0.1 % each; take out 50. A CFD is left open at a loss."""
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
    soon = utc_now().date()
    bar = {"frame": 86_400, "volume": 0, "open_time": day_ns(soon - timedelta(days=1)) // 10**9}
    for symbol, close, source in (("SOL-USD", 149_000, 1), ("EUR-USD", 108_400, 2)):
        Candle.objects.create(
            core_instrument=core[symbol], open=close, high=close, low=close, close=close, source=source, **bar
        )
    one = shown(trader, soon, soon + timedelta(days=1))
    assert (one["so_far"], one["entries"], one["trades"]) == (True, 10, 3)
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
    one = shown(trader, soon, soon + timedelta(days=1))
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
        ("from=2026-02-30&to=2026-03-01", 1010, "YYYY-MM-DD"),
        ("from=20260101&to=2026-03-01", 1010, "YYYY-MM-DD"),
        (f"to={today}", 1016, None),
        (f"from={today}&to={today}", 1012, str(today + timedelta(days=1))),
        (f"from={today}&to={month.first}", 1012, str(today + timedelta(days=1))),
        (f"from={later}&to={later + timedelta(days=1)}", 1012, str(today)),
        ("from=2001-01-01&to=2001-02-01", 1012, str(month.first + timedelta(days=1))),
        (f"from={today}&to={today + timedelta(days=367)}", 1012, "366"),
        ("from=9999-12-31&to=9999-12-31", 1012, "9999-12-31"),
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
    assert refused(answer) == (400, 1012)
    assert answer.json()["needed"] == "3"
    assert "CSV" in answer.json()["next_step"]
    assert trader.api("GET", f"{path}.csv{days}").status_code == 200
    monkeypatch.setattr(statements, "CSV_ROWS_MAX", 3)
    assert refused(trader.api("GET", f"{path}.csv{days}")) == (400, 1012)
    # An account with more fills than are gone through again says so instead of guessing.
    monkeypatch.setattr(figures, "FILLS_MAX", 2)
    one = shown(trader, month.first, month.end)
    adds_up(one)
    assert {row["cost"] for row in one["positions"]} == {None}
    assert "not computed" in text_of(statement_paper_of(trader, month))


def statement_paper_of(trader: Trader, month: Month) -> bytes:
    from brokerage.platform.pdf import pdf_make
    from trading.selectors.statement_paper import statement_paper

    account = account_for_user(trader.user.pk, trader.account.number)
    one = made.statement_get(account, made.period_of(account, month.first, month.end))
    return pdf_make(statement_paper(one, made_for="a", made_at=utc_now())).content


def test_rows_come_in_pages_of_any_size(month: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    trader = month.traders[3]
    whole = rows_of(file(trader, "csv", month.first, month.end))
    for size in (1, 7):
        monkeypatch.setattr(made, "WALK_ROWS", size)
        again = rows_of(file(trader, "csv", month.first, month.end))
        assert (again["cash"], again["trade"]) == (whole["cash"], whole["trade"])


def test_what_a_spreadsheet_would_run_is_text(month: Month, live_platform: LivePlatform) -> None:
    trader = month.traders[0]
    Instrument.objects.filter(symbol="SOL-USD").update(symbol="=SOL+USD")
    forget_caches()
    from marketdata.selectors.instruments import reference_forget

    reference_forget()
    try:
        content = file(trader, "csv", month.first, month.end).decode()
        assert "'=SOL+USD" in content
        assert re.search(r"(^|,)=SOL", content) is None
    finally:
        Instrument.objects.filter(symbol="=SOL+USD").update(symbol="SOL-USD")
        reference_forget()


def test_members_look_and_strangers_find_nothing(month: Month, live_platform: LivePlatform, stranger: Trader) -> None:
    owner, looker = month.traders[0], live_platform.trader("looker")
    path, days = f"accounts/{owner.account.number}/statement", f"?from={month.first}&to={month.end}"
    TradingAccountMember.objects.create(account=owner.account, user=looker.user, role="viewer")
    forget_caches()
    for form in ("", ".csv", ".pdf"):
        assert looker.api("GET", path + form + days).status_code == 200
        for query in (days, "?from=nonsense"):
            assert refused(stranger.api("GET", path + form + query)) == (404, 2014)
        assert refused(live_platform.rest("GET", path + form + days)) == (401, 2010)
