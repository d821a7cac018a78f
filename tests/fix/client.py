"""A FIX client of its own: raw socket, own framing and checksum. Shares no code with the gateway it judges."""

from __future__ import annotations

import socket
import ssl
import time
from datetime import UTC, datetime
from typing import Any

Pairs = list[tuple[str, str]]


def utc(offset_s: int = 0) -> str:
    now = datetime.fromtimestamp(time.time() + offset_s, UTC)
    return now.strftime("%Y%m%d-%H:%M:%S.") + f"{now.microsecond // 1000:03d}"


def framed(fields: Pairs, begin: str = "FIX.4.4") -> bytes:
    body = "".join(f"{tag}={value}\x01" for tag, value in fields)
    text = f"8={begin}\x019={len(body)}\x01{body}"
    return f"{text}10={sum(text.encode('latin-1')) & 255:03d}\x01".encode("latin-1")


def _tags(more: dict[str, Any]) -> dict[Any, Any]:
    """``_40="3"`` as tag 40."""
    return {int(name.lstrip("_")): value for name, value in more.items()}


class Got(dict[str, str]):
    """A message received: tag -> value; ``order`` keeps the tags as they came."""

    order: list[str]


def parsed(raw: bytes) -> Got:
    got = Got()
    got.order = []
    for part in raw.decode("latin-1").rstrip("\x01").split("\x01"):
        tag, _, value = part.partition("=")
        got[tag] = value
        got.order.append(tag)
    return got


class FixClient:
    """One connection; ``next_out`` and ``next_in`` are the client's own and outlive it."""

    def __init__(self, port: int, sender: str, password: str, target: str = "BROKERAGE") -> None:
        self.port, self.sender, self.password, self.target = port, sender, password, target
        self.next_out = 1
        self.next_in = 1
        self.buffer = b""
        self.seen: list[Got] = []
        self.socket: socket.socket | None = None
        #: How to speak TLS; None: in the clear.
        self.tls: ssl.SSLContext | None = None

    def connect(self) -> FixClient:
        self.socket = socket.create_connection(("127.0.0.1", self.port), 10)
        if self.tls is not None:
            self.socket = self.tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.buffer = b""
        return self

    def raw(self, data: bytes) -> None:
        assert self.socket is not None
        self.socket.sendall(data)

    def send(self, kind: str, body: dict[Any, Any] | None = None, *, header: Pairs | None = None, **over: Any) -> int:
        """Send a message with the next number; ``over``: seq, sender, target, sent, begin."""
        seq = over.get("seq", self.next_out)
        fields = [
            ("35", kind),
            ("34", str(seq)),
            ("49", over.get("sender", self.sender)),
            ("52", over.get("sent", utc())),
            ("56", over.get("target", self.target)),
            *(header or []),
            *((str(tag), str(value)) for tag, value in (body or {}).items()),
        ]
        if seq == self.next_out:
            self.next_out += 1
        self.raw(framed(fields, over.get("begin", "FIX.4.4")))
        return int(seq)

    def logon(self, *, reset: bool = False, heartbeat: int = 30, **over: Any) -> Got:
        """Connect, log on and return the answer."""
        self.connect()
        self.logon_send(reset=reset, heartbeat=heartbeat, **over)
        return self.expect("A")

    def logon_send(self, *, reset: bool = False, heartbeat: int = 30, **over: Any) -> None:
        body: dict[Any, Any] = {98: 0, 108: heartbeat}
        if reset:
            self.next_out = self.next_in = 1
            body[141] = "Y"
        body[553] = over.pop("username", self.sender)
        body[554] = over.pop("password", self.password)
        self.send("A", body, **over)

    def read(self, seconds: float = 5.0) -> Got | None:
        """The next message; None when the connection was closed. TimeoutError when there is neither."""
        assert self.socket is not None
        until = time.monotonic() + seconds
        while True:
            end = self.buffer.find(b"\x0110=")
            if end >= 0 and len(self.buffer) >= end + 8:
                raw, self.buffer = self.buffer[: end + 8], self.buffer[end + 8 :]
                return self._checked(raw)
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                assert not self.buffer, self.buffer
                return None
            self.buffer += data

    def _checked(self, raw: bytes) -> Got:
        got = parsed(raw)
        assert got.order[:3] == ["8", "9", "35"], raw
        head, tail = raw[: raw.rfind(b"10=")], raw[raw.rfind(b"10=") :]
        assert int(got["9"]) == len(head) - head.index(b"\x01", head.index(b"\x019=") + 1) - 1, raw
        assert tail == b"10=%03d\x01" % (sum(head) % 256), raw
        assert len(set(got.order)) == len(got.order), raw
        if got.get("43") != "Y" and int(got["34"]) == self.next_in:
            self.next_in += 1
        self.seen.append(got)
        return got

    def expect(self, kind: str, seconds: float = 10.0, **fields: str) -> Got:
        """The next message of a type with these values (``_39="0"``); heartbeats in between are passed over."""
        while True:
            got = self.read(seconds)
            assert got is not None, f"closed while waiting for {kind}; last {self.seen[-3:]}"
            if got["35"] in ("0", "1") and kind not in ("0", "1"):
                if got["35"] == "1":
                    self.send("0", {112: got["112"]})
                continue
            wanted = {name.lstrip("_"): value for name, value in fields.items()}
            assert got["35"] == kind, got
            assert wanted.items() <= got.items(), (wanted, got)
            return got

    def closed(self, seconds: float = 10.0) -> bool:
        """True when the other side ends the connection without another word."""
        try:
            return self.read(seconds) is None
        except TimeoutError:
            return False

    def silent(self, seconds: float = 0.5) -> bool:
        """True when nothing comes."""
        try:
            return bool(self.read(seconds) == "never")
        except TimeoutError:
            return True

    def drop(self) -> None:
        """Cut the connection without a goodbye."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def logout(self) -> None:
        self.send("5")
        self.expect("5")
        assert self.closed()
        self.drop()

    # ---- orders

    def order(
        self, cl_ord_id: str, side: str, qty: str, price: str | None, symbol: str = "SOL-USD", **more: Any
    ) -> int:
        body: dict[Any, Any] = {11: cl_ord_id, 55: symbol, 54: side, 60: utc(), 38: qty}
        body |= {40: 1} if price is None else {40: 2, 44: price}
        body |= _tags(more)
        return self.send("D", body)

    def cancel(self, cl_ord_id: str, orig: str, side: str, symbol: str = "SOL-USD", **more: Any) -> int:
        body: dict[Any, Any] = {11: cl_ord_id, 41: orig, 55: symbol, 54: side, 60: utc()}
        return self.send("F", body | _tags(more))

    def replace(self, cl_ord_id: str, orig: str, side: str, qty: str, price: str, **more: Any) -> int:
        body: dict[Any, Any] = {11: cl_ord_id, 41: orig, 55: "SOL-USD", 54: side, 60: utc(), 38: qty, 40: 2, 44: price}
        return self.send("G", body | _tags(more))
