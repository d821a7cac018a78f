"""Exact conversion, refusals at each boundary, rounding by named mode, plain text out."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokerage.kernel import units
from brokerage.kernel.errors import (
    NotANumberError,
    OffIncrementError,
    OutOfRangeError,
    TooManyDecimalsError,
    UnitsError,
)
from brokerage.kernel.units import RoundingMode

CENT = Decimal("0.01")


@pytest.mark.parametrize("bad", [1.5, float("nan"), True, None, b"1", [], 1 + 0j])
def test_a_value_of_another_type_is_refused(bad: object) -> None:
    with pytest.raises(NotANumberError) as caught:
        units.parse_decimal(bad)  # type: ignore[arg-type]
    assert caught.value.code == 1012


@pytest.mark.parametrize(
    "bad",
    [
        "",
        " 1",
        "1 ",
        "1e5",
        "1E5",
        "NaN",
        "Infinity",
        "-inf",
        "1_000",
        "1,5",
        ".5",
        "5.",
        "0x10",
        "--1",
        "+",
        "١",
        "1\n",
        "1" * 49,
    ],
)
def test_text_which_is_no_plain_number_is_refused(bad: str) -> None:
    with pytest.raises(NotANumberError):
        units.parse_decimal(bad)


@pytest.mark.parametrize("bad", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity")])
def test_a_decimal_that_is_not_finite_is_refused(bad: Decimal) -> None:
    with pytest.raises(NotANumberError):
        units.parse_decimal(bad)


@pytest.mark.parametrize(
    "value", [10**18, -(10**18), "1000000000000000000", "1000000000000000000.000", Decimal("1E+18")]
)
def test_the_largest_value_is_taken(value: units.Number) -> None:
    assert abs(units.parse_decimal(value)) == 10**18


@pytest.mark.parametrize(
    "value",
    [
        10**18 + 1,
        -(10**18) - 1,
        10**30,
        "1" + "0" * 30,
        "1000000000000000000.1",
        Decimal("1E+400000"),
        Decimal("1E+999999999"),
        10**4000,
    ],
    ids=lambda value: str(value)[:30],
)
def test_above_the_largest_value_is_refused(value: units.Number) -> None:
    with pytest.raises(OutOfRangeError) as caught:
        units.parse_decimal(value)
    assert caught.value.code == 1014


def test_a_decimal_with_absurdly_many_decimals_is_refused_before_any_arithmetic() -> None:
    with pytest.raises(NotANumberError):
        units.parse_decimal(Decimal("1E-400000"))
    with pytest.raises(NotANumberError):
        units.parse_decimal(Decimal("0E-400000"))


def test_more_decimals_than_the_increment_is_1011_and_off_the_increment_is_3011_or_3012() -> None:
    with pytest.raises(TooManyDecimalsError) as decimals:
        units.ticks_from_price("1.005", CENT)
    assert (decimals.value.code, decimals.value.needed, decimals.value.available) == (1011, "2", "3")
    with pytest.raises(OffIncrementError) as off:
        units.ticks_from_price("1.30", Decimal("0.25"))
    assert (off.value.code, off.value.needed, off.value.field) == (3011, "0.25", "price")
    with pytest.raises(OffIncrementError) as lot:
        units.lots_from_qty("1500", Decimal(1000))
    assert (lot.value.code, lot.value.needed) == (3012, "1000")


def test_trailing_zeros_are_not_decimals() -> None:
    assert units.ticks_from_price("1.0100000", CENT) == 101
    assert units.lots_from_qty("2000.00", Decimal(1000)) == 2


@pytest.mark.parametrize(
    ("mode", "up", "down", "tie", "negative_tie"),
    [
        (RoundingMode.DOWN, 1, 1, 1, -1),
        (RoundingMode.FLOOR, 1, 1, 1, -2),
        (RoundingMode.CEILING, 2, 2, 2, -1),
        (RoundingMode.HALF_EVEN, 2, 1, 2, -2),
        (RoundingMode.HALF_UP, 2, 1, 2, -2),
    ],
)
def test_rounding_follows_the_named_mode(mode: RoundingMode, up: int, down: int, tie: int, negative_tie: int) -> None:
    results = [units.to_units(text, CENT, mode) for text in ("0.017", "0.012", "0.015", "-0.015")]
    assert results == [up, down, tie, negative_tie]


def test_half_even_and_half_up_differ_at_an_even_tie() -> None:
    assert units.to_units("0.025", CENT, RoundingMode.HALF_EVEN) == 2
    assert units.to_units("0.025", CENT, RoundingMode.HALF_UP) == 3
    assert units.to_units("-0.025", CENT, RoundingMode.HALF_UP) == -3


@given(
    st.decimals(min_value=-(10**12), max_value=10**12, places=6),
    st.sampled_from(["0.01", "0.25", "1000", "0.000003", "7"]),
    st.sampled_from([mode for mode in RoundingMode if mode is not RoundingMode.EXACT]),
)
def test_rounding_agrees_with_decimal_itself(value: Decimal, step: str, mode: RoundingMode) -> None:
    exact = Fraction(value) / Fraction(step)
    got = units.to_units(value, Decimal(step), mode)
    assert abs(exact - got) < 1
    if mode is RoundingMode.FLOOR:
        assert got <= exact
    elif mode is RoundingMode.CEILING:
        assert got >= exact
    elif mode is RoundingMode.DOWN:
        assert abs(got) <= abs(exact)
    else:
        assert abs(exact - got) <= Fraction(1, 2)


@given(st.integers(-(2**62), 2**62), st.sampled_from(["0.01", "0.25", "0.00001", "1", "1000", "0.0005"]))
def test_units_and_values_round_trip_exactly(number: int, step: str) -> None:
    value = units.from_units(number, Decimal(step))
    assert Fraction(value) == number * Fraction(step)
    if abs(value) <= units.VALUE_MAX:
        assert units.to_units(value, Decimal(step)) == number
    text = units.format_price(number, Decimal(step))
    assert "E" not in text
    assert Decimal(text) == value


def test_results_must_fit_the_core() -> None:
    assert units.minor_from_amount("4611686018427", 6) == 4611686018427 * 10**6
    with pytest.raises(OutOfRangeError):
        units.minor_from_amount("4611686018428", 6)  # > 2^62 minor units


def test_listing_numbers_are_whole_or_refused() -> None:
    assert units.tick_value_of(CENT, Decimal("0.0001"), 6) == 1
    assert units.tick_value_of(Decimal("0.00001"), Decimal(1000), 6) == 10_000
    assert units.lot_minor_of(Decimal("0.0001"), 8) == 10_000
    with pytest.raises(OffIncrementError) as finer:
        units.tick_value_of(CENT, Decimal("0.00001"), 6)
    assert finer.value.code == 3008
    with pytest.raises(OffIncrementError):
        units.lot_minor_of(Decimal("0.001"), 2)


@pytest.mark.parametrize("step", [Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("1E-13"), Decimal("1E+19")])
def test_an_increment_out_of_range_is_a_bug_of_the_caller(step: Decimal) -> None:
    with pytest.raises(ValueError, match="increment"):
        units.from_units(1, step)


@pytest.mark.parametrize(
    ("number", "decimals", "text"),
    [
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (12345, 2, "123.45"),
        (-12345, 0, "-12345"),
        (10**18, 8, "10000000000.00000000"),
    ],
)
def test_scaled_text(number: int, decimals: int, text: str) -> None:
    assert units.format_scaled(number, decimals) == text


def test_plain_and_fixed_text() -> None:
    assert units.format_plain(Decimal("1E+3")) == "1000"
    assert units.format_plain(Decimal("0.100")) == "0.1"
    assert units.format_plain(Decimal("-0.00")) == "0"
    assert units.format_plain(Decimal("1E-9")) == "0.000000001"
    assert units.format_fixed(Decimal("-0.001"), 2, RoundingMode.DOWN) == "0.00"
    assert units.format_fixed(Decimal("2.345"), 2, RoundingMode.HALF_EVEN) == "2.34"
    with pytest.raises(TooManyDecimalsError):
        units.format_fixed(Decimal("2.345"), 2, RoundingMode.EXACT)
    with pytest.raises(NotANumberError):
        units.format_plain(Decimal("NaN"))


def test_money_for_people_is_rounded_and_for_files_exact() -> None:
    assert units.format_money(1_234_565_000, 6, 2) == "1234.56"
    assert units.format_money(-1_234_569_999, 6, 2, RoundingMode.DOWN) == "-1234.56"
    assert units.format_money(1_234_565_000, 6) == "1234.565000"
    assert units.format_money(5, 0, 2) == "5.00"


def test_average_price_is_the_sum_divided_when_shown() -> None:
    assert units.average_price(100 * 3 + 101 * 3 + 103, 7, CENT, 4, RoundingMode.HALF_EVEN) == Decimal("1.0086")
    assert units.average_price(0, 0, CENT, 4, RoundingMode.HALF_EVEN) is None


def test_units_themselves_are_ints() -> None:
    with pytest.raises(TypeError):
        units.from_units(1.0, CENT)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        units.format_scaled(True, 2)
    with pytest.raises(ZeroDivisionError):
        units.divide(1, 0, RoundingMode.DOWN)
    assert units.divide(7, -2, RoundingMode.FLOOR) == -4
    with pytest.raises(ValueError, match="remainder"):
        units.divide(7, 2, RoundingMode.EXACT)
    assert issubclass(UnitsError, ValueError)
