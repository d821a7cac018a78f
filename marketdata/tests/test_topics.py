"""Conflation: whatever the interleaving of updates and answers, the client ends with what was published."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.book import BookView, LevelBook
from marketdata.ticks import BUY, SELL
from marketdata.topics import (
    NEVER,
    RING_TRADES,
    BookFrame,
    BookTopic,
    CandleFrame,
    CandleTopic,
    QuotesTopic,
    QuoteTopic,
    TradeRow,
    TradesTopic,
)


def _book_frame(seq, prev, bids, asks, epoch=1):
    frame = BookFrame(symbol="X", epoch=epoch, seq=seq, prev=prev, bids=bids, asks=asks, ts="t")
    text = json.dumps(
        {"type": "book", "symbol": "X", "epoch": epoch, "seq": seq, "prev": prev, "bids": bids, "asks": asks, "ts": "t"}
    )
    return frame, text


class BookClient:
    """A browser that checks the chain as docs/streams.md tells it to."""

    def __init__(self):
        self.version = NEVER
        self.seq = None
        self.bids, self.asks = {}, {}
        self.snapshots = self.deltas = 0

    def take(self, topic):
        frames, self.version = topic.frames(self.version)
        for text in frames:
            frame = json.loads(text)
            if frame["prev"] is None:
                self.bids, self.asks = {}, {}
                self.snapshots += 1
            else:
                assert frame["prev"] == self.seq
                self.deltas += 1
            self.seq = frame["seq"]
            for mine, rows in ((self.bids, frame["bids"]), (self.asks, frame["asks"])):
                for price, qty in rows:
                    if qty == "0":
                        mine.pop(price, None)
                    else:
                        mine[price] = qty


steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from([BUY, SELL]), st.integers(1, 30), st.integers(0, 9)),
        st.tuples(st.just("take"), st.integers(0, 3)),
        st.tuples(st.just("snapshot")),
        st.tuples(st.just("lose")),
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_any_interleaving_leaves_every_client_with_the_published_book(actions):
    book, view = LevelBook(), BookView(8, str, str)
    topic = BookTopic("book:X")
    clients = [BookClient() for _ in range(4)]
    sizes = {}
    seq = 0
    bids, asks = view.advance(book)
    topic.update(*_book_frame(0, None, bids, asks))
    prev = 0
    for action in actions:
        if action[0] == "change":
            _, side, price, lots = action
            seq += 1
            book.apply(side, price, lots - sizes.get((side, price), 0), seq)
            sizes[side, price] = lots
            bids, asks = view.advance(book)
            if topic.update(*_book_frame(seq, prev, bids, asks)):
                prev = seq
        elif action[0] == "take":
            clients[action[1]].take(topic)
        elif action[0] == "snapshot" or (action[0] == "lose" and topic.seq is None):
            rows = view.rows()
            topic.update(*_book_frame(seq, None, *rows))
            prev = seq
        else:
            topic.lose()
    topic.update(*_book_frame(seq, None, *view.rows()))
    for client in clients:
        client.take(topic)
        shown_bids, shown_asks = view.rows()
        assert (client.bids, client.asks) == (dict(shown_bids), dict(shown_asks))
        assert client.seq == seq


def test_a_client_in_step_gets_the_published_text_itself_and_one_behind_gets_one_merged_delta():
    topic = BookTopic("book:X")
    levels = [(str(price), "5") for price in range(1, 40)]
    topic.update(*_book_frame(1, None, levels, []))
    fast, slow = BookClient(), BookClient()
    fast.take(topic)
    slow.take(topic)
    for seq in range(2, 6):
        frame, text = _book_frame(seq, seq - 1, [(str(seq), "9")], [])
        topic.update(frame, text)
        assert topic.frames(fast.version)[0] == [text]
        fast.take(topic)
    frames, _ = topic.frames(slow.version)
    merged = json.loads(frames[0])
    assert len(frames) == 1
    assert (merged["prev"], merged["seq"]) == (1, 5)
    assert sorted(merged["bids"]) == [["2", "9"], ["3", "9"], ["4", "9"], ["5", "9"]]
    slow.take(topic)
    assert slow.bids == fast.bids
    assert (slow.snapshots, slow.deltas) == (1, 1)


def test_a_delta_that_does_not_follow_is_refused_and_an_old_one_is_ignored():
    topic = BookTopic("book:X")
    assert not topic.update(*_book_frame(5, 4, [], []))
    topic.update(*_book_frame(5, None, [("1", "1")], []))
    assert not topic.update(*_book_frame(8, 7, [("1", "2")], []))
    assert topic.update(*_book_frame(4, 3, [("1", "7")], []))
    assert topic.levels() == ({"1": "1"}, {})
    assert not topic.update(*_book_frame(6, 5, [("1", "2")], [], epoch=2))


def test_snapshot_levels_are_best_first_by_value_not_by_text():
    topic = BookTopic("book:X")
    topic.update(*_book_frame(1, None, [("9.50", "1"), ("10.00", "1")], [("100.00", "1"), ("99.50", "1")]))
    frame = json.loads(topic.frames(NEVER)[0][0])
    assert [row[0] for row in frame["bids"]] == ["10.00", "9.50"]
    assert [row[0] for row in frame["asks"]] == ["99.50", "100.00"]


def test_quotes_only_the_last_value_is_sent():
    topic = QuoteTopic("quote:X")
    assert topic.frames(NEVER) == ([], NEVER)
    for text in ("a", "b", "c"):
        topic.update(text)
    assert topic.frames(NEVER) == (["c"], topic.version)
    assert topic.frames(topic.version) == ([], topic.version)


def test_a_batch_of_quotes_is_shared_and_a_late_client_gets_each_changed_one_once():
    topic = QuotesTopic()
    topic.update([{"symbol": "A", "seq": 1}, {"symbol": "B", "seq": 1}], "first")
    _, version = topic.frames(NEVER)
    topic.update([{"symbol": "A", "seq": 2}], "second")
    assert topic.frames(version)[0] == ["second"]
    topic.update([{"symbol": "A", "seq": 3}], "third")
    merged = json.loads(topic.frames(version)[0][0])
    assert merged["quotes"] == [{"symbol": "A", "seq": 3}]
    everything = json.loads(topic.frames(NEVER)[0][0])
    assert {quote["symbol"]: quote["seq"] for quote in everything["quotes"]} == {"A": 3, "B": 1}


def _rows(*numbers):
    return [TradeRow(id=str(number), price="1", qty="1", side="buy", ts="t") for number in numbers]


def _taken(topic, version):
    frames, version = topic.frames(version)
    return [json.loads(text) for text in frames], version


def test_trades_are_told_once_each_in_order_and_repeats_are_skipped():
    topic = TradesTopic("trades:X")
    topic.update(_rows(3, 5))
    (first,), version = _taken(topic, NEVER)
    assert first["snapshot"] is True
    assert [row["id"] for row in first["trades"]] == ["3", "5"]
    topic.update(_rows(5, 8))
    topic.update(_rows(9))
    (second,), version = _taken(topic, version)
    assert [row["id"] for row in second["trades"]] == ["8", "9"]
    assert "gap" not in second
    assert _taken(topic, version)[0] == []


def test_a_client_that_was_away_too_long_is_told_of_the_gap():
    topic = TradesTopic("trades:X")
    topic.update(_rows(1))
    _, version = _taken(topic, NEVER)
    topic.update(_rows(*range(2, RING_TRADES + 10)))
    (frame,), _ = _taken(topic, version)
    assert frame["gap"] is True
    assert len(frame["trades"]) == RING_TRADES
    in_step = RING_TRADES + 5
    (frame,), _ = _taken(topic, in_step)
    assert "gap" not in frame


def test_a_gap_told_by_the_publisher_is_passed_on():
    topic = TradesTopic("trades:X")
    topic.update(_rows(1))
    _, version = _taken(topic, NEVER)
    topic.update(_rows(50, 51), gap=True)
    (frame,), _ = _taken(topic, version)
    assert frame["gap"] is True


def test_a_trade_from_the_bus_before_the_list_is_read_hides_none_of_the_list():
    topic = TradesTopic("trades:X")
    topic.hold()
    topic.update(_rows(7, 9))
    assert _taken(topic, NEVER) == ([], NEVER)
    topic.load(_rows(3, 5, 7))
    (frame,), version = _taken(topic, NEVER)
    assert [row["id"] for row in frame["trades"]] == ["3", "5", "7", "9"]
    topic.hold()  # the bus was away
    topic.update(_rows(15))
    assert _taken(topic, version)[0] == []
    topic.load(_rows(7, 9, 11, 13, 15))
    (frame,), _ = _taken(topic, version)
    assert [row["id"] for row in frame["trades"]] == ["11", "13", "15"]
    assert "gap" not in frame


def test_a_gap_told_while_the_list_is_read_is_passed_on():
    topic = TradesTopic("trades:X")
    topic.update(_rows(1))
    _, version = _taken(topic, NEVER)
    topic.hold()
    topic.update(_rows(50), gap=True)
    topic.load([])
    (frame,), _ = _taken(topic, version)
    assert frame["gap"] is True


def _candle(time, closed, close="1"):
    text = json.dumps({"time": time, "closed": closed, "close": close})
    return CandleFrame(symbol="X", frame="1m", time=time, closed=closed), text


def test_the_final_state_of_a_bar_comes_before_the_next_bar_however_slow_the_client():
    topic = CandleTopic("candles:X:1m")
    topic.update(*_candle(0, False, "1"))
    taken, version = _taken(topic, NEVER)
    assert [frame["time"] for frame in taken] == [0]
    topic.update(*_candle(0, False, "2"))
    topic.update(*_candle(0, True, "3"))
    topic.update(*_candle(60, False, "4"))
    topic.update(*_candle(60, False, "5"))
    taken, version = _taken(topic, version)
    assert [(frame["time"], frame["closed"], frame["close"]) for frame in taken] == [(0, True, "3"), (60, False, "5")]
    assert _taken(topic, version)[0] == []


def test_a_new_client_gets_the_open_bar_only_or_the_finished_one_when_none_is_open():
    topic = CandleTopic("candles:X:1m")
    topic.update(*_candle(0, True, "3"))
    assert [frame["closed"] for frame in _taken(topic, NEVER)[0]] == [True]
    topic.update(*_candle(60, False, "4"))
    assert [frame["time"] for frame in _taken(topic, NEVER)[0]] == [60]
