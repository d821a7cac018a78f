"""A trader at work: register, place, see, change, cancel, fill, close; everything without reloading the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Site

SignIn = Callable[..., None]
OPEN = "[data-table=open] tbody tr"
#: A time of today, as rows show it.
CLOCK = re.compile(r"^\d\d:\d\d:\d\d")


@pytest.fixture(scope="module", autouse=True)
def _market(site: Site) -> None:
    """A maker's book in ETH-USD and BTC-USD, wide apart, so that prices are known."""
    maker = site.trader(USD="5000000", ETH="500", BTC="50")
    for step in range(5):
        site.order(maker, symbol="ETH-USD", side="buy", price=str(3000 - step), qty="2")
        site.order(maker, symbol="ETH-USD", side="sell", price=str(3010 + step), qty="2")
    # One trade, so that there is a last price and a reference for the collar.
    taker = site.trader(USD="100000", ETH="5")
    site.order(taker, symbol="ETH-USD", side="buy", price="3010", qty="0.1", time_in_force="ioc")


def limit(page: Any, side: str, qty: str, price: str) -> None:
    """Fill the ticket with a limit order."""
    page.click(f"#ticket label:has(input[name=side][value={side}])")
    page.click("#ticket label:has(input[name=type][value=limit])")
    page.fill("#t-price", price)
    page.fill("#t-qty", qty)


def submit(page: Any) -> None:
    """Press the button once it is on."""
    button = page.locator("#ticket button[type=submit]")
    expect(button).to_be_enabled()
    button.click()


def test_a_visitor_registers_signs_in_and_gets_an_account(page: Any, site: Site) -> None:
    page.goto("/signup")
    page.fill("#id_display_name", "Nora New")
    page.fill("#id_email", "nora@example.test")
    page.fill("#id_password", "short")
    page.select_option("#id_country", "CH")
    page.check("#id_terms")
    page.click("main button[type=submit]")
    # A weak password is refused and what was typed is kept.
    expect(page.locator("#id_password_error").first).to_contain_text("10 characters")
    assert page.input_value("#id_email") == "nora@example.test"
    assert page.input_value("#id_country") == "CH"
    page.complaints.clear()  # the 400 itself
    page.fill("#id_password", "a long and calm sentence")
    page.click("main button[type=submit]")
    page.wait_for_url("**/signup/done")
    assert page.input_value("#id_email") == "nora@example.test"
    page.fill("#id_password", "a long and calm sentence")
    page.click("main button[type=submit]")
    page.wait_for_url(f"{site.url}/")
    expect(page.locator("h1")).to_contain_text("Hello Nora New")


def test_a_limit_order_rests_is_changed_and_cancelled_without_a_reload(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    page.evaluate("window.stayed = true")
    limit(page, "buy", "0.5", "2990")
    expect(page.locator("[data-p=rests]")).to_have_text("0.500")
    expect(page.locator("[data-p=fills]")).to_have_text("nothing")
    expect(page.locator("#ticket button[type=submit]")).to_contain_text("Buy 0.5 ETH @ 2,990.00")
    submit(page)
    expect(page.locator("[data-f=answer]")).to_contain_text("Resting")
    expect(page.locator(OPEN)).to_have_count(1)
    row = page.locator(OPEN)
    expect(row.locator("[data-s=status]")).to_have_text("Open")
    expect(row.locator("[data-s=link] time")).to_have_text(CLOCK)
    expect(page.locator("#ladder button.mine")).to_have_count(1)

    row.locator("[data-act=edit]").click()
    row.locator("input[name=price]").fill("2985")
    row.locator("input[name=price]").press("Enter")
    expect(row.locator("[data-f=price]")).to_have_text("2,985.00")
    row.locator("[data-act=cancel]").click()
    expect(page.locator(OPEN)).to_have_count(0)
    page.click("#tab-closed")
    expect(page.locator("[data-table=closed] tbody tr").first.locator("[data-s=status]")).to_have_text("Cancelled")
    assert page.evaluate("window.stayed") is True
    orders = site.orders(trader)
    assert [(order["status"], order["price"]) for order in orders] == [("canceled", "2985.00")]


def test_a_market_order_fills_and_the_position_and_balance_appear_live(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    page.evaluate("window.stayed = true")
    page.click("#ticket label:has(input[name=type][value=market])")
    page.fill("#t-qty", "0.5")
    expect(page.locator("[data-p=average]")).to_have_text("3,010.00")
    submit(page)
    expect(page.locator("[data-f=answer]")).to_contain_text("Filled")
    page.click("#tab-positions")
    row = page.locator("[data-table=positions] tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator("[data-f=qty]")).to_have_text("+0.500")
    expect(row.locator("[data-f=avg]")).to_have_text("3,010.00")
    page.click("#tab-balances")
    expect(page.locator("[data-table=balances] tr[data-key=ETH] [data-f=total]")).to_contain_text("0.5")
    page.click("#tab-fills")
    expect(page.locator("[data-table=fills] tbody tr")).to_have_count(1)
    expect(page.locator("[data-table=fills] tbody tr time")).to_have_text(CLOCK)
    # Close it again: what will happen is said in numbers before.
    page.click("#tab-positions")
    row.locator("[data-act=close]").click()
    expect(page.locator("#confirm")).to_contain_text("Sells 0.5 ETH-USD at market")
    page.click("#confirm button[value=yes]")
    expect(row).to_have_count(0)
    assert page.evaluate("window.stayed") is True
    assert [order["status"] for order in site.orders(trader)] == ["filled", "filled"]


def test_a_double_click_places_one_order(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    limit(page, "buy", "0.1", "2991")
    button = page.locator("#ticket button[type=submit]")
    expect(button).to_be_enabled()
    button.dblclick()
    page.keyboard.press("Enter")
    expect(page.locator("[data-f=answer]")).to_contain_text("Resting")
    assert len(site.orders(trader)) == 1


def test_a_lost_answer_is_not_a_second_order(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    limit(page, "buy", "0.1", "2992")
    lost = {"count": 0}

    def swallow(route: Any) -> None:
        # The order reaches the platform; its answer never reaches the page.
        lost["count"] += 1
        route.fetch()
        route.abort("connectionreset")

    page.route("**/api/v1/orders", swallow)
    submit(page)
    expect(page.locator("[data-f=answer]")).to_contain_text("cannot be placed twice")
    page.unroute("**/api/v1/orders", swallow)
    page.complaints.clear()  # the aborted request
    submit(page)
    expect(page.locator("[data-f=answer]")).to_contain_text("Resting")
    assert lost["count"] == 1
    assert len(site.orders(trader)) == 1


def test_a_refusal_names_the_number_needed_before_and_after_sending(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="100")
    sign_in(page, trader, "/trade/ETH-USD")
    limit(page, "buy", "1", "2990")
    expect(page.locator("[data-f=would]")).to_contain_text("Would be refused")
    expect(page.locator("[data-f=would]")).to_contain_text("available 100")
    submit(page)
    expect(page.locator("[data-f=answer]")).to_contain_text("Not placed")
    expect(page.locator("[data-f=answer]")).to_contain_text("available 100")
    page.complaints.clear()  # the 422 itself
    # It is in the history with its reason.
    page.click("#tab-closed")
    expect(page.locator("[data-table=closed] [data-s=status]").first).to_have_text("Refused")
    page.locator("[data-table=closed] [data-s=link]").first.click()
    expect(page.locator("main")).to_contain_text("Insufficient funds")
    expect(page.locator("main")).to_contain_text("4001")


def test_bad_numbers_are_named_at_the_field_and_nothing_is_sent(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.url) if r.method == "POST" and r.url.endswith("/orders") else None)
    for qty, price, words in (
        ("0.0005", "2990", "multiple of 0.001"),
        ("1", "2990.005", "multiple of 0.01"),
        ("abc", "2990", "Enter a quantity"),
        ("0", "2990", "above zero"),
    ):
        limit(page, "buy", qty, price)
        expect(page.locator("#t-problem")).to_contain_text(words)
        expect(page.locator("#ticket button[type=submit]")).to_be_disabled()
    assert sent == []


def test_the_book_moves_and_a_click_takes_its_price(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    other = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    best = page.locator("[data-side=bids] button").first
    expect(best).to_be_enabled()
    order = site.order(other, symbol="ETH-USD", side="buy", price="3005", qty="0.3")
    expect(best.locator("span").first).to_have_text("3,005.00")
    best.click()
    assert page.input_value("#t-price") == "3005.00"
    assert other.api("DELETE", f"orders/{order['order_id']}").status_code == 200
    expect(best.locator("span").first).to_have_text("3,000.00")


def test_a_fill_from_elsewhere_arrives_on_the_page(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    seller = site.trader(ETH="5")
    sign_in(page, trader, "/trade/ETH-USD")
    limit(page, "buy", "0.4", "3004")
    submit(page)
    expect(page.locator(OPEN)).to_have_count(1)
    site.order(seller, symbol="ETH-USD", side="sell", price="3004", qty="0.1", time_in_force="ioc")
    expect(page.locator(OPEN).locator("[data-s=status]")).to_have_text("Part filled")
    expect(page.locator(OPEN).locator("[data-f=filled]")).to_have_text("0.100")
    site.order(seller, symbol="ETH-USD", side="sell", price="3004", qty="0.3", time_in_force="ioc")
    expect(page.locator(OPEN)).to_have_count(0)
    expect(page.locator("#tape tbody tr").first).to_contain_text("3,004.00")


def test_cancel_all_says_what_it_will_do(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    for price in ("2901", "2902", "2903"):
        site.order(trader, symbol="ETH-USD", side="buy", price=price, qty="0.1")
    site.platform.settle()
    sign_in(page, trader, "/trade/ETH-USD")
    expect(page.locator(OPEN)).to_have_count(3)
    page.click("[data-act=cancel-all]")
    expect(page.locator("#confirm")).to_contain_text("Cancels 3 orders")
    expect(page.locator("#confirm")).to_contain_text("USD")
    page.click("#confirm button[value=yes]")
    expect(page.locator(OPEN)).to_have_count(0)
    assert site.orders(trader, "open") == []


def test_the_socket_drops_and_resumes_with_nothing_missed(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    expect(page.locator("[data-private-state]")).to_have_text("")
    page.wait_for_timeout(500)
    page.evaluate("window.stayed = true")
    page.context.set_offline(True)
    page.evaluate("dispatchEvent(new Event('offline'))")
    expect(page.locator("#conn-strip")).to_be_visible()
    expect(page.locator("#conn-strip")).to_contain_text("Reconnecting. Prices are from")
    # Meanwhile, elsewhere, the same trader places an order.
    order = site.order(trader, symbol="ETH-USD", side="buy", price="2950", qty="0.2")
    site.platform.settle()
    page.context.set_offline(False)
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator(f"{OPEN}[data-key='{order['order_id']}']")).to_be_visible(timeout=20_000)
    expect(page.locator("#conn-strip")).to_be_hidden()
    assert page.evaluate("window.stayed") is True
    page.complaints.clear()  # the refused connections


def test_the_keyboard_alone_places_an_order(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("ether")
    expect(page.locator("#search-list li").first).to_contain_text("ETH-USD")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.locator("input[name=side][value=sell]")).to_be_checked()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    expect(page.locator("#t-qty")).to_be_focused()
    page.keyboard.type("0.2")
    page.focus("#t-price")
    page.keyboard.type("2960")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#t-price") == "2960.01"
    expect(page.locator("#ticket button[type=submit]")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.locator("[data-f=answer]")).to_contain_text("Resting")
    assert [order["price"] for order in site.orders(trader, "open")] == ["2960.01"]


def test_a_phone_opens_the_ticket_as_a_sheet_and_trades(
    open_page: Callable[..., Any], site: Site, sign_in: SignIn
) -> None:
    trader = site.trader(USD="10000")
    page = open_page(PHONE)
    sign_in(page, trader, "/trade/ETH-USD")
    page.click("[data-sheet=buy]")
    expect(page.locator("#ticket-pane")).to_have_attribute("role", "dialog")
    page.fill("#t-price", "2970")
    page.fill("#t-qty", "0.1")
    submit(page)
    expect(page.locator("[data-f=answer]")).to_contain_text("Resting")
    page.click("[data-sheet-close]")
    page.click("[data-tab-to=orders]")
    expect(page.locator(OPEN)).to_be_visible()


def test_amounts_in_money_become_whole_lots(page: Any, site: Site, sign_in: SignIn) -> None:
    trader = site.trader(USD="10000")
    sign_in(page, trader, "/trade/ETH-USD")
    page.click("#ticket label:has(input[name=size_in][value=notional])")
    page.fill("#t-price", "2990")
    page.fill("#t-notional", "1000")
    # 1000 / 2990 = 0.33444…, down to the lot of 0.001.
    expect(page.locator("#ticket button[type=submit]")).to_contain_text("Buy 0.334 ETH @ 2,990.00")
