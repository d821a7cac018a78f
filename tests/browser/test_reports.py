"""Tax documents in a real Chromium: the year chosen, files saved, what is not worked out said; another jurisdiction, nobody's, a phone."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from accounts.selectors.access import accounts_forget
from brokerage.kernel.clock import utc_now
from brokerage.platform.tests.pdf_reader import text_of
from compliance.tax.years import KINDS
from tests.browser.conftest import DESK, PHONE, Site
from tests.browser.test_pages import findings, too_wide
from tests.browser.test_statements import saved
from tests.conftest_engine import PASSWORD, Trader


def seen(tab: Any, name: str) -> None:
    """Nothing is wider than the window; with SHOTS a picture of it is kept, light and dark."""
    folder = os.environ.get("SHOTS")
    for size in (DESK, PHONE):
        tab.set_viewport_size(size)
        assert too_wide(tab) == []
        assert findings(tab) == []
        for scheme in ("light", "dark") if folder else ():
            tab.emulate_media(color_scheme=scheme)
            tab.screenshot(path=f"{folder}/reports-{name}-{size['width']}-{scheme}.png", full_page=True)
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size(DESK)


def active(site: Site, jurisdiction: str) -> Trader:
    """A client who sold coins and shares, some of them bought elsewhere, with a currency position."""
    maker = site.trader(USD="1000000", ETH="100", AAPL="1000")
    trader = site.trader(USD="50000", SOL="5")
    for symbol, qty, price in (("ETH-USD", "1.5", "3000"), ("EUR-USD", "3000", "1.085")):
        site.order(maker, symbol=symbol, side="sell", qty=qty, price=price)
        site.order(trader, symbol=symbol, side="buy", qty=qty, price=price)
    for symbol, qty, price in (("ETH-USD", "0.5", "3300"), ("SOL-USD", "2", "150"), ("EUR-USD", "1000", "1.09")):
        site.order(trader, symbol=symbol, side="sell", qty=qty, price=price)
        site.order(maker, symbol=symbol, side="buy", qty=qty, price=price)
    site.platform.settle()
    # Afterwards: not every jurisdiction lets a client trade all of that.
    User.objects.filter(pk=trader.user.pk).update(jurisdiction=jurisdiction)
    accounts_forget()
    return trader


def signed_in(tab: Any, trader: Trader, path: str) -> None:
    tab.goto(f"/signin?next={path}")
    tab.fill("#id_email", trader.user.email)
    tab.fill("#id_password", PASSWORD)
    tab.click("main button[type=submit]")
    tab.wait_for_url(f"**{path}*")


@pytest.mark.parametrize(("jurisdiction", "code"), [("US", "1099da"), ("GB", "uk_cgt"), ("JP", "carf")])
def test_the_documents_of_a_year(
    open_page: Callable[..., Any], site: Site, tmp_path: Path, jurisdiction: str, code: str
) -> None:
    trader = active(site, jurisdiction)
    kind = KINDS[code]
    tab = open_page(accept_downloads=True)
    signed_in(tab, trader, "/account/statements")
    tab.click("main a:has-text('Tax documents')")
    tab.wait_for_selector(f"#h-{code}")
    text = tab.inner_text("main")
    for words in ("so far", kind.title, "Not worked out", "not filed forms"):
        assert words in text
    assert ("Results of margin positions" in text) == (jurisdiction != "JP")
    seen(tab, jurisdiction)
    paper = saved(tab, f"section:has(#h-{code}) a:has-text('PDF')", tmp_path)
    assert "What could not be worked out" in text_of(paper.read_bytes())
    if folder := os.environ.get("SHOTS"):
        (Path(folder) / f"{code}.pdf").write_bytes(paper.read_bytes())
    table = saved(tab, f"section:has(#h-{code}) a:has-text('CSV')", tmp_path)
    rows = list(csv.DictReader(table.open()))
    assert sum(row["section"] == "line" for row in rows) == (2 if jurisdiction != "JP" else 0)
    assert any(row["section"] == "not worked out" for row in rows)
    year = kind.year_of(utc_now().date())
    tab.select_option("#f-year", str(year.number))
    tab.click("button:has-text('Show year')")
    tab.wait_for_url(f"**year={year.number}*")
    tab.wait_for_selector(f"#h-{code}")


def test_an_empty_year_and_one_that_is_none(open_page: Callable[..., Any], site: Site) -> None:
    nobody = site.platform.trader(funds={})
    tab = open_page(PHONE)
    signed_in(tab, nobody, "/account/reports")
    tab.wait_for_selector("text=Nothing to report")
    seen(tab, "empty")
    tab.goto("/account/reports?year=1999")
    tab.wait_for_selector("main [role=alert]")
    assert "There are documents of the years" in tab.inner_text("main [role=alert]")
    # The browser reports the refusal's status as well.
    tab.complaints[:] = [line for line in tab.complaints if "400" not in line]
    seen(tab, "refused")
