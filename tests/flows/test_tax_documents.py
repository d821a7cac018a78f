"""Tax documents on the real engine: a month of trades, what the files say of it and what the fills say, and who gets them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from accounts.selectors.access import accounts_forget
from brokerage.kernel.clock import parse_rfc3339, utc_now
from brokerage.platform.tests.pdf_reader import text_of
from compliance.tax.years import KINDS, Kind
from tests.conftest_engine import LivePlatform, Trader
from tests.flows.steps import refused
from tests.statements import Month, many_downloads, month

__all__ = ["many_downloads", "month"]


@pytest.fixture(params=["US", "GB", "JP"])
def moved(request: pytest.FixtureRequest, month: Month) -> Iterator[str]:
    """The clients live there for a while."""
    users = User.objects.filter(pk__in=[trader.user.pk for trader in month.traders])
    users.update(jurisdiction=request.param)
    accounts_forget()
    yield request.param
    users.update(jurisdiction="")
    accounts_forget()


def read(content: bytes) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(content.decode())):
        found.setdefault(row["section"], []).append(row)
    return found


def years(trader: Trader, code: str) -> list[dict[str, Any]]:
    answer = trader.api("GET", f"accounts/{trader.account.number}/tax-documents").json()["results"]
    return [row for row in answer if row["code"] == code]


def fills(trader: Trader, kind: Kind, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The fills of the document's assets and year, as the API has them; its days are the document's."""
    found, cursor = [], ""
    while True:
        page = trader.api("GET", f"executions?limit=200{cursor}").json()
        found += page["results"]
        if not page.get("next_cursor"):
            break
        cursor = f"&cursor={page['next_cursor']}"
    return [
        one
        for one in found
        if one["symbol"] in {"SOL-USD", "BTC-USD"}
        and row["first"] <= kind.day(parse_rfc3339(one["time"])).isoformat() <= row["last"]
    ]


def test_the_files_say_what_the_fills_say(month: Month, moved: str) -> None:
    code = {"US": "1099da", "GB": "uk_cgt", "JP": "carf"}[moved]
    kind, seen = KINDS[code], 0
    for trader in month.traders:
        assert {
            row["code"]
            for row in trader.api("GET", f"accounts/{trader.account.number}/tax-documents").json()["results"]
        } == ({"1099b", "1099da"} if moved == "US" else {code})
        for row in years(trader, code):
            address = f"accounts/{trader.account.number}/tax-documents/{code}/{row['year']}"
            answer = trader.api("GET", f"{address}.csv")
            assert answer.status_code == 200, answer.content
            table = read(answer.content)
            paper = " ".join(text_of(trader.api("GET", f"{address}.pdf").content).split())
            mine = fills(trader, kind, row)
            sales = [one for one in mine if one["side"] == "sell"]
            lines = table.get("line", [])
            units = sum((Decimal(one["qty"]) for one in sales), Decimal(0))
            brought = sum((Decimal(one["notional"]) - Decimal(one["fee"]) for one in sales), Decimal(0))
            if moved == "JP":
                sums = table.get("total", [])
                for side, what in (("buy", "acquired against currency"), ("sell", "disposed of against currency")):
                    ours = [one for one in sums if one["what"] == what]
                    theirs = [one for one in mine if one["side"] == side]
                    assert sum(int(one["count"]) for one in ours) == len(theirs)
                    for name, field in (("quantity", "qty"), ("amount", "notional"), ("fees", "fee")):
                        assert sum((Decimal(one[name]) for one in ours), Decimal(0)) == sum(
                            (Decimal(one[field]) for one in theirs), Decimal(0)
                        ), (trader.account.number, name)
                assert row["applies"] == bool(sums)
            else:
                column, name = ("description", "proceeds") if moved == "US" else ("quantity", "traded_proceeds")
                assert sum((Decimal(one[column].split()[0]) for one in lines), Decimal(0)) == units
                printed = sum((Decimal(one[name]) for one in lines), Decimal(0))
                # Rows are whole cents.
                assert abs(printed - brought) <= Decimal("0.005") * len(lines)
                if moved == "US":
                    totals = table.get("total", [])
                    assert sum((Decimal(one["proceeds"]) for one in totals), Decimal(0)) == printed
                    for one in totals:
                        assert f"{Decimal(one['proceeds']):,}" in paper
            for one in lines:
                assert one["date_sold"] in paper
            seen += len(lines) + len(mine)
    assert seen > 20


def test_a_stranger_has_no_documents_of_others(month: Month, live_platform: LivePlatform) -> None:
    stranger = live_platform.trader("stranger", {"USD": "1"})
    number = month.traders[0].account.number
    year = KINDS["uk_cgt"].year_of(utc_now().date()).number
    for tail in ("", f"/uk_cgt/{year}.csv", f"/uk_cgt/{year}.pdf"):
        assert refused(stranger.api("GET", f"accounts/{number}/tax-documents{tail}")) == (404, 2014)
