"""Forms of a statement: table, paper and page say the same as the ledger; who may have them; what is recorded."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import LedgerEntry, TradingAccountMember
from accounts.selectors.access import account_for_user
from backoffice.tests.factories import browser
from brokerage.kernel.clock import ManualClock, utc_now
from brokerage.platform import throttling
from brokerage.platform.models import AuditPending
from brokerage.platform.tests.pdf_reader import reader_of, text_of
from marketdata.models import Asset, Instrument
from marketdata.selectors.instruments import reference_forget
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from tests.flows.steps import refused
from tests.statements import DAYS, Month, day_ns, file, many_downloads, month, rows_of, shown
from trading.models import Execution
from trading.selectors import statement as made
from trading.services import statements

__all__ = ["many_downloads", "month"]


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


def test_the_page_shows_the_same_and_keeps_the_form_when_refused(
    month: Month, live_platform: LivePlatform, stranger: Trader
) -> None:
    trader, today = month.traders[0], utc_now().date()
    client, path = browser(trader.user), f"/account/statements?account={trader.account.number}"
    last = month.end - timedelta(days=1)
    page = client.get(f"{path}&first={month.first}&last={last}")
    one = shown(trader, month.first, month.end)
    assert page.status_code == 200
    assert page.context["shown"] | {"made": one["made"]} == one
    text = page.content.decode()
    assert f"/api/v1/accounts/{trader.account.number}/statement.pdf?from={month.first}&amp;to={month.end}" in text
    assert "So far." not in text
    # Every month since the account was opened, newest first, and the newest is shown.
    page = client.get(path)
    months = [value for value, _ in page.context["months"]]
    assert months == sorted({f"{month.first + timedelta(days=turn):%Y-%m}" for turn in range(DAYS + 1)}, reverse=True)
    assert page.context["shown"]["to"] > str(today)
    assert "So far." in page.content.decode()
    for query in (
        "first=2026-01-01&last=nonsense",
        "month=2026-13",
        "first=1999-01-01&last=1999-01-02",
        "month=0000-00",
        "last=9999-12-31",
    ):
        page = client.get(f"{path}&{query}")
        assert (page.status_code, b"No statement." in page.content) == (400, True), query
        assert b'name="month"' in page.content
    assert browser(stranger.user).get(path).status_code == 404


def test_figures_have_a_budget(month: Month, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_RATE_SCALE = 1
    monkeypatch.setitem(throttling.BUDGETS, "statement", throttling.Budget(1, 3_600))
    trader = month.traders[3]
    path = f"accounts/{trader.account.number}/statement?from={month.first}&to={month.end}"
    assert trader.api("GET", path).status_code == 200
    assert refused(trader.api("GET", path)) == (429, 2013)
    client = browser(trader.user)
    assert client.get("/account/statements").status_code == 200
    page = client.get("/account/statements")
    assert (page.status_code, b"No statement." in page.content) == (429, True)
