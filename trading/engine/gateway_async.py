"""The gateway for event loops: one connection, many requests under way, answers matched by number.

Owns: the asynchronous client. Same names, outcomes and exceptions as gateway.EngineClient. Leaves to others: bytes (wire.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from brokerage.kernel.errors import EngineUnavailableError, ProtocolError
from native import layout
from trading.engine import wire
from trading.engine.events import FeedBatch, Outcome, Unknown
from trading.engine.replies import EngineStatus, outcome_by_id, parse_answer, parse_feed, raise_error
from trading.engine.services import own_proof
from trading.engine.wire import BalanceRow, Depth, OrderRow, PositionRow, Preview

_CHUNK = 256


class _Lost(Exception):
    """The connection ended while an answer was awaited."""


async def _open(path: str, timeout_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, wire.ServerHello]:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
            writer.write(wire.client_hello(own_proof()))
            kind, _, payload = await _read(reader)
            if kind != wire.HELLO:
                raise_error(kind, payload)
            return reader, writer, wire.parse_server_hello(payload)
    except (OSError, ProtocolError, asyncio.IncompleteReadError) as error:
        if writer is not None:
            writer.close()
        raise EngineUnavailableError(f"the engine at {path} does not answer: {error}") from error


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, memoryview]:
    head = await reader.readexactly(wire.FRAME_SIZE)
    size, kind, _, request = wire.FRAME.unpack(head)
    if not 12 <= size <= wire.SERVER_FRAME_MAX:
        raise ProtocolError(f"the engine sent a frame of {size} bytes")
    return kind, request, memoryview(await reader.readexactly(size - 12))


class AsyncEngineClient:
    """Client of one event loop. Connects at the first use and again after a loss; a request waits at most ``timeout_s``."""

    def __init__(self, path: str, *, timeout_s: float = 2.0) -> None:
        self.path = str(path)
        self.timeout_s = timeout_s
        self.hello: wire.ServerHello | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[tuple[int, memoryview]]] = {}
        self._request = 0
        self._connecting = asyncio.Lock()

    # -- connection ---------------------------------------------------------------------------------------------------

    async def _connected(self) -> asyncio.StreamWriter:
        if self._writer is not None:
            return self._writer
        async with self._connecting:
            if self._writer is None:
                reader, writer, self.hello = await _open(self.path, self.timeout_s)
                self._writer = writer
                self._task = asyncio.create_task(self._pump(reader, writer))
            return self._writer

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        why: Exception = _Lost("the engine closed the connection")
        try:
            while True:
                kind, request, payload = await _read(reader)
                if kind in (wire.ANSWER, wire.RESULT):
                    future = self._waiting.pop(request, None)
                    if future is not None and not future.done():
                        future.set_result((kind, payload))
                else:
                    raise_error(kind, payload)
        except asyncio.IncompleteReadError:
            pass
        except (OSError, ProtocolError, EngineUnavailableError) as error:
            why = _Lost(str(error))
        finally:
            if self._writer is writer:
                self._writer = None
            writer.close()
            waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_exception(why)

    async def _call(self, kind: int, *parts: Any) -> tuple[int, memoryview]:
        """Send one frame and wait. EngineUnavailableError before it is sent; _Lost or TimeoutError after."""
        writer = await self._connected()
        self._request += 1
        request = self._request
        future: asyncio.Future[tuple[int, memoryview]] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        try:
            if writer.is_closing():
                raise EngineUnavailableError("the engine closed the connection; nothing was sent")
            writer.write(wire.frame(kind, request, *parts))
            async with asyncio.timeout(self.timeout_s):
                return await future
        finally:
            self._waiting.pop(request, None)

    async def close(self) -> None:
        """Close the connection; what is under way becomes Unknown."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._writer = None

    async def __aenter__(self) -> AsyncEngineClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- commands -----------------------------------------------------------------------------------------------------

    async def submit(self, command: bytes) -> Outcome:
        """Send one packed command and wait for its outcome."""
        return (await self._submit_chunk([command]))[0]

    async def submit_many(self, commands: Sequence[bytes]) -> list[Outcome]:
        """Send packed commands in order; one outcome each. EngineUnavailableError only when none got there."""
        outcomes: list[Outcome] = []
        for start in range(0, len(commands), _CHUNK):
            chunk = commands[start : start + _CHUNK]
            try:
                outcomes += await self._submit_chunk(chunk)
            except EngineUnavailableError as error:
                if not outcomes:
                    raise
                outcomes += [Unknown(f"not sent: {error}") for _ in chunk]
        return outcomes

    async def _submit_chunk(self, chunk: Sequence[bytes]) -> list[Outcome]:
        try:
            _, payload = await self._call(wire.SUBMIT, *chunk)
            return parse_answer(payload)
        except TimeoutError:
            return [Unknown("no answer within the time limit") for _ in chunk]
        except (_Lost, ProtocolError) as error:
            return [Unknown(str(error)) for _ in chunk]

    async def resolve(self, account: int, cl_ord_id: str) -> Outcome | None:
        """What became of a command sent under this id; None when the engine never got it."""
        return await self.query_cl_ord_id(account, cl_ord_id)

    # -- questions ----------------------------------------------------------------------------------------------------

    async def _ask(self, kind: int, arguments: bytes = b"") -> memoryview:
        try:
            return (await self._call(wire.QUERY, wire.query(kind, arguments)))[1]
        except (_Lost, TimeoutError) as error:
            raise EngineUnavailableError(f"the engine did not answer: {error or 'time limit'}") from error

    async def query_depth(self, instrument: int, n: int = 20) -> Depth:
        """Best levels of a book with the sequences they are true at."""
        return wire.parse_depth(await self._ask(wire.Q_DEPTH, wire.ARG_DEPTH.pack(instrument, n)))

    async def query_order(self, order_id: int) -> OrderRow | None:
        """A live order, or None."""
        payload = await self._ask(wire.Q_ORDER, wire.ARG_ORDER.pack(order_id))
        return OrderRow._make(wire.ORDER_ROW.unpack(payload)) if payload else None

    async def query_orders(self, account: int = layout.ANY, after: int = 0, limit: int = 1000) -> list[OrderRow]:
        """Live orders of an account in slot order, those after order id ``after``."""
        payload = await self._ask(wire.Q_ORDERS, wire.ARG_ORDERS.pack(account, limit, after))
        return [OrderRow._make(row) for row in wire.ORDER_ROW.iter_unpack(payload)]

    async def query_cl_ord_id(self, account: int, cl_ord_id: str) -> Outcome | None:
        """The outcome of the command that was sent under this id, or None."""
        return outcome_by_id(await self._ask(wire.Q_CL_ORD_ID, wire.ARG_CL_ORD_ID.pack(account, cl_ord_id.encode())))

    async def query_balances(self, account: int) -> list[BalanceRow]:
        """(asset, available, held) of every asset that is not 0/0."""
        payload = await self._ask(wire.Q_BALANCES, wire.ARG_ACCOUNT.pack(account))
        return [BalanceRow._make(row) for row in wire.BALANCE_ROW.iter_unpack(payload)]

    async def query_positions(self, account: int) -> list[PositionRow]:
        """Margin rows that are not all zero."""
        payload = await self._ask(wire.Q_POSITIONS, wire.ARG_ACCOUNT.pack(account))
        return [PositionRow._make(row) for row in wire.POSITION_ROW.iter_unpack(payload)]

    async def preview(self, command: bytes) -> Preview:
        """What a new order would do if it were sent now."""
        return Preview._make(wire.PREVIEW_ROW.unpack(await self._ask(wire.Q_PREVIEW, command)))

    async def status(self) -> EngineStatus:
        """The engine's state."""
        return EngineStatus.of(json.loads(bytes(await self._ask(wire.Q_STATUS))))

    async def digest(self) -> tuple[int, int, int]:
        """(cmd_seq, event_seq, digest of the whole state)."""
        return wire.DIGEST_ROW.unpack(await self._ask(wire.Q_DIGEST))

    async def check(self) -> str:
        """Verify every invariant of the core: empty, or what is broken."""
        return bytes(await self._ask(wire.Q_CHECK)).decode()

    # -- feed ---------------------------------------------------------------------------------------------------------

    async def feed(self, from_cmd_seq: int, *, idle_s: float | None = None) -> AsyncIterator[FeedBatch]:
        """Yield durable batches from a command sequence on, over a connection of its own. As EngineClient.feed.

        Subscribed at the first iteration, so after a question name the sequence its answer was true at (cmd_seq + 1), not −1.
        """
        reader, writer, hello = await _open(self.path, self.timeout_s)
        self.hello = hello
        pending: asyncio.Task[tuple[int, int, memoryview]] | None = None
        try:
            writer.write(wire.frame(wire.SUBSCRIBE, 0, wire.SUBSCRIBE_BODY.pack(from_cmd_seq)))
            wanted = from_cmd_seq
            while True:
                # A read that timed out goes on: half a frame must not be lost.
                pending = pending or asyncio.ensure_future(_read(reader))
                done, _ = await asyncio.wait({pending}, timeout=idle_s)
                if not done:
                    yield FeedBatch(hello.epoch, hello.journal_id, max(wanted, 0), 0, b"", b"")
                    continue
                kind, _, payload = pending.result()
                pending = None
                if kind != wire.FEED:
                    raise_error(kind, payload)
                batch = parse_feed(payload, hello.journal_id, wanted)
                if batch is not None:
                    wanted = batch.last_seq + 1
                    yield batch
        except (OSError, ProtocolError, asyncio.IncompleteReadError) as error:
            raise EngineUnavailableError(f"the feed ended: {error}") from error
        finally:
            if pending is not None:
                pending.cancel()
            writer.close()
