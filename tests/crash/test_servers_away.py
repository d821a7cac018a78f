"""PostgreSQL stopped at once and Valkey killed while orders flow: everything heals by itself, nothing acknowledged is lost or done twice.

The whole platform with its own servers, as `make run` starts it; longer: ``python -m tests.crash.kill_loop --victims postgres,valkey``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import websockets

from tests.crash.kill_loop import EMAILS, Loop, good, run
from tests.live_platform import LivePlatform

CYCLES = 4
HEAL_S = 60.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def platform() -> Iterator[LivePlatform]:
    with LivePlatform(demo_rate=20) as platform:
        yield platform


class Stream:
    """A client of one WebSocket that comes back when it is closed, as the portal's does, and keeps what it was sent."""

    def __init__(self, url: str, begin: Any) -> None:
        self.url, self.begin = url, begin
        self.frames: list[dict[str, Any]] = []
        self.connects = 0

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError, websockets.WebSocketException):
                async with websockets.connect(self.url, open_timeout=5) as socket:
                    await socket.send(json.dumps(self.begin()))
                    self.connects += 1
                    async for text in socket:
                        frame = json.loads(text)
                        if frame["type"] == "hb":
                            await socket.send(json.dumps({"op": "hb", "n": frame["n"]}))
                        self.frames.append(frame)
            await asyncio.sleep(0.5)

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(HEAL_S):
            while not any(what(frame) for frame in self.frames):
                await asyncio.sleep(0.05)


async def test_streams_go_on_after_valkey_was_killed(platform: LivePlatform) -> None:
    loop = Loop(platform, seed=3)
    while not await asyncio.to_thread(loop.sign_in, EMAILS[0]):
        await asyncio.sleep(0.2)
    _, accounts = await asyncio.to_thread(loop.call, "GET", "/api/v1/accounts", None, EMAILS[0])
    number = accounts["results"][0]["number"]
    base = platform.base.replace("http://", "ws://")
    market = Stream(f"{base}/ws/v1/market", lambda: {"op": "subscribe", "topics": ["quotes", "book:BTC-USD"]})
    private = Stream(
        f"{base}/ws/v1/private", lambda: {"op": "auth", "token": loop.tokens[EMAILS[0]], "account": number}
    )
    tasks = [asyncio.create_task(stream.run()) for stream in (market, private)]
    try:
        await market.until(lambda frame: frame["type"] == "quotes")
        await private.until(lambda frame: frame["type"] == "ready")
        await order_is_told(loop, private, number)
        await asyncio.to_thread(loop.kill, "valkey")
        market.frames.clear()
        await order_is_told(loop, private, number)
        await market.until(
            lambda frame: frame["type"] in {"quotes", "book"} and "stale" not in json.dumps(frame.get("quotes", ""))
        )
        await market.until(lambda frame: frame["type"] == "book")
        print(f"\nconnections: market {market.connects}, private {private.connects}")
    finally:
        for task in tasks:
            task.cancel()


async def order_is_told(loop: Loop, private: Stream, number: str) -> None:
    """Place an order that rests; it, or a word to read again, arrives on the private stream; take it back."""
    body = {
        "client_order_id": str(uuid.uuid4()),
        "account": number,
        "symbol": "BTC-USD",
        "side": "buy",
        "type": "limit",
        "time_in_force": "gtc",
        "qty": "0.0001",
        "price": "62000.00",
    }
    status, answer = await asyncio.to_thread(loop.call, "POST", "/api/v1/orders", body, EMAILS[0])
    assert status == 201, answer
    await private.until(lambda frame: frame["type"] == "order" and frame["order"]["order_id"] == answer["order_id"])
    assert (await asyncio.to_thread(loop.call, "DELETE", f"/api/v1/orders/{answer['order_id']}", None, EMAILS[0]))[
        0
    ] == 200


def test_nothing_acknowledged_is_lost_or_doubled(platform: LivePlatform) -> None:
    loop = Loop(platform, seed=17)
    result = run(loop, CYCLES, ("postgres", "valkey"))
    print(json.dumps(result))
    assert loop.kills == {"postgres": CYCLES // 2, "valkey": CYCLES // 2}
    assert result["acknowledged"] > 20
    assert good(result), result
