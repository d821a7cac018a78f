"""The messages and fields of FIX 4.4 we speak, as data, and the check of a message against them.

What is not listed for a message is refused (373=2): no instruction of a client is passed over in silence. Codes and texts of refusals are those
of FIX 4.4 in QuickFIX's words, which counterparties' logs and scripts know. Pure. Leaves what the fields ask for to the application.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from brokerage.fix.codec import Message

#: SessionRejectReason (373) and its text.
INVALID_TAG, MISSING, NOT_DEFINED, EMPTY, BAD_VALUE, BAD_FORMAT = 0, 1, 2, 4, 5, 6
COMP_ID, SENDING_TIME, BAD_TYPE, REPEATED, OUT_OF_ORDER = 9, 10, 11, 13, 14
TEXTS = {
    INVALID_TAG: "Invalid tag number",
    MISSING: "Required tag missing",
    NOT_DEFINED: "Tag not defined for this message type",
    EMPTY: "Tag specified without a value",
    BAD_VALUE: "Value is incorrect (out of range) for this tag",
    BAD_FORMAT: "Incorrect data format for value",
    COMP_ID: "CompID problem",
    SENDING_TIME: "SendingTime accuracy problem",
    BAD_TYPE: "Invalid MsgType",
    REPEATED: "Tag appears more than once",
    OUT_OF_ORDER: "Tag specified out of required order",
}
#: Tags of FIX 4.4 end here; from 5000 on they are agreed between two parties, and we agree on none.
TAG_MAX = 956
#: Standard header fields we take. Routing on behalf of others (115, 128 …) is not offered.
HEADER_REQUIRED = (49, 56, 34, 52)
HEADER = frozenset({35, 34, 43, 49, 50, 52, 56, 57, 97, 122, 142, 143, 369})
#: Application types of FIX 4.4: known but not spoken is another answer (j) than unknown (Reject).
APPLICATION = (
    frozenset("6789BCDEFGHJKLMNPQRSTVWXYZabcdefghijklmopqrstuvwxyz")
    | {f"A{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    | {f"B{letter}" for letter in "ABCDEFGH"}
)
ADMIN = frozenset("012345A")


@dataclass(frozen=True, slots=True)
class Layout:
    """Fields of one message type."""

    required: tuple[int, ...]
    optional: tuple[int, ...] = ()


LAYOUTS: dict[str, Layout] = {
    "0": Layout((), (112,)),
    "1": Layout((112,)),
    "2": Layout((7, 16)),
    "3": Layout((45,), (58, 371, 372, 373)),
    "4": Layout((36,), (123,)),
    "5": Layout((), (58,)),
    "A": Layout((98, 108), (58, 141, 383, 464, 553, 554)),
    "D": Layout((11, 40, 54, 55, 60), (1, 15, 18, 21, 38, 44, 58, 59, 126)),
    "F": Layout((11, 41, 54, 55, 60), (1, 37, 38, 58)),
    "G": Layout((11, 40, 41, 54, 55, 60), (1, 15, 18, 21, 37, 38, 44, 58, 59, 126)),
    "H": Layout((11, 54, 55), (1, 37, 790)),
    "q": Layout((11, 60, 530), (1, 54, 55, 58)),
}

_INT = re.compile(r"-?[0-9]{1,18}")
_SEQ = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_TIME = re.compile(r"[0-9]{8}-[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?")
_INTS, _SEQS, _DECIMALS = {98, 108, 383, 369, 371, 373}, {7, 16, 34, 36, 45}, {38, 44}
_TIMES, _BOOLS, _CHARS = {52, 60, 122, 126}, {43, 97, 123, 141, 464}, {21, 40, 54, 59, 530}
#: Values the standard knows; which of them we serve is the application's answer, in its own words.
_VALUES: dict[int, frozenset[str]] = {
    21: frozenset("123"),
    40: frozenset("123456789DEGIJKLMP"),
    54: frozenset("123456789ABCDEFG"),
    59: frozenset("01234567"),
    530: frozenset("1234567"),
}


class FieldError(ValueError):
    """A message the dictionary refuses: SessionRejectReason and the field it is about (0: none)."""

    def __init__(self, reason: int, tag: int = 0) -> None:
        super().__init__(TEXTS[reason])
        self.reason, self.tag = reason, tag

    @property
    def text(self) -> str:
        """QuickFIX's words."""
        return TEXTS[self.reason]


def time_ns(text: str) -> int | None:
    """A UTCTimestamp in nanoseconds since the epoch; None when it is none. A leap second (60) is the next second."""
    if not _TIME.fullmatch(text):
        return None
    second = int(text[15:17])
    try:
        moment = datetime.strptime(text[:15] + ("59" if second == 60 else text[15:17]), "%Y%m%d-%H:%M:%S").replace(
            tzinfo=UTC
        )
    except ValueError:
        return None
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) + (second == 60)
    return seconds * 10**9 + int(text[18:].ljust(9, "0") or 0)


def time_text(ns: int) -> str:
    """A UTCTimestamp with milliseconds."""
    seconds, rest = divmod(ns, 10**9)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y%m%d-%H:%M:%S}.{rest // 10**6:03d}"


def check(message: Message) -> None:
    """Refuse (FieldError) a message whose fields are not as its type says. Types that are not ours to read pass."""
    kind = message.type
    if kind not in ADMIN and kind not in APPLICATION:
        raise FieldError(BAD_TYPE, 35)
    layout = LAYOUTS.get(kind)
    allowed = HEADER if layout is None else HEADER | {*layout.required, *layout.optional}
    seen: set[int] = set()
    in_body = False
    for tag, value in message:
        if value == "":
            raise FieldError(EMPTY, tag)
        if tag > TAG_MAX:
            raise FieldError(INVALID_TAG if tag < 5000 else NOT_DEFINED, tag)
        if layout is not None and tag not in allowed:
            raise FieldError(NOT_DEFINED, tag)
        if layout is not None and tag in seen:
            raise FieldError(REPEATED, tag)
        seen.add(tag)
        if tag not in HEADER:
            in_body = True
        elif in_body and layout is not None:
            raise FieldError(OUT_OF_ORDER, tag)
        if layout is not None or tag in HEADER:
            _form(tag, value)
    for tag in (*HEADER_REQUIRED, *(layout.required if layout is not None else ())):
        if tag not in seen:
            raise FieldError(MISSING, tag)


def _form(tag: int, value: str) -> None:
    wrong = (
        (tag in _SEQS and not _SEQ.fullmatch(value))
        or (tag in _INTS and not _INT.fullmatch(value))
        or (tag in _DECIMALS and not (_DECIMAL.fullmatch(value) and len(value) <= 40))
        or (tag in _BOOLS and value not in {"Y", "N"})
        or (tag in _TIMES and time_ns(value) is None)
        or (tag in _CHARS and len(value) != 1)
    )
    if wrong:
        raise FieldError(BAD_FORMAT, tag)
    if tag in _VALUES and value not in _VALUES[tag]:
        raise FieldError(BAD_VALUE, tag)
    if tag == 98 and value != "0":
        raise FieldError(BAD_VALUE, tag)
