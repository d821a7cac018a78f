"""The house's FIX vocabulary as enums: one member, three spellings (number in the core and tables, FIX value, API
name).

Owns: Side, OrdType, TimeInForce, OrdStatus, ExecType, StpMode, TradingState, InstrumentKind, CancelReason, Liquidity.
Leaves to others: refusals (``rejects.py``) and the byte layout (``native/layout.py``); a test compares the numbers
with it.

    Side.from_api("buy") is Side.BUY;  Side.BUY.value == 1;  Side.BUY.api == "buy";  Side.BUY.fix == "1"
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class Term(IntEnum):
    """An enum whose number is the core's; ``api`` is the lower-case name, ``fix`` the FIX value."""

    @property
    def api(self) -> str:
        """Name in the API and in files."""
        return self.name.lower()

    @property
    def fix(self) -> str:
        """FIX value. FIX enumerates 0-9 then A-Z, which is how numbers above 9 are kept in the tables."""
        return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[self.value]

    @classmethod
    def from_api(cls, name: str) -> Self:
        """The member with that API name; ValueError names the allowed ones."""
        if isinstance(name, str):
            for member in cls:
                if member.api == name:
                    return member
        raise ValueError(f"must be one of: {', '.join(cls.api_names())}")

    @classmethod
    def from_fix(cls, value: str) -> Self:
        """The member with that FIX value."""
        for member in cls:
            if member.fix == value:
                return member
        raise ValueError(f"{value!r:.20} is no {cls.__name__}")

    @classmethod
    def api_names(cls) -> tuple[str, ...]:
        """All API names, in number order."""
        return tuple(member.api for member in cls)

    @classmethod
    def choices(cls) -> list[tuple[int, str]]:
        """(number, API name) pairs as Django's ``choices`` wants them."""
        return [(member.value, member.api) for member in cls]


class Side(Term):
    """FIX 54."""

    BUY = 1
    SELL = 2

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrdType(Term):
    """FIX 40."""

    MARKET = 1
    LIMIT = 2


class TimeInForce(Term):
    """FIX 59."""

    DAY = 0
    GTC = 1
    IOC = 3
    FOK = 4
    GTD = 6


class OrdStatus(Term):
    """FIX 39: what the order is now."""

    NEW = 0
    PARTIALLY_FILLED = 1
    FILLED = 2
    CANCELED = 4
    REJECTED = 8
    EXPIRED = 12

    @property
    def terminal(self) -> bool:
        """True when the order can never change again."""
        return self not in (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)


class ExecType(Term):
    """FIX 150: what happened to the order."""

    NEW = 0
    CANCELED = 4
    REPLACED = 5
    REJECTED = 8
    EXPIRED = 12
    RESTATED = 13
    TRADE = 15
    ORDER_STATUS = 18


class StpMode(Term):
    """What happens when an order meets another of the same owner. FIX 2964 has the three cancels (aggressive is the
    newest); 4 is ours."""

    NONE = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4


class TradingState(Term):
    """State of the house, an instrument or an account."""

    ACTIVE = 0
    REDUCE_ONLY = 1
    HALTED = 2
    CLOSED = 3


class InstrumentKind(Term):
    """Spot exchanges two assets; margin keeps a position settled in the quote asset."""

    SPOT = 1
    MARGIN = 2


class OrderSource(Term):
    """Which door an order came through; for the record, no rule of the core asks. Above its eight bits: the number of a FIX session."""

    ENGINE = 0
    API = 1
    PORTAL = 2
    DESK = 3
    FIX = 4
    DEMO = 9

    @classmethod
    def of(cls, source: int) -> OrderSource | None:
        """The door of an order's ``source``; None for one that is not ours."""
        return cls._value2member_map_.get(source & 0xFF)  # type: ignore[return-value]


class CancelReason(Term):
    """Why an order left the book without being filled."""

    USER = 1
    IOC_REMAINDER = 2
    MARKET_REMAINDER = 3
    SELF_TRADE = 4
    MASS = 5
    DAY_END = 6
    GTD = 7
    FILL_LIMIT = 8

    @property
    def text(self) -> str:
        """One sentence for people."""
        return _CANCEL_TEXT[self]


_CANCEL_TEXT = {
    CancelReason.USER: "Cancelled at your request.",
    CancelReason.IOC_REMAINDER: "The part that could not trade at once was cancelled (immediate or cancel).",
    CancelReason.MARKET_REMAINDER: "The book had no more within the price collar; the rest was cancelled.",
    CancelReason.SELF_TRADE: "It met an order of the same owner and was cancelled by self-trade prevention.",
    CancelReason.MASS: "Cancelled with all orders in its scope.",
    CancelReason.DAY_END: "The trading session ended.",
    CancelReason.GTD: "Its time ran out.",
    CancelReason.FILL_LIMIT: "It reached the most matches one order may make at once; the rest was cancelled.",
}


class Liquidity(Term):
    """FIX 851: whether a fill added or took liquidity."""

    MAKER = 1
    TAKER = 2
