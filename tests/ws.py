"""A test's end of an ASGI WebSocket, without a server: it can stop reading, answer heartbeats or not, and count what it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from brokerage.platform.sockets import SocketLimits

#: Of a consumer under test: one address opens more sockets here than anybody may.
LIMITS = SocketLimits(per_ip=500)


class WsClient:
    """Drives one ASGI application. ``answer`` makes it confirm heartbeats, as docs/streams.md demands of clients."""

    def __init__(
        self,
        application: Callable[..., Any],
        *,
        headers: dict[str, str] | None = None,
        ip: str = "10.0.0.1",
        answer: bool = True,
    ):
        self.scope = {
            "type": "websocket",
            "path": "/ws",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": [ip, 12345],
        }
        self.answer = answer
        self.frames: list[dict[str, Any]] = []
        self.bytes = 0
        self.code: int | None = None
        self.accepted = False
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._news = asyncio.Event()
        self._application = application
        self.task: asyncio.Task[None] | None = None

    async def connect(self) -> bool:
        """Connect; False when refused."""
        await self._in.put({"type": "websocket.connect"})
        self.task = asyncio.create_task(self._application(self.scope, self._in.get, self._send))
        async with asyncio.timeout(5):
            while not self.accepted and self.code is None:
                await self._news.wait()
                self._news.clear()
        return self.accepted

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.accept":
            self.accepted = True
        elif message["type"] == "websocket.close":
            self.code = message.get("code", 1000)
        else:
            frame = json.loads(message["text"])
            self.bytes += len(message["text"])
            self.frames.append(frame)
            if frame["type"] == "hb" and self.answer:
                await self._in.put({"type": "websocket.receive", "text": json.dumps({"op": "hb", "n": frame["n"]})})
        self._news.set()

    async def send(self, message: Any) -> None:
        """Send a JSON value, or a text as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self._in.put({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        await self._in.put({"type": "websocket.receive", "bytes": data})

    async def until(self, what: Callable[[], Any], seconds: float = 5.0) -> Any:
        """Wait until ``what()`` is true; its value."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := what()):
                    await self._news.wait()
                    self._news.clear()
                return found
        except TimeoutError:
            last = [str(frame)[:200] for frame in self.frames[-5:]]
            raise AssertionError(
                f"not within {seconds} s; closed with {self.code}; {len(self.frames)} frames, the last: {last}"
            ) from None

    async def get(self, kind: str, seconds: float = 5.0) -> dict[str, Any]:
        """The first frame of a type not taken yet; it is taken out."""
        frame = await self.until(lambda: next((frame for frame in self.frames if frame["type"] == kind), None), seconds)
        self.frames.remove(frame)
        return frame

    async def closed(self, seconds: float = 5.0) -> int:
        """Wait for the close; its code."""
        await self.until(lambda: self.code is not None, seconds)
        assert self.code is not None
        return self.code

    async def leave(self) -> None:
        """Disconnect as a browser that goes away."""
        await self._in.put({"type": "websocket.disconnect", "code": 1001})
        assert self.task is not None
        await asyncio.wait_for(self.task, 5)


class BookReader:
    """Applies the book frames a client was sent, checking the chain."""

    def __init__(self, client: WsClient) -> None:
        self.client, self.seq, self.bids, self.asks = client, None, {}, {}

    def read(self) -> tuple[dict[str, str], dict[str, str]]:
        """(bids, asks) as the client knows them now."""
        for frame in self.client.frames:
            if frame["type"] != "book":
                continue
            if frame["prev"] is None:
                self.bids, self.asks = {}, {}
            else:
                assert frame["prev"] == self.seq
            self.seq = frame["seq"]
            for mine, rows in ((self.bids, frame["bids"]), (self.asks, frame["asks"])):
                for price, qty in rows:
                    if qty == "0":
                        del mine[price]
                    else:
                        mine[price] = qty
        self.client.frames = [frame for frame in self.client.frames if frame["type"] != "book"]
        return self.bids, self.asks
