"""Books from events equal the core's own depth, whatever the commands (docs/engine.md §8)."""

from __future__ import annotations

import random

import pytest

from marketdata.pipeline import Pipeline
from marketdata.quality import FeedState
from marketdata.tests.factories import instrument_ref
from marketdata.ticks import BUY, SELL
from native.core import Core, CoreConfig
from native.layout import EVENT_SIZE, OrdType, Stp, Tif, TradingState
from trading.engine import commands
from trading.projection.book_publisher import BookPublisher, SequenceGapError

SPOT, MARGIN = 1, 2


class Market:
    """A core with two instruments and funded accounts, stamped as the sequencer does."""

    def __init__(self):
        self.core = Core(
            CoreConfig(max_accounts=64, max_orders=4096, max_levels=4096, max_cl_ord_ids=4096, max_holds=64)
        )
        self.seq = 0
        self.orders = {}
        self.send(commands.asset_upsert(1, 6))
        self.send(commands.asset_upsert(2, 8))
        self.send(
            commands.instrument_upsert(
                SPOT,
                kind=1,
                base_asset=2,
                quote_asset=1,
                tick_value=1,
                lot_minor=10,
                reference_price=1000,
                maker_ppm=100,
                taker_ppm=200,
            )
        )
        self.send(
            commands.instrument_upsert(
                MARGIN,
                kind=2,
                base_asset=0,
                quote_asset=1,
                tick_value=1,
                lot_minor=1,
                reference_price=1000,
                margin_ppm=50_000,
            )
        )
        for account in range(1, 6):
            self.send(commands.account_upsert(account))
            self.send(commands.deposit(account, 1, 10**12, f"u{account}"))
            self.send(commands.deposit(account, 2, 10**12, f"b{account}"))

    def send(self, command):
        from native import layout

        self.seq += 1
        packed = bytearray(command)
        layout.stamp_command(packed, 0, self.seq, self.seq * 1_000_000)
        return bytes(self.core.apply(packed))


def _random_command(rng, market):
    draw = rng.random()
    account = rng.randint(1, 5)
    instrument = rng.choice([SPOT, MARGIN])
    live = market.core.orders_of(limit=200)
    if draw < 0.6 or not live:
        kind = rng.random()
        flags = 1 if kind < 0.1 else 0
        tif = rng.choice([Tif.GTC, Tif.DAY] if flags else [Tif.GTC, Tif.GTC, Tif.DAY, Tif.IOC, Tif.FOK, Tif.GTD])
        side = rng.choice([BUY, SELL])
        market_order = not flags and kind > 0.9
        if market_order:
            tif = Tif.IOC
        expire = (market.seq + rng.randint(2, 40)) * 1_000_000 if tif == Tif.GTD else 0
        return commands.order_new(
            account,
            instrument,
            side,
            OrdType.MARKET if market_order else OrdType.LIMIT,
            tif,
            0 if market_order else 1000 + rng.randint(-15, 15),
            rng.randint(1, 40),
            flags=flags,
            stp=rng.choice([Stp.NONE, Stp.CANCEL_NEWEST, Stp.CANCEL_OLDEST, Stp.CANCEL_BOTH, Stp.DECREMENT]),
            expire_ns=expire,
        )
    order = rng.choice(live)
    if draw < 0.75:
        return commands.order_cancel(order.account, order.order_id)
    if draw < 0.93:
        price = order.price if rng.random() < 0.4 else 1000 + rng.randint(-15, 15)
        return commands.order_replace(
            order.account, order.order_id, price, max(1, order.order_qty + rng.randint(-10, 10))
        )
    if draw < 0.95:
        return commands.mass_cancel(account=account)
    return commands.order_cancel(order.account, order.order_id)


@pytest.mark.parametrize("seed", range(6))
def test_book_from_events_equals_the_depth_of_the_core_after_every_command(seed):
    rng = random.Random(seed)
    market = Market()
    pipeline = Pipeline([instrument_ref(SPOT, "AAA"), instrument_ref(MARGIN, "BBB")])
    bridge = BookPublisher(pipeline)
    pipeline.watch.event_seq = market.core.stats().event_seq
    for core in (SPOT, MARGIN):
        pipeline.begin_load(core)
        pipeline.load_book(core, [], [], market.core.stats().event_seq)
    traded = 0
    for _ in range(1500):
        if 0 < market.core.next_expiry() <= (market.seq + 1) * 1_000_000:
            from native.layout import CommandType, pack_command

            events = market.send(pack_command(CommandType.TIME))
        else:
            events = market.send(_random_command(rng, market))
        bridge.apply(events)
        pipeline.find_wrong()
        for core in (SPOT, MARGIN):
            bids, asks = market.core.depth(core, 1000)
            book = pipeline.states[core].book
            assert book.top(BUY, 1000) == [(level.price, level.qty) for level in bids]
            assert book.top(SELL, 1000) == [(level.price, level.qty) for level in asks]
        traded += len(pipeline.prints)
        pipeline.prints.clear()
        pipeline.dirty.clear()
    assert traded > 100
    assert traded == market.core.stats().matches
    counters = pipeline.watch.counters
    assert (counters.gaps, counters.misfits, counters.crossed, counters.late_trades) == (0, 0, 0, 0)


def test_depth_asked_in_the_middle_joins_the_changes_without_a_gap():
    rng = random.Random(99)
    market = Market()
    pipeline = Pipeline([instrument_ref(SPOT, "AAA"), instrument_ref(MARGIN, "BBB")])
    bridge = BookPublisher(pipeline)
    pipeline.watch.event_seq = market.core.stats().event_seq
    late = []  # batches the feed has not told yet
    asked = {}
    for step in range(800):
        late.append(market.send(_random_command(rng, market)))
        if step % 50 == 10:
            for core in (SPOT, MARGIN):
                pipeline.begin_load(core)
                bids, asks = market.core.depth(core, 1000)
                asked[core] = (bids, asks, market.core.stats().event_seq)
        if step % 50 == 25:
            for core, (bids, asks, seq) in asked.items():
                pipeline.load_book(core, [level[:2] for level in bids], [level[:2] for level in asks], seq)
        while len(late) > rng.randint(0, 12):
            bridge.apply(late.pop(0))
    while late:
        bridge.apply(late.pop(0))
    for core in (SPOT, MARGIN):
        bids, asks = market.core.depth(core, 1000)
        assert pipeline.states[core].ready
        assert pipeline.states[core].book.top(BUY, 1000) == [level[:2] for level in bids]
        assert pipeline.states[core].book.top(SELL, 1000) == [level[:2] for level in asks]
    assert pipeline.watch.counters.misfits == 0


def test_a_hole_in_the_feed_is_found():
    market = Market()
    pipeline = Pipeline([instrument_ref(SPOT, "AAA")])
    bridge = BookPublisher(pipeline)
    pipeline.watch.event_seq = market.core.stats().event_seq
    first = market.send(commands.order_new(1, SPOT, BUY, OrdType.LIMIT, Tif.GTC, 990, 5))
    market.send(commands.order_new(1, SPOT, BUY, OrdType.LIMIT, Tif.GTC, 991, 5))
    third = market.send(commands.order_new(1, SPOT, BUY, OrdType.LIMIT, Tif.GTC, 992, 5))
    bridge.apply(first)
    with pytest.raises(SequenceGapError):
        bridge.apply(third)
    assert pipeline.watch.counters.gaps == 1


def test_a_book_that_differs_from_the_engine_is_found_and_asked_again():
    market = Market()
    pipeline = Pipeline([instrument_ref(SPOT, "AAA")])
    bridge = BookPublisher(pipeline)
    seq = market.core.stats().event_seq
    pipeline.watch.event_seq = seq
    pipeline.begin_load(SPOT)
    pipeline.load_book(SPOT, [(950, 3)], [], seq)  # planted: the engine has no such level
    bridge.apply(market.send(commands.order_new(1, SPOT, BUY, OrdType.LIMIT, Tif.GTC, 990, 5)))
    bids, asks = market.core.depth(SPOT, 50)
    now = market.core.stats().event_seq
    pipeline.check_book(SPOT, 50, [level[:2] for level in bids], [level[:2] for level in asks], now, now)
    counters = pipeline.watch.counters
    assert (counters.books_checked, counters.books_wrong) == (1, 1)
    assert SPOT in pipeline.reload
    assert not pipeline.states[SPOT].ready


def test_a_comparison_waits_until_the_feed_is_there():
    market = Market()
    pipeline = Pipeline([instrument_ref(SPOT, "AAA")])
    bridge = BookPublisher(pipeline)
    pipeline.watch.event_seq = market.core.stats().event_seq
    pipeline.begin_load(SPOT)
    pipeline.load_book(SPOT, [], [], pipeline.watch.event_seq)
    late = [market.send(commands.order_new(1, SPOT, BUY, OrdType.LIMIT, Tif.GTC, 990 + n, 5)) for n in range(4)]
    bids, asks = market.core.depth(SPOT, 50)
    asked_at = market.core.stats().event_seq
    later = market.send(commands.order_new(1, SPOT, BUY, OrdType.LIMIT, Tif.GTC, 970, 5))
    bridge.apply(late[0])
    pipeline.check_book(
        SPOT, 50, [level[:2] for level in bids], [level[:2] for level in asks], asked_at, pipeline.watch.event_seq
    )
    assert pipeline.watch.counters.books_checked == 0
    for events in (*late[1:], later):
        bridge.apply(events)
    assert pipeline.watch.counters.books_checked == 1
    assert pipeline.watch.counters.books_wrong == 0


def test_halts_and_closings_change_the_state_shown():
    market = Market()
    pipeline = Pipeline([instrument_ref(SPOT, "AAA"), instrument_ref(MARGIN, "BBB")])
    bridge = BookPublisher(pipeline)
    pipeline.watch.event_seq = market.core.stats().event_seq
    pipeline.watch.state = FeedState.LIVE
    for core in (SPOT, MARGIN):
        pipeline.begin_load(core)
        pipeline.load_book(core, [], [], pipeline.watch.event_seq)

    def shown():
        return [pipeline.state_name(pipeline.states[core]) for core in (SPOT, MARGIN)]

    assert shown() == ["active", "active"]
    bridge.apply(market.send(commands.halt_set(2, instrument=SPOT, state=int(TradingState.HALTED))))
    assert shown() == ["halted", "active"]
    bridge.apply(market.send(commands.session_close(MARGIN)))
    assert shown() == ["halted", "closed"]
    bridge.apply(market.send(commands.halt_set(2, instrument=SPOT, state=int(TradingState.ACTIVE))))
    bridge.apply(market.send(commands.halt_set(1, state=int(TradingState.REDUCE_ONLY))))
    assert shown() == ["reduce_only", "closed"]
    bridge.apply(market.send(commands.halt_set(3, account=1, state=int(TradingState.HALTED))))
    assert shown() == ["reduce_only", "closed"]
    pipeline.watch.disconnected()
    assert shown() == ["stale", "stale"]


def test_events_are_whole_structs():
    assert len(Market().send(commands.order_new(1, SPOT, BUY, OrdType.LIMIT, Tif.GTC, 990, 5))) % EVENT_SIZE == 0
