"""Parameters and answers of the market data endpoints, for checking input and for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from brokerage.platform.api_fields import StrictSerializer, StrictText, TimeField, WholeNumber, WordField
from brokerage.platform.api_schema import decimal_out
from marketdata.models import Instrument
from marketdata.selectors.candles import FRAMES, LIMIT_MAX

BOOK_DEPTH_MAX = 50
TRADES_MAX = 200
SYMBOLS_MAX = 100
STATES = Instrument.State.values


class InstrumentsQuery(StrictSerializer):
    """Filters of the instrument list."""

    asset_class = WordField(tuple(Instrument.AssetClass.values), required=False)
    kind = WordField(tuple(Instrument.Kind.values), required=False)


class QuotesQuery(StrictSerializer):
    """Which quotes."""

    symbols = StrictText(required=False, max_length=SYMBOLS_MAX * 17, help_text="Comma-separated; all when left out.")


class BookQuery(StrictSerializer):
    """How deep."""

    depth = WholeNumber(required=False, default=20, low=1, high=BOOK_DEPTH_MAX)


class TradesQuery(StrictSerializer):
    """How many."""

    limit = WholeNumber(required=False, default=50, low=1, high=TRADES_MAX)


class CandlesQuery(StrictSerializer):
    """Which candles: the last ``limit`` that open in [from, to)."""

    frame = WordField(tuple(FRAMES), required=False, default="1m")
    from_ = TimeField(required=False)
    to = TimeField(required=False)
    limit = WholeNumber(required=False, default=300, low=1, high=LIMIT_MAX)


class InstrumentAnswer(serializers.Serializer[Any]):
    """What can be traded and its rules."""

    symbol = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Instrument.Kind.values)
    asset_class = serializers.ChoiceField(choices=Instrument.AssetClass.values)
    base = serializers.CharField(allow_null=True)
    quote = serializers.CharField()
    venue = serializers.CharField()
    calendar = serializers.CharField()
    isin = serializers.CharField(allow_null=True)
    cfi = serializers.CharField(allow_null=True)
    price_increment = decimal_out()
    qty_increment = decimal_out()
    price_decimals = serializers.IntegerField()
    qty_decimals = serializers.IntegerField()
    min_qty = decimal_out()
    max_qty = decimal_out(allow_null=True)
    max_notional = decimal_out(allow_null=True)
    collar_rate = decimal_out(allow_null=True, help_text="Largest distance from the last price, as a fraction.")
    maker_fee_rate = decimal_out()
    taker_fee_rate = decimal_out()
    margin_rate = decimal_out(allow_null=True)
    state = serializers.ChoiceField(choices=STATES)
    history_source = serializers.CharField(allow_null=True)


class QuoteAnswer(serializers.Serializer[Any]):
    """The market in one line. Null: not known."""

    symbol = serializers.CharField()
    bid = decimal_out(allow_null=True)
    bid_qty = decimal_out(allow_null=True)
    ask = decimal_out(allow_null=True)
    ask_qty = decimal_out(allow_null=True)
    last = decimal_out(allow_null=True)
    last_qty = decimal_out(allow_null=True)
    open_24h = decimal_out(allow_null=True)
    high_24h = decimal_out(allow_null=True)
    low_24h = decimal_out(allow_null=True)
    volume_24h = decimal_out(allow_null=True)
    change_pct_24h = decimal_out(allow_null=True)
    state = serializers.CharField(allow_null=True)
    seq = serializers.IntegerField(allow_null=True)
    ts = serializers.CharField(allow_null=True)


class BookAnswer(serializers.Serializer[Any]):
    """Price levels, best first: [price, quantity]."""

    symbol = serializers.CharField()
    epoch = serializers.IntegerField(allow_null=True)
    seq = serializers.IntegerField()
    bids = serializers.ListField(child=serializers.ListField(child=serializers.CharField(), min_length=2, max_length=2))
    asks = serializers.ListField(child=serializers.ListField(child=serializers.CharField(), min_length=2, max_length=2))
    ts = serializers.CharField(allow_null=True)


class TradeAnswer(serializers.Serializer[Any]):
    """A trade; side is the aggressor's."""

    id = serializers.CharField()
    price = decimal_out()
    qty = decimal_out()
    side = serializers.ChoiceField(choices=["buy", "sell"])
    ts = serializers.CharField()


class CandleAnswer(serializers.Serializer[Any]):
    """Open, high, low, close and volume of one frame; time is the epoch second it opens."""

    time = serializers.IntegerField()
    open = decimal_out()
    high = decimal_out()
    low = decimal_out()
    close = decimal_out()
    volume = decimal_out()
    trades = serializers.IntegerField()
    source = serializers.ChoiceField(choices=["recorded", "simulated", "live"])
