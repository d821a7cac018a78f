"""Every page: no horizontal scroll, no serious accessibility finding, themes, preferences, weight of the scripts, error pages."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Site, node
from tests.conftest_engine import ROOT, Trader

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SCRIPT_BUDGET = 250 * 1024
PUBLIC = (
    "/",
    "/markets",
    "/trade/ETH-USD",
    "/trade/ETH-USD/candles?frame=1m",
    "/signin",
    "/signup",
    "/about",
    "/status",
)
PRIVATE = (
    "/",
    "/trade/ETH-USD",
    "/orders",
    "/orders?view=all",
    "/orders?view=fills",
    "/portfolio",
    "/account/ledger",
    "/account/statements",
    "/account/reports",
    "/profile",
)


@pytest.fixture(scope="module")
def client_of_all(site: Site) -> Trader:
    """A trader who has something on every page: an open order, a refused one, fills, a position."""
    maker = site.trader(USD="1000000", ETH="100")
    trader = site.trader(USD="50000", ETH="2")
    site.order(maker, symbol="ETH-USD", side="buy", price="2999", qty="5")
    site.order(maker, symbol="ETH-USD", side="sell", price="3001", qty="5")
    site.order(trader, symbol="ETH-USD", side="buy", price="3001", qty="0.25", time_in_force="ioc")
    site.order(trader, symbol="ETH-USD", side="sell", price="3333.33", qty="0.125", post_only=True)
    site.order(maker, symbol="US500", side="sell", price="2500", qty="10")
    site.order(trader, symbol="US500", side="buy", price="2500", qty="1", time_in_force="ioc")
    refused = trader.api(
        "POST", "orders", {"symbol": "ETH-USD", "side": "buy", "type": "limit", "price": "3000", "qty": "900"}
    )
    assert refused.status_code == 422
    site.platform.settle()
    return trader


def too_wide(tab: Any) -> list[str]:
    """What sticks out of the page, empty when nothing does."""
    return tab.evaluate(
        """() => {
        const wide = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= wide) return [];
        return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > wide + 1)
            .slice(0, 5).map((e) => e.tagName + '.' + e.className);
        }"""
    )


def findings(tab: Any) -> list[str]:
    """Serious and critical findings of axe-core."""
    # Through the debugging interface, because the page's own policy rightly refuses foreign scripts.
    tab.evaluate(AXE.read_text())
    result = tab.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{tab.url} {row['id']}: {row['nodes'][0]['html'][:160]} {row['nodes'][0].get('failureSummary', '')[:200]}"
        for row in result["violations"]
        if row["impact"] in {"serious", "critical"}
    ]


def test_no_page_scrolls_sideways_on_a_phone(
    open_page: Callable[..., Any], site: Site, client_of_all: Trader, sign_in: Callable[..., None]
) -> None:
    tab = open_page(PHONE)
    wide = {}
    for path in PUBLIC:
        tab.goto(path)
        wide[path] = too_wide(tab)
    sign_in(tab, client_of_all)
    order = site.orders(client_of_all)[0]["order_id"]
    for path in (*PRIVATE, f"/orders/{order}"):
        tab.goto(path)
        tab.wait_for_timeout(300)
        wide[f"{path} signed in"] = too_wide(tab)
    assert not any(wide.values()), {path: found for path, found in wide.items() if found}


def test_axe_has_no_serious_findings_in_the_sheet_of_a_phone(
    open_page: Callable[..., Any], client_of_all: Trader, sign_in: Callable[..., None]
) -> None:
    tab = open_page(PHONE)
    sign_in(tab, client_of_all, "/trade/ETH-USD")
    tab.click("[data-sheet=buy]")
    found = findings(tab)
    assert not found, "\n".join(found)


def test_theme_density_and_hidden_amounts_are_kept(
    page: Any, client_of_all: Trader, sign_in: Callable[..., None]
) -> None:
    sign_in(page, client_of_all, "/profile")
    page.click("main [data-set-theme=dark]")
    page.click("main [data-set-density=compact]")
    page.click("main [data-toggle-hide]")
    page.goto("/portfolio")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    expect(root).to_have_attribute("data-density", "compact")
    expect(root).to_have_attribute("data-hide", "1")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    hidden = page.locator("[data-t=total]").evaluate("(e) => getComputedStyle(e).color")
    assert hidden == "rgba(0, 0, 0, 0)"


def test_the_scripts_of_the_workspace_stay_within_their_budget(page: Any) -> None:
    loaded: dict[str, int] = {}
    page.on(
        "response",
        lambda answer: (
            loaded.update({answer.url: len(gzip.compress(answer.body(), 6))})
            if answer.request.resource_type == "script"
            else None
        ),
    )
    page.goto("/trade/ETH-USD")
    page.wait_for_timeout(500)
    total = sum(loaded.values())
    assert any("lightweight-charts" in url for url in loaded)
    assert total <= SCRIPT_BUDGET, (total, loaded)


def test_nothing_on_a_page_comes_from_elsewhere(page: Any, site: Site) -> None:
    elsewhere: list[str] = []
    page.on("request", lambda r: elsewhere.append(r.url) if not r.url.startswith((site.url, "data:")) else None)
    for path in ("/", "/trade/ETH-USD", "/api/docs"):
        page.goto(path)
        page.wait_for_timeout(300)
    assert elsewhere == []
    page.complaints.clear()  # the documentation's own scripts are another house's


def test_a_page_that_is_not_there_says_so_with_a_request_id(page: Any) -> None:
    answer = page.goto("/orders-that-are-not")
    assert answer.status == 404
    expect(page.locator("h1")).to_have_text("There is no such page")
    shown = page.locator("main .mono").inner_text()
    assert shown == answer.headers["x-request-id"]
    page.complaints.clear()


def test_strangers_orders_and_accounts_are_not_there(
    page: Any, site: Site, client_of_all: Trader, sign_in: Callable[..., None]
) -> None:
    order = site.orders(client_of_all)[0]["order_id"]
    stranger = site.trader()
    sign_in(page, stranger)
    assert page.goto(f"/orders/{order}").status == 404
    assert page.goto(f"/portfolio?account={client_of_all.account.number}").status == 404
    page.complaints.clear()


def test_filters_and_pages_of_orders(
    page: Any, site: Site, client_of_all: Trader, sign_in: Callable[..., None]
) -> None:
    sign_in(page, client_of_all, "/orders")
    page.goto("/orders?view=all")
    everything = page.locator("table tbody tr").count()
    page.goto("/orders?view=all&symbol=US500")
    assert 0 < page.locator("table tbody tr").count() < everything
    page.goto("/orders?view=all&from=2999-01-01")
    expect(page.locator(".empty b:visible")).to_have_text("No orders here")
    with page.expect_download() as download:
        page.goto("/orders?view=fills")
        page.click("a[download]")
    text = Path(download.value.path()).read_text()
    assert text.splitlines()[0].startswith("exec_id,order_id,account,symbol")
    assert len(text.splitlines()) == 3


def test_decimals_and_formats_agree_with_the_server() -> None:
    """The page's exact decimals against Python's, and its formats against the template filters."""
    from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

    from brokerage.platform.templatetags import portal

    numbers = [
        "0",
        "1",
        "-1",
        "0.5",
        "-0.5",
        "1.5",
        "2.5",
        "-2.5",
        "64012.505",
        "-1204.005",
        "0.00000001",
        "999999999999999999.999999",
    ]
    modes = {"down": ROUND_DOWN, "floor": ROUND_FLOOR, "ceil": ROUND_CEILING, "half_even": ROUND_HALF_EVEN}
    cases = [[n, d, mode] for n in numbers for d in (0, 2, 5) for mode in modes]
    script = f"""
        const decimal = await import({json.dumps((ROOT / "static/js/decimal.js").as_uri())});
        const source = await (await import("node:fs/promises")).readFile({json.dumps(str(ROOT / "static/js/format.js"))}, "utf8");
        const text = source.replace('"portal/decimal"', JSON.stringify({json.dumps((ROOT / "static/js/decimal.js").as_uri())}));
        globalThis.document = {{ documentElement: {{ dataset: {{}} }} }};
        const format = await import("data:text/javascript;base64," + Buffer.from(text).toString("base64"));
        const cases = {json.dumps(cases)};
        const numbers = {json.dumps([*numbers, None])};
        console.log(JSON.stringify({{
            rounded: cases.map(([n, d, mode]) => decimal.text(decimal.round(decimal.parse(n), d, mode))),
            divided: cases.map(([n, d, mode]) => decimal.text(decimal.div(decimal.parse(n), decimal.parse("3.7"), d, mode))),
            plain: numbers.map((n) => format.number(n)),
            fixed: numbers.map((n) => format.number(n, {{ decimals: 2 }})),
            money: numbers.map((n) => format.number(n, {{ decimals: 2, mode: "floor" }})),
            signed: numbers.map((n) => format.signed(n, {{ decimals: 2 }})),
            percent: numbers.map((n) => format.percent(n)),
            bad: ["", "1e5", "NaN", "0x1", "1.2.3", "--1", "9".repeat(60)].map((n) => decimal.parse(n)),
        }}));
    """
    answer = subprocess.run(
        [node(), "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=30
    )
    found = json.loads(answer.stdout)

    def plain(value: Decimal, places: int) -> str:
        text = f"{value:.{places}f}"
        return text[1:] if text.startswith("-") and not re.search("[1-9]", text) else text

    wide = [plain(Decimal(n).quantize(Decimal(1).scaleb(-d), rounding=modes[mode]), d) for n, d, mode in cases]
    assert found["rounded"] == wide
    exact = [
        plain((Decimal(n) / Decimal("3.7")).quantize(Decimal(1).scaleb(-d), rounding=modes[mode]), d)
        for n, d, mode in cases
    ]
    assert found["divided"] == exact
    shown = [*numbers, None]
    assert found["plain"] == [portal.num(n) for n in shown]
    assert found["fixed"] == [portal.num(n, 2) for n in shown]
    assert found["money"] == [portal.money(n, 2) for n in shown]
    assert found["signed"] == [portal.signed(n, 2) for n in shown]
    assert found["percent"] == [portal.pct(n) for n in shown]
    assert found["bad"] == [None] * 7


def test_the_book_applies_deltas_and_asks_again_after_a_gap() -> None:
    """The state of a book without a page: snapshot, delta, removal, a delta that does not follow."""
    source = (ROOT / "static/js/book.js").read_text()
    decimal = (ROOT / "static/js/decimal.js").as_uri()
    # Only the pure class is of interest here; what draws is left out with its imports.
    pure = source[source.index("/** Price text") : source.index("export class Ladder")]
    script = f"""
        const text = `import {{ add, parse, pow10, ZERO }} from {json.dumps(decimal)};\n` + {json.dumps(pure)};
        const {{ BookState }} = await import("data:text/javascript;base64," + Buffer.from(text).toString("base64"));
        const book = new BookState(2);
        const out = [];
        out.push(book.apply({{ prev: null, seq: "5", epoch: 1, bids: [["10.00", "1"], ["9.50", "2"]], asks: [["10.50", "3"], ["100.00", "1"]] }}));
        out.push(book.apply({{ prev: "5", seq: "6", epoch: 1, bids: [["10.25", "4"], ["9.50", "0"]], asks: [] }}));
        out.push(book.top("bids", 5).map((l) => l.price));
        out.push(book.top("asks", 5).map((l) => l.price));
        out.push(book.apply({{ prev: "8", seq: "9", epoch: 1, bids: [["1.00", "1"]], asks: [] }}));
        out.push(book.apply({{ prev: "6", seq: "7", epoch: 2, bids: [["1.00", "1"]], asks: [] }}));
        out.push(book.top("bids", 5).length);
        console.log(JSON.stringify(out));
    """
    answer = subprocess.run(
        [node(), "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(answer.stdout) == [True, True, ["10.25", "10.00"], ["10.50", "100.00"], False, False, 2]
