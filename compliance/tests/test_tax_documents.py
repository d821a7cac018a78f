"""Tax documents of an account: figures by example, files that agree with each other and the ledger, which there are and for whom."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import LedgerEntry, User
from accounts.selectors.access import accounts_forget
from accounts.services.permissions import trading_permission_set
from brokerage.config import ConfigError
from brokerage.kernel.clock import ManualClock
from brokerage.platform.models import AuditPending
from brokerage.platform.reporting import text_uncell
from brokerage.platform.tests.pdf_reader import text_of
from compliance.selectors.tax import kind_demand, tax_document_get, tax_list_for
from compliance.selectors.tax_forms import listed_json
from compliance.services import tax as services
from compliance.services.tax import tax_csv, tax_pdf
from compliance.tax.rates import COLUMNS, rates_read
from compliance.tax.years import KINDS
from compliance.tests.tax_books import Book, book_make, ns
from trading.models import Execution

pytestmark = pytest.mark.django_db
CLOCK = ManualClock(ns("2026-11-22T10:00:00"))


@pytest.fixture(autouse=True)
def no_rates(settings: Any) -> None:
    settings.API_RATE_SCALE = 1_000
    settings.TAX_RATES_FILE = None


def us() -> Book:
    """An American client: shares with a wash sale and a long holding, coins, a deposit in kind, a currency position."""
    book = book_make("US")
    book.moved("2024-01-02T12:00:00", "USD", "1000000")
    book.fill("2024-02-01T15:00:00", "buy", "AAPL", "10", "100.00", "1", order=1)
    book.fill("2025-03-03T15:00:00", "sell", "AAPL", "4", "150.00", "0.60", order=2)
    book.fill("2026-03-02T15:00:00", "buy", "MSFT", "10", "400.00", "2", order=3)
    book.fill("2026-04-01T15:00:00", "sell", "MSFT", "6", "350.00", "1.5", order=4)
    book.fill("2026-04-20T15:00:00", "buy", "MSFT", "4", "340.00", "1", order=5)
    book.fill("2026-05-04T15:00:00", "sell", "AAPL", "6", "200.00", "1.2", order=6)
    book.fill("2025-06-01T12:00:00", "buy", "ETH-USD", "2", "2000", "2", order=7)
    book.moved("2026-01-10T12:00:00", "SOL", "5")
    book.fill("2026-02-01T12:00:00", "sell", "ETH-USD", "0.5", "2500", "1.25", order=8)
    book.fill("2026-02-02T12:00:00", "sell", "SOL-USD", "2", "100", "0.2", order=9)
    book.fill("2026-06-01T12:00:00", "sell", "EUR-USD", "1000", "1.08", "0.03", order=10, pnl="0")
    book.fill("2026-06-02T12:00:00", "buy", "EUR-USD", "1000", "1.07", "0.03", order=11, pnl="10")
    return book.keep()


def gb() -> Book:
    """A British client with a purchase within thirty days, a transfer out, and trades in dollars."""
    book = book_make("GB")
    book.moved("2024-01-02T12:00:00", "USD", "1000000")
    book.fill("2026-05-01T12:00:00", "buy", "SOL-USD", "100", "100", "10", order=1)
    book.fill("2026-06-10T12:00:00", "sell", "SOL-USD", "40", "120", "4.80", order=2)
    book.fill("2026-06-20T12:00:00", "buy", "SOL-USD", "10", "90", "0.90", order=3)
    book.moved("2026-07-01T12:00:00", "SOL", "-20", LedgerEntry.Kind.TRANSFER)
    # Midnight of 5 July 23:30 UTC is the 6th in London.
    book.fill("2026-07-05T23:30:00", "sell", "SOL-USD", "5", "130", "0.65", order=4)
    return book.keep()


def rows_of(content: bytes) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(content.decode())):
        found.setdefault(row["section"], []).append({name: text_uncell(cell) for name, cell in row.items() if cell})
    return found


def made(book: Book, code: str, year: int = 2026) -> dict[str, list[dict[str, str]]]:
    return rows_of(tax_csv(account=book.ref, code=code, year=year, clock=CLOCK))


def lines(found: dict[str, list[dict[str, str]]], *names: str) -> list[tuple[str | None, ...]]:
    return [tuple(row.get(name) for name in names) for row in found.get("line", [])]


# ---- United States ----------------------------------------------------------------------------------------------------


def test_sales_of_securities_by_box_with_the_wash_sale() -> None:
    found = made(us(), "1099b")
    assert lines(found, "box", "description", "date_acquired", "date_sold", "proceeds", "basis", "code", "adjustment", "gain") == [
        # 6 MSFT at 350 less 1.50, cost 6/10 of 4,002; 4 of them were bought again nineteen days later.
        ("A", "4 MSFT", "2026-03-02", "2026-04-01", "1399.00", "1600.80", "W", "201.80", "0.00"),
        ("A", "2 MSFT", "2026-03-02", "2026-04-01", "699.50", "800.40", None, None, "-100.90"),
        ("D", "6 AAPL", "2024-02-01", "2026-05-04", "1198.80", "600.60", None, None, "598.20"),
    ]  # fmt: skip
    assert [(row["box"], row["proceeds"], row["basis"], row["gain"]) for row in found["total"]] == [
        ("A", "2098.50", "2401.20", "-100.90"), ("D", "1198.80", "600.60", "598.20"),
    ]  # fmt: skip
    assert found["line"][2]["security"] == "CUSIP 037833100"
    assert [(row["symbol"], row["realised"], row["fees"], row["result"]) for row in found["margin"]] == [
        ("EUR-USD", "10.00", "0.06", "9.94")
    ]
    assert found["line"][0]["rule"] == "first in, first out; wash sale"
    assert "not worked out" not in found
    # The year before: part of the same lot, held just over a year.
    assert lines(made(book_again(), "1099b", 2025), "box", "gain") == [("D", "199.00")]


def book_again() -> Book:
    account = User.objects.get(email="tax-us@example.test").trading_accounts.get()
    return Book(account)


def test_sales_of_digital_assets_and_what_has_no_cost() -> None:
    found = made(us(), "1099da")
    assert lines(found, "box", "description", "date_acquired", "proceeds", "basis", "gain") == [
        # Bought before 2026: its cost is known and would not be reported.
        ("H", "0.5 ETH", "2025-06-01", "1248.75", "1000.50", "248.25"),
        ("Y", "2 SOL", None, "199.80", None, None),
    ]
    assert "cost not known: it came without one" in found["not worked out"][0]["value"]
    assert found["line"][1]["note"].startswith("cost not known")
    assert "basis" not in found["total"][1]


# ---- United Kingdom ---------------------------------------------------------------------------------------------------


def test_disposals_are_matched_and_without_a_rate_nothing_is_made_up() -> None:
    found = made(gb(), "uk_cgt")
    assert lines(found, "date_sold", "quantity", "matched", "date_acquired", "traded_proceeds", "traded_cost", "proceeds", "gain") == [
        ("2026-06-10", "10", "30 days", "2026-06-20", "1198.80", "900.90", None, None),
        ("2026-06-10", "30", "pool", None, "3596.40", "3003.00", None, None),
        ("2026-07-06", "5", "pool", None, "649.35", "500.50", None, None),
    ]  # fmt: skip
    assert found["not worked out"][0]["value"] == "3 lines, not converted: no rate of USD for GBP on record."
    assert [tuple(row.get(name) for name in ("what", "count", "currency", "amount")) for row in found["total"]] == [
        ("Disposals and their proceeds", "2", "GBP", None), ("Allowable costs", "2", "GBP", None),
        ("Disposals not worked out, in none of the gains and losses", "2", None, None),
        ("Lines, their proceeds as traded", "3", "USD", "5444.55"), ("Lines, their cost as traded", "3", "USD", "4404.40"),
    ]  # fmt: skip


def test_with_rates_of_record_it_is_in_pounds(settings: Any, tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(
        ",".join(COLUMNS) + "\nUSD,GBP,2026-05-01,2026-05-31,1.25,test\n"
        "USD,GBP,2026-06-01,2026-06-30,1.2,test\nUSD,GBP,2026-07-01,2026-07-31,1.3,test\n"
    )
    settings.TAX_RATES_FILE = path
    found = made(gb(), "uk_cgt")
    # 1,198.80 / 1.2 - 900.90 / 1.2; 3,596.40 / 1.2 - 30 % of 10,010 / 1.25; 649.35 / 1.3 - 5 % of 10,010 / 1.25
    assert [row["gain"] for row in found["line"]] == ["248.25", "594.60", "99.10"]
    totals = {row["what"]: (row["count"], row.get("amount")) for row in found["total"]}
    assert totals["Gains"] == ("2", "941.95")
    assert totals["Losses"] == ("0", "0.00")
    assert "not worked out" not in found


def test_rates_that_are_none_are_refused(tmp_path: Path) -> None:
    head = ",".join(COLUMNS)
    for name, text in (
        ("columns", "a,b\n"), ("overlap", f"{head}\nUSD,GBP,2026-05-01,2026-05-31,1.25,x\nUSD,GBP,2026-05-31,2026-06-30,1.2,x\n"),
        ("word", f"{head}\nUSD,GBP,2026-05-01,2026-05-31,a lot,x\n"), ("short", f"{head}\nUSD,GBP\n"),
        ("zero", f"{head}\nUSD,GBP,2026-05-01,2026-05-31,0,x\n"), ("source", f"{head}\nUSD,GBP,2026-05-01,2026-05-31,1.2,\n"),
    ):  # fmt: skip
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        with pytest.raises(ConfigError, match="TAX_RATES_FILE"):
            rates_read(path)


# ---- yearly sums ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("country", "code"), [("DE", "dac8"), ("JP", "carf"), ("BR", "carf")])
def test_yearly_sums_by_crypto_asset(country: str, code: str) -> None:
    book = book_make(country)
    book.moved("2026-01-02T12:00:00", "USD", "100000")
    book.fill("2026-01-03T12:00:00", "buy", "ETH-USD", "1.5", "2000", "3")
    book.fill("2026-01-04T12:00:00", "buy", "ETH-USD", "0.5", "2000.01", "1.000005")
    book.fill("2026-01-05T12:00:00", "sell", "ETH-USD", "1", "2500", "2.5")
    book.fill("2026-01-05T12:00:00", "buy", "AAPL", "1", "200", "0")
    book.moved("2026-02-01T12:00:00", "SOL", "3")
    book.moved("2026-02-02T12:00:00", "SOL", "-1", LedgerEntry.Kind.TRANSFER)
    # The last day before the year does not count.
    book.moved("2025-12-31T23:59:59", "SOL", "7")
    book.keep()
    found = made(book, code)
    assert [tuple(row.get(name) for name in ("asset", "what", "currency", "count", "quantity", "amount", "fees")) for row in found["total"]] == [
        ("ETH", "acquired against currency", "USD", "2", "2", "4000.005", "4.000005"),
        ("ETH", "disposed of against currency", "USD", "1", "1", "2500.00", "2.50"),
        ("SOL", "received: deposit", None, "1", "3", None, None),
        ("SOL", "sent: transfer", None, "1", "1", None, None),
    ]  # fmt: skip
    assert found["not worked out"][0]["value"].startswith("2 of 5 movements")


# ---- fees in kind, exchanges ------------------------------------------------------------------------------------------


def test_a_fee_in_the_asset_itself_belongs_to_it() -> None:
    book = book_make("US")
    book.moved("2026-01-02T12:00:00", "USD", "100000")
    book.fill("2026-01-03T12:00:00", "buy", "SOL-USD", "10", "100", "0.1", fee_asset="SOL")
    book.fill("2026-01-04T12:00:00", "sell", "SOL-USD", "4.9", "120", "0.05", fee_asset="SOL")
    found = made(book.keep(), "1099da")
    # 9.9 came for 1,000; 4.95 went for 588.
    assert lines(found, "description", "proceeds", "basis", "gain") == [("4.95 SOL", "588.00", "500.00", "88.00")]


def test_a_fee_in_something_else_is_not_guessed() -> None:
    book = book_make("US")
    book.moved("2026-01-02T12:00:00", "USD", "100000")
    book.moved("2026-01-02T12:00:00", "BTC", "1")
    book.fill("2026-01-03T12:00:00", "buy", "SOL-USD", "10", "100", "0.0001", fee_asset="BTC")
    book.fill("2026-01-04T12:00:00", "sell", "SOL-USD", "4", "120")
    found = made(book.keep(), "1099da")
    assert lines(found, "box", "proceeds", "basis", "gain") == [("H", "480.00", None, None)]
    assert "the fee is in BTC" in found["line"][0]["note"]


# ---- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["1099b", "1099da"])
def test_file_paper_and_ledger_say_the_same(code: str) -> None:
    book = us()
    found = made(book, code)
    paper = text_of(tax_pdf(account=book.ref, code=code, year=2026, made_for="t@example.test", clock=CLOCK).content)
    assert "It is not a filed form" in " ".join(paper.split())
    for row in found["line"]:
        for name in ("proceeds", "basis", "gain"):
            if name in row:
                assert (
                    f"{Decimal(row[name]):,}".replace("-", "\N{MINUS SIGN}") in paper
                    or f"{Decimal(row[name]):,}" in paper
                )
    for name in ("proceeds", "adjustment"):
        whole = sum(Decimal(row.get(name, "0")) for row in found["line"])
        assert whole == sum(Decimal(row.get(name, "0")) for row in found["total"])
    # What the sales of the year brought, by the ledger: its entries of those fills.
    kind = KINDS[code]
    sales = Execution.objects.filter(
        side=2, time_ns__gte=ns("2026-01-01T05:00:00"), core_instrument__in=instruments(kind.assets)
    )
    entries = LedgerEntry.objects.filter(ref_id__in=list(sales.values_list("exec_id", flat=True)), core_asset=1, book=1)
    cents = sum(entries.values_list("amount", flat=True))
    assert Decimal(cents) / 10**6 == sum(Decimal(row["proceeds"]) for row in found["total"])


def instruments(kinds: frozenset[str]) -> list[int]:
    from marketdata.models import Instrument

    return list(Instrument.objects.filter(base__kind__in=kinds, kind="spot").values_list("core_instrument", flat=True))


def test_the_same_gives_the_same_bytes_and_each_file_is_recorded_with_its_digest() -> None:
    book = us()
    for form in ("csv", "pdf"):
        files = []
        for _ in range(2):
            asked = {"account": book.ref, "code": "1099b", "year": 2026, "clock": CLOCK}
            files.append(tax_csv(**asked) if form == "csv" else tax_pdf(**asked, made_for="t@example.test").content)
        assert files[0] == files[1]
        acts = [act for act in AuditPending.objects.filter(action="tax_document.made") if act.after["form"] == form]
        assert [act.after["sha256"] for act in acts] == [hashlib.sha256(files[0]).hexdigest()] * 2
        assert {(act.object_id, act.after["document"], act.after["year"]) for act in acts} == {
            (book.account.number, "1099b", 2026)
        }
    # Later, when the year is over and nothing more was done, only its state has changed.
    later = ManualClock(ns("2027-03-01T10:00:00"))
    now, then = made(book, "1099b"), rows_of(tax_csv(account=book.ref, code="1099b", year=2026, clock=later))
    assert now["line"] == then["line"]
    assert [row["value"] for row in now["about"] if row["name"] == "State"] == [
        "So far: the year ends on 31 December 2026."
    ]
    assert [row["value"] for row in then["about"] if row["name"] == "State"] == ["The year is over."]


def test_figures_that_do_not_agree_are_withheld() -> None:
    from brokerage.platform.problems import ApiProblem

    book = us()
    entry = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.TRADE).first()
    assert entry
    LedgerEntry.objects.filter(pk=entry.pk).update(amount=entry.amount + 1)
    with pytest.raises(ApiProblem) as refusal:
        made(book, "1099b")
    assert refusal.value.code == 9015
    assert not AuditPending.objects.filter(action="tax_document.made").exists()


def test_too_many_rows_point_to_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from brokerage.platform.problems import ApiProblem

    book = us()
    monkeypatch.setattr(services, "PDF_ROWS_MAX", 3)
    with pytest.raises(ApiProblem) as refusal:
        tax_pdf(account=book.ref, code="1099b", year=2026, made_for="t", clock=CLOCK)
    assert (refusal.value.code, "CSV" in refusal.value.next_step) == (1014, True)
    assert made(book, "1099b")["line"]


# ---- which there are, and for whom ------------------------------------------------------------------------------------


def listed(book: Book) -> set[str]:
    return {row.kind.code for row in tax_list_for(book.ref, clock=CLOCK)}


def test_the_years_and_whether_anything_is_in_them() -> None:
    found = [listed_json(row) for row in tax_list_for(us().ref, clock=CLOCK)]
    assert [(row["code"], row["label"], row["state"], row["applies"]) for row in found] == [
        ("1099b", "2026", "so_far", True), ("1099b", "2025", "over", True), ("1099b", "2024", "over", False),
        ("1099da", "2026", "so_far", True), ("1099da", "2025", "over", False), ("1099da", "2024", "over", False),
    ]  # fmt: skip
    in_may = ManualClock(ns("2026-05-01T10:00:00"))
    british = [listed_json(row) for row in tax_list_for(gb().ref, clock=in_may)]
    assert [(row["label"], row["first"], row["last"], row["state"]) for row in british][:2] == [
        ("2026-27", "2026-04-06", "2027-04-05", "so_far"), ("2025-26", "2025-04-06", "2026-04-05", "open"),
    ]  # fmt: skip


def test_a_changed_jurisdiction_changes_the_set_at_once(client: Client) -> None:
    book = us()
    assert listed(book) == {"1099b", "1099da"}
    client.force_login(book.account.owner)  # type: ignore[arg-type]
    number = book.account.number
    address = f"/api/v1/accounts/{number}/tax-documents"
    assert client.get(f"{address}/1099b/2026.csv").status_code == 200
    for jurisdiction, codes in (("GB", {"uk_cgt"}), ("EU", {"dac8"}), ("JP", {"carf"}), ("US", {"1099b", "1099da"})):
        trading_permission_set(
            user_id=book.account.owner_id, kyc_tier=2, trading_allowed=True, reason="moved", jurisdiction=jurisdiction
        )
        accounts_forget()
        assert {row["code"] for row in client.get(address).json()["results"]} == codes
        page = client.get("/account/reports").content.decode()
        for code in KINDS:
            assert (f'id="h-{code}"' in page) == (code in codes), (jurisdiction, code)
            year = KINDS[code].year_of(date(2026, 11, 1)).number
            assert (client.get(f"{address}/{code}/{year}.csv").status_code == 200) == (code in codes)
    refused = client.get(f"{address}/uk_cgt/2026.pdf")
    assert (refused.status_code, refused.json()["code"]) == (404, 2014)


def test_a_year_that_is_none_is_refused_with_the_bound(client: Client) -> None:
    book = us()
    client.force_login(book.account.owner)  # type: ignore[arg-type]
    address = f"/api/v1/accounts/{book.account.number}/tax-documents/1099b"
    answer = client.get(f"{address}/2023.csv")
    assert (answer.status_code, answer.json()["code"], answer.json()["needed"]) == (400, 1014, "2024")
    assert client.get(f"{address}/9999.pdf").status_code == 400
    assert client.get("/account/reports?year=2023").status_code == 400
    assert client.get("/account/reports?year=x").status_code == 400
    with pytest.raises(Exception, match="no such document"):
        kind_demand(book.ref, "rts22", 2026, clock=CLOCK)


def test_an_empty_year_says_so(client: Client) -> None:
    book = book_make("GB")
    client.force_login(book.account.owner)  # type: ignore[arg-type]
    page = client.get("/account/reports").content.decode()
    assert "Nothing was sold in this year." in page
    assert "so far" in page
    document = tax_document_get(book.ref, *kind_demand(book.ref, "uk_cgt", 2026, clock=CLOCK), clock=CLOCK)
    assert document.sheets.lines == 0
