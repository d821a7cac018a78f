"""The engine's Unix socket: connections, frames, flow control.

Owns: accepting (only this user or root, as a service that shows its token), the hello, cutting frames out of the stream, bounding
what one connection may have under way, and cutting whoever sends garbage. Leaves to others: what frames say (wire.py), what is done
with commands (runtime.py), questions (queries.py), the feed (eventlog.py), who may do what (services.py).

A connection that misbehaves loses its connection; nothing it sends can stop the engine: every frame is bounded before it is read,
commands are opaque to this module, and the core answers any 128 bytes with an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brokerage.kernel.errors import ProtocolError
from native import layout
from native.layout import COMMAND_SIZE
from trading.engine import queries, wire
from trading.engine.eventlog import Subscriber
from trading.engine.runtime import EngineRuntime, Request
from trading.engine.services import ACTS, ANYBODY, Service, Services

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 256
#: Commands and queries one connection may have under way; beyond it the engine stops reading from it.
INFLIGHT_MAX = 4096
#: Bytes that may wait in a connection's send buffer before answers count as not being read.
BUFFER_HIGH = 4 << 20
BUFFER_LOW = 1 << 20
#: A client that lets this much pile up unread is cut.
BUFFER_CUT = 64 << 20
HELLO_TIMEOUT_S = 5.0
#: A frame that began must end within this time.
FRAME_TIMEOUT_S = 10.0


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: EngineServer) -> None:
        self.server = server
        self.runtime = server.runtime
        self.transport: asyncio.Transport | None = None
        self.service: Service | None = None
        self.inflight = 0
        self.reading = True
        self.writing_paused = False
        self.subscriber: Subscriber | None = None
        self._buffer = b""
        self._partial_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check who it is and wait for the hello."""
        self.transport = transport  # type: ignore[assignment]
        transport.set_write_buffer_limits(BUFFER_HIGH, BUFFER_LOW)  # type: ignore[attr-defined]
        refusal = self.server.admit(self, transport.get_extra_info("socket"))
        if refusal:
            self.cut(wire.ERR_BUSY, refusal)
            return
        self._timer = self.server.loop.call_later(HELLO_TIMEOUT_S, self._hello_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it. Commands under way still happen; nobody hears the answer."""
        self.transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self.subscriber is not None:
            self.runtime.events.unsubscribe(self.subscriber)
            self.subscriber = None
        self.server.forget(self)

    def _hello_late(self) -> None:
        if self.service is None:
            self.cut(wire.ERR_PROTOCOL, "no hello")

    def cut(self, code: int, text: str) -> None:
        """Say why and close."""
        if self.transport is None:
            return
        self.server.cut += code in (wire.ERR_PROTOCOL, wire.ERR_VERSION)
        with contextlib.suppress(OSError, RuntimeError):
            self.transport.write(wire.frame(wire.ERROR, 0, wire.ERROR_HEAD.pack(code), text.encode()[:1000]))
        transport, self.transport = self.transport, None
        # What cannot be sent to a client that does not read must not be kept.
        if transport.get_write_buffer_size() > BUFFER_LOW:
            transport.abort()
        else:
            transport.close()
            self.server.loop.call_later(1.0, transport.abort)

    # -- flow control -------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client does not read its answers: no more commands from it until it does."""
        self.writing_paused = True
        if self.subscriber is not None:
            self.runtime.events.set_paused(self.subscriber, True)
        self._flow()

    def resume_writing(self) -> None:
        """It reads again."""
        self.writing_paused = False
        if self.subscriber is not None:
            self.runtime.events.set_paused(self.subscriber, False)
        self._flow()

    def _flow(self) -> None:
        """Read from the socket only while answers are taken and not too much is under way."""
        if self.transport is None:
            return
        wanted = not self.writing_paused and self.inflight < INFLIGHT_MAX
        if wanted and not self.reading:
            self.reading = True
            self.transport.resume_reading()
            if self._buffer:
                self.server.loop.call_soon(self.data_received, b"")
        elif not wanted and self.reading:
            self.reading = False
            self.transport.pause_reading()

    def _done(self, count: int) -> None:
        self.inflight -= count
        if not self.reading:
            self._flow()

    def send(self, data: bytes) -> None:
        """Write if there is still somebody."""
        if self.transport is not None:
            self.transport.write(data)
            if self.transport.get_write_buffer_size() > BUFFER_CUT:
                self.cut(wire.ERR_SLOW, "answers are not being read")

    # -- frames -------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Cut frames out of the stream."""
        buffer = self._buffer + data if self._buffer else data
        offset, end = 0, len(buffer)
        while self.transport is not None and self.reading and end - offset >= 4:
            size = wire.LENGTH.unpack_from(buffer, offset)[0]
            if not 12 <= size <= wire.CLIENT_FRAME_MAX:
                self.cut(wire.ERR_PROTOCOL, f"a frame of {size} bytes")
                break
            if end - offset < 4 + size:
                break
            _, kind, flags, request = wire.FRAME.unpack_from(buffer, offset)
            payload = buffer[offset + wire.FRAME_SIZE : offset + 4 + size]
            offset += 4 + size
            try:
                if flags:
                    raise ProtocolError(f"unknown frame flags {flags}")
                self._frame(kind, request, payload)
            except ProtocolError as error:
                self.cut(wire.ERR_PROTOCOL, str(error))
        self._buffer = buffer[offset:] if offset < end else b""
        self._watch_partial()
        self.runtime.kick()

    def _watch_partial(self) -> None:
        """A frame that has begun must end in time (not while it is us who do not read)."""
        if not self._buffer or not self.reading:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = self.server.loop.time()

    def check_partial(self, now: float) -> None:
        """Called once a second by the server."""
        if self._partial_since is not None and now - self._partial_since > FRAME_TIMEOUT_S:
            self.cut(wire.ERR_PROTOCOL, f"half a frame for {FRAME_TIMEOUT_S:.0f} s")

    def _frame(self, kind: int, request: int, payload: bytes) -> None:
        if self.service is None:
            self._hello(kind, payload)
        elif kind in ACTS and kind not in self.service.rights:
            self.cut(wire.ERR_SERVICE, f"{self.service.name} may not {ACTS[kind]}")
        elif kind == wire.SUBMIT:
            self._submit(request, payload)
        elif kind == wire.QUERY:
            self._query(request, payload)
        elif kind == wire.SUBSCRIBE:
            self._subscribe(payload)
        else:
            raise ProtocolError(f"unknown frame type {kind}")

    def _hello(self, kind: int, payload: bytes) -> None:
        proof = payload[wire.CLIENT_HELLO.size :]
        if kind != wire.HELLO or len(payload) < wire.CLIENT_HELLO.size or len(proof) not in (0, wire.PROOF_SIZE):
            raise ProtocolError("the first frame must be a hello")
        magic, protocol, abi, _ = wire.CLIENT_HELLO.unpack_from(payload)
        if magic != wire.MAGIC:
            raise ProtocolError("bad magic")
        if protocol != wire.PROTOCOL_VERSION or abi != layout.ABI_VERSION:
            self.cut(
                wire.ERR_VERSION,
                f"this engine speaks protocol {wire.PROTOCOL_VERSION} with structs {layout.ABI_VERSION}, "
                f"you speak {protocol} with {abi}",
            )
            return
        services = self.server.services
        self.service = ANYBODY if services is None else services.find(proof)
        if self.service is None:
            log.warning("a connection %s was refused", "with an unknown token" if proof else "without a token")
            self.cut(
                wire.ERR_SERVICE, "this process shows no token the engine knows: see ENGINE_KEYS in docs/operations.md"
            )
            return
        if self._timer is not None:
            self._timer.cancel()
        runtime = self.runtime
        self.send(
            wire.frame(
                wire.HELLO,
                0,
                wire.SERVER_HELLO.pack(
                    wire.MAGIC, wire.PROTOCOL_VERSION, layout.ABI_VERSION, layout.SEMANTICS_VERSION, runtime.epoch,
                    bytes.fromhex(runtime.journal.journal_id), runtime.build_id.encode()[:16], runtime.durable_cmd_seq,
                ),
            )
        )  # fmt: skip

    # -- commands -----------------------------------------------------------------------------------------------------

    def _submit(self, request: int, payload: bytes) -> None:
        count, rest = divmod(len(payload), COMMAND_SIZE)
        if rest or not 0 < count <= min(wire.SUBMIT_MAX, self.runtime.batch_max):
            raise ProtocolError(
                f"{len(payload)} bytes are not 1 to {min(wire.SUBMIT_MAX, self.runtime.batch_max)} commands"
            )
        if self.server.stopping:
            self.send(_answer(request, [(0, 0, 9010)] * count, b""))
            return
        self.inflight += count
        refused = self.runtime.refusal(payload, count)
        respond: Callable[[list[tuple[int, int, int]], bytes], None] = _Respond(self, request, count)
        if refused is not None:
            respond = _merge(respond, refused)
            payload = b"".join(
                payload[i * COMMAND_SIZE : (i + 1) * COMMAND_SIZE] for i, reason in enumerate(refused) if not reason
            )
            count -= sum(1 for reason in refused if reason)
            if not count:
                respond([], b"")
                return
        self.runtime.submit(Request(payload, count, respond), kick=False)
        if self.inflight >= INFLIGHT_MAX:
            self._flow()

    def _query(self, request: int, payload: bytes) -> None:
        if len(payload) < wire.QUERY_HEAD.size:
            raise ProtocolError("a query without a kind")
        kind = wire.QUERY_HEAD.unpack_from(payload)[0]
        arguments = payload[wire.QUERY_HEAD.size :]
        if kind == wire.Q_STATUS:
            self.send(wire.frame(wire.RESULT, request, queries.status(self.runtime)))
            return
        self.inflight += 1

        def ask() -> None:
            try:
                self.send(wire.frame(wire.RESULT, request, queries.answer(self.runtime, kind, arguments)))
            except ProtocolError as error:
                self.cut(wire.ERR_QUERY, str(error))
            finally:
                self._done(1)

        self.runtime.query(ask, kick=False)
        if self.inflight >= INFLIGHT_MAX:
            self._flow()

    def _subscribe(self, payload: bytes) -> None:
        if self.subscriber is not None or len(payload) != wire.SUBSCRIBE_BODY.size:
            raise ProtocolError("one subscription per connection, of 8 bytes")
        from_seq = wire.SUBSCRIBE_BODY.unpack(payload)[0]
        self.subscriber = self.runtime.events.subscribe(self.send, self.cut, from_seq)


class _Respond:
    """Sends the answer of one SUBMIT frame."""

    __slots__ = ("connection", "count", "request")

    def __init__(self, connection: Connection, request: int, count: int) -> None:
        self.connection = connection
        self.request = request
        self.count = count

    def __call__(self, rows: list[tuple[int, int, int]], events: bytes) -> None:
        self.connection.send(_answer(self.request, rows, events))
        self.connection._done(self.count)


def _answer(request: int, rows: list[tuple[int, int, int]], events: bytes) -> bytes:
    packed = wire.ANSWER_ROW.pack(*rows[0]) if len(rows) == 1 else b"".join(wire.ANSWER_ROW.pack(*row) for row in rows)
    return wire.frame(wire.ANSWER, request, wire.ANSWER_HEAD.pack(len(rows), 0), packed, events)


def _merge(
    respond: Callable[[list[tuple[int, int, int]], bytes], None], refused: list[int]
) -> Callable[[list[tuple[int, int, int]], bytes], None]:
    """Put this process's own refusals between the rows of the commands that went on."""

    def merged(rows: list[tuple[int, int, int]], events: bytes) -> None:
        passed = iter(rows)
        respond([(0, 0, reason) if reason else next(passed) for reason in refused], events)

    return merged


class EngineServer:
    """All connections of one engine."""

    def __init__(self, runtime: EngineRuntime, path: str, services: Services | None = None) -> None:
        self.runtime = runtime
        self.path = path
        self.services = services
        """Who may speak; None: whoever runs as the same user."""
        self.connections: set[Connection] = set()
        self.cut = 0
        """Connections cut for what they sent."""
        self.stopping = False
        self.loop = asyncio.get_event_loop()
        self._server: asyncio.AbstractServer | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen. The folder is this user's alone; a socket file left by a dead engine is replaced."""
        self.loop = asyncio.get_running_loop()
        folder = Path(self.path).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            # The journal's lock says that no other engine of this house is alive.
            os.unlink(self.path)
        old = os.umask(0o177)
        try:
            self._server = await self.loop.create_unix_server(lambda: Connection(self), self.path, backlog=128)
        finally:
            os.umask(old)
        self._second()

    def admit(self, connection: Connection, sock: Any) -> str:
        """Empty when the peer may speak: the same user or root, and not too many of them."""
        self.connections.add(connection)
        if len(self.connections) > CONNECTIONS_MAX:
            return f"more than {CONNECTIONS_MAX} connections"
        try:
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            _, uid, _ = struct.unpack("<iII", credentials)
        except (OSError, AttributeError, struct.error):
            return "the peer's user cannot be told"
        return "" if uid in (0, os.getuid()) else f"user {uid} may not use this engine"

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)

    def _second(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check_partial(now)
        self._timer = self.loop.call_later(1.0, self._second)

    def announce_halt(self, reason: str) -> None:
        """Tell everybody why nothing will be answered any more."""
        for connection in list(self.connections):
            connection.send(wire.frame(wire.HALT, 0, reason.encode()[:1000]))

    async def stop(self) -> None:
        """Take nothing new, close everything."""
        self.stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.cut(wire.ERR_STOPPING, "the engine stops")
        await asyncio.sleep(0.05)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
