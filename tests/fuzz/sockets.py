"""Frames that nobody should send, over real connections: bad JSON, wrong types, bad tickets, and a protocol that is no protocol.

Every connection sends a handful and reads until it is cut or answered. What may come back is JSON of a known type, errors by a known name, a
close with a known code, or the end of the connection; anything else is a fault. Frames are counted when they were written to the connection.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0
TYPES = {
    "hello", "subscribed", "error", "pong", "hb", "quotes", "quote", "book", "trades", "candle", "ready", "resumed", "resync", "bye",
    "order", "execution", "balance", "position",
}  # fmt: skip
ERRORS = {
    "malformed", "too_large", "too_fast", "unknown_op", "not_subscribed", "not_authenticated", "token_expired", "not_found", "not_permitted",
    "too_many", "unavailable", "overloaded",
}  # fmt: skip
#: Codes of ours (docs/streams.md) and those by which the protocol itself refuses.
CLOSES = {1000, 1002, 1003, 1007, 1009, 4001, 4003, 4008, 4009, 4010, 4013}
PER_CONNECTION = 25
AT_ONCE = 8
ANSWER_S = 10.0


@dataclass
class Seen:
    """What came of it."""

    frames: int = 0
    connections: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    closes: Counter[Any] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, masked: bool = True, said: int | None = None
) -> bytes:
    """A frame of a client; ``said`` is the length it claims."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size = len(payload) if said is None else said
    mark = 0x80 if masked else 0
    if size < 126:
        head += bytes([mark | size])
    elif size < 65_536:
        head += bytes([mark | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mark | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + payload
    # An all-zero mask leaves the payload as it is.
    return head + b"\0\0\0\0" + payload


class Maker:
    """Frames by seed."""

    def __init__(self, seed: str, symbols: list[str], accounts: list[str], token: str) -> None:
        self.dice = random.Random(seed)
        self.symbols, self.accounts, self.token = symbols, accounts, token

    def value(self, depth: int = 0) -> Any:
        """Any JSON value."""
        dice = self.dice
        simple = [
            None, True, False, 0, -1, 2**63, -(2**70), 10**400, 1.5, 1e308, "", "\0", "\ud800", "e\u0301", "x" * dice.randint(0, 300),
            dice.choice(self.symbols), f"quote:{dice.choice(self.symbols)}", self.token[: dice.randint(0, 40)],
        ]  # fmt: skip
        if depth < 3 and dice.random() < 0.3:
            many = range(dice.randint(0, 5))
            if dice.random() < 0.5:
                return [self.value(depth + 1) for _ in many]
            return {str(self.value(3))[:20]: self.value(depth + 1) for _ in many}
        return dice.choice(simple)

    def topic(self) -> Any:
        """A topic, good or nearly."""
        dice, symbol = self.dice, self.dice.choice(self.symbols)
        return dice.choice(
            [
                "quotes", f"quote:{symbol}", f"book:{symbol}", f"trades:{symbol}", f"candles:{symbol}:1m", f"candles:{symbol}:2m",
                f"book:{symbol}:1", f"account:{dice.choice(self.accounts)}", f"priv:{dice.randint(0, 9)}", "quote:", ":", "*", "quote:*",
                f"quote:{symbol}\n", self.value(),
            ]
        )  # fmt: skip

    def message(self) -> Any:
        """An operation with good and bad parts."""
        dice = self.dice
        made = dice.choice(
            [
                {"op": "subscribe", "topics": [self.topic() for _ in range(dice.randint(0, 12))]},
                {"op": "unsubscribe", "topics": [self.topic()]},
                {"op": "resync", "topic": self.topic()},
                {"op": "ping", "n": self.value()},
                {"op": "hb", "n": self.value()},
                {"op": "auth", "token": self.value(), "account": self.value()},
                {"op": "auth", "token": self.token[:-3] + "abc", "resume": self.value()},
                {"op": "auth", "ticket": self.value()},
                {"op": self.value()},
                self.value(),
            ]
        )
        if isinstance(made, dict) and dice.random() < 0.3:
            made[dice.choice(["op", "topics", "topic", "n", "token", "account", "resume", "x"])] = self.value()
        return made

    def one(self) -> tuple[bytes, bool]:
        """(bytes to send, whether the connection is worth using after it)."""
        dice = self.dice
        text = json.dumps(self.message()).encode("utf-8", "surrogatepass")
        way = dice.random()
        if way < 0.62:
            return frame(text), True
        if way < 0.73:
            return frame(text[: dice.randint(0, len(text))]), True
        if way < 0.81:
            spoilt = bytearray(text or b" ")
            for _ in range(dice.randint(1, 4)):
                spoilt[dice.randrange(len(spoilt))] = dice.randrange(128)
            return frame(bytes(spoilt)), True
        if way < 0.85:
            return frame(
                dice.choice([b"[" * 3_000, b'{"a":' * 800, b"1" * 4_000, b'"' + b"\\u0000" * 600 + b'"'])
            ), True
        if way < 0.88:
            return frame(b" " * dice.choice([4_097, 5_000, 70_000])), True
        if way < 0.92:
            return frame(dice.randbytes(dice.randint(0, 200)), BINARY), True
        if way < 0.96:
            return frame(dice.randbytes(dice.randint(0, 125)), dice.choice([PING, PONG])), True
        return self.broken(text), False

    def broken(self, text: bytes) -> bytes:
        """Bytes that are no frame, or one that must not come."""
        dice = self.dice
        return dice.choice(
            [
                frame(text, masked=False),
                frame(text, rsv=dice.randint(1, 7)),
                frame(text, dice.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15])),
                frame(text, CONTINUATION),
                frame(text, fin=False) + frame(text),
                frame(text, fin=False) + frame(text, CONTINUATION),
                frame(b"\xff\xfe\xc0\xaf"),
                frame(b"x" * 126, PING),
                frame(b"", PING, fin=False),
                frame(struct.pack(">H", dice.choice([0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535])), CLOSE),
                frame(b"\x03", CLOSE),
                frame(struct.pack(">H", 1000) + b"\xff", CLOSE),
                frame(text, said=dice.choice([2**31, 2**62, 2**63 - 1])),
                dice.randbytes(dice.randint(1, 60)),
            ]
        )


async def opened(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Connect and shake hands; None when refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)
    if b" 101 " not in head.split(b"\r\n")[0]:
        writer.close()
        return None
    return reader, writer


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """(opcode, payload) of one frame of the server; IncompleteReadError at the end."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack(">H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", await reader.readexactly(8))
    return first & 0x0F, await reader.readexactly(size)


def judge(opcode: int, payload: bytes, seen: Seen) -> bool:
    """Look at an answer; True when it was a close."""
    if opcode == CLOSE:
        code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
        seen.closes[code] += 1
        if code not in CLOSES | {1005}:
            seen.faults.append(f"closed with {code}: {payload[2:]!r}")
        return True
    if opcode == TEXT:
        answer = json.loads(payload)
        if answer.get("type") not in TYPES:
            seen.faults.append(f"an answer of no known type: {payload[:200]!r}")
        if answer.get("type") == "error":
            seen.errors[answer["code"]] += 1
            if answer["code"] not in ERRORS:
                seen.faults.append(f"an error of no known name: {payload[:200]!r}")
    elif opcode not in {PING, PONG}:
        seen.faults.append(f"opcode {opcode}")
    return False


async def abuse(port: int, path: str, maker: Maker, seen: Seen, *, first: bytes = b"") -> None:
    """One connection: send until it is cut or enough was sent, then ask for a pong or the end."""
    pair = await opened(port, path)
    if pair is None:
        seen.closes["refused"] += 1
        await asyncio.sleep(0.05)
        return
    seen.connections += 1
    reader, writer = pair
    usable, cut = True, asyncio.Event()

    async def listen() -> None:
        try:
            while not judge(*await read_frame(reader), seen):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            seen.closes["cut"] += 1
        finally:
            cut.set()

    listening = asyncio.create_task(listen())
    try:
        if first:
            writer.write(first)
        for _ in range(PER_CONNECTION):
            if cut.is_set() or not usable:
                break
            data, usable = maker.one()
            writer.write(data)
            await writer.drain()
            seen.frames += 1
            # Let answers and cuts arrive now and then; most frames come in a row.
            if maker.dice.random() < 0.2:
                await asyncio.sleep(0)
        if usable and not cut.is_set():
            writer.write(frame(struct.pack(">H", 1000), CLOSE))
        elif not usable and not cut.is_set():
            # A frame that is too long never ends; what it is cut for is its length or silence of ours.
            writer.write_eof()
        await asyncio.wait_for(listening, ANSWER_S)
    except TimeoutError:
        seen.faults.append(f"neither answered nor cut within {ANSWER_S} s on {path}")
    except OSError:
        # Cut while it was being written to; what came before that is read.
        await asyncio.wait_for(listening, ANSWER_S)
    finally:
        listening.cancel()
        writer.close()


async def witness(port: int, stop: asyncio.Event) -> list[float]:
    """A client that behaves: how long each of its pings took while the others did not."""
    pair = await opened(port, "/ws/v1/market")
    assert pair is not None
    reader, writer = pair
    took: list[float] = []
    loop = asyncio.get_running_loop()
    number = 0
    while not stop.is_set():
        number += 1
        begun = loop.time()
        writer.write(frame(json.dumps({"op": "ping", "n": number}).encode()))
        while True:
            _, payload = await asyncio.wait_for(read_frame(reader), ANSWER_S)
            answer = json.loads(payload)
            if answer["type"] == "hb":
                writer.write(frame(json.dumps({"op": "hb", "n": answer["n"]}).encode()))
            if answer["type"] == "pong" and answer["n"] == number:
                break
        took.append(loop.time() - begun)
        await asyncio.sleep(0.3)
    writer.close()
    return took


async def run(
    port: int, frames: int, seed: int, symbols: list[str], accounts: list[str], token: str
) -> tuple[Seen, list[float]]:
    """At least ``frames`` frames; (what came of them, seconds of the witness's pings)."""
    seen, stop = Seen(), asyncio.Event()
    watching = asyncio.create_task(witness(port, stop))
    signed_in = frame(json.dumps({"op": "auth", "token": token}).encode())

    async def worker(number: int) -> None:
        turn = 0
        while seen.frames < frames and not watching.done():
            maker = Maker(f"{seed}.{number}.{turn}", symbols, accounts, token)
            turn += 1
            private = turn % 3 == 0
            path = "/ws/v1/private" if private else "/ws/v1/market"
            await abuse(port, path, maker, seen, first=signed_in if private and turn % 2 else b"")

    await asyncio.gather(*(worker(number) for number in range(AT_ONCE)))
    stop.set()
    return seen, await watching
