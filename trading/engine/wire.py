"""The binary protocol between gateway and engine: frame layout, message types, query payloads.

Owns: every byte on the engine's socket. Both ends import this. Leaves to others: sockets (server.py, gateway.py), the command and
event structs (native/layout.py).

    frame    = len u32 (of what follows these 4 bytes) | type u16 | flags u16 | request u64 | payload
    client → : HELLO, SUBMIT (n × 128 bytes), QUERY (kind u16, 6 spare, arguments), SUBSCRIBE (from_cmd_seq i64)
    engine → : HELLO, ANSWER, RESULT, FEED, ERROR (code u32, text), HALT (text)
    ANSWER   = n u32, spare u32 | n × (cmd_seq u64, n_events u32, reason u32) | events
    FEED     = epoch u32, count u32, first_seq u64, events u32, spare u32 | commands | events

The first frame of a client is HELLO with magic, version and, where the engine asks for one, 32 bytes that show which service it is
(services.py); nothing is answered before it. `request` is chosen by the client and
echoed; answers may come in another order than requests.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from brokerage.kernel.errors import ProtocolError
from native import layout

MAGIC = b"BRKENG\r\n"
PROTOCOL_VERSION = 1
FRAME = struct.Struct("<IHHQ")
FRAME_SIZE = 16
LENGTH = struct.Struct("<I")
#: Largest number of commands in one SUBMIT frame; bounds a client frame.
SUBMIT_MAX = 1024
CLIENT_FRAME_MAX = 12 + SUBMIT_MAX * layout.COMMAND_SIZE
#: Largest frame the engine sends (a feed batch with many events, or one command that made the most events it may).
SERVER_FRAME_MAX = 256 << 20

HELLO, SUBMIT, QUERY, SUBSCRIBE = 1, 2, 3, 4
ANSWER, RESULT, FEED, ERROR, HALT = 17, 18, 19, 20, 21

CLIENT_HELLO = struct.Struct("<8sHHI")  # magic, protocol, abi, spare
#: Bytes after it, or none: what a service shows of its token.
PROOF_SIZE = 32
SERVER_HELLO = struct.Struct("<8sHHII16s16sQ")  # magic, protocol, abi, semantics, epoch, journal id, build id, cmd_seq
ANSWER_HEAD = struct.Struct("<II")
ANSWER_ROW = struct.Struct("<QII")
FEED_HEAD = struct.Struct("<IIQII")
QUERY_HEAD = struct.Struct("<H6x")
SUBSCRIBE_BODY = struct.Struct("<q")
ERROR_HEAD = struct.Struct("<I")

# Query kinds and their arguments.
Q_DEPTH, Q_ORDER, Q_ORDERS, Q_CL_ORD_ID, Q_BALANCES, Q_POSITIONS, Q_PREVIEW, Q_STATUS, Q_DIGEST, Q_CHECK = range(1, 11)
ARG_DEPTH = struct.Struct("<II")
ARG_ORDER = struct.Struct("<Q")
ARG_ORDERS = struct.Struct("<IIQ")  # account, limit, after
ARG_CL_ORD_ID = struct.Struct("<I4x40s")
ARG_ACCOUNT = struct.Struct("<I4x")

# Rows of results.
DEPTH_HEAD = struct.Struct("<QQII")  # cmd_seq, event_seq, bids, asks
LEVEL_ROW = struct.Struct("<qqI4x")
ORDER_ROW = struct.Struct("<QIIBBBBIqqqqqqQ")
BALANCE_ROW = struct.Struct("<I4xqq")
POSITION_ROW = struct.Struct("<I4xqqqqqq")
PREVIEW_ROW = struct.Struct("<IIqqqqqqqq")
DIGEST_ROW = struct.Struct("<QQQ")  # cmd_seq, event_seq, digest

ERR_PROTOCOL, ERR_VERSION, ERR_SEQUENCE, ERR_SLOW, ERR_BUSY, ERR_QUERY, ERR_STOPPING, ERR_SERVICE = range(1, 9)
ERROR_NAMES = {
    ERR_PROTOCOL: "protocol", ERR_VERSION: "version", ERR_SEQUENCE: "sequence", ERR_SLOW: "slow", ERR_BUSY: "busy",
    ERR_QUERY: "query", ERR_STOPPING: "stopping", ERR_SERVICE: "service",
}  # fmt: skip


class ServerHello(NamedTuple):
    """What the engine says first."""

    protocol: int
    abi: int
    semantics: int
    epoch: int
    journal_id: str
    build_id: str
    cmd_seq: int


class Depth(NamedTuple):
    """A book's best levels, (price, qty, orders) best first, as of a durable sequence."""

    cmd_seq: int
    event_seq: int
    bids: list[tuple[int, int, int]]
    asks: list[tuple[int, int, int]]


class OrderRow(NamedTuple):
    """A live order."""

    order_id: int
    account: int
    instrument: int
    side: int
    ord_type: int
    tif: int
    version: int
    flags: int
    price: int
    order_qty: int
    leaves: int
    cum_qty: int
    expire_ns: int
    held: int
    entry_seq: int


class PositionRow(NamedTuple):
    """An account's margin row in one instrument."""

    instrument: int
    net: int
    cost: int
    buy_notional: int
    sell_notional: int
    fee_reserve: int
    hold: int


class BalanceRow(NamedTuple):
    """An account's balance of one asset, minor units."""

    asset: int
    available: int
    held: int


class Preview(NamedTuple):
    """What a new order would do now; ``reason`` 0 = it would be accepted."""

    reason: int
    fills: int
    fill_qty: int
    fill_notional: int
    fee: int
    worst_price: int
    rest_qty: int
    hold: int
    needed: int
    available: int


def frame(kind: int, request: int, *parts: Any) -> bytes:
    """One frame."""
    body = b"".join(parts)
    return FRAME.pack(12 + len(body), kind, 0, request) + body


def client_hello(proof: bytes = b"") -> bytes:
    """The first frame of a client, with what shows which service it is."""
    return frame(HELLO, 0, CLIENT_HELLO.pack(MAGIC, PROTOCOL_VERSION, layout.ABI_VERSION, 0), proof)


def parse_server_hello(payload: Any) -> ServerHello:
    """The engine's hello; ProtocolError when this is no engine we can talk to."""
    if len(payload) != SERVER_HELLO.size:
        raise ProtocolError("the engine's hello has the wrong size")
    magic, protocol, abi, semantics, epoch, journal_id, build_id, cmd_seq = SERVER_HELLO.unpack(payload)
    if magic != MAGIC:
        raise ProtocolError("this is not an engine's socket")
    if protocol != PROTOCOL_VERSION or abi != layout.ABI_VERSION:
        raise ProtocolError(
            f"the engine speaks protocol {protocol} with structs {abi}, this program {PROTOCOL_VERSION} with {layout.ABI_VERSION}"
        )
    return ServerHello(
        protocol, abi, semantics, epoch, journal_id.hex(), build_id.rstrip(b"\0").decode("ascii", "replace"), cmd_seq
    )


def error_text(payload: Any) -> tuple[int, str]:
    """Code and text of an ERROR frame."""
    if len(payload) < 4:
        return 0, "error without a code"
    return ERROR_HEAD.unpack_from(payload)[0], bytes(payload[4:]).decode("utf-8", "replace")


def query(kind: int, arguments: bytes = b"") -> bytes:
    """Payload of a QUERY frame."""
    return QUERY_HEAD.pack(kind) + arguments


def pack_depth(cmd_seq: int, event_seq: int, bids: Any, asks: Any) -> bytes:
    """RESULT payload of Q_DEPTH."""
    rows = [LEVEL_ROW.pack(level[0], level[1], level[2]) for side in (bids, asks) for level in side]
    return DEPTH_HEAD.pack(cmd_seq, event_seq, len(bids), len(asks)) + b"".join(rows)


def parse_depth(payload: Any) -> Depth:
    """Inverse of pack_depth."""
    cmd_seq, event_seq, n_bids, n_asks = DEPTH_HEAD.unpack_from(payload)
    rows: list[tuple[int, int, int]] = list(LEVEL_ROW.iter_unpack(payload[DEPTH_HEAD.size :]))
    if len(rows) != n_bids + n_asks:
        raise ProtocolError("a depth answer has the wrong size")
    return Depth(cmd_seq, event_seq, rows[:n_bids], rows[n_bids:])
