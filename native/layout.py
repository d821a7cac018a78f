"""Byte layout of the core's commands and events, in plain Python.

What for: everybody who writes commands or reads events (sequencer, gateway, projector, market data, reference model, tests) uses these formats and
enums. They mirror `native/include/core.h`; `native/tests/test_layout.py` compares the two field by field.
Owns: the enums, struct formats, NamedTuples, pack and unpack helpers and NumPy dtypes.
Leaves to others: what the fields mean (docs/engine.md), building commands from domain values (trading/engine/commands.py).
Needs nothing outside the standard library; NumPy only when a dtype is asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

ABI_VERSION = 1
SEMANTICS_VERSION = 1
CL_ORD_ID_MAX = 36
ANY = 0xFFFFFFFF  # any account / any instrument in a mass cancel or a query


class CommandType(IntEnum):
    NONE = 0
    ORDER_NEW = 1
    ORDER_CANCEL = 2
    ORDER_REPLACE = 3
    MASS_CANCEL = 4
    DEPOSIT = 10
    WITHDRAW = 11
    HOLD = 12
    HOLD_RELEASE = 13
    HOLD_SETTLE = 14
    TRANSFER = 15
    ASSET_UPSERT = 20
    INSTRUMENT_UPSERT = 21
    ACCOUNT_UPSERT = 22
    LIMITS_SET = 23
    HALT_SET = 24
    TIME = 30
    SESSION_CLOSE = 31
    DAY_ROLL = 32


class EventType(IntEnum):
    NONE = 0
    ORDER_ACCEPTED = 1
    ORDER_REJECTED = 2
    ORDER_RESTED = 3
    ORDER_FILLED = 4
    ORDER_CANCELED = 5
    ORDER_EXPIRED = 6
    ORDER_REPLACED = 7
    CANCEL_REJECTED = 8
    REPLACE_REJECTED = 9
    DUPLICATE = 10
    MASS_CANCEL_DONE = 11
    BALANCE_CHANGED = 12
    COMMAND_REJECTED = 13
    ASSET_UPSERTED = 20
    INSTRUMENT_UPSERTED = 21
    ACCOUNT_UPSERTED = 22
    LIMITS_SET = 23
    HALT_SET = 24
    TIME = 30
    SESSION_CLOSED = 31
    DAY_ROLLED = 32


class Side(IntEnum):
    NONE = 0
    BUY = 1
    SELL = 2


class OrdType(IntEnum):
    MARKET = 1
    LIMIT = 2


class Tif(IntEnum):
    DAY = 0
    GTC = 1
    IOC = 3
    FOK = 4
    GTD = 6


class Stp(IntEnum):
    NONE = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4


class TradingState(IntEnum):
    ACTIVE = 0
    REDUCE_ONLY = 1
    HALTED = 2
    CLOSED = 3


class InstrumentKind(IntEnum):
    SPOT = 1
    MARGIN = 2


class HaltScope(IntEnum):
    """`ord_type` of HALT_SET."""

    GLOBAL = 1
    INSTRUMENT = 2
    ACCOUNT = 3


class CommandFlag(IntFlag):
    POST_ONLY = 1 << 0
    REDUCE_ONLY = 1 << 1
    CANCEL_BY_CL_ORD_ID = 1 << 2


class EventFlag(IntFlag):
    BOOK = 1 << 0
    MAKER = 1 << 1
    TERMINAL = 1 << 2
    MORE = 1 << 3
    PRIORITY_KEPT = 1 << 4
    MARGIN = 1 << 5
    LAST = 1 << 6
    CROSSES = 1 << 7


class Reject(IntEnum):
    NONE = 0
    MALFORMED = 1001
    UNSUPPORTED = 1002
    DUPLICATE_CL_ORD_ID = 1003
    BAD_VERSION = 1004
    BAD_QTY = 1005
    BAD_PRICE = 1006
    BAD_EXPIRE = 1007
    OVERFLOW = 1008
    UNKNOWN_ACCOUNT = 2001
    ACCOUNT_HALTED = 2002
    ACCOUNT_REDUCE_ONLY = 2003
    UNKNOWN_INSTRUMENT = 3001
    INSTRUMENT_CLOSED = 3002
    INSTRUMENT_HALTED = 3003
    GLOBAL_HALT = 3004
    QTY_BELOW_MIN = 3005
    QTY_ABOVE_MAX = 3006
    UNKNOWN_ASSET = 3007
    BAD_LISTING = 3008
    REDUCE_ONLY_STATE = 3009
    LISTING_FROZEN = 3010
    INSUFFICIENT_FUNDS = 4001
    PRICE_COLLAR = 4002
    MAX_NOTIONAL = 4003
    MAX_OPEN_ORDERS = 4004
    NO_REFERENCE_PRICE = 4005
    REDUCE_ONLY = 4006
    ACCOUNT_MAX_NOTIONAL = 4007
    UNKNOWN_ORDER = 5001
    TOO_LATE = 5002
    WOULD_CROSS = 5003
    UNFILLABLE = 5004
    STALE_REPLACE = 5006
    QTY_BELOW_FILLED = 5007
    NO_LIQUIDITY = 5008
    FILL_LIMIT = 5009
    UNKNOWN_HOLD = 8001
    BAD_AMOUNT = 8002
    CAPACITY = 9001


class CancelReason(IntEnum):
    USER = 1
    IOC_REMAINDER = 2
    MARKET_REMAINDER = 3
    SELF_TRADE = 4
    MASS = 5
    DAY_END = 6
    GTD = 7
    FILL_LIMIT = 8


# Name of the C enum each class mirrors and the prefix its members have there. The layout test walks this table.
C_ENUMS: dict[str, tuple[type[IntEnum] | type[IntFlag], str]] = {
    "core_command_type": (CommandType, "CMD_"),
    "core_event_type": (EventType, "EV_"),
    "core_side": (Side, "SIDE_"),
    "core_ord_type": (OrdType, "ORD_"),
    "core_tif": (Tif, "TIF_"),
    "core_stp": (Stp, "STP_"),
    "core_trading_state": (TradingState, "STATE_"),
    "core_instrument_kind": (InstrumentKind, "KIND_"),
    "core_command_flags": (CommandFlag, "CF_"),
    "core_event_flags": (EventFlag, "EVF_"),
    "core_reject": (Reject, "REJ_"),
    "core_cancel_reason": (CancelReason, "CXL_"),
}


class Command(NamedTuple):
    version: int = ABI_VERSION
    type: int = 0
    flags: int = 0
    seq: int = 0
    time_ns: int = 0
    account: int = 0
    instrument: int = 0
    side: int = 0
    ord_type: int = 0
    tif: int = 0
    stp: int = 0
    source: int = 0
    order_id: int = 0
    price: int = 0
    qty: int = 0
    amount: int = 0
    aux: int = 0
    correlation: int = 0
    cl_ord_id: bytes = b""  # 40 bytes as stored once unpacked; shorter is padded with zeros when packed


class Event(NamedTuple):
    seq: int
    cmd_seq: int
    time_ns: int
    type: int
    reason: int
    flags: int
    side: int
    version: int
    account: int
    instrument: int
    order_id: int
    ref_id: int
    price: int
    qty: int
    leaves: int
    cum_qty: int
    amount: int
    pnl: int
    base_a: int
    base_b: int
    quote_a: int
    quote_b: int


COMMAND_STRUCT = struct.Struct("<HHIQqIIBBBBIQqqqqQ40s")
EVENT_STRUCT = struct.Struct("<QQqHHHBBIIQQqqqqqqqqqq")
INSTRUMENT_DATA_STRUCT = struct.Struct("<iiiiqq8x")
COMMAND_SIZE = 128
EVENT_SIZE = 136
if (COMMAND_STRUCT.size, EVENT_STRUCT.size, INSTRUMENT_DATA_STRUCT.size) != (COMMAND_SIZE, EVENT_SIZE, 40):
    raise ImportError("a format of native/layout.py does not have the size core.h gives it")

# Where the sequencer stamps an already packed command.
COMMAND_SEQ_OFFSET = 8
COMMAND_TIME_OFFSET = 16
COMMAND_CORRELATION_OFFSET = 80
SEQ_TIME_STRUCT = struct.Struct("<Qq")
U64_STRUCT = struct.Struct("<Q")


def pack_command(
    type: int,
    *,
    version: int = ABI_VERSION,
    flags: int = 0,
    seq: int = 0,
    time_ns: int = 0,
    account: int = 0,
    instrument: int = 0,
    side: int = 0,
    ord_type: int = 0,
    tif: int = 0,
    stp: int = 0,
    source: int = 0,
    order_id: int = 0,
    price: int = 0,
    qty: int = 0,
    amount: int = 0,
    aux: int = 0,
    correlation: int = 0,
    cl_ord_id: bytes | str = b"",
) -> bytes:
    """128 bytes of one command. Raises struct.error for a number that does not fit its field, ValueError for an id that does not fit."""
    if isinstance(cl_ord_id, str):
        cl_ord_id = cl_ord_id.encode("ascii")
    if len(cl_ord_id) > 40:
        raise ValueError("cl_ord_id is longer than its 40 byte field")
    return COMMAND_STRUCT.pack(
        version,
        type,
        flags,
        seq,
        time_ns,
        account,
        instrument,
        side,
        ord_type,
        tif,
        stp,
        source,
        order_id,
        price,
        qty,
        amount,
        aux,
        correlation,
        cl_ord_id,
    )


def unpack_command(buffer: Any, offset: int = 0) -> Command:
    return Command._make(COMMAND_STRUCT.unpack_from(buffer, offset))


def iter_commands(buffer: Any) -> Iterator[Command]:
    return map(Command._make, COMMAND_STRUCT.iter_unpack(buffer))


def command_to_bytes(command: Command) -> bytes:
    return COMMAND_STRUCT.pack(*command)


def stamp_command(buffer: Any, offset: int, seq: int, time_ns: int) -> None:
    """Write sequence and time into a packed command in place (the sequencer's job)."""
    SEQ_TIME_STRUCT.pack_into(buffer, offset + COMMAND_SEQ_OFFSET, seq, time_ns)


def pack_event(event: Event) -> bytes:
    return EVENT_STRUCT.pack(*event)


def unpack_event(buffer: Any, offset: int = 0) -> Event:
    return Event._make(EVENT_STRUCT.unpack_from(buffer, offset))


def iter_events(buffer: Any) -> Iterator[Event]:
    """All events of a buffer whose length is a multiple of EVENT_SIZE."""
    return map(Event._make, EVENT_STRUCT.iter_unpack(buffer))


def cl_ord_id_text(raw: bytes) -> str:
    """The id of an unpacked command without its padding."""
    return raw.rstrip(b"\0").decode("ascii", "replace")


class InstrumentData(NamedTuple):
    """What an INSTRUMENT_UPSERT carries in its cl_ord_id field."""

    maker_ppm: int = 0
    taker_ppm: int = 0
    margin_ppm: int = 0
    collar_ppm: int = 0
    min_qty: int = 1
    max_notional: int = 0


def pack_instrument_data(
    *,
    maker_ppm: int = 0,
    taker_ppm: int = 0,
    margin_ppm: int = 0,
    collar_ppm: int = 0,
    min_qty: int = 1,
    max_notional: int = 0,
) -> bytes:
    return INSTRUMENT_DATA_STRUCT.pack(maker_ppm, taker_ppm, margin_ppm, collar_ppm, min_qty, max_notional)


def unpack_instrument_data(data: bytes) -> InstrumentData:
    return InstrumentData._make(INSTRUMENT_DATA_STRUCT.unpack_from(data, 0))


_NUMPY_COMMAND = (
    ("version", "<u2"), ("type", "<u2"), ("flags", "<u4"), ("seq", "<u8"), ("time_ns", "<i8"), ("account", "<u4"), ("instrument", "<u4"),
    ("side", "u1"), ("ord_type", "u1"), ("tif", "u1"), ("stp", "u1"), ("source", "<u4"), ("order_id", "<u8"), ("price", "<i8"),
    ("qty", "<i8"), ("amount", "<i8"), ("aux", "<i8"), ("correlation", "<u8"), ("cl_ord_id", "S40"),
)  # fmt: skip
_NUMPY_EVENT = (
    ("seq", "<u8"), ("cmd_seq", "<u8"), ("time_ns", "<i8"), ("type", "<u2"), ("reason", "<u2"), ("flags", "<u2"), ("side", "u1"),
    ("version", "u1"), ("account", "<u4"), ("instrument", "<u4"), ("order_id", "<u8"), ("ref_id", "<u8"), ("price", "<i8"), ("qty", "<i8"),
    ("leaves", "<i8"), ("cum_qty", "<i8"), ("amount", "<i8"), ("pnl", "<i8"), ("base_a", "<i8"), ("base_b", "<i8"), ("quote_a", "<i8"),
    ("quote_b", "<i8"),
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """COMMAND_DTYPE and EVENT_DTYPE, made on first use so that importing this module does not import NumPy."""
    if name in ("COMMAND_DTYPE", "EVENT_DTYPE"):
        import numpy

        dtype = numpy.dtype(list(_NUMPY_COMMAND if name == "COMMAND_DTYPE" else _NUMPY_EVENT))
        globals()[name] = dtype
        return dtype
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
