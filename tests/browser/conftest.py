"""A real Chromium on the whole live platform: engine, projector, market data, runners and web server.

``site`` is the platform with makers of traders and of liquidity; ``page`` is a fresh tab that fails its test when the page's scripts throw or
the browser reports an error. Without a Chromium on the machine the browser tests are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings

from tests import conftest_engine
from tests.conftest_engine import PASSWORD, Child, LivePlatform, LiveWeb, Trader
from tests.screenshots import CHROMIUM_ARGS, find_chromium

# Playwright's synchronous interface runs a loop in this thread, which Django takes for a reason to refuse its database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}
WAIT_MS = 30_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)


@dataclass
class Site:
    """The platform as the browser sees it."""

    url: str
    platform: LivePlatform
    market: Child
    web: Child

    def trader(self, **funds: str) -> Trader:
        """Open a user with money."""
        return self.platform.trader(funds=funds or None)

    def order(self, trader: Trader, **fields: Any) -> dict[str, Any]:
        """Place an order through the API; it must be accepted."""
        answer = trader.api("POST", "orders", {"type": "limit", "time_in_force": "gtc", **fields})
        assert answer.status_code in {200, 201}, answer.content
        return answer.json()

    def orders(self, trader: Trader, status: str = "all") -> list[dict[str, Any]]:
        """The trader's orders, once the projection holds all that was done."""
        self.platform.settle()
        answer = trader.api("GET", f"orders?status={status}")
        assert answer.status_code == 200, (answer.content, dict(answer.headers))
        return answer.json()["results"]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """One browser for the browser tests, gone before others begin: its driver keeps an event loop running in this thread."""
    from playwright.sync_api import expect, sync_playwright

    # How long is waited for what will come says nothing of a page's speed: the machine may be doing other work.
    expect.set_options(timeout=WAIT_MS)

    try:
        path = find_chromium()
    except SystemExit as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def partners() -> str:
    """Who may show our frames, as EMBED_PARTNERS says it."""
    return "beta=https://beta.example"


@pytest.fixture(scope="module")
def live_web(live_platform: LivePlatform, live_database: str, partners: str) -> Iterator[LiveWeb]:
    """The web server, with partners on its list."""
    live_platform.engine.environment["EMBED_PARTNERS"] = partners
    try:
        yield from conftest_engine.live_web.__wrapped__(live_platform, live_database)  # type: ignore[attr-defined]
    finally:
        live_platform.engine.environment.pop("EMBED_PARTNERS")


def _child(name: str, site: LiveWeb) -> Child:
    environment = site.child.environment
    return Child(name, [sys.executable, "manage.py", f"run_{name}"], environment, site.child.var)


@pytest.fixture(scope="module")
def site(live_platform: LivePlatform, live_web: LiveWeb) -> Iterator[Site]:
    """The platform with market data and runners."""
    market, runners = _child("marketdata", live_web), _child("runners", live_web)
    # One set of budgets is shared in Valkey, so this process must count in the same measure as the web process.
    scale = settings.API_RATE_SCALE
    settings.API_RATE_SCALE = int(live_web.child.environment["RATE_SCALE"])
    try:
        market.start()
        runners.start()
        yield Site(live_web.url, live_platform, market, live_web.child)
    finally:
        market.stop()
        runners.stop()
        settings.API_RATE_SCALE = scale


@pytest.fixture
def open_page(chromium: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Make tabs with a size; what their scripts throw or the browser reports as an error fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def make(size: dict[str, int] | None = None, **options: Any) -> Any:
        size = size or DESK
        context = chromium.new_context(base_url=site.url, viewport=size, has_touch=size == PHONE, **options)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: complaints.append(f"{tab.url}: {error}"))
        tab.on("console", lambda m: complaints.append(f"{tab.url}: {m.text}") if m.type == "error" else None)
        tab.complaints = complaints
        return tab

    yield make
    for context in contexts:
        context.close()
    assert not complaints, complaints


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    """A tab of a desk's size."""
    return open_page()


@pytest.fixture
def sign_in() -> Callable[[Any, Trader], None]:
    """Sign a trader in through the form."""

    def enter(tab: Any, trader: Trader, where: str = "/") -> None:
        tab.goto(f"/signin?next={where}")
        tab.fill("#id_email", trader.user.email)
        tab.fill("#id_password", PASSWORD)
        tab.click("main button[type=submit]")
        tab.wait_for_url(f"**{where}")

    return enter


def node() -> str:
    """Path of a node, for the tests of modules without a page."""
    found = shutil.which("node")
    if not found:
        pytest.skip("node is not installed")
    return found
