"""Statements in a real Chromium: month and own days chosen, files saved, a refusal and an empty period that say so; on a phone too."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from brokerage.kernel.clock import utc_now
from brokerage.platform.tests.pdf_reader import text_of
from tests.browser.conftest import DESK, PHONE, Site
from tests.browser.test_pages import findings, too_wide
from tests.conftest_engine import PASSWORD, Trader


def active(site: Site) -> Trader:
    """A client with trades, a holding, an open currency position and an order."""
    maker = site.trader(USD="1000000", ETH="100")
    trader = site.trader(USD="50000")
    for symbol, qty, price in (("ETH-USD", "1.5", "3000"), ("EUR-USD", "3000", "1.085")):
        site.order(maker, symbol=symbol, side="sell", qty=qty, price=price)
        site.order(trader, symbol=symbol, side="buy", qty=qty, price=price)
    site.order(trader, symbol="ETH-USD", side="sell", qty="0.5", price="3300")
    site.platform.settle()
    return trader


def seen(tab: Any, name: str) -> None:
    """Nothing is wider than the window; with SHOTS a picture of it is kept, light and dark."""
    folder = os.environ.get("SHOTS")
    for size in (DESK, PHONE):
        tab.set_viewport_size(size)
        assert too_wide(tab) == []
        assert findings(tab) == []
        for scheme in ("light", "dark") if folder else ():
            tab.emulate_media(color_scheme=scheme)
            tab.screenshot(path=f"{folder}/statements-{name}-{size['width']}-{scheme}.png", full_page=True)
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size(DESK)


def saved(tab: Any, link: str, folder: Path) -> Path:
    with tab.expect_download() as waiting:
        tab.click(link)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_a_month_is_chosen_looked_at_and_saved(open_page: Callable[..., Any], site: Site, tmp_path: Path) -> None:
    trader, today = active(site), utc_now().date()
    tab = open_page(accept_downloads=True)
    tab.goto("/signin?next=/account/ledger")
    tab.fill("#id_email", trader.user.email)
    tab.fill("#id_password", PASSWORD)
    tab.click("main button[type=submit]")
    tab.wait_for_url("**/account/ledger")
    tab.click("main a:has-text('Statements')")
    tab.wait_for_selector("text=From the opening to the closing balance")
    text = tab.inner_text("main")
    for words in ("So far.", "Opening balance", "Closing balance", "Holdings at the end", "EUR-USD", "Margin held"):
        assert words in text
    seen(tab, "month")
    paper = saved(tab, "main a:has-text('PDF')", tmp_path)
    assert f"Statement of account {trader.account.number}" in text_of(paper.read_bytes())
    table = saved(tab, "main a:has-text('CSV')", tmp_path)
    assert sum(row["section"] == "trade" for row in csv.DictReader(table.open())) == 2
    tab.select_option("#f-month", f"{today:%Y-%m}")
    tab.click("button:has-text('Show month')")
    tab.wait_for_url(f"**month={today:%Y-%m}*")
    tab.wait_for_selector("text=Closing balance")
    # Own days: none of them, then days before the account.
    tab.fill("#f-first", str(today))
    tab.fill("#f-last", str(today - timedelta(days=1)))
    tab.evaluate("for (const one of document.querySelectorAll('form')) one.noValidate = true")
    tab.click("button:has-text('Show days')")
    tab.wait_for_selector("main [role=alert]")
    assert "no day in it" in tab.inner_text("main [role=alert]")
    assert tab.input_value("#f-first") == str(today)
    # The browser reports the refusal's status as well.
    tab.complaints[:] = [line for line in tab.complaints if "400" not in line]
    seen(tab, "refused")
    tab.set_viewport_size(PHONE)
    tab.fill("#f-last", str(today))
    tab.click("button:has-text('Show days')")
    tab.wait_for_selector("text=Closing balance")


def test_an_account_without_anything_says_so(open_page: Callable[..., Any], site: Site) -> None:
    nobody = site.platform.trader(funds={})
    tab = open_page(PHONE)
    tab.goto("/signin?next=/account/statements")
    tab.fill("#id_email", nobody.user.email)
    tab.fill("#id_password", PASSWORD)
    tab.click("main button[type=submit]")
    tab.wait_for_selector("text=Nothing in this period")
    seen(tab, "empty")
