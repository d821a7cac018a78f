"""The pipeline's own figures, windows of the publisher, what quality sees."""

from __future__ import annotations

import pytest

from marketdata.candles import Bar
from marketdata.pipeline import DAY_S, TAPE_MAX, DayWindow, Pipeline
from marketdata.publisher import Conflator
from marketdata.quality import LAG_NS_MAX, FeedState, FeedWatch
from marketdata.tests.factories import instrument_ref
from marketdata.ticks import BUY, SELL, BookChange, Trade

NS = 1_000_000_000
START = 20_000 * DAY_S


def _bar(minute, open_, high, low, close, volume=1):
    return Bar(60, START + minute * 60, open_, high, low, close, volume, 1)


def test_the_day_is_finished_minutes_and_the_open_one():
    window = DayWindow()
    assert window.figures(None) == (None, None, None, 0)
    assert window.figures(_bar(0, 10, 12, 9, 11, 5)) == (10, 12, 9, 5)
    window.add(_bar(0, 10, 12, 9, 11, 5))
    window.add(_bar(1, 11, 20, 11, 15, 2))
    assert window.figures(_bar(2, 15, 16, 3, 4, 7)) == (10, 20, 3, 14)


def test_an_open_bar_that_was_told_as_finished_is_not_counted_twice():
    window = DayWindow()
    bar = _bar(0, 10, 12, 9, 11, 5)
    window.add(bar)
    assert window.figures(bar) == (10, 12, 9, 5)
    bar.volume += 3
    window.add(bar)
    assert window.figures(bar) == (10, 12, 9, 8)


def test_minutes_leave_the_day_after_24_hours():
    window = DayWindow()
    window.add(_bar(0, 10, 99, 1, 11, 5))
    window.add(_bar(1, 11, 20, 11, 15, 2))
    window.roll(START + DAY_S - 1)
    assert window.figures(None) == (10, 99, 1, 7)
    window.roll(START + DAY_S)
    assert window.figures(None) == (11, 20, 11, 2)


def test_history_loaded_later_joins_the_minutes_known_here():
    window = DayWindow()
    window.add(_bar(10, 50, 60, 40, 55, 9))
    stale = _bar(10, 50, 51, 50, 50, 1)
    window.load([_bar(2, 5, 70, 4, 6, 3), stale])
    assert window.figures(None) == (5, 70, 4, 12)


def _pipeline(ready=True):
    pipeline = Pipeline([instrument_ref(1, "AAA")])
    pipeline.watch.state = FeedState.LIVE
    if ready:
        pipeline.begin_load(1)
        pipeline.load_book(1, [(9_900, 5)], [(10_100, 7)], 10)
    return pipeline, pipeline.states[1]


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [(10_000, 10_100, "1.00"), (10_000, 9_999, "-0.01"), (3, 4, "33.33"), (3, 3, "0.00"), (200, 199, "-0.50")],
)
def test_change_is_rounded_half_even_to_two_decimals(first, last, shown):
    pipeline, state = _pipeline()
    pipeline.on_trade(Trade(1, 11, first, 1, BUY, START * NS))
    pipeline.on_trade(Trade(1, 12, last, 1, BUY, (START + 120) * NS))
    assert pipeline.quote(state, "t")["change_pct_24h"] == shown


def test_an_empty_side_is_null_not_zero():
    pipeline, state = _pipeline()
    pipeline.on_book(BookChange(1, 11, BUY, 9_900, -5), 0)
    quote = pipeline.quote(state, "t")
    assert (quote["bid"], quote["bid_qty"], quote["ask"]) == (None, None, "101.00")


def test_a_book_not_yet_loaded_shows_no_prices_and_is_stale():
    pipeline, state = _pipeline(ready=False)
    quote = pipeline.quote(state, "t")
    assert (quote["bid"], quote["state"]) == (None, "stale")


def test_a_change_that_does_not_fit_loses_the_book_until_it_is_asked_again():
    pipeline, state = _pipeline()
    pipeline.on_book(BookChange(1, 11, SELL, 10_100, -8), 0)
    assert not state.ready
    assert pipeline.reload == {1}
    assert pipeline.watch.counters.misfits == 1
    pipeline.begin_load(1)
    pipeline.on_book(BookChange(1, 12, BUY, 9_950, 2), 0)
    pipeline.load_book(1, [(9_900, 5)], [(10_200, 1)], 11)
    assert state.book.top(BUY, 9) == [(9_950, 2), (9_900, 5)]


def test_a_crossed_book_is_found_after_the_command():
    pipeline, state = _pipeline()
    pipeline.on_book(BookChange(1, 11, BUY, 10_100, 1), 0)
    pipeline.find_wrong()
    assert pipeline.watch.counters.crossed == 1
    assert not state.ready


def test_changes_of_instruments_that_are_not_listed_here_are_ignored():
    pipeline, _ = _pipeline()
    pipeline.on_book(BookChange(99, 11, BUY, 1, 1), 0)
    pipeline.on_trade(Trade(99, 12, 1, 1, BUY, 0))
    assert pipeline.prints == []


def test_more_trades_than_the_tape_holds_are_told_as_a_gap_but_all_are_stored():
    pipeline, state = _pipeline()
    for number in range(TAPE_MAX + 1):
        pipeline.on_trade(Trade(1, 11 + number, 10_000, 1, BUY, START * NS))
    assert state.tape_gap
    assert len(state.tape) == TAPE_MAX
    assert len(pipeline.prints) == TAPE_MAX + 1


def test_a_quiet_instrument_is_due_at_once_and_then_once_a_window():
    conflator = Conflator(50)
    conflator.mark([1])
    assert conflator.due(1000) == [1]
    conflator.mark([1, 2])
    assert conflator.due(1010) == [2]
    assert conflator.wait_ns(1010) == 40
    assert conflator.due(1049) == []
    assert conflator.due(1050) == [1]
    assert conflator.wait_ns(1050) is None


def test_a_hole_in_the_sequence_is_counted():
    watch = FeedWatch()
    watch.connected(5, 5)
    assert watch.event(6, 1)
    assert not watch.event(8, 1)
    assert watch.counters.gaps == 1


def test_catching_up_ends_at_the_engines_place():
    watch = FeedWatch()
    watch.connected(5, 7)
    assert not watch.fresh
    watch.event(6, 1)
    assert watch.state is FeedState.CATCHING_UP
    watch.event(7, 1)
    assert watch.fresh


def test_a_feed_that_stays_behind_is_lagging_and_recovers():
    watch = FeedWatch()
    watch.connected(5, 5)
    watch.engine_at(9, 0)
    watch.engine_at(9, LAG_NS_MAX)
    assert watch.fresh
    watch.engine_at(9, LAG_NS_MAX + 1)
    assert watch.state is FeedState.LAGGING
    for seq in range(6, 10):
        watch.event(seq, 1)
    watch.engine_at(9, LAG_NS_MAX + 2)
    assert watch.fresh
