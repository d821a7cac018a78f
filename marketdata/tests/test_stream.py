"""Publisher, Valkey, hub and market consumer together: what a browser gets."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
import redis.asyncio

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from marketdata import hub as hub_module
from marketdata.consumers import MarketConsumer, parse_topic
from marketdata.hub import Hub
from marketdata.pipeline import Pipeline
from marketdata.publisher import Publisher
from marketdata.quality import FeedState
from marketdata.tests.factories import instrument_ref
from marketdata.ticks import BUY, SELL, BookChange, StateChange, Trade
from tests.ws import LIMITS, BookReader, WsClient

AAA, BBB = 1, 2


class Stage:
    """A feed made by hand, published through the real Valkey to a real hub."""

    def __init__(self, url):
        self.pipeline = Pipeline([instrument_ref(AAA, "AAA"), instrument_ref(BBB, "BBB")])
        self.pipeline.watch.state = FeedState.LIVE
        self.valkey = redis.asyncio.Redis.from_url(url)
        self.publisher = Publisher(self.pipeline, self.valkey, SYSTEM_CLOCK, epoch=3)
        self.hub = Hub(url)
        self.seq = 100
        self.sizes = {}
        self.clients = []
        for core in (AAA, BBB):
            self.pipeline.begin_load(core)
            self.pipeline.load_book(core, [(9_900, 5)], [(10_100, 5)], self.seq)
            self.sizes[core, BUY, 9_900] = self.sizes[core, SELL, 10_100] = 5

    async def publish(self):
        """Everything that is dirty, without waiting for windows."""
        self.publisher.conflator._next.clear()
        self.publisher._quotes_due_ns = 0
        await self.publisher.publish_due()

    def level(self, core, side, price, lots):
        """Set a level."""
        self.seq += 1
        change = lots - self.sizes.get((core, side, price), 0)
        self.sizes[core, side, price] = lots
        if change:
            self.pipeline.on_book(BookChange(core, self.seq, side, price, change), SYSTEM_CLOCK.now_ns())

    def trade(self, core, price, qty, time_ns=None):
        """A match."""
        self.seq += 1
        self.pipeline.on_trade(Trade(core, self.seq, price, qty, BUY, time_ns or SYSTEM_CLOCK.now_ns()))
        return str(self.seq)

    async def client(self, *topics, **options):
        """A connected client with topics."""
        limits = options.pop("limits", LIMITS)
        client = WsClient(MarketConsumer.as_asgi(limits=limits, hub=self.hub), **options)
        assert await client.connect()
        self.clients.append(client)
        await client.get("hello")
        if topics:
            await client.send({"op": "subscribe", "topics": list(topics)})
            answer = await client.get("subscribed")
            assert answer["refused"] == []
        return client


@pytest.fixture
async def stage(settings, monkeypatch):
    refs = [instrument_ref(AAA, "AAA"), instrument_ref(BBB, "BBB")]
    monkeypatch.setattr(hub_module, "instrument_list", lambda: refs)
    made = Stage(settings.REDIS_URL)
    await made.valkey.flushdb()
    await made.publisher.publish_status()
    yield made
    for client in made.clients:
        if not client.task.done():
            await client.leave()
    await made.hub.close()
    await made.valkey.aclose()


def _trade_ids(client):
    return [int(trade["id"]) for frame in client.frames if frame["type"] == "trades" for trade in frame["trades"]]


def _expected(stage, core):
    ref = stage.pipeline.states[core].ref
    book = stage.pipeline.states[core].book
    return tuple({ref.price(p): ref.qty(q) for p, q in book.top(side, 50)} for side in (BUY, SELL))


async def test_snapshot_first_then_deltas_and_the_client_holds_the_book(stage):
    await stage.publish()
    client = await stage.client("book:AAA")
    reader = BookReader(client)
    await client.until(lambda: any(frame["type"] == "book" for frame in client.frames))
    first = client.frames[-1]
    assert (first["prev"], first["epoch"], first["bids"], first["asks"]) == (
        None,
        3,
        [["99.00", "5"]],
        [["101.00", "5"]],
    )
    rng = random.Random(3)
    for _ in range(60):
        for _ in range(rng.randint(1, 5)):
            side = rng.choice([BUY, SELL])
            price = 9_900 - rng.randint(0, 80) if side == BUY else 10_100 + rng.randint(0, 80)
            stage.level(AAA, side, price, rng.randint(0, 4))
        await stage.publish()
    await client.until(lambda: reader.read() == _expected(stage, AAA))
    assert reader.seq == stage.publisher._shown[AAA].view.seq


async def test_every_kind_of_topic_begins_with_what_is_known(stage):
    now = SYSTEM_CLOCK.now_ns()
    first = stage.trade(AAA, 10_000, 3, now - 1000)
    second = stage.trade(AAA, 10_050, 4, now)
    await stage.publish()
    client = await stage.client("quotes", "quote:AAA", "trades:AAA", "candles:AAA:1m")
    quote = await client.get("quote")
    assert (quote["bid"], quote["ask"], quote["last"], quote["last_qty"], quote["state"]) == (
        "99.00",
        "101.00",
        "100.50",
        "4",
        "active",
    )
    trades = await client.get("trades")
    assert trades["snapshot"] is True
    assert [trade["id"] for trade in trades["trades"]] == [first, second]
    candle = await client.get("candle")
    assert (candle["open"], candle["high"], candle["close"], candle["volume"], candle["closed"]) == (
        "100.00",
        "100.50",
        "100.50",
        "7",
        False,
    )
    assert candle["time"] % 60 == 0
    quotes = await client.get("quotes")
    assert {row["symbol"]: row["last"] for row in quotes["quotes"]} == {"AAA": "100.50", "BBB": None}


async def test_updates_reach_every_topic_after_the_snapshot(stage):
    await stage.publish()
    client = await stage.client("quotes", "quote:AAA", "trades:AAA", "candles:AAA:1h")
    await client.get("quotes")
    await client.get("quote")
    number = stage.trade(AAA, 10_010, 1)
    await stage.publish()
    assert (await client.get("quote"))["last"] == "100.10"
    assert [trade["id"] for trade in (await client.get("trades"))["trades"]] == [number]
    assert (await client.get("candle"))["frame"] == "1h"
    assert [quote["symbol"] for quote in (await client.get("quotes"))["quotes"]] == ["AAA"]


async def test_a_halt_is_shown_in_the_quote(stage):
    await stage.publish()
    client = await stage.client("quote:AAA")
    await client.get("quote")
    stage.pipeline.on_state(StateChange(AAA, stage.seq + 1, 2))
    await stage.publish()
    assert (await client.get("quote"))["state"] == "halted"


async def test_a_finished_bar_is_told_before_the_next(stage):
    start = 1_700_000_000 // 60 * 60 * NS_PER_S
    client = await stage.client("candles:AAA:1m")
    stage.trade(AAA, 10_000, 1, start)
    await stage.publish()
    await client.get("candle")
    stage.trade(AAA, 10_020, 2, start + 30 * NS_PER_S)
    stage.trade(AAA, 10_030, 5, start + 60 * NS_PER_S)
    await stage.publish()
    bars = [await client.get("candle"), await client.get("candle")]
    assert [(bar["time"] * NS_PER_S - start, bar["closed"], bar["volume"]) for bar in bars] == [
        (0, True, "3"),
        (60 * NS_PER_S, False, "5"),
    ]


@pytest.mark.parametrize(
    ("_case", "topic", "code"),
    [
        ("no such kind", "depth:AAA", "unknown_topic"),
        ("no such symbol", "book:ZZZ", "unknown_symbol"),
        ("no such frame", "candles:AAA:2m", "unknown_topic"),
        ("no frame", "candles:AAA", "unknown_topic"),
        ("too many parts", "book:AAA:1m", "unknown_topic"),
        ("empty", "", "unknown_topic"),
        ("not a text", 5, "unknown_topic"),
        ("a list", ["quotes"], "unknown_topic"),
        ("long", "book:" + "A" * 2000, "unknown_symbol"),
        ("odd characters", "book:\ud800\x00", "unknown_symbol"),
    ],
)
def test_topics_that_cannot_be_had_are_refused_by_name(_case, topic, code):
    refusal = parse_topic(topic, frozenset({"AAA"}))
    assert refusal["code"] == code
    assert len(refusal["topic"]) <= 64


async def test_known_topics_are_given_though_others_are_refused(stage):
    client = await stage.client()
    await client.send({"op": "subscribe", "topics": ["quote:AAA", "quote:ZZZ", 7]})
    answer = await client.get("subscribed")
    assert answer["topics"] == ["quote:AAA"]
    assert [refusal["code"] for refusal in answer["refused"]] == ["unknown_symbol", "unknown_topic"]


async def test_caps_on_topics_and_books(stage):
    client = await stage.client(limits=replace(LIMITS, topics=3, books=1))
    await client.send({"op": "subscribe", "topics": ["book:AAA", "book:BBB", "quote:AAA"]})
    answer = await client.get("subscribed")
    assert (answer["topics"], [row["code"] for row in answer["refused"]]) == (
        ["book:AAA", "quote:AAA"],
        ["too_many_books"],
    )
    await client.send({"op": "subscribe", "topics": ["quotes", "trades:AAA", "book:AAA"]})
    answer = await client.get("subscribed")
    assert [(row["topic"], row["code"]) for row in answer["refused"]] == [("trades:AAA", "too_many_topics")]


@pytest.mark.parametrize(
    "message", [{"op": "subscribe"}, {"op": "subscribe", "topics": "quotes"}, {"op": "x"}, {}, {"op": ["subscribe"]}]
)
async def test_messages_without_sense_are_errors(stage, message):
    client = await stage.client()
    await client.send(message)
    assert (await client.get("error"))["code"] in {"malformed", "unknown_op"}


async def test_after_unsubscribing_nothing_more_comes(stage):
    await stage.publish()
    client = await stage.client("quote:AAA", "quote:BBB")
    await client.get("quote")
    await client.get("quote")
    await client.send({"op": "unsubscribe", "topics": ["quote:AAA", 3]})
    assert (await client.get("subscribed"))["topics"] == ["quote:BBB"]
    stage.trade(AAA, 10_000, 1)
    stage.trade(BBB, 10_000, 1)
    await stage.publish()
    assert (await client.get("quote"))["symbol"] == "BBB"
    assert not any(frame["type"] == "quote" for frame in client.frames)


async def test_resync_gives_a_snapshot(stage):
    await stage.publish()
    client = await stage.client("book:AAA")
    await client.get("book")
    stage.level(AAA, BUY, 9_901, 2)
    await stage.publish()
    assert (await client.get("book"))["prev"] is not None
    await client.send({"op": "resync", "topic": "book:AAA"})
    frame = await client.get("book")
    assert (frame["prev"], frame["bids"]) == (None, [["99.01", "2"], ["99.00", "5"]])
    await client.send({"op": "resync", "topic": "book:BBB"})
    assert (await client.get("error"))["code"] == "not_subscribed"


async def test_a_lost_message_is_noticed_and_healed(stage):
    await stage.publish()
    client = await stage.client("book:AAA")
    reader = BookReader(client)
    await client.until(lambda: reader.read() == _expected(stage, AAA))
    stage.level(AAA, BUY, 9_905, 1)
    # This delta never arrives: it is published on no channel.
    channel = hub_module.market_channel
    stage.publisher.valkey = Deaf(stage.valkey)
    await stage.publish()
    stage.publisher.valkey = stage.valkey
    assert channel("AAA") == "md:AAA"
    stage.level(AAA, BUY, 9_906, 1)
    await stage.publish()
    await client.until(lambda: reader.read() == _expected(stage, AAA))
    assert stage.hub.reloads >= 2


class Deaf:
    """A client whose PUBLISH goes nowhere."""

    def __init__(self, valkey):
        self._valkey = valkey

    def pipeline(self, **options):
        pipe = self._valkey.pipeline(**options)
        pipe.publish = lambda *_: pipe.ping()
        return pipe


async def test_the_bus_cut_in_the_middle_heals_without_a_wrong_book(stage):
    await stage.publish()
    client = await stage.client("book:AAA", "quotes", "trades:AAA")
    reader = BookReader(client)
    await client.until(lambda: reader.read() == _expected(stage, AAA))
    stage.hub._bus._wire.abort()
    for number in range(1, 20):
        stage.level(AAA, BUY, 9_900 + number, number)
        stage.trade(AAA, 10_000, 1)
        await stage.publish()
    await client.until(lambda: reader.read() == _expected(stage, AAA))
    stage.level(AAA, SELL, 10_099, 9)
    await stage.publish()
    await client.until(lambda: reader.read() == _expected(stage, AAA))
    await client.until(lambda: len(_trade_ids(client)) >= 19)
    ids = _trade_ids(client)
    assert len(ids) == 19
    assert ids == sorted(set(ids))


async def test_a_slow_client_costs_nothing_and_a_fast_one_beside_it_misses_nothing(stage):
    await stage.publish()
    limits = replace(LIMITS, window_bytes=6_000, probe_bytes=1_000)
    slow = await stage.client("book:AAA", "quote:AAA", "trades:AAA", limits=limits, answer=False)
    fast = await stage.client("book:AAA", "quote:AAA", "trades:AAA", limits=limits)
    slow_reader, fast_reader = BookReader(slow), BookReader(fast)
    rng = random.Random(5)
    for _ in range(300):
        stage.level(AAA, BUY, 9_900 - rng.randint(0, 60), rng.randint(0, 9))
        stage.trade(AAA, 10_000 + rng.randint(-5, 5), 1)
        await stage.publish()
    await fast.until(lambda: fast_reader.read() == _expected(stage, AAA))
    # Book and tape are frames of their own: the book may be complete, and even unchanged by the last step, before the last trade is sent.
    await fast.until(lambda: len(_trade_ids(fast)) >= 300)
    assert _trade_ids(fast) == sorted(set(_trade_ids(fast)))
    assert len(_trade_ids(fast)) == 300
    assert slow.bytes < 9_000
    (consumer,) = [socket for socket in stage_sockets() if not socket.may_send]
    assert len(consumer._dirty) <= 3  # topics, not messages
    # It wakes up: one merged frame per topic brings it to the present, with the gap in the tape told.
    for _ in range(8):
        beats = [frame["n"] for frame in slow.frames if frame["type"] == "hb"]
        await slow.send({"op": "hb", "n": max(beats)})
        await asyncio.sleep(0.05)
    await slow.until(lambda: slow_reader.read() == _expected(stage, AAA))
    assert any(frame.get("gap") for frame in slow.frames if frame["type"] == "trades")
    assert slow.bytes < 60_000


def stage_sockets():
    from brokerage.platform.sockets import heart

    return list(heart().sockets)


async def test_quotes_turn_stale_when_the_market_data_process_is_silent(stage, monkeypatch):
    monkeypatch.setattr(hub_module, "STATUS_EVERY_S", 0.05)
    await stage.publish()
    client = await stage.client("quote:AAA", "quotes")
    assert (await client.get("quote"))["state"] == "active"
    await client.get("quotes")
    await stage.valkey.delete("md:status")
    assert (await client.get("quote"))["state"] == "stale"
    assert {quote["state"] for quote in (await client.get("quotes"))["quotes"]} == {"stale"}
    await stage.publisher.publish_status()
    assert (await client.get("quote"))["state"] == "active"


async def test_an_instrument_nobody_watches_any_more_is_given_up(stage, monkeypatch):
    monkeypatch.setattr(hub_module, "STATUS_EVERY_S", 0.05)
    monkeypatch.setattr(hub_module, "LINGER_S", 0)
    await stage.publish()
    client = await stage.client("book:AAA")
    await client.get("book")
    await client.leave()
    async with asyncio.timeout(3):
        while stage.hub._feeds:
            await asyncio.sleep(0.02)
    counts = await stage.valkey.pubsub_numsub("md:AAA")
    assert counts[0][1] == 0


async def test_a_failed_round_is_made_good(stage):
    await stage.publish()
    client = await stage.client("book:AAA", "trades:AAA")
    reader = BookReader(client)
    await client.until(lambda: reader.read() == _expected(stage, AAA))
    stage.level(AAA, BUY, 9_950, 1)
    number = stage.trade(AAA, 10_000, 1)
    good, stage.publisher.valkey = stage.publisher.valkey, Broken()
    with pytest.raises(OSError, match="away"):
        await stage.publish()
    stage.publisher.valkey = good
    await stage.publish()
    await client.until(lambda: reader.read() == _expected(stage, AAA))
    assert [trade["id"] for trade in (await client.get("trades"))["trades"]] == [number]


class Broken:
    """Valkey that is away."""

    def pipeline(self, **_options):
        return BrokenPipe()


class BrokenPipe(list):
    """Takes commands and cannot send them."""

    def __getattr__(self, name):
        return lambda *args: self.append((name, args))

    async def execute(self):
        raise OSError("away")
