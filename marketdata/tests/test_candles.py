"""Candle rules: boundaries, exact sums, roll-up, gaps, late trades."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.candles import FRAMES, Bar, CandleBuilder, roll_up

NS = 1_000_000_000
DAY = 86_400
MONDAY = 20_000 * DAY


def _minute_bars(trades):
    builder = CandleBuilder()
    bars = {}
    for price, qty, time_ns in trades:
        builder.on_trade(price, qty, time_ns)
        for key, bar in builder.changed.items():
            bars[key] = Bar(*bar.key())
        builder.changed.clear()
    return bars


def test_first_and_last_nanosecond_of_a_minute_are_in_it_and_the_next_one_is_not():
    bars = _minute_bars([(100, 1, MONDAY * NS), (103, 2, (MONDAY + 60) * NS - 1), (99, 4, (MONDAY + 60) * NS)])
    assert bars[60, MONDAY].key() == (60, MONDAY, 100, 103, 100, 103, 3, 2)
    assert bars[60, MONDAY + 60].key() == (60, MONDAY + 60, 99, 99, 99, 99, 4, 1)
    assert bars[300, MONDAY].key() == (300, MONDAY, 100, 103, 99, 99, 7, 3)


def test_a_minute_without_trades_has_no_bar():
    bars = _minute_bars([(100, 1, MONDAY * NS), (101, 1, (MONDAY + 180) * NS)])
    assert sorted(key for key in bars if key[0] == 60) == [(60, MONDAY), (60, MONDAY + 180)]


@pytest.mark.parametrize("frame", FRAMES)
def test_open_times_are_multiples_of_the_frame_in_utc(frame):
    moment = MONDAY + 5 * 3600 + 1234
    bars = _minute_bars([(100, 1, moment * NS)])
    (open_time,) = [key[1] for key in bars if key[0] == frame]
    assert open_time % frame == 0
    assert open_time <= moment < open_time + frame


def test_a_finished_bar_is_told_once_by_the_next_trade():
    builder = CandleBuilder()
    builder.on_trade(100, 1, MONDAY * NS)
    builder.on_trade(101, 1, (MONDAY + 60) * NS)
    assert [bar.frame for bar in builder.closed] == [60]


def test_time_alone_finishes_a_bar_and_a_trade_that_still_comes_is_counted_in_it():
    builder = CandleBuilder()
    builder.on_trade(100, 1, MONDAY * NS)
    builder.close_before(MONDAY + 59)
    assert builder.closed == []
    builder.close_before(MONDAY + 60)
    assert [bar.key() for bar in builder.closed] == [(60, MONDAY, 100, 100, 100, 100, 1, 1)]
    builder.closed.clear()
    builder.close_before(MONDAY + 61)
    assert builder.closed == []
    builder.on_trade(90, 5, (MONDAY + 60) * NS - 1)
    builder.close_before(MONDAY + 62)
    assert [bar.key() for bar in builder.closed] == [(60, MONDAY, 100, 100, 90, 90, 6, 2)]


def test_a_trade_of_a_bar_long_finished_is_counted_as_late_and_changes_no_bar():
    builder = CandleBuilder()
    builder.on_trade(100, 1, (MONDAY + 60) * NS)
    builder.changed.clear()
    builder.on_trade(50, 9, MONDAY * NS)
    assert builder.late == 1
    assert builder.open[60].key() == (60, MONDAY + 60, 100, 100, 100, 100, 1, 1)
    assert (60, MONDAY) not in builder.changed
    # The larger bars still hold both: their time is not over.
    assert builder.open[300].volume == 10


def test_resumed_bars_go_on_where_they_were():
    builder = CandleBuilder([Bar(60, MONDAY, 100, 110, 90, 95, 7, 3)])
    builder.on_trade(120, 1, (MONDAY + 5) * NS)
    assert builder.open[60].key() == (60, MONDAY, 100, 120, 90, 120, 8, 4)


trades_strategy = st.lists(
    st.tuples(st.integers(1, 10**6), st.integers(1, 10**12), st.integers(0, 3 * NS * 3600)), min_size=1, max_size=200
)


@settings(max_examples=60, deadline=None)
@given(trades_strategy)
def test_larger_bars_equal_the_roll_up_of_smaller_ones_to_the_last_lot(steps):
    trades, now = [], MONDAY * NS
    for price, qty, step in steps:
        now += step
        trades.append((price, qty, now))
    bars = _minute_bars(trades)
    by_frame = {frame: [bars[key] for key in sorted(bars) if key[0] == frame] for frame in FRAMES}
    for small, large in pairwise(FRAMES):
        assert roll_up(by_frame[small], large) == by_frame[large]
    total = sum(qty for _, qty, _ in trades)
    for frame in FRAMES:
        assert sum(bar.volume for bar in by_frame[frame]) == total
        assert sum(bar.trades for bar in by_frame[frame]) == len(trades)
        assert all(
            bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in by_frame[frame]
        )


@settings(max_examples=40, deadline=None)
@given(trades_strategy, st.data())
def test_stopping_anywhere_and_resuming_from_the_stored_bars_gives_the_same_bars(steps, data):
    trades, now = [], MONDAY * NS
    for price, qty, step in steps:
        now += step
        trades.append((price, qty, now))
    cut = data.draw(st.integers(0, len(trades)))
    straight = _minute_bars(trades)
    stored = _minute_bars(trades[:cut])
    newest = {}
    for (frame, open_time), bar in stored.items():
        if frame not in newest or newest[frame].open_time < open_time:
            newest[frame] = Bar(*bar.key())
    builder = CandleBuilder(newest.values())
    for trade in trades[cut:]:
        builder.on_trade(*trade)
    stored.update(builder.changed)
    assert stored == straight


def test_roll_up_refuses_what_does_not_divide_or_goes_back():
    with pytest.raises(ValueError, match="multiple"):
        roll_up([Bar(300, MONDAY, 1, 1, 1, 1, 1, 1)], 400)
    with pytest.raises(ValueError, match="order"):
        roll_up([Bar(60, MONDAY + 300, 1, 1, 1, 1, 1, 1), Bar(60, MONDAY, 1, 1, 1, 1, 1, 1)], 300)
