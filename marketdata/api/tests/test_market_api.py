"""Instruments, quotes, books, trades and candles over REST: shapes, what is unknown, bounds, and how many queries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.test import Client

from brokerage.platform.valkey import get_valkey
from marketdata.models import Candle, Instrument
from marketdata.publisher import book_key, quote_key, trades_key
from marketdata.services.seed import reference_seed

pytestmark = pytest.mark.django_db
SYMBOL = "SOL-USD"


@pytest.fixture(autouse=True)
def _listed() -> Any:
    reference_seed(demo=True)
    keys = [quote_key(SYMBOL), book_key(SYMBOL), trades_key(SYMBOL)]
    get_valkey().delete(*keys)
    yield
    get_valkey().delete(*keys)


def get(path: str) -> Any:
    return Client().get(f"/api/v1/{path}")


def test_instruments_say_their_rules() -> None:
    rows = get("instruments").json()["results"]
    assert len(rows) == Instrument.objects.count() >= 14
    one = get(f"instruments/{SYMBOL}").json()
    assert one in rows
    assert (one["price_increment"], one["qty_increment"], one["min_qty"]) == ("0.001", "0.01", "0.01")
    assert (one["base"], one["quote"], one["kind"], one["margin_rate"]) == ("SOL", "USD", "spot", None)
    assert one["taker_fee_rate"] == "0.001"
    fx = get("instruments/EUR-USD").json()
    assert (fx["kind"], fx["base"], fx["qty_increment"], fx["margin_rate"]) == ("margin", None, "1000", "0.033333")


def test_instruments_are_filtered() -> None:
    assert {row["kind"] for row in get("instruments?kind=margin").json()["results"]} == {"margin"}
    assert {row["asset_class"] for row in get("instruments?asset_class=fx").json()["results"]} == {"fx"}
    assert get("instruments?kind=odd").json()["code"] == 1001


def test_what_is_not_known_is_null_not_zero() -> None:
    quote = get(f"quotes/{SYMBOL}").json()
    assert {name for name, value in quote.items() if value is not None} == {"symbol", "state"}
    answer = get(f"instruments/{SYMBOL}/book")
    assert (answer.status_code, answer.json()["code"]) == (503, 9012)
    assert get(f"instruments/{SYMBOL}/trades").json()["results"] == []
    assert get(f"instruments/{SYMBOL}/candles").json()["results"] == []


def test_quotes_are_what_was_published() -> None:
    quote = {
        "symbol": SYMBOL,
        "bid": "149.999",
        "ask": "150.001",
        "last": None,
        "state": "active",
        "seq": 7,
        "ts": "2026-01-01T00:00:00Z",
    }
    get_valkey().set(quote_key(SYMBOL), msgspec.json.encode(quote))
    one = get(f"quotes/{SYMBOL}").json()
    assert (one["bid"], one["ask"], one["last"], one["volume_24h"], one["seq"]) == ("149.999", "150.001", None, None, 7)
    several = get(f"quotes?symbols={SYMBOL},BTC-USD").json()["results"]
    assert [row["symbol"] for row in several] == [SYMBOL, "BTC-USD"]
    assert several[0] == one
    assert several[1]["bid"] is None
    assert len(get("quotes").json()["results"]) == Instrument.objects.count()
    assert get(f"quotes?symbols={SYMBOL},NOPE").status_code == 404
    assert get("quotes?symbols=" + ",".join(f"S{number}" for number in range(101))).json()["code"] == 1014


def test_a_book_is_cut_to_the_depth_asked_for() -> None:
    levels = [[str(number), "1"] for number in range(30)]
    book = {
        "type": "book",
        "symbol": SYMBOL,
        "epoch": 3,
        "seq": 9,
        "prev": None,
        "bids": levels,
        "asks": levels,
        "ts": "t",
    }
    get_valkey().set(book_key(SYMBOL), msgspec.json.encode(book))
    answer = get(f"instruments/{SYMBOL}/book?depth=2").json()
    assert answer == {"symbol": SYMBOL, "epoch": 3, "seq": 9, "bids": levels[:2], "asks": levels[:2], "ts": "t"}
    assert len(get(f"instruments/{SYMBOL}/book").json()["bids"]) == 20
    for depth in ("0", "51", "x", "-1"):
        assert get(f"instruments/{SYMBOL}/book?depth={depth}").status_code == 400


def candle(open_time: int, close: int = 150_000) -> Candle:
    number = Instrument.objects.get(symbol=SYMBOL).core_instrument
    return Candle(
        core_instrument=number, frame=60, open_time=open_time, open=close, high=close + 5, low=close - 5, close=close,
        volume=250, trades=2, source=Candle.Source.RECORDED,
    )  # fmt: skip


def test_candles_are_the_last_ones_oldest_first() -> None:
    Candle.objects.bulk_create([candle(60 * minute) for minute in range(1, 11)])
    rows = get(f"instruments/{SYMBOL}/candles?limit=3").json()["results"]
    assert [row["time"] for row in rows] == [480, 540, 600]
    assert rows[0] == {
        "time": 480, "open": "150.000", "high": "150.005", "low": "149.995", "close": "150.000", "volume": "2.50", "trades": 2,
        "source": "recorded",
    }  # fmt: skip
    within = get(f"instruments/{SYMBOL}/candles?from=1970-01-01T00:02:00Z&to=1970-01-01T00:04:00Z").json()["results"]
    assert [row["time"] for row in within] == [120, 180]
    after = get(f"instruments/{SYMBOL}/candles?from=1970-01-01T00:02:00.000001Z&to=1970-01-01T00:04:00Z").json()[
        "results"
    ]
    assert [row["time"] for row in after] == [180]
    assert get(f"instruments/{SYMBOL}/candles?frame=5m").json()["results"] == []
    for query in ("frame=2m", "limit=0", "limit=1501", "from=1", "from=tomorrow"):
        assert get(f"instruments/{SYMBOL}/candles?{query}").status_code == 400, query


def test_prices_are_exact_to_the_last_digit() -> None:
    candle(60, close=9_007_199_254_740_993).save()
    row = get(f"instruments/{SYMBOL}/candles").json()["results"][0]
    assert Decimal(row["close"]) == Decimal("9007199254740.993")


def test_an_unknown_instrument_is_404_everywhere() -> None:
    for path in ("instruments/X", "quotes/X", "instruments/X/book", "instruments/X/trades", "instruments/X/candles"):
        answer = get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, 2014)


@pytest.mark.usefixtures("remembered")
def test_reference_data_costs_no_query_once_loaded(django_assert_num_queries: Any) -> None:
    get("instruments")
    with django_assert_num_queries(0):
        get("instruments")
        get(f"quotes/{SYMBOL}")
    with django_assert_num_queries(1):
        get(f"instruments/{SYMBOL}/candles")
