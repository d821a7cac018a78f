"""Framing: what is a message, what is garbled, and that no bytes can break the reader."""

from __future__ import annotations

import contextlib
import random

import pytest

from brokerage.fix.codec import FRAME_MAX, FrameReader, GarbledError, decode, encode


def frame(body: str, begin: str = "FIX.4.4", length: int | None = None, check: int | None = None) -> bytes:
    body = body.replace("|", "\x01")
    head = f"8={begin}\x019={len(body) if length is None else length}\x01{body}".encode()
    return head + f"10={sum(head) % 256 if check is None else check:03d}\x01".encode()


GOOD = frame("35=0|34=1|49=A|52=20261122-01:02:03|56=B|")


def test_frames_come_out_whole_however_the_bytes_arrive() -> None:
    stream = b"noise" + GOOD + GOOD + b"8=" + GOOD
    for size in (1, 2, 7, 100, len(stream)):
        reader, found = FrameReader(), []
        for at in range(0, len(stream), size):
            found += reader.feed(stream[at : at + size])
        assert found == [GOOD] * 3, size


@pytest.mark.parametrize(
    ("_case", "bad"),
    [
        ("checksum", frame("35=0|34=1|", check=0)),
        ("length short", frame("35=0|34=1|49=A|", length=5)),
        ("length long", frame("35=0|34=1|49=A|", length=40)),
        ("length no number", GOOD.replace(b"\x019=", b"\x019=x", 1)),
        ("length too large", frame("35=0|", length=FRAME_MAX + 1)),
        ("length missing", b"8=FIX.4.4\x0135=0\x0110=000\x01"),
    ],
)
def test_garbled_ones_are_passed_over_and_the_next_is_found(_case: str, bad: bytes) -> None:
    reader = FrameReader()
    assert reader.feed(bad + GOOD + GOOD)[-1] == GOOD
    assert reader.garbled >= 1


@pytest.mark.parametrize("body", ["34=1|35=0|", "35=0|x=1|", "35=0|=1|", "35=0|07=1|", "35=0||"])
def test_fields_without_a_number_or_out_of_place_are_no_message(body: str) -> None:
    with pytest.raises(GarbledError):
        decode(frame(body))


def test_what_is_written_is_read_and_no_text_begins_a_field() -> None:
    written = encode(((35, "8"), (34, "7"), (49, "B"), (56, "A")), ((58, "a\x0110=000\x01é"), (11, "x")))
    assert FrameReader().feed(written) == [written]
    message = decode(written)
    assert message.fields == ((35, "8"), (34, "7"), (49, "B"), (56, "A"), (11, "x"), (58, "a?10=000??"))


def test_random_bytes_neither_raise_nor_grow_the_buffer() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        reader = FrameReader()
        for _ in range(20):
            data = bytearray(GOOD * rng.randint(1, 3))
            for _ in range(rng.randint(0, 6)):
                at = rng.randrange(len(data))
                data[at : at + rng.randint(0, 3)] = bytes(rng.choices(b"\x0189=10Fx\x00\xff", k=rng.randint(0, 3)))
            for found in reader.feed(bytes(data)):
                with contextlib.suppress(GarbledError):
                    decode(found)
            assert len(reader._buffer) <= FRAME_MAX + 200
