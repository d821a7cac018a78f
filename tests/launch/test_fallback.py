"""The fallback app of a real platform whose everything else was killed: supervisor, engine, Valkey, portal, worker. Only PostgreSQL is left."""

from __future__ import annotations

import contextlib
import html
import http.cookiejar
import json
import os
import re
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from brokerage.launch.account import is_alive
from tests.launch.test_platform import table, wait_for
from tests.live_platform import LivePlatform

EMAIL, OLD, NEW = "investor@demo.test", "demo-Pass-2026", "Quiet-Harbour-Lantern-77"


class Browser:
    """Pages as a person sees them: cookies kept, forms sent with their token, redirects followed."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies), urllib.request.ProxyHandler({})
        )
        self.text, self.status, self.url = "", 0, ""

    def get(self, path: str) -> str:
        """Open a page."""
        return self._open(urllib.request.Request(self.base + path))  # noqa: S310 - our own server

    def post(self, path: str, **form: str) -> str:
        """Send the form of the page that is open; its hidden fields go with it."""
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.text))
        data = urllib.parse.urlencode({**hidden, **form}).encode()
        return self._open(urllib.request.Request(self.base + path, data, {"Origin": self.base}))  # noqa: S310

    def _open(self, request: urllib.request.Request) -> str:
        try:
            answer = self.opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with contextlib.closing(answer):
            self.status, self.url = answer.status, answer.url
            self.text = html.unescape(answer.read().decode())
        return self.text

    def sign_in(self, email: str, password: str) -> bool:
        """True when it worked."""
        self.get("/signin")
        self.post("/signin", email=email, password=password)
        return self.status == 200 and not self.url.endswith("/signin")


def api(platform: LivePlatform, method: str, path: str, body: Any = None, token: str = "") -> Any:
    """Call REST of the portal."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{platform.base}/api/v1/{path}", data, headers, method=method)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.loads(answer.read())


NET = """SELECT net FROM risk_position JOIN accounts_tradingaccount a USING (core_account) JOIN accounts_user u ON u.id = a.owner_id
WHERE u.email = %s AND core_instrument = %s"""
JOBS = "SELECT count(*) FROM platform_outboxevent WHERE topic = 'job.due' AND published_at IS NULL"


def rows(platform: LivePlatform, query: str, *values: Any) -> list[Any]:
    """Ask the database."""
    with psycopg.connect(platform.servers.database_url) as connection:
        return connection.execute(query, values).fetchall()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def platform() -> Iterator[LivePlatform]:
    with LivePlatform(demo_rate=40) as platform:
        try:
            yield platform
        finally:
            # Without a supervisor nobody stops what is left.
            if platform._process is not None and platform._process.poll() is not None:
                with contextlib.suppress(OSError, ValueError):
                    for name, pid in table(platform).items():
                        if name not in {"postgres", "valkey"} and is_alive(pid):
                            os.kill(pid, signal.SIGKILL)


def kill_all_but_the_fallback(platform: LivePlatform) -> None:
    pids = table(platform)
    left = {"postgres", "web-fallback"}
    # The supervisor first: it would start the others again.
    for name in ("supervisor", *sorted(set(pids) - left - {"supervisor"})):
        os.kill(pids[name], signal.SIGKILL)
    assert platform._process is not None
    platform._process.wait(30)
    wait_for(lambda: not any(is_alive(pid) for name, pid in pids.items() if name not in left), "the others are gone")
    assert is_alive(pids["web-fallback"])


@pytest.mark.slow
def test_the_portals_password_opens_the_fallback_when_all_else_is_dead(platform: LivePlatform) -> None:
    # given: a client with a position and a resting order, who has just changed the password in the portal
    portal = Browser(platform.base)
    assert portal.sign_in(EMAIL, OLD)
    portal.get("/security/password")
    portal.post("/security/password", current=OLD, password=NEW)
    assert "Your password is changed" in portal.text
    token = api(platform, "POST", "auth/token", {"email": EMAIL, "password": NEW})["access"]
    wait_for(lambda: api(platform, "GET", "quotes/ETH-USD").get("ask"), "the market quotes")
    order = {"symbol": "ETH-USD", "side": "buy", "qty": "0.5"}
    bought = api(platform, "POST", "orders", {**order, "type": "market"}, token)
    assert bought["status"] == "filled"
    resting = api(platform, "POST", "orders", {**order, "type": "limit", "price": "1500"}, token)
    assert resting["status"] == "new"
    wait_for(
        lambda: any(row["symbol"] == "ETH-USD" for row in api(platform, "GET", "positions", token=token)["results"]),
        "the position is stored",
    )
    wait_for(lambda: api(platform, "GET", "orders?status=open", token=token)["results"], "the order is stored")
    position = next(
        row for row in api(platform, "GET", "positions", token=token)["results"] if row["symbol"] == "ETH-USD"
    )
    # A health page tells both apart while all is well.
    told = Browser(platform.fallback)
    assert told.sign_in(EMAIL, NEW)
    assert "The main platform answers." in told.text
    # Trades are stored by the market data process, once a second or so: the price below is of one.
    wait_for(lambda: "last trade here" in told.get("/"), "the trade is stored")

    # when
    kill_all_but_the_fallback(platform)

    # then: the new password opens it, the old one does not
    assert not platform.answers()
    assert platform.answers(platform.fallback)
    begun = time.monotonic()
    page = Browser(platform.fallback)
    assert not page.sign_in(EMAIL, OLD)
    assert page.status == 401
    assert page.sign_in(EMAIL, NEW)
    print(f"signed in twice, once wrongly, in {time.monotonic() - begun:.2f} s")
    # ... the session begun before still holds, and the page says how things are
    told.get("/")
    wait_for(lambda: "The main platform does not answer." in told.get("/"), "it is noticed", 30)
    assert f"Long {position['qty']} at {position['avg_price']}" in re.sub(r"<[^>]+>", "", told.text)
    assert f"/cancel/{resting['order_id']}" in told.text
    assert "last trade here" in told.text
    # ... and two taps make a request, each once
    page.get(f"/cancel/{resting['order_id']}")
    page.post(f"/cancel/{resting['order_id']}")
    assert "is with the desk" in page.text
    page.get("/close/ETH-USD")
    page.post("/close/ETH-USD", qty="0.2")
    assert "is with the desk" in page.text
    assert "next in the queue" in page.text
    asked = rows(platform, "SELECT kind, state FROM trading_fallbackrequest ORDER BY id")
    assert asked == [("cancel", "received"), ("close", "received")]
    # The wrong password is in the audit trail's waiting room, the note for the client's history waits for a queue.
    assert rows(platform, "SELECT count(*) FROM platform_auditpending WHERE action = 'sign_in.refused'")[0][0] >= 1
    assert (
        rows(platform, "SELECT count(*) FROM platform_outboxevent WHERE topic = 'job.due' AND published_at IS NULL")[0][
            0
        ]
        >= 1
    )


@pytest.mark.slow
def test_the_desk_works_the_queue_off_when_the_platform_is_back(platform: LivePlatform) -> None:
    # given: the requests of the test before, and the platform started again on what the kill left
    order_id, core = rows(
        platform, "SELECT order_id, core_instrument FROM trading_fallbackrequest WHERE kind = 'cancel'"
    )[0]
    net = rows(platform, NET, EMAIL, core)[0][0]
    platform.__enter__()
    # when
    desk = Browser(platform.base)
    assert desk.sign_in("dealer@demo.test", "demo-Pass-2026")
    desk.get("/desk/requests")
    numbers = re.findall(r"/desk/requests/(\d+)", desk.text)
    assert len(numbers) == 2, desk.text[:2000]
    for number in numbers:
        desk.get(f"/desk/requests/{number}")
        desk.post(f"/desk/requests/{number}/act", act="claim")
        desk.post(f"/desk/requests/{number}/act", act="execute")
        assert "Done" in desk.text, desk.text
    # then
    assert rows(platform, "SELECT DISTINCT state FROM trading_fallbackrequest") == [("done",)]
    status = "SELECT ord_status FROM trading_order WHERE order_id = %s"
    wait_for(lambda: rows(platform, status, order_id) == [(4,)], "the order is cancelled")
    wait_for(lambda: rows(platform, NET, EMAIL, core)[0][0] == net - 200, "0.2 are sold")
    client = Browser(platform.fallback)
    assert client.sign_in(EMAIL, NEW)
    client.get("/requests")
    assert "Closed 0.200 of 0.200 ETH-USD" in client.text
    # What waited for a queue was handed to it.
    wait_for(lambda: rows(platform, JOBS)[0][0] == 0, "jobs are handed on")
