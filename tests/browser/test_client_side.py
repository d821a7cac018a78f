"""What stays in the browser, what goes when a session ends, and what names from outside can do to the page's scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site
from tests.conftest_engine import Trader

SignIn = Callable[..., None]
#: All that a browser keeps of ours: how pages look, who is signed in, the form's token, the mark of a known browser.
COOKIES = {"theme", "density", "hide", "zone", "symbol", "sessionid", "csrftoken", "device"}
#: Cookies that scripts can read hold one of these and nothing about the client.
READABLE = {
    "theme": {"system", "light", "dark"},
    "density": {"comfortable", "compact"},
    "hide": {"0", "1"},
    # Where /trade begins the next time.
    "symbol": {"ETH-USD"},
}
STORED = """async () => ({
    local: Object.keys(localStorage), session: Object.keys(sessionStorage),
    databases: (await indexedDB.databases()).map((d) => d.name), caches: await caches.keys(),
    workers: (await navigator.serviceWorker.getRegistrations()).length, readable: document.cookie,
    files: await (async () => {
        const names = [];
        for await (const name of (await navigator.storage.getDirectory()).keys()) names.push(name);
        return names;
    })(),
})"""


@pytest.fixture(scope="module")
def trader(site: Site) -> Trader:
    maker = site.trader(USD="1000000", ETH="100")
    for step in range(3):
        site.order(maker, symbol="ETH-USD", side="buy", price=str(3000 - step), qty="2")
        site.order(maker, symbol="ETH-USD", side="sell", price=str(3010 + step), qty="2")
    client = site.trader(USD="54321.09", ETH="5")
    site.order(client, symbol="ETH-USD", side="buy", price="3010", qty="0.1", time_in_force="ioc")
    site.order(client, symbol="ETH-USD", side="buy", price="2500", qty="0.5")
    site.orders(client)
    return client


def test_the_browser_keeps_settings_and_nothing_about_the_client(
    page: Any, site: Site, trader: Trader, sign_in: SignIn
) -> None:
    sign_in(page, trader, "/portfolio")
    order = site.orders(trader)[0]["order_id"]
    page.click("[data-set-theme=dark]") if page.locator("[data-set-theme=dark]").first.is_visible() else None
    page.evaluate("document.querySelector('[data-toggle-hide]')?.click()")
    page.evaluate("document.querySelector('[data-set-density=compact]')?.click()")
    for path in ("/", "/trade/ETH-USD", "/markets", "/orders", f"/orders/{order}", "/portfolio", "/account/ledger",
                 "/account/limits", "/profile", "/security", "/onboarding", "/developers"):  # fmt: skip
        page.goto(path)
        page.wait_for_timeout(300)
        found = page.evaluate(STORED)
        readable = dict(part.split("=", 1) for part in found.pop("readable").split("; "))
        assert not any(found.values()), (path, found)
        for name, value in readable.items():
            assert name in {*READABLE, "zone", "csrftoken"}, (path, name)
            assert value in READABLE.get(name, {value}), (path, name, value)
    kept = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert set(kept) <= COOKIES
    assert kept["sessionid"]["httpOnly"]
    assert kept["device"]["httpOnly"]


def test_after_signing_out_neither_the_way_back_nor_another_tab_shows_the_account(
    page: Any, trader: Trader, sign_in: SignIn
) -> None:
    sign_in(page, trader, "/portfolio")
    balances = page.locator("[data-table=balances]")
    expect(balances).to_be_visible()
    other = page.context.new_page()
    other.goto("/portfolio")
    expect(other.locator("[data-table=balances]")).to_be_visible()
    # The private stream is up: its end is what tells the tab.
    expect(other.locator("[data-conn-word]").first).to_have_text("Live")
    page.goto("/profile")
    page.evaluate("() => { localStorage.left = 'something'; document.cookie = 'theme=dark; path=/'; }")
    with page.expect_response("**/signout") as answer:
        page.evaluate("document.querySelector('form[action=\"/signout\"]').requestSubmit()")
    assert answer.value.status == 302
    assert answer.value.header_value("clear-site-data") == '"cache", "storage"'
    page.wait_for_url("**/signin")
    assert page.evaluate("Object.keys(localStorage)") == []
    assert "theme=dark" in page.evaluate("document.cookie"), "settings stay"
    other.wait_for_url("**/signin**")
    expect(other.locator("[data-table=balances]")).to_have_count(0)
    for _ in range(2):
        page.go_back()
        page.wait_for_timeout(300)
        assert page.locator("[data-table=balances]").count() == 0
        assert "54,321" not in page.content()
    page.complaints.clear()  # the 401 by which the other tab learnt of it


#: Names that reach a prototype when an object is used as a dictionary, as keys and as values.
NAMES = ("__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf")
#: What every realm has: own names of the built-in prototypes and whether something planted shows up on a new object.
WATCH = """() => {
    const seen = {};
    for (const kind of [Object, Array, Function, String, Number, Map, Set, Promise, Element, Event]) {
        seen[kind.name] = Object.getOwnPropertyNames(kind).concat("|", Object.getOwnPropertyNames(kind.prototype)).join();
        seen[`${kind.name} of`] = String(Object.getPrototypeOf(kind.prototype) === null || Object.getPrototypeOf(kind.prototype).constructor.name);
    }
    seen.planted = String(({}).polluted) + String([].polluted) + String((() => 0).polluted);
    return JSON.stringify(seen);
}"""
FEED = Path(__file__).with_name("prototype_feed.js").read_text()


def test_names_from_outside_reach_no_prototype(page: Any, trader: Trader, sign_in: SignIn) -> None:
    sign_in(page, trader, "/trade/ETH-USD")
    page.wait_for_function("async () => (await import('portal/socket')).market.state === 'live'")
    before = page.evaluate(WATCH)
    assert page.evaluate(FEED, [list(NAMES)]) == []
    assert page.evaluate(WATCH) == before
    # Settings: what a cookie or an attribute says is a word of the page's lists or nothing.
    for name in NAMES:
        page.evaluate(
            "(name) => { for (const c of ['theme', 'density', 'hide', 'zone']) document.cookie = `${c}=${name}; path=/`; }",
            name,
        )
        page.goto("/trade/ETH-USD")
        assert page.evaluate("document.documentElement.dataset.theme") == "system"
        assert page.evaluate(WATCH) == before, name
    # What the messages themselves break on the page (a side that is none) is not the question here.
    page.complaints.clear()


def test_the_watch_sees_what_is_planted(page: Any) -> None:
    """The comparison above would notice: a careless merge does what the messages ask for."""
    page.goto("/markets")
    before = page.evaluate(WATCH)
    payload = json.dumps({"a": 1})[:-1] + ', "__proto__": {"polluted": "yes"}}'
    page.evaluate(
        """(text) => {
            const merge = (into, from) => { for (const key of Object.keys(from)) {
                if (typeof from[key] === "object") merge(into[key] ??= {}, from[key]); else into[key] = from[key]; } };
            merge({}, JSON.parse(text));
        }""",
        payload,
    )
    assert page.evaluate(WATCH) != before
