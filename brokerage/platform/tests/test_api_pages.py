"""Cursors and the envelope of lists."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokerage.platform.api import Page
from brokerage.platform.problems import ApiProblem

PAGE = Page("orders", 2)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 50))
def test_a_cursor_is_read_back(first: int, second: int) -> None:
    assert PAGE.decode(PAGE.encode([first, second])) == (first, second)


def spelled(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("_case", "cursor"),
    [
        ("empty", ""),
        ("nonsense", "!!!"),
        ("not ASCII", "é"),
        ("another list's", Page("ledger", 2).encode([1, 2])),
        ("too few keys", Page("orders", 1).encode([1])),
        ("no number", spelled("orders.a.b")),
        ("beyond 64 bits", spelled(f"orders.{2**63}.1")),
        ("another spelling of a number", spelled("orders.01.1")),
        ("padding", PAGE.encode([1, 2]) + "="),
    ],
)
def test_a_foreign_cursor_is_refused(_case: str, cursor: str) -> None:
    with pytest.raises(ApiProblem) as refused:
        PAGE.decode(cursor)
    assert refused.value.code == 1017


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(cursor: str) -> None:
    try:
        key = PAGE.decode(cursor)
    except ApiProblem as refused:
        assert refused.code == 1017  # noqa: PT017
    else:
        assert PAGE.encode(key) == cursor
