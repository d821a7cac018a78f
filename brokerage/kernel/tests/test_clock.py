"""Clocks and RFC 3339 text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokerage.kernel import clock
from brokerage.kernel.clock import ManualClock, SystemClock, parse_rfc3339, rfc3339


def test_text_has_six_decimals_and_is_cut_not_rounded() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(1_999_999_999) == "1970-01-01T00:00:01.999999Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999999Z"


@given(st.integers(-(2**62), 2**62))
def test_text_and_number_round_trip_to_the_microsecond(ns: int) -> None:
    assert parse_rfc3339(rfc3339(ns)) == ns // 1000 * 1000
    assert clock.ns_from_datetime(clock.datetime_from_ns(ns)) == ns // 1000 * 1000


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.5z", 500_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:30:00-00:30", 0),
        ("1970-01-01T00:00:00.123456789Z", 123_456_789),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * 10**9),
    ],
)
def test_forms_that_are_read(text: str, ns: int) -> None:
    assert parse_rfc3339(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "1970-01-01", "1970-01-01 00:00:00Z", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z",
     "1970-01-01T00:00:00.1234567890Z",
     "1970-01-01T00:00:00+25:00", "1970-01-01T24:00:00Z", "9999-01-01T00:00:00Z", "1970-01-01T00:00:00Z\n"],
)  # fmt: skip
def test_forms_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - datetime's own message differs by field
        parse_rfc3339(text)


def test_the_manual_clock_moves_only_when_told() -> None:
    manual = ManualClock(5)
    assert (manual.now_ns(), manual.monotonic_ns()) == (5, 0)
    assert manual.advance(7) == 12
    manual.set(3)
    assert (manual.now_ns(), manual.monotonic_ns()) == (3, 7)
    with pytest.raises(ValueError, match="back"):
        manual.advance(-1)


def test_the_system_clock_is_utc_nanoseconds() -> None:
    system = SystemClock()
    assert system.now_ns() > parse_rfc3339("2024-01-01T00:00:00Z")
    assert system.monotonic_ns() <= system.monotonic_ns()
    assert clock.utc_now(ManualClock(0)) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_naive_datetime_is_refused_and_an_offset_is_honoured() -> None:
    with pytest.raises(ValueError, match="zone"):
        clock.ns_from_datetime(datetime(2020, 1, 1))  # noqa: DTZ001 - the point of the case
    assert clock.ns_from_datetime(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0


def test_trading_day_is_utc_days() -> None:
    assert [clock.trading_day(ns) for ns in (0, clock.NS_PER_DAY - 1, clock.NS_PER_DAY)] == [0, 0, 1]
