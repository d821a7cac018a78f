"""Valkey as a bus: publishing from any process, and one subscription connection per web process.

Owns the channel names (``md:…`` market data, ``priv:…`` an account's own messages, ``rev:…`` shut a user out), publishing of private
messages after a commit, and ``Bus``, an asyncio protocol over the hiredis reader (an order of magnitude cheaper per message than a client library's
``listen()``). Pub/sub loses what it cannot deliver, so whoever must not lose anything is told of every gap: ``Bus`` calls ``on_gap`` after each
reconnect, and ``publish_private_gap`` tells all sockets to read what they missed from PostgreSQL.
Leaves to others: what messages mean (``marketdata/hub.py``, ``trading/consumers.py``).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hiredis
import msgspec
import redis
from django.conf import settings
from redis.connection import parse_url

from brokerage.platform.valkey import get_valkey

log = logging.getLogger(__name__)

#: Every private socket listens here too: "something may have been lost, read the database".
PRIVATE_GAP = "priv:gap"
PING_S = 10.0
SILENCE_S = 25.0
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


def private_channel(core_account: int) -> str:
    """Channel of an account's own messages."""
    return f"priv:{core_account}"


def market_channel(symbol: str) -> str:
    """Channel of an instrument's market data."""
    return f"md:{symbol}"


def revoke_channel(user_id: object) -> str:
    """Channel that closes a user's sockets."""
    return f"rev:{user_id}"


class _PrivatePublisher:
    """Publishes batches; remembers that something was lost and says so as soon as it can."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lost = False

    def publish(self, batches: Mapping[int, Sequence[Mapping[str, Any]]], *, gap: bool = False) -> bool:
        with self._lock:
            pipe = get_valkey().pipeline(transaction=False)
            if gap or self._lost:
                pipe.publish(PRIVATE_GAP, "1")
            for core_account, messages in batches.items():
                if messages:
                    pipe.publish(private_channel(core_account), msgspec.json.encode(messages))
            if not len(pipe):
                return True
            try:
                pipe.execute()
            except redis.RedisError as error:
                # The rows are committed, so nothing is lost for good: the gap message will send every socket to them.
                if not self._lost:
                    log.warning("private messages could not be published, sockets will read the database: %s", error)
                self._lost = True
                return False
            self._lost = False
            return True


_private = _PrivatePublisher()


def publish_private(core_account: int, messages: Sequence[Mapping[str, Any]]) -> bool:
    """Publish one account's messages of one commit (contracts: docs/streams.md). Never raises for an outage; False when it failed."""
    return _private.publish({core_account: messages})


def publish_private_many(batches: Mapping[int, Sequence[Mapping[str, Any]]]) -> bool:
    """The same for many accounts in one round trip."""
    return _private.publish(batches)


def publish_private_gap() -> bool:
    """Tell every private socket to read what it may have missed: when the projector starts, it may have died between commit and publish."""
    return _private.publish({}, gap=True)


#: On a user's revoke channel: close all of them. Anything else names a credential.
REVOKE_ALL = "1"


def revoke_user(user_id: object, credential: str = REVOKE_ALL) -> bool:
    """Close a user's live sockets everywhere: all (a new password, a frozen account), or those opened with one ``credential`` that has ended."""
    try:
        get_valkey().publish(revoke_channel(user_id), credential)
    except redis.RedisError as error:
        log.warning("sockets of user %s could not be told to close: %s", user_id, error)
        return False
    return True


class _Wire(asyncio.Protocol):
    """One connection in subscriber mode."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._reader = hiredis.Reader()
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self.heard = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.heard = asyncio.get_running_loop().time()
        self._reader.feed(data)
        while True:
            try:
                reply = self._reader.gets()
            except hiredis.ProtocolError as error:
                log.error("the bus sent something that is no reply: %s", error)
                self.abort()
                return
            if reply is False:
                return
            self._bus._on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(exc)

    def send(self, *words: str) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(hiredis.pack_command(words))

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Bus:
    """One subscriber connection with channels that come and go.

    ``on_message(channel, payload)`` is called in the loop for each message and must not block; ``on_gap()`` after a reconnect, when every channel is
    subscribed again and messages in between are lost.
    """

    def __init__(
        self,
        on_message: Callable[[str, bytes], None],
        on_gap: Callable[[], None],
        url: str | None = None,
    ) -> None:
        self._url = url or settings.REDIS_URL
        self._on_message = on_message
        self._on_gap = on_gap
        self._channels: dict[str, asyncio.Future[None]] = {}
        self._wire: _Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin connecting; safe to call again."""
        if self._task is None or self._task.done():
            self._closing = False
            self._task = asyncio.get_running_loop().create_task(self._run(), name="bus")

    async def close(self) -> None:
        """Stop."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    @property
    def connected(self) -> bool:
        """True while the connection stands."""
        return self._wire is not None

    async def subscribe(self, *channels: str) -> None:
        """Return when every message published from now on will be heard. Waits for the bus when it is away."""
        self.start()
        loop = asyncio.get_running_loop()
        waiting = []
        for channel in channels:
            future = self._channels.get(channel)
            if future is None:
                future = self._channels[channel] = loop.create_future()
                if self._wire is not None:
                    self._wire.send("SUBSCRIBE", channel)
            waiting.append(future)
        for future in waiting:
            await asyncio.shield(future)

    def unsubscribe(self, *channels: str) -> None:
        """Stop hearing these channels."""
        for channel in channels:
            future = self._channels.pop(channel, None)
            if future is None:
                continue
            if not future.done():
                future.set_result(None)
            if self._wire is not None:
                self._wire.send("UNSUBSCRIBE", channel)

    def _on_reply(self, reply: Any) -> None:
        if isinstance(reply, list) and reply:
            kind = reply[0]
            if kind == b"message":
                try:
                    self._on_message(reply[1].decode(), reply[2])
                except Exception:
                    log.exception("a message of the bus could not be handled")
            elif kind == b"subscribe":
                future = self._channels.get(reply[1].decode())
                if future is not None and not future.done():
                    future.set_result(None)
        elif isinstance(reply, hiredis.ReplyError):
            log.error("the bus refused: %s", reply)
            if self._wire is not None:
                self._wire.abort()

    async def _connect(self) -> _Wire:
        loop = asyncio.get_running_loop()
        options = parse_url(self._url)
        make = lambda: _Wire(self)  # noqa: E731
        if "path" in options:
            _, wire = await loop.create_unix_connection(make, options["path"])
        else:
            context = ssl.create_default_context() if self._url.startswith("rediss:") else None
            _, wire = await loop.create_connection(
                make, options.get("host", "localhost"), options.get("port", 6379), ssl=context
            )
        if options.get("password"):
            wire.send("AUTH", *([options["username"]] if options.get("username") else []), options["password"])
        return wire

    async def _run(self) -> None:
        attempts = 0
        first = True
        while not self._closing:
            try:
                wire = await asyncio.wait_for(self._connect(), 5.0)
            except (OSError, TimeoutError) as error:
                if attempts == 0:
                    log.warning("the bus is away, trying again: %s", error)
                await asyncio.sleep(BACKOFF_S[min(attempts, len(BACKOFF_S) - 1)])
                attempts += 1
                continue
            attempts = 0
            self._wire = wire
            try:
                await self._serve(wire, first)
            finally:
                first = False
                self._wire = None
                wire.abort()
                loop = asyncio.get_running_loop()
                for channel, future in self._channels.items():
                    if future.done():
                        self._channels[channel] = loop.create_future()
            await asyncio.sleep(BACKOFF_S[0])

    async def _serve(self, wire: _Wire, first: bool) -> None:
        loop = asyncio.get_running_loop()
        wire.heard = loop.time()
        known = list(self._channels)
        if known:
            wire.send("SUBSCRIBE", *known)
        if not first:
            waiting = [asyncio.shield(self._channels[channel]) for channel in known if channel in self._channels]
            if waiting:
                subscribed = asyncio.gather(*waiting, return_exceptions=True)
                await asyncio.wait([subscribed, wire.closed], timeout=5.0, return_when=asyncio.FIRST_COMPLETED)
            self._on_gap()
        while not wire.closed.done():
            await asyncio.wait([wire.closed], timeout=PING_S)
            if loop.time() - wire.heard > SILENCE_S:
                log.warning("the bus is silent, connecting again")
                return
            # An array reply arrives in subscriber mode, +PONG before the first subscription; both count as heard.
            wire.send("PING")
