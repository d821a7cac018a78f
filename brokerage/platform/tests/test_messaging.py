"""Text messages have three parts at most, in letters that every telephone shows; numbers and tokens are masked."""

from __future__ import annotations

import pytest

from brokerage.platform.messaging import TEXT_MAX, number_masked, sms_parts, sms_plain, token_masked


@pytest.mark.parametrize(("letters", "parts"), [(0, 1), (160, 1), (161, 2), (306, 2), (307, 3), (459, 3), (460, 4)])
def test_parts(letters: int, parts: int) -> None:
    assert sms_parts("x" * letters) == parts


def test_a_text_is_cut_to_three_parts() -> None:
    text = sms_plain("word " * 200)
    assert (len(text), sms_parts(text), text[-3:]) == (TEXT_MAX, 3, "...")
    assert sms_plain("x" * TEXT_MAX) == "x" * TEXT_MAX


def test_letters_outside_the_alphabet_are_replaced() -> None:
    assert sms_plain("GB29 •••• 6819, café – “key”… 漢\x00\u202e[€]") == "GB29 **** 6819, cafe - ?key?... ??????"


def test_masks() -> None:
    assert number_masked("+447700900123") == "+44********23"
    assert token_masked("fcm-token-of-4711") == "****4711"
