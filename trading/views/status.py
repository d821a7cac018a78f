"""The status page and the page of parts. Every figure is read when the page is asked for; what is not known says so."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from brokerage.config import get_config
from brokerage.kernel.clock import SYSTEM_CLOCK, rfc3339
from brokerage.kernel.errors import EngineUnavailableError
from brokerage.platform.health import PROCESSES, health_of
from marketdata.selectors.quotes import feed_status_get
from trading.engine.gateway import EngineUnavailable
from trading.selectors.projection import projection_if_there
from trading.services.engine_access import get_engine_client

WHAT = {
    "engine": "Matches orders and writes the journal",
    "projector": "Writes orders, fills, balances and the ledger into the database",
    "marketdata": "Builds books, quotes and candles from the engine's events",
    "runners": "Relays events, lists instruments, opens and closes markets",
    "demo": "Demo participants that make and take prices",
}


def _engine() -> Any:
    try:
        return get_engine_client().status()
    except (EngineUnavailable, EngineUnavailableError):
        return None


#: Figures of the market data process worth a reader's time: key, label.
FEED_FIGURES = (
    ("instruments", "Instruments"),
    ("books_ready", "Order books ready"),
    ("trades", "Trades since its start"),
    ("frames", "Updates published"),
    ("publish_failures", "Updates that could not be published"),
    ("books_checked", "Books compared with the engine"),
    ("books_wrong", "Books that differed"),
    ("gaps", "Gaps in the feed"),
    ("crossed", "Crossed books seen"),
    ("reconnects", "Reconnects to the engine"),
)


def _feed_rows(feed: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """The figures that the market data process reported, in reading order; a figure it did not report is left out."""
    return [(label, feed[key]) for key, label in FEED_FIGURES if feed and feed.get(key) is not None]


@never_cache
@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """Show whether each part works, with its own figures."""
    engine = _engine()
    projection = projection_if_there()
    feed = feed_status_get()
    beats = health_of()
    names = [name for name in PROCESSES if name != "demo" or get_config().demo]
    processes = [{"name": name, "what": WHAT.get(name, ""), "beat": beats.get(name)} for name in names]
    lag = max(0, int(engine.cmd_seq) - projection.cmd_seq) if engine and projection else None
    context = {
        "page": "status",
        "engine": engine,
        "projection": projection,
        "lag": lag,
        "processes": processes,
        "feed": feed,
        "feed_rows": _feed_rows(feed),
        "now": rfc3339(SYSTEM_CLOCK.now_ns()),
        "all_well": engine is not None
        and projection is not None
        and not projection.halted_reason
        and all(row["beat"] and row["beat"].get("state") in {"ok", "running", "live"} for row in processes),
    }
    return render(request, "trading/status.html", context)


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Show every part of the pages in one place; only where debugging is on."""
    if not get_config().debug:
        raise Http404
    samples = {
        "numbers": ("64012.5", "-1204.005", "0", None, "0.00000001", "1000000"),
        "statuses": ("new", "partially_filled", "filled", "canceled", "rejected", "expired"),
        "now": rfc3339(SYSTEM_CLOCK.now_ns()),
    }
    return render(request, "trading/styleguide.html", {"page": "styleguide", **samples})
