"""The level book and its shown view."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.book import BookError, BookView, LevelBook
from marketdata.ticks import BUY, SELL


def _model_top(levels, side, depth):
    return sorted(levels[side].items(), reverse=side == BUY)[:depth]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 40), st.integers(-30, 30)), max_size=150),
    st.integers(1, 6),
)
def test_a_client_that_applies_every_difference_holds_the_shown_levels(changes, depth):
    book, model = LevelBook(), {BUY: {}, SELL: {}}
    view = BookView(depth, str, str)
    client = {BUY: {}, SELL: {}}
    for seq, (side, price, change) in enumerate(changes, 1):
        after = model[side].get(price, 0) + change
        if after < 0:
            with pytest.raises(BookError):
                book.apply(side, price, change, seq)
            continue
        book.apply(side, price, change, seq)
        model[side].pop(price, None)
        if after:
            model[side][price] = after
        bids, asks = view.advance(book)
        for mine, rows in ((client[BUY], bids), (client[SELL], asks)):
            for price_text, qty_text in rows:
                if qty_text == "0":
                    del mine[price_text]
                else:
                    mine[price_text] = qty_text
        for number in (BUY, SELL):
            assert book.top(number, depth) == _model_top(model, number, depth)
            assert client[number] == {str(p): str(q) for p, q in _model_top(model, number, depth)}
        assert view.rows() == (
            [(str(p), str(q)) for p, q in book.top(BUY, depth)],
            [(str(p), str(q)) for p, q in book.top(SELL, depth)],
        )


def test_best_and_crossed():
    book = LevelBook()
    assert book.best(BUY) is None
    assert not book.crossed()
    book.load([(99, 5), (100, 1)], [(102, 3), (101, 2)], 7)
    assert (book.best(BUY), book.best(SELL)) == ((100, 1), (101, 2))
    assert not book.crossed()
    book.apply(BUY, 101, 1, 8)
    assert book.crossed()


def test_a_change_that_does_not_fit_is_refused():
    book = LevelBook()
    book.load([(100, 5)], [], 1)
    with pytest.raises(BookError):
        book.apply(BUY, 100, -6, 2)
    with pytest.raises(BookError):
        book.apply(SELL, 100, -1, 2)
    with pytest.raises(BookError):
        book.apply(3, 100, 1, 2)
    with pytest.raises(BookError):
        book.load([(100, 0)], [], 3)


def test_a_side_told_only_in_part_ignores_what_lies_deeper_and_says_when_it_runs_out():
    book = LevelBook()
    book.load([(100, 5), (99, 5)], [(101, 1)], 1, cut_at=2)
    book.apply(BUY, 98, -7, 2)  # not known here: nothing to do
    book.apply(BUY, 98, 7, 3)
    assert book.top(BUY, 5) == [(100, 5), (99, 5)]
    assert not book.running_out(2)
    book.apply(BUY, 100, -5, 4)
    assert book.running_out(2)
