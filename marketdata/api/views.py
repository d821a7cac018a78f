"""REST views of market data: instruments, quotes, books, trades, candles. Public; signed-in callers are only counted
by name.

Each parses, calls one selector and shapes the answer. Leaves building of the data to the market data process.
"""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.schemas import NoQuery
from brokerage.kernel.clock import NS_PER_S
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.units import format_plain, from_units, scale_step
from brokerage.platform.api import ApiView, listing, query_of
from brokerage.platform.api_schema import documented, list_of
from marketdata.api import schemas
from marketdata.selectors.candles import candle_list
from marketdata.selectors.instruments import InstrumentRef, instrument_by_symbol, instrument_list
from marketdata.selectors.quotes import book_get, quote_get, quotes_get, trades_get

PPM_STEP = scale_step(6)
QUOTE_FIELDS = tuple(schemas.QuoteAnswer().fields)


class MarketView(ApiView):
    """Market data is for everybody."""

    permission_classes = (AllowAny,)


def listed(symbol: str) -> InstrumentRef:
    """The instrument of a path; 404 when there is none."""
    instrument = instrument_by_symbol(symbol)
    if instrument is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such instrument.")
    return instrument


def _rate(ppm: int) -> str:
    return format_plain(from_units(ppm, PPM_STEP))


def instrument_json(item: InstrumentRef) -> dict[str, Any]:
    """An instrument as the API shows it."""
    return {
        "symbol": item.symbol,
        "name": item.name,
        "kind": item.kind,
        "asset_class": item.asset_class,
        "base": item.base.code if item.base else None,
        "quote": item.quote.code,
        "venue": item.venue,
        "calendar": item.calendar,
        "isin": item.isin or None,
        "cfi": item.cfi or None,
        "price_increment": format_plain(item.tick_size),
        "qty_increment": format_plain(item.lot_size),
        "price_decimals": item.price_decimals,
        "qty_decimals": item.qty_decimals,
        "min_qty": item.qty(item.min_qty),
        "max_qty": item.qty(item.max_qty) if item.max_qty else None,
        "max_notional": item.quote.money(item.max_notional) if item.max_notional else None,
        "collar_rate": _rate(item.collar_ppm) if item.collar_ppm else None,
        "maker_fee_rate": _rate(item.maker_ppm),
        "taker_fee_rate": _rate(item.taker_ppm),
        "margin_rate": _rate(item.margin_ppm) if not item.spot else None,
        "state": item.state,
        "history_source": item.history_source or None,
    }


def quote_json(item: InstrumentRef, quote: dict[str, Any] | None) -> dict[str, Any]:
    """A quote with every field; what is not known is null, never zero."""
    known = quote or {}
    answer = {name: known.get(name) for name in QUOTE_FIELDS}
    answer["symbol"] = item.symbol
    if answer["state"] is None:
        answer["state"] = item.state
    return answer


class InstrumentsView(MarketView):
    """What can be traded."""

    @documented(
        answer=list_of("Instrument", schemas.InstrumentAnswer), query=schemas.InstrumentsQuery, public=True,
        problems=(401,), tag="market", operation="instruments_list", summary="Instruments",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """List them, filtered by class or kind."""
        query = query_of(request, schemas.InstrumentsQuery)
        items = [
            item for item in instrument_list() if all(getattr(item, name) == value for name, value in query.items())
        ]
        return Response(listing([instrument_json(item) for item in items]))


class InstrumentView(MarketView):
    """One instrument."""

    @documented(
        answer=schemas.InstrumentAnswer, public=True, problems=(401, 404), tag="market", operation="instruments_get",
        summary="One instrument",
    )  # fmt: skip
    def get(self, request: Request, symbol: str) -> Response:
        """Show it."""
        query_of(request, NoQuery)
        return Response(instrument_json(listed(symbol)))


class QuotesView(MarketView):
    """Several quotes."""

    @documented(
        answer=list_of("Quote", schemas.QuoteAnswer), query=schemas.QuotesQuery, public=True, problems=(401, 404), tag="market",
        operation="quotes_list", summary="Quotes",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Quotes of the named symbols, or of all."""
        text = query_of(request, schemas.QuotesQuery).get("symbols")
        symbols = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) if text else None
        if symbols is not None and len(symbols) > schemas.SYMBOLS_MAX:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE,
                f"At most {schemas.SYMBOLS_MAX} symbols.",
                needed=str(schemas.SYMBOLS_MAX),
                field="symbols",
            )
        items = [listed(symbol) for symbol in symbols] if symbols is not None else instrument_list()
        quotes = quotes_get([item.symbol for item in items])
        return Response(listing([quote_json(item, quotes.get(item.symbol)) for item in items]))


class QuoteView(MarketView):
    """One quote."""

    @documented(
        answer=schemas.QuoteAnswer, public=True, problems=(401, 404), tag="market", operation="quotes_get", summary="One quote",
    )  # fmt: skip
    def get(self, request: Request, symbol: str) -> Response:
        """Show it."""
        query_of(request, NoQuery)
        item = listed(symbol)
        return Response(quote_json(item, quote_get(item.symbol)))


class BookView(MarketView):
    """One order book."""

    @documented(
        answer=schemas.BookAnswer, query=schemas.BookQuery, public=True, problems=(401, 404), tag="market", operation="book_get",
        summary="Order book with its sequence",
    )  # fmt: skip
    def get(self, request: Request, symbol: str) -> Response:
        """The best levels of each side."""
        depth = query_of(request, schemas.BookQuery)["depth"]
        item = listed(symbol)
        book = book_get(item.symbol, depth)
        if book is None:
            raise RejectedError(RejectCode.PROJECTION_STALE, "The order book is not known at the moment.")
        return Response(
            {
                "symbol": item.symbol,
                "epoch": book.get("epoch"),
                "seq": book["seq"],
                "bids": book["bids"][:depth],
                "asks": book["asks"][:depth],
                "ts": book.get("ts"),
            }
        )


class TradesView(MarketView):
    """The tape."""

    @documented(
        answer=list_of("Trade", schemas.TradeAnswer), query=schemas.TradesQuery, public=True, problems=(401, 404), tag="market",
        operation="trades_list", summary="Last trades",
    )  # fmt: skip
    def get(self, request: Request, symbol: str) -> Response:
        """The last trades, newest first."""
        limit = query_of(request, schemas.TradesQuery)["limit"]
        trades = trades_get(listed(symbol).symbol, limit)
        fields = ("id", "price", "qty", "side", "ts")
        return Response(listing([{name: trade.get(name) for name in fields} for trade in trades]))


class CandlesView(MarketView):
    """Price history."""

    @documented(
        answer=list_of("Candle", schemas.CandleAnswer), query=schemas.CandlesQuery, public=True, problems=(401, 404), tag="market",
        operation="candles_list", summary="Candles",
    )  # fmt: skip
    def get(self, request: Request, symbol: str) -> Response:
        """The last candles that open in [from, to), oldest first."""
        query = query_of(request, schemas.CandlesQuery)
        item = listed(symbol)
        from_ns, to_ns = query.get("from"), query.get("to")
        rows = candle_list(
            item,
            query["frame"],
            # A candle that opens in the middle of the first second would be before it: round up.
            from_s=-(-from_ns // NS_PER_S) if from_ns is not None else None,
            to_s=-(-to_ns // NS_PER_S) if to_ns is not None else None,
            limit=query["limit"],
        )
        return Response(
            listing(
                [
                    {
                        "time": row.time,
                        "open": item.price(row.open),
                        "high": item.price(row.high),
                        "low": item.price(row.low),
                        "close": item.price(row.close),
                        "volume": item.qty(row.volume),
                        "trades": row.trades,
                        "source": row.source,
                    }
                    for row in rows
                ]
            )
        )
