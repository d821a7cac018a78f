"""A WebSocket that cannot hurt the server: bounded, metered, checked. The base of both stream consumers.

Plain ASGI rather than a Channels consumer class: one reader and one writer task per socket, no channel layer, no task per message.
The ASGI server gives no sign when a client stops reading (daphne buffers without limit), so the client itself must say that it keeps up:
each ``hb`` is answered with ``{"op": "hb", "n": n}``, and a socket with ``window_bytes`` unanswered gets nothing more until it does.
    reader ──on_message──> subclass state ──wake──> writer ──pump──> send      (nobody else ever awaits a client)
    Heart: one timer for all sockets of the loop: heartbeats, missed ones, time limits
Owns origin check, caps, rate limit, heartbeats, flow control, close codes. Leaves topics and messages to ``marketdata/consumers.py`` and
``trading/consumers.py``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
from autobahn.exception import Disconnected
from django.conf import settings

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, rfc3339

log, security = logging.getLogger(__name__), logging.getLogger("security.access")

CLOSE_RESTART = 4000
CLOSE_UNAUTHENTICATED = 4001
CLOSE_FORBIDDEN = 4003
CLOSE_SLOW = 4008
CLOSE_ABUSE = 4009
CLOSE_TOO_MANY = 4010
CLOSE_OLD, CLOSE_UNAVAILABLE = 4011, 4013  # servers may not send 1013, which means the latter
#: Answers and heartbeats waiting for the writer; more means that it is stuck.
CONTROL_MAX = 64
#: How long a goodbye is given to leave when the server stops.
FLUSH_S = 0.2
GOODBYE_S = 2.0

Message = dict[str, Any]
encode_text = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class SocketLimits:
    """What one socket, address or user may use. Times are seconds."""

    per_process: int = 1_000
    per_ip: int = 20
    per_user: int = 10
    inbound_bytes: int = 4_096
    rate_per_s: int = 10
    burst: int = 20
    errors_per_minute: int = 5
    window_bytes: int = 256 * 1024
    probe_bytes: int = 64 * 1024
    held_s: int = 10
    heartbeat_s: int = 15
    missed: int = 2
    age_s: int = 24 * 3600
    auth_s: int = 5
    topics: int = 100
    books: int = 10


def limits_from_settings() -> SocketLimits:
    """The limits of this environment (``STREAM_LIMITS`` in settings overrides single ones)."""
    return SocketLimits(**getattr(settings, "STREAM_LIMITS", {}))


class SocketError(Exception):
    """A message of the client cannot be used; it is told so, and after a few of them cut."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(eq=False)
class Heart:
    """Every open socket of one event loop, its counts and the one timer that looks after all of them."""

    sockets: set[StreamSocket] = field(default_factory=set)
    per_ip: Counter[str] = field(default_factory=Counter)
    per_user: Counter[str] = field(default_factory=Counter)
    closed: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    _task: asyncio.Task[None] | None = None
    _hooked: bool = False

    def join(self, socket: StreamSocket) -> None:
        """Look after one more."""
        self.sockets.add(socket)
        self.per_ip[socket.ip] += 1
        if not self._hooked:
            self._hooked = True
            _at_shutdown(self)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._beat(), name="heart")

    async def goodbye(self) -> None:
        """End every socket with a goodbye, as when the server cancels its applications."""
        tasks = [socket.task for socket in self.sockets if socket.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GOODBYE_S)

    async def _beat(self) -> None:
        while self.sockets:
            await asyncio.sleep(1.0)
            now_ns = SYSTEM_CLOCK.monotonic_ns()
            for socket in list(self.sockets):
                socket.tick(now_ns)


def _at_shutdown(beating: Heart) -> None:
    """Say goodbye when daphne stops: its own cancelling of applications trips over connections that were upgraded, so none is ever cancelled."""
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    if reactor is None or not getattr(reactor, "running", False):
        return
    from twisted.internet.defer import Deferred

    loop = asyncio.get_running_loop()
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromFuture(asyncio.ensure_future(beating.goodbye(), loop=loop))
    )


_hearts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Heart] = weakref.WeakKeyDictionary()


def heart() -> Heart:
    """The heart of the running loop."""
    loop = asyncio.get_running_loop()
    found = _hearts.get(loop)
    if found is None:
        found = _hearts[loop] = Heart()
    return found


def origin_allowed(headers: dict[bytes, bytes]) -> bool:
    """True for no Origin (programs), for our own host and for the origins trusted for forms. A browser always sends one."""
    origin = headers.get(b"origin")
    if origin is None:
        return True
    text = origin.decode("latin-1").lower()
    if text in {trusted.lower() for trusted in settings.CSRF_TRUSTED_ORIGINS}:
        return True
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return parts.scheme in {"http", "https"} and bool(host) and parts.netloc == host


class StreamSocket:
    """One connection. Subclasses fill in ``hello``, ``on_message``, ``pump`` and ``on_closed``."""

    def __init__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        limits: SocketLimits | None = None,
    ) -> None:
        self.limits = limits or limits_from_settings()
        self.headers = dict(scope.get("headers", []))
        client = scope.get("client") or ("unknown", 0)
        self.ip = str(client[0])
        self._receive = receive
        self._send = send
        self._control: deque[str] = deque()
        self._wake = asyncio.Event()
        self._close: asyncio.Future[int] | None = None
        self._gone = False
        self._counted = False
        self.task: asyncio.Task[Any] | None = None
        self._heart = heart()
        self._opened_ns = SYSTEM_CLOCK.monotonic_ns()
        self._tokens = self.limits.burst * NS_PER_S
        self._tokens_ns = self._opened_ns
        self._offences: deque[int] = deque(maxlen=self.limits.errors_per_minute)
        self._hb = 0
        self._hb_next_ns = self._opened_ns + self.limits.heartbeat_s * NS_PER_S
        self._unanswered: deque[tuple[int, int, int]] = deque()  # (n, bytes sent before it, when)
        self._sent = 0
        self._answered = 0
        self._probe_at = self.limits.probe_bytes
        self._held_ns: int | None = None

    @classmethod
    def as_asgi(cls, **options: Any) -> Callable[..., Awaitable[None]]:
        """The ASGI application that serves each connection with an object of this class."""

        async def application(scope: Message, receive: Any, send: Any) -> None:
            await cls(scope, receive, send, **options).run()

        return application

    # ---- for subclasses ---------------------------------------------------------------------------------------------

    async def hello(self) -> None:
        """The socket was accepted."""

    async def on_message(self, message: Message) -> None:
        """A JSON object came. Raise SocketError for one that cannot be used."""

    async def pump(self) -> None:
        """Write what is pending while ``may_send``."""

    async def on_closed(self) -> None:
        """The socket is gone; give everything back."""

    def on_tick(self, now_ns: int) -> None:
        """Once a second."""

    @property
    def may_send(self) -> bool:
        """True while the client keeps up. Not asked for answers and heartbeats."""
        return self._sent - self._answered < self.limits.window_bytes

    @property
    def unanswered_bytes(self) -> int:
        """Bytes the client has not confirmed: the most the server can be buffering for it."""
        return self._sent - self._answered

    def uncount_ip(self) -> None:
        """Stop counting this socket against its address: it is gone, or it is known whose it is."""
        if self._counted:
            self._counted = False
            self._heart.per_ip[self.ip] -= 1
            if self._heart.per_ip[self.ip] <= 0:
                del self._heart.per_ip[self.ip]

    def wake(self) -> None:
        """Something is pending: let the writer run."""
        self._wake.set()

    def reply(self, message: Message) -> None:
        """Queue an answer; it goes out before data."""
        if len(self._control) >= CONTROL_MAX:
            self.close(CLOSE_SLOW)
            return
        self._control.append(encode_text(message).decode())
        self._wake.set()

    def close(self, code: int) -> None:
        """Close; the first code given counts."""
        if self._close is not None and not self._close.done():
            self._close.set_result(code)

    async def send_text(self, text: str) -> None:
        """Write one frame (in the writer task only)."""
        self._sent += len(text)
        await self._send({"type": "websocket.send", "text": text})
        if self._sent >= self._probe_at:
            await self._heartbeat()

    # ---- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the connection from connect to the end."""
        message = await self._receive()
        if message["type"] != "websocket.connect":
            return
        if not self._admit():
            self._heart.refused += 1
            await self._send({"type": "websocket.close", "code": 4403})
            return
        self._close = asyncio.get_running_loop().create_future()
        self.task = asyncio.current_task()
        self._heart.join(self)
        self._counted = True
        writer = asyncio.get_running_loop().create_task(self._write(), name="socket-writer")
        try:
            await self._send({"type": "websocket.accept"})
            await self.hello()
            code = await self._read()
            await self._stop(writer)
            if not self._gone:
                self._heart.closed[code] += 1
                await self._send({"type": "websocket.close", "code": code})
        except asyncio.CancelledError:
            # The server is going down and cancels every application: say so, so that clients come back spread over time.
            await self._stop(writer)
            if not self._gone:
                bye = {"type": "bye", "retry_after_s": 1 + self._opened_ns // 1_000_000 % 10}
                await self._send({"type": "websocket.send", "text": encode_text(bye).decode()})
                await self._send({"type": "websocket.close", "code": CLOSE_RESTART})
                # The server drops its connections as soon as the applications are done; let the goodbye leave first.
                await asyncio.sleep(FLUSH_S)
            raise
        finally:
            writer.cancel()
            self._heart.sockets.discard(self)
            self.uncount_ip()
            await self.on_closed()

    def _admit(self) -> bool:
        if not origin_allowed(self.headers):
            security.warning("access refused code=2018 address=%s origin=%r", self.ip, self.headers.get(b"origin"))
            return False
        room = len(self._heart.sockets) < self.limits.per_process
        return room and self._heart.per_ip[self.ip] < self.limits.per_ip

    @staticmethod
    async def _stop(writer: asyncio.Task[None]) -> None:
        writer.cancel()
        await asyncio.wait([writer])

    async def _read(self) -> int:
        """Handle messages until the end; the code to close with."""
        assert self._close is not None  # noqa: S101 - set before
        receiving = asyncio.ensure_future(self._receive())
        try:
            while True:
                await asyncio.wait([receiving, self._close], return_when=asyncio.FIRST_COMPLETED)
                if self._close.done():
                    return self._close.result()
                message = receiving.result()
                if message["type"] == "websocket.disconnect":
                    self._gone = True
                    return 1000
                if message["type"] == "websocket.receive":
                    await self._incoming(message)
                receiving = asyncio.ensure_future(self._receive())
        finally:
            receiving.cancel()

    async def _incoming(self, message: Message) -> None:
        try:
            text = message.get("text")
            if text is None:
                raise SocketError("malformed", "Send text frames with one JSON object each.")
            if len(text) > self.limits.inbound_bytes:
                raise SocketError("too_large", f"A message has at most {self.limits.inbound_bytes} bytes.")
            try:
                data = _decode(text)
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                raise SocketError("malformed", "That is not JSON.") from None
            if not isinstance(data, dict):
                raise SocketError("malformed", "Send one JSON object per frame.")
            if data.get("op") == "hb":
                self._on_answer(data.get("n"))
                return
            if not self._take_token():
                raise SocketError("too_fast", f"At most {self.limits.rate_per_s} messages a second.")
            if data.get("op") == "ping":
                number = data.get("n")
                self.reply({"type": "pong", "n": number if isinstance(number, int) else None})
                return
            await self.on_message(data)
        except SocketError as error:
            now_ns = SYSTEM_CLOCK.monotonic_ns()
            self.reply({"type": "error", "code": error.code, "detail": error.detail})
            self._offences.append(now_ns)
            if len(self._offences) == self._offences.maxlen and now_ns - self._offences[0] < 60 * NS_PER_S:
                self.close(CLOSE_ABUSE)

    def _take_token(self) -> bool:
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        self._tokens = min(
            self.limits.burst * NS_PER_S, self._tokens + (now_ns - self._tokens_ns) * self.limits.rate_per_s
        )
        self._tokens_ns = now_ns
        if self._tokens < NS_PER_S:
            return False
        self._tokens -= NS_PER_S
        return True

    # ---- writer and flow control ------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._control:
                    await self._send({"type": "websocket.send", "text": self._control.popleft()})
                if self.may_send:
                    self._held_ns = None
                    await self.pump()
                if not self.may_send and self._held_ns is None:
                    self._held_ns = SYSTEM_CLOCK.monotonic_ns()
        except Disconnected:  # the other end broke the protocol or went away between two frames
            self._gone = True
            self.close(1000)
        except Exception:
            log.exception("a socket could not be written")
            self.close(1011)

    async def _heartbeat(self) -> None:
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        self._hb += 1
        self._probe_at = self._sent + self.limits.probe_bytes
        self._hb_next_ns = now_ns + self.limits.heartbeat_s * NS_PER_S
        self._unanswered.append((self._hb, self._sent, now_ns))
        beat = {"type": "hb", "n": self._hb, "ts": rfc3339(SYSTEM_CLOCK.now_ns())}
        await self._send({"type": "websocket.send", "text": encode_text(beat).decode()})

    def _on_answer(self, number: Any) -> None:
        if not isinstance(number, int) or isinstance(number, bool) or not self._unanswered or number > self._hb:
            # An answer to nothing costs a token, so that it cannot be used to flood.
            if not self._take_token():
                raise SocketError("too_fast", f"At most {self.limits.rate_per_s} messages a second.")
            return
        while self._unanswered and self._unanswered[0][0] <= number:
            self._answered = self._unanswered.popleft()[1]
        if self.may_send:
            self._wake.set()

    def tick(self, now_ns: int) -> None:
        """Called once a second by the heart."""
        limits = self.limits
        held = self._held_ns is not None and not self.may_send and now_ns - self._held_ns > limits.held_s * NS_PER_S
        silent = (
            bool(self._unanswered) and now_ns - self._unanswered[0][2] > limits.missed * limits.heartbeat_s * NS_PER_S
        )
        if held or silent:
            self.close(CLOSE_SLOW)
        elif now_ns - self._opened_ns > limits.age_s * NS_PER_S:
            self.close(CLOSE_OLD)
        elif now_ns >= self._hb_next_ns:
            self._hb += 1
            self._hb_next_ns = now_ns + limits.heartbeat_s * NS_PER_S
            self._unanswered.append((self._hb, self._sent, now_ns))
            self.reply({"type": "hb", "n": self._hb, "ts": rfc3339(SYSTEM_CLOCK.now_ns())})
        self.on_tick(now_ns)
