"""Frames in a real Chromium, with real pages of other origins: a partner's page shows the portfolio, nobody else's shows anything."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import expect

from accounts.services.api_keys import api_key_create, api_key_revoke
from tests.browser.conftest import Site
from tests.conftest_engine import LiveWeb, Trader
from tests.ports import free_port
from tests.streams.test_ended_credentials import signed


@dataclass
class Pages:
    """A web server of somebody else's: the pages by path."""

    pages: dict[str, str] = field(default_factory=dict)
    origin: str = ""

    def serve(self) -> ThreadingHTTPServer:
        found = self.pages

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                body = found.get(self.path, "<!doctype html><title>none</title>").encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        # Not "localhost" against "127.0.0.1" only: a site of its own, so that cookies of ours are third-party there.
        self.origin = f"http://localhost:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[Pages, Pages]]:
    """The partner's server and a stranger's."""
    both = (Pages(), Pages())
    servers = [one.serve() for one in both]
    yield both
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def partners(elsewhere: tuple[Pages, Pages]) -> str:
    return f"acme={elsewhere[0].origin},beta=https://beta.example"


@pytest.fixture(scope="module")
def trader(site: Site) -> Trader:
    return site.trader(USD="1234.5", ETH="2")


@pytest.fixture(scope="module")
def key(trader: Trader) -> tuple[Any, str]:
    return api_key_create(user=trader.user, name="partner", scopes=["read"])


def token_of(site: Site, key: tuple[Any, str], origin: str, partner: str = "acme", status: int = 201) -> dict[str, Any]:
    """What the partner's own server asks for."""
    body = json.dumps({"partner": partner, "origin": origin}).encode()
    answer = signed(LiveWeb(site.url, site.web), *key, "POST", "embed-tokens", body)
    assert answer.status_code == status, answer.text
    return answer.json()


PARENT = """<!doctype html><title>parent</title><body><script>
  window.said = [];
  const tokens = %s;
  addEventListener('message', (e) => {
    window.said.push([e.origin, e.data]);
    if (e.data.type === 'brokerage:ready' && tokens.length)
      e.source.postMessage({type: 'brokerage:token', token: tokens.shift()}, e.origin);
  });
</script><iframe id=f src="%s" width=600 height=500></iframe>"""


def shown_in(tab: Any, where: Pages, frame: str, tokens: list[str], path: str = "/page") -> Any:
    """Open a page of theirs with a frame of ours; the frame."""
    where.pages[path] = PARENT % (json.dumps(tokens), frame)
    tab.goto(where.origin + path)
    return tab.frame_locator("#f")


def blocked(tab: Any) -> bool:
    """True when the browser put its own error page in place of ours."""
    tab.wait_for_timeout(400)
    inside = [one for one in tab.frames if one.parent_frame is not None]
    return all(one.url.startswith("chrome-error:") for one in inside) and len(inside) == 1


def test_the_partners_page_shows_the_portfolio_without_any_cookie(
    open_page: Callable[..., Any], site: Site, trader: Trader, key: tuple[Any, str], elsewhere: tuple[Pages, Pages]
) -> None:
    partner, _ = elsewhere
    tab = open_page()
    made = token_of(site, key, partner.origin)
    frame = shown_in(tab, partner, made["frame"], [made["token"]])
    expect(frame.locator("#shown")).to_be_visible()
    expect(frame.locator("[data-f=account]")).to_have_text(trader.account.number)
    expect(frame.locator("[data-f=balances]")).to_contain_text("1234.5")
    said = tab.evaluate("window.said")
    assert [row[1]["type"] for row in said] == ["brokerage:ready", "brokerage:shown"]
    assert {row[0] for row in said} == {site.url}
    assert tab.context.cookies() == []
    # Nothing to press acts on anything: the frame has no form and no button.
    assert frame.locator("form, button, input").count() == 0


def test_a_token_is_used_once_and_a_revoked_key_empties_the_frame(
    open_page: Callable[..., Any], site: Site, trader: Trader, elsewhere: tuple[Pages, Pages]
) -> None:
    partner, _ = elsewhere
    own = api_key_create(user=trader.user, name="short", scopes=["read"])
    made = token_of(site, own, partner.origin)
    tab = open_page()
    frame = shown_in(tab, partner, made["frame"], [made["token"]])
    expect(frame.locator("#shown")).to_be_visible()
    second = open_page()
    again = shown_in(second, partner, made["frame"], [made["token"]], "/again")
    expect(again.locator("#state")).to_contain_text("used before")
    assert second.evaluate("window.said").pop() == [site.url, {"type": "brokerage:refused", "code": 2010}]
    api_key_revoke(user=trader.user, id=own[0].pk)
    expect(frame.locator("#state")).to_contain_text("Signed out")
    expect(frame.locator("#shown")).to_be_hidden()
    tab.complaints[:] = [line for line in tab.complaints if "status of 401" not in line]


def test_another_origin_is_blocked_by_the_browser(
    open_page: Callable[..., Any], site: Site, key: tuple[Any, str], elsewhere: tuple[Pages, Pages]
) -> None:
    partner, stranger = elsewhere
    made = token_of(site, key, partner.origin)
    tab = open_page()
    shown_in(tab, stranger, made["frame"], [made["token"]])
    assert blocked(tab)
    assert tab.evaluate("window.said") == []
    shown_in(tab, stranger, f"{site.url}/embed/acme/markets", [], "/markets")
    assert blocked(tab)
    # Not even inside a frame of the partner's, when a stranger is around both.
    stranger.pages["/around"] = f"<!doctype html><iframe src='{partner.origin}/page2'></iframe>"
    partner.pages["/page2"] = PARENT % ("[]", made["frame"])
    tab.goto(f"{stranger.origin}/around")
    tab.wait_for_timeout(600)
    assert [one.url for one in tab.frames if "/embed/" in one.url] == []
    assert any("frame-ancestors" in line for line in tab.complaints)
    tab.complaints.clear()


def test_the_portal_itself_is_framed_by_nobody(
    open_page: Callable[..., Any], site: Site, elsewhere: tuple[Pages, Pages]
) -> None:
    partner, _ = elsewhere
    tab = open_page()
    for number, path in enumerate(("/", "/signin", "/developers", "/portfolio", "/embed/acme/portfolio", "/api/docs")):
        shown_in(tab, partner, site.url + path, [], f"/portal{number}")
        assert blocked(tab), path
    tab.complaints.clear()


def test_only_the_page_around_the_frame_is_listened_to(
    open_page: Callable[..., Any], site: Site, key: tuple[Any, str], elsewhere: tuple[Pages, Pages]
) -> None:
    partner, _ = elsewhere
    made = token_of(site, key, partner.origin)
    tab = open_page()
    frame = shown_in(tab, partner, made["frame"], [])
    expect(frame.locator("#state")).to_contain_text("Waiting")
    inside = next(one for one in tab.frames if "/embed/" in one.url)
    # From the frame's own window, as a script of another frame of ours could: the source is not the parent.
    inside.evaluate("(token) => window.postMessage({type: 'brokerage:token', token}, '*')", made["token"])
    for odd in ("'text'", "null", "{type: 'brokerage:token', token: 7}", "{type: 'other'}"):
        tab.evaluate(f"document.getElementById('f').contentWindow.postMessage({odd}, '*')")
    tab.wait_for_timeout(300)
    expect(frame.locator("#state")).to_contain_text("Waiting")
    tab.evaluate(
        "(token) => document.getElementById('f').contentWindow.postMessage({type: 'brokerage:token', token}, '*')",
        made["token"],
    )
    expect(frame.locator("#shown")).to_be_visible()


def test_tokens_are_for_partners_and_origins_on_the_list(
    site: Site, key: tuple[Any, str], elsewhere: tuple[Pages, Pages]
) -> None:
    partner, stranger = elsewhere
    assert token_of(site, key, partner.origin, "nobody", 404)["field"] == "partner"
    assert token_of(site, key, stranger.origin, "acme", 404)["field"] == "origin"
    assert token_of(site, key, partner.origin, "beta", 404)["field"] == "origin"
