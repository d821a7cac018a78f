"""The market data process over a real engine: what it shows, what it stores, and being killed."""

from __future__ import annotations

import json
import random
import sys
import time

import pytest

from brokerage.kernel.clock import NS_PER_S
from brokerage.platform.valkey import get_valkey
from marketdata.candles import FRAMES, CandleBuilder
from marketdata.models import Candle, MarketDataState, TradePrint
from marketdata.selectors.instruments import instrument_by_symbol
from marketdata.selectors.quotes import book_get, feed_status_get, quote_get, trades_get
from marketdata.ticks import BUY, SELL
from native.layout import EventFlag, EventType, OrdType, Tif
from tests.conftest_engine import Child
from trading.engine import commands
from trading.engine.events import Rejected

pytestmark = pytest.mark.usefixtures("_database")


@pytest.fixture(scope="module")
def market(live_platform, live_database):
    """The market data process following the live engine, with two funded traders."""
    environment = {**live_platform.engine.environment, "DATABASE_URL": live_database}
    child = Child("marketdata", [sys.executable, "manage.py", "run_marketdata"], environment, live_platform.engine.var)
    child.start()
    try:
        yield Market(live_platform, child)
    finally:
        child.stop()


class Market:
    """Two traders, and waiting for the process to have caught up."""

    def __init__(self, platform, child):
        self.platform, self.child, self.client = platform, child, platform.engine.client
        self.accounts = [
            platform.trader(funds={"USD": "900000000", "BTC": "1000", "ETH": "1000"}).account.core_account
            for _ in range(2)
        ]
        self.rng = random.Random(7)

    def send(self, *args, **kwargs):
        outcome = self.client.submit(commands.order_new(*args, **kwargs))
        assert not isinstance(outcome, Rejected), outcome
        return outcome

    def cross(self, symbol, price, lots, side=BUY):
        """One trade: the second account takes what the first one offers."""
        ref = instrument_by_symbol(symbol)
        core = ref.core_instrument
        self.send(self.accounts[0], core, SELL if side == BUY else BUY, OrdType.LIMIT, Tif.GTC, price, lots)
        return self.send(self.accounts[1], core, side, OrdType.LIMIT, Tif.IOC, price, lots)

    def settle(self, seconds=15.0):
        """Wait until everything the engine did is stored and shown."""
        wanted = self.client.status().cmd_seq
        until = time.monotonic() + seconds
        while MarketDataState.objects.get_or_create(pk=1)[0].cmd_seq < wanted:
            assert time.monotonic() < until, self.child.log.read_text()[-3000:]
            time.sleep(0.05)
        time.sleep(0.3)

    def expected_bars(self):
        """All bars by a straight run over the whole feed."""
        builders, bars = {}, {}
        end = self.client.status().cmd_seq
        for batch in self.client.feed(1):
            for item in batch:
                for event in item.events:
                    if event.type == EventType.ORDER_FILLED and not event.flags & EventFlag.MAKER:
                        builder = builders.setdefault(event.instrument, CandleBuilder())
                        builder.on_trade(event.price, event.qty, event.time_ns)
                        for key, bar in builder.changed.items():
                            bars[event.instrument, *key] = bar.key()[2:]
                        builder.changed.clear()
            if batch.last_seq >= end:
                return bars


def _stored_bars():
    rows = Candle.objects.filter(source=Candle.Source.LIVE).values_list(
        "core_instrument", "frame", "open_time", "open", "high", "low", "close", "volume", "trades"
    )
    return {row[:3]: row[3:] for row in rows}


def test_a_trade_reaches_quote_book_tape_prints_and_all_frames(market):
    ref = instrument_by_symbol("BTC-USD")
    market.cross("BTC-USD", 6_400_000, 30)
    market.send(market.accounts[0], ref.core_instrument, BUY, OrdType.LIMIT, Tif.GTC, 6_399_000, 50)
    market.send(market.accounts[0], ref.core_instrument, SELL, OrdType.LIMIT, Tif.GTC, 6_401_000, 70)
    market.settle()
    quote = quote_get("BTC-USD")
    assert (quote["bid"], quote["bid_qty"], quote["ask"], quote["ask_qty"]) == (
        "63990.00",
        "0.0050",
        "64010.00",
        "0.0070",
    )
    assert (quote["last"], quote["last_qty"], quote["volume_24h"], quote["state"]) == (
        "64000.00",
        "0.0030",
        "0.0030",
        "active",
    )
    assert quote["change_pct_24h"] == "0.00"
    book = book_get("BTC-USD")
    assert (book["bids"], book["asks"]) == ([["63990.00", "0.0050"]], [["64010.00", "0.0070"]])
    assert book["prev"] is None
    (trade,) = trades_get("BTC-USD")
    assert (trade["price"], trade["qty"], trade["side"]) == ("64000.00", "0.0030", "buy")
    (stored,) = TradePrint.objects.filter(core_instrument=ref.core_instrument)
    assert str(stored.seq) == trade["id"]
    frames = Candle.objects.filter(core_instrument=ref.core_instrument).values_list("frame", "volume", "trades")
    assert sorted(frames) == [(frame, 30, 1) for frame in FRAMES]


def test_an_instrument_that_never_traded_has_no_prices_and_is_not_zero(market):
    quote = quote_get("GBP-USD")
    assert quote["last"] is None
    assert quote["bid"] is None
    assert quote["open_24h"] is None
    assert trades_get("GBP-USD") == []
    assert quote_get("NO-SUCH") is None


def _trade_randomly(market, count, killed=lambda number: None):
    for number in range(count):
        symbol = market.rng.choice(["BTC-USD", "ETH-USD"])
        base = 6_400_000 if symbol == "BTC-USD" else 310_000
        market.cross(
            symbol, base + market.rng.randint(-900, 900), market.rng.randint(1, 50), market.rng.choice([BUY, SELL])
        )
        killed(number)


def test_killed_over_and_over_it_ends_with_the_candles_of_a_straight_run(market):
    kills = {40, 90, 200}

    def step(number):
        if number in kills:
            market.child.kill()
        if number in {60, 90, 200}:
            market.child.start()
        time.sleep(0.02)

    _trade_randomly(market, 260, step)
    market.settle()
    assert _stored_bars() == market.expected_bars()
    seqs = list(TradePrint.objects.order_by("seq").values_list("seq", flat=True))
    assert len(seqs) == len(set(seqs))
    assert len(seqs) == sum(row[-1] for key, row in _stored_bars().items() if key[1] == 86_400)
    listed = [int(trade["id"]) for trade in trades_get("BTC-USD", 200)]
    core = instrument_by_symbol("BTC-USD").core_instrument
    stored = list(TradePrint.objects.filter(core_instrument=core).order_by("-seq").values_list("seq", flat=True)[:200])
    assert listed == stored


def test_the_engine_killed_and_started_again_leaves_nothing_out(market):
    _trade_randomly(market, 20)
    market.platform.engine.kill()
    time.sleep(0.5)
    until = time.monotonic() + 10
    while quote_get("BTC-USD")["state"] != "stale":
        assert time.monotonic() < until
        time.sleep(0.1)
    market.platform.engine.start()
    _trade_randomly(market, 20)
    market.settle()
    until = time.monotonic() + 10
    while quote_get("BTC-USD")["state"] != "active":
        assert time.monotonic() < until, (feed_status_get(), market.child.log.read_text()[-2000:])
        time.sleep(0.1)
    assert _stored_bars() == market.expected_bars()
    status = feed_status_get()
    assert (status["gaps"], status["misfits"], status["crossed"], status["books_wrong"], status["late_trades"]) == (
        0,
        0,
        0,
        0,
        0,
    )


def test_published_books_form_an_unbroken_chain_and_equal_the_engine(market):
    ref = instrument_by_symbol("ETH-USD")
    pubsub = get_valkey().pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("md:ETH-USD")
    assert pubsub.get_message(timeout=2.0) is None  # the confirmation, which is not shown
    first = book_get("ETH-USD")
    live = []
    for _ in range(150):
        side = market.rng.choice([BUY, SELL])
        price = 309_000 - market.rng.randint(0, 80) if side == BUY else 311_000 + market.rng.randint(0, 80)
        outcome = market.send(
            market.accounts[0], ref.core_instrument, side, OrdType.LIMIT, Tif.GTC, price, market.rng.randint(1, 9)
        )
        live.append(outcome.events[0].order_id)
        if len(live) > 60:
            market.client.submit(commands.order_cancel(market.accounts[0], live.pop(market.rng.randrange(len(live)))))
        time.sleep(0.005)
    market.settle()
    bids, asks = dict(map(tuple, first["bids"])), dict(map(tuple, first["asks"]))
    seq, deltas = first["seq"], 0
    while (message := pubsub.get_message(timeout=0.2)) is not None:
        for line in message["data"].split("\n"):
            frame = json.loads(line)
            if frame["type"] != "book":
                continue
            if frame["seq"] <= seq:
                continue
            if frame["prev"] is None:
                bids, asks = {}, {}
            else:
                assert frame["prev"] == seq
                deltas += 1
            seq = frame["seq"]
            for levels, rows in ((bids, frame["bids"]), (asks, frame["asks"])):
                for price, qty in rows:
                    if qty == "0":
                        levels.pop(price, None)
                    else:
                        levels[price] = qty
    depth = market.client.query_depth(ref.core_instrument, 50)
    assert bids == {ref.price(level[0]): ref.qty(level[1]) for level in depth.bids}
    assert asks == {ref.price(level[0]): ref.qty(level[1]) for level in depth.asks}
    assert 5 < deltas < 150  # told in windows, not one by one
    snapshot = book_get("ETH-USD")
    assert (dict(map(tuple, snapshot["bids"])), snapshot["seq"]) == (bids, seq)


def test_a_second_process_waits_and_writes_nothing(market):
    environment = market.child.environment
    second = Child("marketdata", [*market.child.command], environment, market.child.var)
    second.log = market.child.var / "marketdata-second.log"
    import subprocess

    with second.log.open("ab") as log:
        second.process = subprocess.Popen(second.command, env=environment, stdout=log, stderr=log)
    until = time.monotonic() + 20
    while "another market data process" not in second.log.read_text():
        assert time.monotonic() < until, second.log.read_text()
        time.sleep(0.1)
    second.stop()
    assert second.process.returncode == 0
    _trade_randomly(market, 3)
    market.settle()
    assert _stored_bars() == market.expected_bars()


def test_without_the_process_quotes_become_stale(market):
    assert quote_get("BTC-USD")["state"] == "active"
    market.child.kill()
    until = time.monotonic() + 15
    while quote_get("BTC-USD")["state"] != "stale":
        assert time.monotonic() < until
        time.sleep(0.2)
    market.child.start()
    until = time.monotonic() + 15
    while quote_get("BTC-USD")["state"] != "active":
        assert time.monotonic() < until
        time.sleep(0.2)


def test_stored_time_matches_the_trades(market):
    last = TradePrint.objects.order_by("-seq").first()
    bar = Candle.objects.filter(core_instrument=last.core_instrument, frame=60).order_by("-open_time").first()
    assert bar.open_time <= last.time_ns // NS_PER_S < bar.open_time + 60
