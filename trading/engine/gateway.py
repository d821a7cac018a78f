"""The gateway: how every other process talks to the engine.

What for: ``EngineClient`` for threads, ``AsyncEngineClient`` (gateway_async.py, also importable from here) for event loops. Owns:
connections, the hello, matching answers to requests, and the three outcomes. Leaves to others: bytes (wire.py), building commands
(commands.py), reject texts.

The rule of outcomes. ``EngineUnavailable`` is raised when the command certainly did not reach the engine: no connection, or the frame
was not sent in full. After a frame was sent in full, anything but its answer is ``Unknown``: it may have been applied. Nothing is
sent again by itself. To find out, ask ``resolve(account, cl_ord_id)``, or send the same command under the same id once more, which
is safe: the core answers a known id with the first answer (EV_DUPLICATE).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

from brokerage.kernel.clock import SYSTEM_CLOCK
from brokerage.kernel.errors import EngineUnavailableError, ProtocolError
from native import layout
from native.layout import Event
from trading.engine import wire
from trading.engine.events import Accepted, FeedBatch, FeedItem, Outcome, Rejected, Unknown
from trading.engine.gateway_async import AsyncEngineClient
from trading.engine.replies import (
    EngineStatus,
    FeedCutError,
    HaltedError,
    outcome_by_id,
    parse_answer,
    parse_feed,
    raise_error,
)
from trading.engine.services import own_proof
from trading.engine.wire import BalanceRow, Depth, OrderRow, PositionRow, Preview

EngineUnavailable = EngineUnavailableError

__all__ = [
    "Accepted", "AsyncEngineClient", "BalanceRow", "Depth", "EngineClient", "EngineStatus", "EngineUnavailable", "Event",
    "FeedBatch", "FeedCutError", "FeedItem", "HaltedError", "OrderRow", "Outcome", "PositionRow", "Preview", "Rejected", "Unknown",
]  # fmt: skip

_CHUNK = 256
#: How long a thread looks for its answer before it sleeps: waking a sleeping processor costs more than most answers (docs/performance.md).
LOOK_NS = 80_000


class _Socket:
    """One greeted connection, used by one thread at a time."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.request = 0
        self._buffer = bytearray()
        self.set_timeout(timeout_s)
        try:
            self.sock.connect(path)
            self.sock.sendall(wire.client_hello(own_proof()))
            kind, _, payload = self.read()
            if kind != wire.HELLO:
                raise_error(kind, payload)
            self.hello = wire.parse_server_hello(payload)
        except (OSError, ProtocolError) as error:
            self.sock.close()
            raise EngineUnavailable(f"the engine at {path} does not answer: {error}") from error
        except BaseException:
            self.sock.close()
            raise

    def close(self) -> None:
        """Close."""
        with contextlib.suppress(OSError):
            self.sock.close()

    def dead(self) -> bool:
        """The engine closed it, or said something nobody asked for (a halt), while it lay in the pool."""
        if self._buffer:
            return True
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def set_timeout(self, timeout_s: float | None) -> None:
        """Time limit of one read or write, kept by the kernel: Python's own would cost a poll() for each."""
        whole, part = divmod(timeout_s or 0.0, 1)
        value = struct.pack("@ll", int(whole), int(part * 1_000_000))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def _look(self, size: int, look_ns: int) -> bytes:
        """What comes within ``look_ns``, without sleeping; empty when nothing does."""
        until = SYSTEM_CLOCK.monotonic_ns() + look_ns if look_ns else 0
        while until:
            try:
                return self.sock.recv(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if SYSTEM_CLOCK.monotonic_ns() > until:
                    break
                os.sched_yield()  # the engine may wait for this very processor
        return b""

    def read(self, look_ns: int = 0) -> tuple[int, int, memoryview]:
        """The next frame: (type, request, payload). OSError at the end of the stream or on a timeout."""
        buffer = self._buffer
        while True:
            if len(buffer) >= 4:
                size = wire.LENGTH.unpack_from(buffer)[0]
                if not 12 <= size <= wire.SERVER_FRAME_MAX:
                    raise ProtocolError(f"the engine sent a frame of {size} bytes")
                if len(buffer) >= 4 + size:
                    frame = bytes(buffer[: 4 + size])
                    del buffer[: 4 + size]
                    _, kind, _, request = wire.FRAME.unpack_from(frame)
                    return kind, request, memoryview(frame)[wire.FRAME_SIZE :]
            # Small at first: most answers are, and a large buffer costs more than the answer.
            size = 16_384 if len(buffer) < 16_384 else 1 << 20
            try:
                data = self._look(size, look_ns) or self.sock.recv(size)
            except BlockingIOError:
                raise TimeoutError("no answer within the time limit") from None
            if not data:
                raise ConnectionResetError("the engine closed the connection")
            buffer += data


class EngineClient:
    """Thread-safe client with a pool of blocking connections, made as needed. Forks: make one per process."""

    def __init__(self, path: str, *, timeout_s: float = 2.0, pool_size: int = 8) -> None:
        self.path = str(path)
        self.timeout_s = timeout_s
        self.hello: wire.ServerHello | None = None
        """The engine's latest hello."""
        self._pool: list[_Socket] = []
        self._pool_size = pool_size
        self._free = threading.Semaphore(pool_size)
        self._lock = threading.Lock()
        self._busy = 0  # connections in use
        self._closed = False

    # -- connections --------------------------------------------------------------------------------------------------

    def _take(self) -> _Socket:
        if self._closed:
            raise EngineUnavailable("this client is closed")
        if not self._free.acquire(timeout=self.timeout_s):
            raise EngineUnavailable(f"all {self._pool_size} connections to the engine are busy")
        with self._lock:
            self._busy += 1
        try:
            while True:
                with self._lock:
                    connection = self._pool.pop() if self._pool else None
                if connection is None:
                    connection = _Socket(self.path, self.timeout_s)
                    self.hello = connection.hello
                    return connection
                if not connection.dead():
                    return connection
                connection.close()
        except BaseException:
            self._leave()
            raise

    def _give(self, connection: _Socket, good: bool) -> None:
        if good and not self._closed:
            with self._lock:
                self._pool.append(connection)
        else:
            connection.close()
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._busy -= 1
        self._free.release()

    def _look_ns(self) -> int:
        """Only a thread that waits alone looks: two would hold each other up."""
        return LOOK_NS if self._busy == 1 else 0

    def close(self) -> None:
        """Close all idle connections; those in use close when they are given back."""
        self._closed = True
        with self._lock:
            pool, self._pool = self._pool, []
        for connection in pool:
            connection.close()

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- commands -----------------------------------------------------------------------------------------------------

    def submit(self, command: bytes) -> Outcome:
        """Send one packed command and wait for its outcome. EngineUnavailable: it certainly did not get there."""
        return self.submit_many([command])[0]

    def submit_many(self, commands: Sequence[bytes]) -> list[Outcome]:
        """Send packed commands in order, pipelined; one outcome each.

        EngineUnavailable only when none got there; commands behind a failure are Unknown or, when certainly not sent,
        Unknown with a text that says so.
        """
        if not commands:
            return []
        chunks = [commands[i : i + _CHUNK] for i in range(0, len(commands), _CHUNK)]
        connection = self._take()
        good = False
        outcomes: list[Outcome] = []
        sent = 0
        try:
            # A few frames ahead at most, so that neither side's buffer can fill while both only write.
            for chunk in chunks:
                connection.request += 1
                connection.sock.sendall(wire.frame(wire.SUBMIT, connection.request, *chunk))
                sent += 1
                if sent > 4:
                    outcomes += self._read_answer(connection, connection.request - 4, len(chunks[sent - 5]))
            for index in range(max(sent - 4, 0), sent):
                outcomes += self._read_answer(connection, connection.request - sent + index + 1, len(chunks[index]))
            good = True
        except (OSError, ProtocolError, EngineUnavailable) as error:
            if sent == 0:
                raise EngineUnavailable(f"the command was not sent: {error}") from error
            reached = sum(len(chunk) for chunk in chunks[:sent])
            why = "no answer within the time limit" if isinstance(error, TimeoutError) else str(error)
            outcomes += [Unknown(why) for _ in range(len(outcomes), reached)]
            outcomes += [Unknown(f"not sent: {why}") for _ in range(reached, len(commands))]
        finally:
            self._give(connection, good)
        return outcomes

    def _read_answer(self, connection: _Socket, request: int, count: int) -> list[Outcome]:
        kind, number, payload = connection.read(self._look_ns())
        if kind != wire.ANSWER:
            raise_error(kind, payload)
        if number != request:
            raise ProtocolError(f"answer {number} came, {request} was expected")
        outcomes = parse_answer(payload)
        if len(outcomes) != count:
            raise ProtocolError(f"{len(outcomes)} outcomes for {count} commands")
        return outcomes

    def resolve(self, account: int, cl_ord_id: str) -> Outcome | None:
        """What became of a command sent under this id: its outcome, or None when the engine never got it."""
        return self.query_cl_ord_id(account, cl_ord_id)

    # -- questions ----------------------------------------------------------------------------------------------------

    def _ask(self, kind: int, arguments: bytes = b"") -> memoryview:
        connection = self._take()
        good = False
        try:
            connection.request += 1
            connection.sock.sendall(wire.frame(wire.QUERY, connection.request, wire.query(kind, arguments)))
            answer, number, payload = connection.read(self._look_ns())
            if answer != wire.RESULT or number != connection.request:
                raise_error(answer, payload)
            good = True
        except (OSError, ProtocolError) as error:
            raise EngineUnavailable(f"the engine did not answer: {error or 'time limit'}") from error
        finally:
            self._give(connection, good)
        return payload

    def query_depth(self, instrument: int, n: int = 20) -> Depth:
        """Best levels of a book with the sequences they are true at."""
        return wire.parse_depth(self._ask(wire.Q_DEPTH, wire.ARG_DEPTH.pack(instrument, n)))

    def query_order(self, order_id: int) -> OrderRow | None:
        """A live order, or None."""
        payload = self._ask(wire.Q_ORDER, wire.ARG_ORDER.pack(order_id))
        return OrderRow._make(wire.ORDER_ROW.unpack(payload)) if payload else None

    def query_orders(self, account: int = layout.ANY, after: int = 0, limit: int = 1000) -> list[OrderRow]:
        """Live orders of an account in slot order, those after order id ``after``."""
        payload = self._ask(wire.Q_ORDERS, wire.ARG_ORDERS.pack(account, limit, after))
        return [OrderRow._make(row) for row in wire.ORDER_ROW.iter_unpack(payload)]

    def query_cl_ord_id(self, account: int, cl_ord_id: str) -> Outcome | None:
        """The outcome of the command that was sent under this id, or None."""
        return outcome_by_id(self._ask(wire.Q_CL_ORD_ID, wire.ARG_CL_ORD_ID.pack(account, cl_ord_id.encode())))

    def query_balances(self, account: int) -> list[BalanceRow]:
        """(asset, available, held) of every asset that is not 0/0."""
        payload = self._ask(wire.Q_BALANCES, wire.ARG_ACCOUNT.pack(account))
        return [BalanceRow._make(row) for row in wire.BALANCE_ROW.iter_unpack(payload)]

    def query_positions(self, account: int) -> list[PositionRow]:
        """Margin rows that are not all zero."""
        payload = self._ask(wire.Q_POSITIONS, wire.ARG_ACCOUNT.pack(account))
        return [PositionRow._make(row) for row in wire.POSITION_ROW.iter_unpack(payload)]

    def preview(self, command: bytes) -> Preview:
        """What a new order would do if it were sent now."""
        return Preview._make(wire.PREVIEW_ROW.unpack(self._ask(wire.Q_PREVIEW, command)))

    def status(self) -> EngineStatus:
        """The engine's state."""
        return EngineStatus.of(json.loads(bytes(self._ask(wire.Q_STATUS))))

    def digest(self) -> tuple[int, int, int]:
        """(cmd_seq, event_seq, digest of the whole state)."""
        return wire.DIGEST_ROW.unpack(self._ask(wire.Q_DIGEST))

    def check(self) -> str:
        """Verify every invariant of the core: empty, or what is broken."""
        return bytes(self._ask(wire.Q_CHECK)).decode()

    # -- feed ---------------------------------------------------------------------------------------------------------

    def feed(self, from_cmd_seq: int, *, idle_s: float | None = None) -> Iterator[FeedBatch]:
        """Durable batches from a command sequence on (1 = the beginning, −1 = only new ones), for ever; subscribed at once.

        ``idle_s``: yield an empty batch when nothing came for so long. Raises EngineUnavailable when the engine goes away,
        FeedCutError when it refuses the place or cut us as too slow; subscribe again behind the last batch that came.
        """
        connection = _Socket(self.path, self.timeout_s)
        self.hello = connection.hello
        try:
            connection.sock.sendall(wire.frame(wire.SUBSCRIBE, 0, wire.SUBSCRIBE_BODY.pack(from_cmd_seq)))
            connection.set_timeout(idle_s)
        except OSError as error:
            connection.close()
            raise EngineUnavailable(f"the feed ended: {error}") from error
        return self._feed(connection, from_cmd_seq)

    @staticmethod
    def _feed(connection: _Socket, wanted: int) -> Iterator[FeedBatch]:
        hello = connection.hello
        try:
            while True:
                try:
                    kind, _, payload = connection.read()
                except TimeoutError:
                    yield FeedBatch(hello.epoch, hello.journal_id, max(wanted, 0), 0, b"", b"")
                    continue
                if kind != wire.FEED:
                    raise_error(kind, payload)
                batch = parse_feed(payload, hello.journal_id, wanted)
                if batch is not None:
                    wanted = batch.last_seq + 1
                    yield batch
        except (OSError, ProtocolError) as error:
            raise EngineUnavailable(f"the feed ended: {error}") from error
        finally:
            connection.close()


def wait_ready(path: str, timeout_s: float = 10.0) -> EngineStatus:
    """Wait until an engine answers on this socket; EngineUnavailable when none does in time."""
    end = SYSTEM_CLOCK.monotonic_ns() + int(timeout_s * 1_000_000_000)
    pause = threading.Event()
    while True:
        try:
            with EngineClient(path, pool_size=1) as client:
                return client.status()
        except EngineUnavailable:
            if SYSTEM_CLOCK.monotonic_ns() > end:
                raise
            pause.wait(0.02)
