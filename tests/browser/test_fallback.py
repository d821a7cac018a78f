"""The fallback app in a real browser: two taps without scripts on a telephone, axe in both themes, no page wider than its screen, and its weight."""

from __future__ import annotations

import gzip
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import TotpDevice
from accounts.services.second_factor import totp_begin
from brokerage.config import BASE_DIR
from brokerage.kernel.clock import utc_now
from tests.browser.conftest import DESK, PHONE, WAIT_MS, Site
from tests.browser.test_axe import RUN, SETTLED
from tests.browser.test_pages import AXE, too_wide
from tests.conftest_engine import PASSWORD, Child, Trader, _wait_http
from tests.ports import free_port
from trading.models import FallbackRequest

TABLET = {"width": 768, "height": 1024}
#: Styles and scripts of the first page, gzipped: what a slow line has to bring.
WEIGHT_MAX = 14 * 1024


@pytest.fixture(scope="module")
def fallback(site: Site) -> Iterator[str]:
    """The process, beside the live platform; its address."""
    port = free_port()
    environment = site.web.environment | {"FALLBACK_PORT": str(port), "FALLBACK_WATCH": site.url}
    command = [
        sys.executable, "-m", "brokerage.serve", "-b", "127.0.0.1", "-p", str(port), "brokerage.asgi_fallback:application",
    ]  # fmt: skip
    child = Child("web-fallback", command, environment, site.web.var)
    url = f"http://127.0.0.1:{port}"
    child.wait_ready = lambda: _wait_http(child, f"{url}/health/live")  # type: ignore[method-assign]
    try:
        child.start()
        yield url
    finally:
        child.stop()


@pytest.fixture(scope="module")
def client(site: Site) -> Trader:
    """Holds ether, has a resting order, and asked the desk before."""
    maker = site.trader(USD="1000000", ETH="100")
    client = site.trader(USD="50000")
    site.order(maker, symbol="ETH-USD", side="sell", price="3001", qty="5")
    site.order(client, symbol="ETH-USD", side="buy", price="3001", qty="0.25", time_in_force="ioc")
    for price in ("2800.10", "2750"):
        site.order(client, symbol="ETH-USD", side="buy", price=price, qty="0.125")
    site.platform.settle()
    now = utc_now()
    for number, (state, message) in enumerate(
        [
            ("received", ""),
            ("done", "Closed 0.100 of 0.100 ETH-USD at 3000.00 on average."),
            ("refused", "The market is halted until tomorrow."),
        ]
    ):
        decided = {"decided_at": now} if state != "received" else {}
        FallbackRequest.objects.create(
            account=client.account, requested_by=client.user, key=f"old{number}", uid=str(number) * 26, kind="close", core_instrument=2,
            side=2, qty=10, state=state, message=message, created_at=now, **decided,
        )  # fmt: skip
    return client


def enter(tab: Any, url: str, trader: Trader) -> None:
    tab.goto(f"{url}/signin")
    tab.fill("input[name=email]", trader.user.email)
    tab.fill("input[name=password]", PASSWORD)
    tab.click("main button[type=submit]")
    tab.wait_for_url(f"{url}/")


def test_two_taps_on_a_telephone_without_scripts(chromium: Any, site: Site, fallback: str, client: Trader) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, java_script_enabled=False)
    context.set_default_timeout(WAIT_MS)
    tab = context.new_page()
    try:
        enter(tab, fallback, client)
        for first in ("Request cancel", "Request close"):
            tab.goto(fallback)
            tab.get_by_role("link", name=first).first.tap()
            tab.get_by_role("button", name="Send the request").tap()
            tab.wait_for_url(f"{fallback}/requests*")
            assert "is with the desk" in tab.content()
        assert FallbackRequest.objects.filter(account=client.account, state="received").count() >= 2
        tab.get_by_role("button", name="Withdraw").first.tap()
        tab.get_by_text("is withdrawn").wait_for()
        tab.get_by_role("button", name="Sign out").tap()
        tab.get_by_text("You are signed out").wait_for()
        tab.goto(fallback)
        assert tab.url.startswith(f"{fallback}/signin")
    finally:
        context.close()


def test_axe_finds_nothing_and_nothing_is_too_wide(chromium: Any, site: Site, fallback: str, client: Trader) -> None:
    order = site.orders(client, "open")[0]["order_id"]
    source, found, wide = AXE.read_text(), [], {}
    context = chromium.new_context(viewport=DESK, reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" and "404" not in m.text else None)
    try:
        paths = ["/signin", "/", "/requests", f"/cancel/{order}", "/close/ETH-USD", "/no-such-page"]
        for path in paths:
            if path == "/":
                enter(tab, fallback, client)
            tab.goto(fallback + path)
            tab.evaluate(source)
            for size in (DESK, TABLET, PHONE):
                tab.set_viewport_size(size)
                for scheme in ("light", "dark"):
                    tab.emulate_media(color_scheme=scheme)
                    tab.evaluate(SETTLED)
                    found += [f"{path} {scheme} {row['id']}: {row['html']}" for row in tab.evaluate(RUN, None)]
                    if os.environ.get("SHOTS"):
                        name = f"fallback{path.replace('/', '-')}-{size['width']}-{scheme}.png"
                        tab.screenshot(path=f"{os.environ['SHOTS']}/{name}", full_page=True)
                if (beyond := tab.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
                    wide[f"{path} {size['width']} scrolls"] = beyond
                if over := too_wide(tab):
                    wide[f"{path} {size['width']}"] = over
        # A telephone's finger: what is tapped is at least 44 pixels high.
        tab.goto(fallback)
        low = tab.evaluate(
            "[...document.querySelectorAll('main .btn, main button')].filter((b) => b.getBoundingClientRect().height < 44).map((b) => b.outerHTML)"
        )
        assert low == []
    finally:
        context.close()
    assert found == [], "\n".join(found)
    assert wide == {}
    assert complaints == []


def test_the_pages_are_light_and_have_no_scripts(chromium: Any, fallback: str, client: Trader) -> None:
    context = chromium.new_context(viewport=PHONE)
    tab = context.new_page()
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    try:
        enter(tab, fallback, client)
        assert "<script" not in tab.content()
        sheets = re.findall(r'href="/static/(css/[a-z]+\.css)"', tab.content())
    finally:
        context.close()
    weight = sum(len(gzip.compress((BASE_DIR / "static" / sheet).read_bytes(), 9)) for sheet in sheets)
    print(f"{weight} bytes of styles gzipped")
    assert len(sheets) == 4
    assert weight <= WEIGHT_MAX
    # Nothing from elsewhere, and no fonts.
    assert all(url.startswith(fallback) for url in asked), asked
    assert not [url for url in asked if url.endswith((".woff2", ".js"))]


def test_a_second_factor_is_asked_for(chromium: Any, fallback: str, site: Site) -> None:
    trader = site.trader(USD="1")
    device = totp_begin(user=trader.user)
    TotpDevice.objects.filter(pk=device.pk).update(confirmed=True)
    context = chromium.new_context(viewport=PHONE, java_script_enabled=False)
    tab = context.new_page()
    try:
        tab.goto(f"{fallback}/signin")
        tab.fill("input[name=email]", trader.user.email)
        tab.fill("input[name=password]", PASSWORD)
        tab.click("main button[type=submit]")
        tab.wait_for_url(f"{fallback}/second-step*")
        assert "Your password was right" in tab.content()
        tab.fill("input[name=code]", "000000")
        tab.click("main button[type=submit]")
        assert "too old, or was used before" in tab.content()
        tab.goto(fallback)
        assert tab.url.startswith(f"{fallback}/signin"), "a password alone opens nothing"
    finally:
        context.close()
