"""Bytes of FIX 4.4: frames out of a stream, a frame as (tag, text) pairs, pairs back into a frame.

    8=FIX.4.4 | 9=length | 35=type … | 10=checksum        (| is SOH)
               the length counts from after 9's SOH to before 10; the checksum is the sum of all bytes before 10, modulo 256

What cannot be framed is garbled and passed over, as the standard asks: the sequence number then shows the gap. Pure. Owns framing and the order
of fields. Leaves what fields mean to ``dictionary.py`` and sequences to ``session.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BEGIN_STRING = "FIX.4.4"
SOH = b"\x01"
#: Longer than any message a client has reason to send; bounds what one connection can make us keep.
FRAME_MAX = 8_192
_TRAILER = 7  # 10=ddd and SOH
_HEAD_MAX = 32

Field = tuple[int, str]


class GarbledError(ValueError):
    """A frame that is no message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message received: its fields in the order they came, without 8, 9 and 10."""

    begin: str
    fields: tuple[Field, ...]

    def get(self, tag: int, default: str = "") -> str:
        """The first value of a field, or the default."""
        for number, value in self.fields:
            if number == tag:
                return value
        return default

    def has(self, tag: int) -> bool:
        """True when the field is there, even empty."""
        return any(number == tag for number, _ in self.fields)

    @property
    def type(self) -> str:
        """MsgType (35)."""
        return self.get(35)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)


def checksum(data: bytes) -> str:
    """CheckSum (10) of everything before it."""
    return f"{sum(data) % 256:03d}"


def encode(header: Iterable[Field], body: Iterable[Field]) -> bytes:
    """A frame. ``header`` begins with MsgType; its other fields and the body's are put in ascending order, as peers that compare expect."""
    (kind, *rest) = header
    fields = [kind, *sorted(rest), *sorted(body, key=lambda field: field[0])]
    inner = b"".join(b"%d=%s\x01" % (tag, clean(value)) for tag, value in fields)
    head = b"8=%s\x019=%d\x01" % (BEGIN_STRING.encode(), len(inner)) + inner
    return head + b"10=%s\x01" % checksum(head).encode()


def clean(value: str) -> bytes:
    """A value as bytes: ASCII without control characters, so that no text can begin another field."""
    return bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in value.encode("ascii", "replace"))


def decode(frame: bytes) -> Message:
    """The message of a frame whose length and checksum were right; GarbledError when a field has no number or MsgType is not third."""
    fields: list[Field] = []
    for part in frame[:-1].split(SOH):
        name, equals, value = part.partition(b"=")
        if not equals or not name.isdigit() or len(name) > 9 or name[:1] == b"0":
            raise GarbledError("a field without a number")
        fields.append((int(name), value.decode("latin-1")))
    if len(fields) < 4 or [tag for tag, _ in fields[:3]] != [8, 9, 35] or fields[-1][0] != 10:
        raise GarbledError("8, 9 and 35 come first, 10 last")
    return Message(fields[0][1], tuple(fields[2:-1]))


class FrameReader:
    """Cut a stream into frames whose BodyLength and CheckSum are right; everything else is dropped. Bounded by FRAME_MAX and one read."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.garbled = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, return the complete frames among them."""
        self._buffer += data
        found: list[bytes] = []
        at = 0
        while True:
            start = self._buffer.find(b"8=", at)
            if start < 0:
                # A lone 8 may be half of a beginning.
                at = len(self._buffer) - (1 if self._buffer.endswith(b"8") else 0)
                break
            at = start
            end = self._end(start)
            if end == 0:
                break
            if end < 0:
                self.garbled += 1
                at = start + 2
                continue
            frame = bytes(self._buffer[start:end])
            if checksum(frame[:-_TRAILER]).encode() == frame[-4:-1]:
                found.append(frame)
                at = end
            else:
                # A whole one may begin within: what stood before it was cut off.
                self.garbled += 1
                at = start + 2
        del self._buffer[:at]
        return found

    def _end(self, start: int) -> int:
        """Where the frame that begins here ends; 0 when more bytes are needed, -1 when it is none."""
        buffer = self._buffer
        first = buffer.find(SOH, start, start + _HEAD_MAX)
        second = buffer.find(SOH, first + 1, start + _HEAD_MAX) if first >= 0 else -1
        if second < 0:
            return 0 if len(buffer) - start < _HEAD_MAX else -1
        length = bytes(buffer[first + 3 : second])
        if buffer[first + 1 : first + 3] != b"9=" or not length.isdigit() or int(length) > FRAME_MAX:
            return -1
        trailer = second + 1 + int(length)
        if len(buffer) < trailer + _TRAILER:
            return 0
        tail = buffer[trailer : trailer + _TRAILER]
        good = buffer[trailer - 1] == 1 and tail[:3] == b"10=" and tail[3:6].isdigit() and tail[6] == 1
        return trailer + _TRAILER if good else -1
