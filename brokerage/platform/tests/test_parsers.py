"""The body parser: exact, bounded, and never a fault whatever bytes come."""

import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokerage.platform.parsers import BODY_MAX, ExactJSONParser
from brokerage.platform.problems import ApiProblem


def parse(raw: bytes) -> object:
    return ExactJSONParser().parse(io.BytesIO(raw))


def test_a_fraction_keeps_its_text() -> None:
    assert parse(b'{"price": 0.1000000000000000055511151231257827}') == {
        "price": Decimal("0.1000000000000000055511151231257827")
    }


def test_a_whole_number_is_an_int() -> None:
    assert parse(b'{"qty": 9007199254740993}') == {"qty": 9007199254740993}


@pytest.mark.parametrize(
    ("_case", "raw", "code"),
    [
        ("empty", b"", 1013),
        ("half an object", b'{"a": 1', 1013),
        ("not UTF-8", b'{"a": "\xff"}', 1013),
        ("a list", b"[1]", 1013),
        ("a bare number", b"1", 1013),
        ("NaN", b'{"a": NaN}', 1012),
        ("Infinity", b'{"a": -Infinity}', 1012),
        ("a name twice", b'{"a": 1, "a": 2}', 1013),
        ("NUL in a value", b'{"a": "x\\u0000"}', 1013),
        ("NUL in a name", b'{"a\\u0000": 1}', 1013),
        ("half a surrogate pair", b'{"a": "\\ud800"}', 1013),
        ("a number of a thousand digits", b'{"a": ' + b"9" * 1000 + b"}", 1014),
        ("a fraction of a thousand digits", b'{"a": 0.' + b"9" * 1000 + b"}", 1014),
        ("nested beyond reason", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", 1013),
        ("nested a little too deep", b'{"a":' + b"[" * 10 + b"]" * 10 + b"}", 1013),
        ("too large", b'{"a": "' + b"x" * BODY_MAX + b'"}', 1020),
    ],
)
def test_what_cannot_be_read_is_refused_by_number(_case: str, raw: bytes, code: int) -> None:
    with pytest.raises(ApiProblem) as refused:
        parse(raw)
    assert refused.value.code == code


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = parse(raw)
    except ApiProblem as refused:
        assert refused.code in {1012, 1013, 1014, 1020}  # noqa: PT017
    else:
        assert isinstance(value, dict)
