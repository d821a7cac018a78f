"""The page for developers in a real Chromium: real requests by session, token and key; the programs it shows are run; streams are watched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from accounts.services.api_keys import api_key_create, api_key_revoke
from tests.browser.conftest import DESK, PHONE, Site
from tests.conftest_engine import PASSWORD, Trader

RESTING = {"symbol": "ETH-USD", "side": "buy", "type": "limit", "qty": "0.1", "price": "1500"}


@pytest.fixture(scope="module")
def trader(site: Site) -> Trader:
    return site.trader(USD="50000", ETH="2")


def opened(tab: Any, operation: str = "") -> Any:
    """The page with its operations drawn, at one of them."""
    tab.goto(f"/developers#{operation}" if operation else "/developers")
    tab.wait_for_selector("#op-list [data-op]")
    return tab


def answer(tab: Any, status: str) -> dict[str, Any]:
    """Send what is filled in; the document that came back."""
    tab.click("#op-send")
    expect(tab.locator("[data-f=status]")).to_contain_text(status)
    return json.loads(tab.inner_text("[data-f=body] code"))


def forget(tab: Any, status: int) -> None:
    """The browser reports refusals it was sent as errors; these are meant."""
    tab.complaints[:] = [line for line in tab.complaints if f"status of {status}" not in line]


def test_every_operation_of_the_schema_is_there_and_found_by_keyboard(page: Any) -> None:
    opened(page)
    schema = page.request.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    wanted = {one["operationId"] for path in schema["paths"].values() for one in path.values() if "operationId" in one}
    drawn = set(page.evaluate("[...document.querySelectorAll('[data-op]')].map((e) => e.dataset.op)"))
    assert drawn == wanted
    # Each has its scope and budget from the policy, but for none.
    rows = json.loads(page.locator("#page-data").text_content())
    methods = {f"{m.upper()} {p}" for p, row in schema["paths"].items() for m in row if m in {"get", "post", "put", "patch", "delete"}}  # fmt: skip
    assert methods == set(rows["operations"])
    page.focus("#op-search")
    page.keyboard.type("book sequence")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.op") == "book_get"
    page.keyboard.press("Enter")
    expect(page.locator("[data-f=op-line]")).to_have_text("GET /api/v1/instruments/{symbol}/book")
    page.fill("#op-search", "nothing like this")
    expect(page.locator("[data-f=op-none]")).to_be_visible()


def test_a_visitor_reads_the_market_and_is_told_how_to_go_on(page: Any) -> None:
    opened(page, "quotes_get")
    assert answer(page, "200")["symbol"] == "BTC-USD"
    expect(page.locator("[data-f=rate]")).to_contain_text("left in this budget")
    names = page.locator("[data-f=headers] th").all_text_contents()
    assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-request-id"} <= set(names)
    opened(page, "orders_list")
    page.reload()
    page.wait_for_selector("#op-list [data-op]")
    assert answer(page, "401")["code"] == 2010
    problem = page.inner_text("[data-f=problem]")
    assert "2010" in problem
    assert "Next step" in problem
    assert "In the table" in problem
    forget(page, 401)


def test_an_order_is_placed_with_the_session_and_once_for_one_key(
    page: Any, site: Site, trader: Trader, sign_in: Callable[..., None]
) -> None:
    sign_in(page, trader, "/developers")
    page.wait_for_selector("#op-list [data-op]")
    before = len(site.orders(trader, "open"))
    for name, value in RESTING.items():
        box = page.locator(f"#in-body-{name}")
        box.select_option(value) if name in {"side", "type"} else box.fill(value)
    assert json.loads(page.input_value("#body-json"))["qty"] == "0.1"
    key = page.input_value("#op-idempotency")
    first = answer(page, "201")
    again = answer(page, "20")
    assert again["order_id"] == first["order_id"]
    assert len(site.orders(trader, "open")) == before + 1
    page.click("#new-key")
    assert page.input_value("#op-idempotency") != key
    page.fill("#body-json", '{"symbol": "ETH-USD", "side": "buy", "type": "limit", "qty": "900", "price": "3000"}')
    refused = answer(page, "422")
    said = page.inner_text("[data-f=problem]")
    assert str(refused["code"]) in said
    assert refused["next_step"] in said
    assert refused["needed"] in said
    page.fill("#body-json", "{not json")
    expect(page.locator("[data-f=body-error]")).to_contain_text("Not JSON")
    answer(page, "400")
    forget(page, 422)
    forget(page, 400)


def run(program: str, how: str, environment: dict[str, str]) -> str:
    command = ["bash", "-c", program] if how == "curl" else [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_key_signs_in_the_page_its_secret_never_leaves_it_and_both_programs_work(
    page: Any, site: Site, trader: Trader
) -> None:
    key, secret = api_key_create(user=trader.user, name="playground", scopes=["read", "trade"])
    sent: list[str] = []
    page.on("request", lambda r: sent.append(f"{r.url} {r.headers} {r.post_data}"))
    opened(page, "orders_place")
    page.click("label:has([name=auth][value=key])")
    page.fill("#auth-key", key.key_id)
    page.fill("#auth-secret", secret)
    page.fill("#body-json", json.dumps({**RESTING, "client_order_id": "it's-mine"}))
    placed = answer(page, "201")
    assert placed["order_id"] in {row["order_id"] for row in site.orders(trader, "open")}
    # With a query whose characters a URL keeps for itself.
    opened(page, "orders_list")
    page.reload()
    page.wait_for_selector("#op-list [data-op]")
    page.click("label:has([name=auth][value=key])")
    page.fill("#auth-key", key.key_id)
    page.fill("#auth-secret", secret)
    page.fill("#in-query-symbol", "ETH-USD")
    page.fill("#in-query-from", "2026-01-01T00:00:00+00:00")
    assert answer(page, "200")["results"][0]["order_id"] == placed["order_id"]
    assert sent
    assert not any(secret in line for line in sent), "the secret was sent"
    assert page.evaluate("JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie").find(secret) < 0
    environment = {"BROKERAGE_SECRET": secret}
    for how in ("curl", "python"):
        page.click(f"#tab-{how}")
        program = page.inner_text(f"#code-{how} code")
        assert secret not in program
        assert placed["order_id"] in run(program, how, environment), how
    # A body with quotes and letters beyond ASCII, as both programs: refused for its value, not for its signature.
    opened(page, "orders_place")
    page.reload()
    page.wait_for_selector("#op-list [data-op]")
    page.click("label:has([name=auth][value=key])")
    page.fill("#auth-key", key.key_id)
    page.fill("#body-json", json.dumps({**RESTING, "symbol": 'it\'s "É😀"'}, ensure_ascii=False))
    for how in ("curl", "python"):
        page.click(f"#tab-{how}")
        said = run(page.inner_text(f"#code-{how} code"), how, environment)
        document = json.loads(re.search(r"\{.*\}", said, re.DOTALL)[0])
        assert document["status"] in {400, 404, 422}, document
        assert document["code"] not in {2061, 2063, 2064}
    api_key_revoke(user=trader.user, id=key.pk)


def test_a_token_is_fetched_and_used(page: Any, trader: Trader) -> None:
    opened(page, "profile_get")
    page.click("label:has([name=auth][value=bearer])")
    page.fill("#token-email", trader.user.email)
    page.fill("#token-password", PASSWORD)
    page.click("text=Get a token")
    expect(page.locator("[data-f=token-answer]")).to_contain_text("Signed in")
    assert page.input_value("#token-password") == ""
    assert answer(page, "200")["email"] == trader.user.email
    page.fill("#auth-token", "not-a-token")
    assert answer(page, "401")["code"] == 2010
    forget(page, 401)


def test_the_streams_are_watched_and_a_revoked_key_closes_the_private_one(
    page: Any, site: Site, trader: Trader
) -> None:
    key, secret = api_key_create(user=trader.user, name="stream", scopes=["read"])
    opened(page)
    pane = page.locator("#streams")
    frames = pane.locator("[data-f=frames]")
    pane.locator("[data-act=ws-open]").click()
    expect(frames).to_contain_text('"hello"')
    pane.locator("#ws-topics").fill("quote:ETH-USD, nothing:at-all")
    pane.locator("[data-act=ws-subscribe]").click()
    expect(frames).to_contain_text("unknown_topic")
    pane.locator("button[type=submit]").click()
    expect(frames).to_contain_text('"pong"')
    pane.locator("[data-act=ws-close]").click()
    expect(frames).to_contain_text("closed with 1000")
    page.click("label:has([name=auth][value=key])")
    page.fill("#auth-key", key.key_id)
    page.fill("#auth-secret", secret)
    pane.locator("label:has([value=private])").click()
    pane.locator("[data-act=ws-open]").click()
    expect(frames).to_contain_text('"ready"')
    site.order(trader, **{**RESTING, "price": "1400"})
    expect(frames).to_contain_text('"order"')
    api_key_revoke(user=trader.user, id=key.pk)
    expect(frames).to_contain_text("closed with 4001")


def test_without_its_description_the_page_says_so_and_tries_again(page: Any) -> None:
    page.route("**/api/schema", lambda route: route.fulfill(status=503, body="away"))
    page.goto("/developers")
    expect(page.locator("[data-f=failed]")).to_contain_text("status 503")
    page.unroute("**/api/schema")
    page.click("#try-again")
    page.wait_for_selector("#op-list [data-op]")
    forget(page, 503)


def test_the_limits_shown_are_those_in_force(page: Any) -> None:
    opened(page, "time_get")
    limit = page.locator("#limits tr", has_text="Reading without").locator("td").nth(1).inner_text()
    page.click("#op-send")
    page.wait_for_selector("[data-f=headers] tr", state="attached")
    headers = page.locator("[data-f=headers] tr", has_text="ratelimit-limit").locator("td").text_content()
    assert int(limit.replace(",", "")) == int(headers)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_page_keeps_its_policy(open_page: Callable[..., Any], size: dict[str, int]) -> None:
    tab = open_page(size)
    tab.add_init_script(
        "document.addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective, e.blockedURI))"
    )
    opened(tab)
    policy = tab.request.get("/developers").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    where = os.environ.get("SHOTS")
    if where:
        tab.screenshot(path=f"{where}/developers-{size['width']}.png", full_page=True)
