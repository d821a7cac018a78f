"""Check digits, ULIDs and public ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokerage.kernel import identifiers as ids
from brokerage.kernel.clock import ManualClock
from brokerage.kernel.errors import IdentifierError


@pytest.mark.parametrize("code", ["US0378331005", "US5949181045", "GB0002634946", "DE0005557508"])
def test_real_isins_are_taken_and_one_changed_digit_is_not(code: str) -> None:
    assert ids.is_isin(code)
    assert not ids.is_isin(code[:-1] + str((int(code[-1]) + 1) % 10))


@pytest.mark.parametrize(
    "code", ["", "US037833100", "us0378331005", "US03783310055", "0S0378331005", "US037833100٥", None]
)
def test_malformed_isins_are_refused(code: str) -> None:
    assert not ids.is_isin(code)


@pytest.mark.parametrize("code", ["5493001KJTIIGC8Y1R12", "HWUPKR0MPOU8FGXBT394", "7LTWFZYICNSX8D621K86"])
def test_real_leis_are_taken_and_one_changed_digit_is_not(code: str) -> None:
    assert ids.is_lei(code)
    assert not ids.is_lei(code[:-1] + str((int(code[-1]) + 1) % 10))


def test_forms_of_mic_cfi_and_currency() -> None:
    assert ids.is_mic("XNYS")
    assert not ids.is_mic("xnys")
    assert not ids.is_mic("XNY")
    assert ids.is_cfi("ESVUFR")
    assert ids.is_cfi("JEIXCC")
    assert not ids.is_cfi("ZZZZZZ")
    assert not ids.is_cfi("EXVUFR")
    assert ids.is_currency("USD")
    assert ids.is_currency("XAU")
    assert not ids.is_currency("BTC")
    assert not ids.is_currency("usd")


def test_check_code_names_the_kind() -> None:
    assert ids.check_code("isin", "US0378331005") == "US0378331005"
    with pytest.raises(IdentifierError) as caught:
        ids.check_code("lei", "X")
    assert (caught.value.code, caught.value.field) == (1001, "lei")


@given(st.integers(0, 2**64 - 1))
def test_ids_round_trip_in_thirteen_characters(number: int) -> None:
    text = ids.encode_id(number)
    assert len(text) == 13
    assert ids.decode_id(text) == number == ids.decode_id(text.lower())


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_text_sorts_as_the_number(one: int, other: int) -> None:
    assert (ids.encode_id(one) < ids.encode_id(other)) == (one < other)


def test_lookalikes_are_read_as_crockford_says() -> None:
    assert ids.decode_id("O00000000000L") == ids.decode_id("0000000000001") == 1


@pytest.mark.parametrize(
    "text", ["", "0" * 12, "0" * 14, "G000000000000", "U" + "0" * 12, "!" + "0" * 12, "Z" * 13, 13 * "\u0661", None]
)
def test_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(IdentifierError):
        ids.decode_id(text)


@pytest.mark.parametrize("number", [-1, 2**64, True, 1.0, "1"])
def test_numbers_that_are_no_id_are_refused(number: int) -> None:
    with pytest.raises(IdentifierError):
        ids.encode_id(number)


def test_a_ulid_carries_the_clock_and_the_randomness() -> None:
    text = ids.ulid_new(ManualClock(1_469_918_176_385 * 10**6), lambda bits: 2**bits - 1)
    assert text == "01ARYZ6S41ZZZZZZZZZZZZZZZZ"
    assert ids.ulid_parse(text) == (1_469_918_176_385, 2**80 - 1)


@pytest.mark.parametrize("text", ["", "0" * 25, "8" + "Z" * 25, "U" + "0" * 25])
def test_text_that_is_no_ulid_is_refused(text: str) -> None:
    with pytest.raises(IdentifierError):
        ids.ulid_parse(text)


def test_a_clock_or_randomness_out_of_range_is_a_bug() -> None:
    with pytest.raises(ValueError, match="clock"):
        ids.ulid_new(ManualClock(-(10**9)))
    with pytest.raises(ValueError, match="80 bits"):
        ids.ulid_new(ManualClock(0), lambda bits: 2**bits)


@pytest.mark.parametrize(
    ("text", "good"), [("a", True), ("~" * 36, True), ("", False), ("a" * 37, False), ("a b", False), ("é", False)]
)
def test_form_of_a_client_order_id(text: str, good: bool) -> None:
    assert ids.is_cl_ord_id(text) is good
