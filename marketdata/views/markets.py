"""The markets table, an instrument's candles as a plain table, and the page of data sources and licences."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from brokerage.kernel.clock import NS_PER_S, datetime_from_ns
from brokerage.platform.web import embeddable
from marketdata.history.recorded import SOURCES
from marketdata.models import Instrument
from marketdata.selectors.candles import FRAMES, candle_list
from marketdata.selectors.instruments import instrument_by_symbol, instrument_list
from marketdata.views.shared import market_rows

TABLE_ROWS = 200
#: Libraries that run in the reader's browser or whose data is shown, with their licences, as those packages state them.
LIBRARIES = (
    ("TradingView Lightweight Charts™", "Apache-2.0", "https://www.tradingview.com/", "charts"),
    ("Inter (fontsource)", "OFL-1.1", "https://rsms.me/inter/", "typeface"),
    ("JetBrains Mono (fontsource)", "OFL-1.1", "https://www.jetbrains.com/lp/mono/", "typeface for ids"),
)


@require_safe
def markets(request: HttpRequest) -> HttpResponse:
    """Show every instrument with its live quote."""
    rows = market_rows()
    classes = [
        (name, label)
        for name, label in Instrument.AssetClass.choices
        if any(row["item"].asset_class == name for row in rows)
    ]
    chosen = request.GET.get("class", "")
    context = {
        "page": "markets",
        "rows": rows,
        "classes": classes,
        "chosen": chosen if any(name == chosen for name, _ in classes) else "",
        "query": request.GET.get("q", "")[:40],
        "data": {"quotes": [row["quote"] for row in rows if row["quote"]]},
    }
    return render(request, "marketdata/markets.html", context)


@require_safe
@embeddable
def embedded(request: HttpRequest, *, partner: str) -> HttpResponse:
    """Show the markets' last prices in a partner's page: no session, no cookie, nothing to press but links to us."""
    return render(None, "marketdata/embed.html", {"rows": market_rows(sparks=False), "partner": partner})  # type: ignore[arg-type]


@require_safe
def candles(request: HttpRequest, symbol: str) -> HttpResponse:
    """Show the last candles as a table: what the chart shows, for screen readers and for copying."""
    item = instrument_by_symbol(symbol)
    frame = request.GET.get("frame", "1d")
    if item is None or frame not in FRAMES:
        raise Http404
    rows = [
        {
            "opens": datetime_from_ns(row.time * NS_PER_S).strftime("%Y-%m-%d %H:%M"),
            "open": item.price(row.open),
            "high": item.price(row.high),
            "low": item.price(row.low),
            "close": item.price(row.close),
            "volume": item.qty(row.volume),
            "source": row.source,
        }
        for row in reversed(candle_list(item, frame, limit=TABLE_ROWS))
    ]
    context = {"page": "markets", "item": item, "frame": frame, "frames": list(FRAMES), "rows": rows}
    return render(request, "marketdata/candles.html", context)


@require_safe
def about(request: HttpRequest) -> HttpResponse:
    """Say where each instrument's history comes from and under which licence, and what is simulated."""
    items = [{"item": item, "source": SOURCES.get(item.symbol)} for item in instrument_list()]
    context = {
        "page": "about",
        "recorded": [row for row in items if row["source"]],
        "simulated": [row for row in items if not row["source"]],
        "libraries": LIBRARIES,
    }
    return render(request, "marketdata/about.html", context)
