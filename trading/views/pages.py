"""Home, workspace, orders, portfolio and ledger. Each view gathers what its page shows first; the scripts keep it fresh."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import NS_PER_DAY, TIME_NS_MAX, midnight_ns, parse_day
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.terms import Side
from brokerage.platform.api import Page, page_of
from brokerage.platform.remembered import AWAY, database_failed
from marketdata.selectors.instruments import asset_by_code, instrument_by_symbol, instrument_list
from marketdata.selectors.quotes import book_get, quotes_get, trades_get
from marketdata.views.shared import instrument_spec, market_rows
from trading.selectors.engine_orders import order_find
from trading.selectors.executions import execution_list_for, executions_of_order
from trading.selectors.ledger import KIND_NUMBERS, ledger_json, ledger_list_for
from trading.selectors.limits import limits_of
from trading.selectors.orders import order_events, order_list_for, order_number
from trading.selectors.portfolio import holding_symbols
from trading.selectors.shapes import execution_json, order_event_json, order_json
from trading.views.state import account_state, account_totals, page_account, page_accounts

PAGE_ROWS = 50
LADDER_ROWS = 10
LAST_SYMBOL = "symbol"
ORDERS_PAGE, FILLS_PAGE, LEDGER_PAGE = Page("orders", 1), Page("executions", 1), Page("ledger", 2)
TIF_CHOICES = (
    ("gtc", "Good till cancelled"),
    ("day", "Day"),
    ("gtd", "Good till a time"),
    ("ioc", "Immediate or cancel"),
    ("fok", "Fill or kill"),
)


def _frame(request: HttpRequest, page: str) -> dict[str, Any]:
    account = page_account(request)
    may_trade = account is not None and account.may_trade and account.status == "active" and account.trading_allowed
    return {"page": page, "account": account, "accounts": page_accounts(request), "may_trade": may_trade}


def _open_positions(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in state["positions"] if row["qty"].strip("-0.")]


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the account at a glance; visitors see what this is."""
    if not request.user.is_authenticated:
        rows = market_rows()
        data = {"quotes": [row["quote"] for row in rows if row["quote"]]}
        return render(
            request, "trading/landing.html", {"page": "home", "rows": rows[:8], "data": data, "count": len(rows)}
        )
    context = _frame(request, "home")
    account: AccountRef | None = context["account"]
    state = account_state(account)
    rows = market_rows()
    currency = account.base_currency if account else "USD"
    held = {row["symbol"] for row in state["positions"]} | {row["symbol"] for row in state["open"]}
    # What the account is in comes first, then the rest in listing order.
    watch = sorted(rows, key=lambda row: row["item"].symbol not in held)[:10]
    context |= {
        "state": state,
        "open_positions": _open_positions(state),
        "totals": account_totals(state, currency),
        "watch": watch,
        "data": {
            **state,
            "quotes": [row["quote"] for row in rows if row["quote"]],
            "currency": currency,
            "pricing": holding_symbols(currency),
        },
    }
    return render(request, "trading/home.html", context)


@require_safe
def trade_default(request: HttpRequest) -> HttpResponse:
    """Go to the instrument looked at last, else to the first."""
    items = instrument_list()
    if not items:
        raise Http404
    last = request.COOKIES.get(LAST_SYMBOL, "")
    symbol = last if any(item.symbol == last for item in items) else items[0].symbol
    return redirect("trade", symbol=symbol)


@require_safe
def trade(request: HttpRequest, symbol: str) -> HttpResponse:
    """Show the workspace of one instrument; visitors see the market and no ticket."""
    item = instrument_by_symbol(symbol)
    if item is None:
        raise Http404
    context = _frame(request, "trade")
    account: AccountRef | None = context["account"]
    state = account_state(account)
    rows = market_rows(sparks=False)
    quotes = [row["quote"] for row in rows if row["quote"]]
    context |= {
        "item": item,
        "spec": instrument_spec(item),
        "quote": next((quote for quote in quotes if quote["symbol"] == item.symbol), {}),
        "rows": rows,
        "state": state,
        "open_positions": _open_positions(state),
        "ladder": range(LADDER_ROWS),
        "tifs": TIF_CHOICES,
        "frames": ("1m", "5m", "15m", "1h", "4h", "1d"),
        "data": {
            **state,
            "instrument": instrument_spec(item),
            "quotes": quotes,
            "book": book_get(item.symbol, LADDER_ROWS),
            "trades": trades_get(item.symbol, 40),
            "may_trade": context["may_trade"],
        },
    }
    response = render(request, "trading/trade.html", context)
    response.set_cookie(LAST_SYMBOL, item.symbol, max_age=31_536_000, samesite="Lax", secure=request.is_secure())
    return response


def _day(text: str, *, end: bool = False) -> int | None:
    """UTC nanoseconds of a calendar day (its end, when asked); None for no or no such day."""
    day = parse_day(text)
    if day is None:
        return None
    moment_ns = midnight_ns(day) + (NS_PER_DAY if end else 0)
    # A day beyond what the core can carry still means "after everything" or "before everything".
    return max(-TIME_NS_MAX, min(TIME_NS_MAX, moment_ns))


def _filters(request: HttpRequest) -> dict[str, Any]:
    get = request.GET
    item = instrument_by_symbol(get.get("symbol", "")) if get.get("symbol") else None
    side = get.get("side", "")
    return {
        "symbol": item.symbol if item else "",
        "item": item,
        "side": side if side in Side.api_names() else "",
        "from": get.get("from", "") if _day(get.get("from", "")) is not None else "",
        "to": get.get("to", "") if _day(get.get("to", "")) is not None else "",
    }


def _api_query(filters: dict[str, Any], **more: str) -> str:
    """The same filters for the CSV of the API, whose times are RFC 3339."""
    query = {name: filters[name] for name in ("symbol", "side") if filters.get(name)} | {
        k: v for k, v in more.items() if v
    }
    if filters["from"]:
        query["from"] = f"{filters['from']}T00:00:00Z"
    if filters["to"]:
        query["to"] = f"{filters['to']}T23:59:59.999999Z"
    return urlencode(query)


def _pager(request: HttpRequest, cursor: str | None) -> dict[str, Any]:
    query = request.GET.copy()
    query.pop("cursor", None)
    first = f"?{query.urlencode()}" if query else request.path
    if cursor:
        query["cursor"] = cursor
    return {
        "next_url": f"?{query.urlencode()}" if cursor else "",
        "first_url": first,
        "is_later_page": bool(request.GET.get("cursor")),
    }


def _page(
    request: HttpRequest, rows: Any, page: Page, keys: tuple[str, ...]
) -> tuple[list[dict[str, Any]], str | None]:
    try:
        return page_of(rows, page, cursor=request.GET.get("cursor") or None, limit=PAGE_ROWS, keys=keys)
    except RejectedError as error:
        raise Http404 from error


@require_safe
def orders(request: HttpRequest) -> HttpResponse:
    """List orders or fills, filtered, a page at a time."""
    context = _frame(request, "orders")
    account: AccountRef | None = context["account"]
    filters = _filters(request)
    view = request.GET.get("view", "open")
    view = view if view in {"open", "closed", "all", "fills"} else "open"
    rows: list[dict[str, Any]] = []
    cursor = None
    bounds = {
        "core_instrument": filters["item"].core_instrument if filters["item"] else None,
        "side": int(Side.from_api(filters["side"])) if filters["side"] else None,
        "from_ns": _day(filters["from"]),
        "to_ns": _day(filters["to"], end=True),
    }
    if account is not None and view == "fills":
        found, cursor = _page(request, execution_list_for(account.core_account, **bounds), FILLS_PAGE, ("exec_id",))
        rows = [execution_json(row, None, account.number) for row in found]
    elif account is not None:
        found, cursor = _page(
            request, order_list_for(account.core_account, status=view, **bounds), ORDERS_PAGE, ("entry_seq",)
        )
        rows = [order_json(row, None, account.number) for row in found]
    first_page = not request.GET.get("cursor") and not any(filters[name] for name in ("symbol", "side", "from", "to"))
    state = account_state(account, orders=False)
    data = {**state, "open": rows if view == "open" else [], "live": view == "open" and first_page, "quotes": []}
    file = "executions" if view == "fills" else "orders"
    number = account.number if account else ""
    context |= {
        "view": view,
        "rows": rows,
        "shown": len(rows),
        "filters": filters,
        "symbols": [item.symbol for item in instrument_list()],
        "csv_url": f"/api/v1/{file}.csv?{_api_query(filters, account=number, status='' if view == 'fills' else view)}",
        "live": data["live"],
        "data": data,
        **_pager(request, cursor),
    }
    return render(request, "trading/orders.html", context)


@require_safe
def order_detail(request: HttpRequest, order_id: str) -> HttpResponse:
    """Show one order: what was asked, what became of it and why, step by step."""
    context = _frame(request, "orders")
    account: AccountRef | None = context["account"]
    number = order_number(order_id)
    if account is None or number is None:
        raise Http404
    try:
        row = order_find(account.core_account, number)
    except RejectedError as error:
        raise Http404 from error
    order = order_json(row, None, account.number)
    item = instrument_by_symbol(order["symbol"] or "")
    steps = [order_event_json(step, item) for step in order_events(account.core_account, number)]
    fills = [execution_json(fill, item, account.number) for fill in executions_of_order(account.core_account, number)]
    context |= {
        "order": order,
        "item": item,
        "steps": steps,
        "fills": fills,
        "data": {"account": account.number, "order_id": order_id, "seq": order["seq"]},
    }
    return render(request, "trading/order.html", context)


@require_safe
def portfolio(request: HttpRequest) -> HttpResponse:
    """Show what the account owns and owes."""
    context = _frame(request, "portfolio")
    account: AccountRef | None = context["account"]
    state = account_state(account, orders=False)
    currency = account.base_currency if account else "USD"
    pricing = holding_symbols(currency)
    symbols = {row["symbol"] for row in state["positions"]} | set(pricing.values())
    context |= {
        "state": state,
        "open_positions": _open_positions(state),
        "totals": account_totals(state, currency),
        "limits": _limits(account),
        "data": {
            **state,
            "quotes": list(quotes_get(sorted(symbols)).values()),
            "currency": currency,
            "pricing": pricing,
        },
    }
    return render(request, "trading/portfolio.html", context)


def _limits(account: AccountRef | None) -> dict[str, Any] | None:
    """What is left today; None when it is not known, which the limits page explains."""
    try:
        return limits_of(account) if account is not None else None
    except AWAY as error:
        database_failed(error)
        return None
    except RejectedError:
        return None


@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """List the account's ledger entries."""
    context = _frame(request, "ledger")
    account: AccountRef | None = context["account"]
    filters = _filters(request)
    asset = asset_by_code(request.GET.get("asset", "")) if request.GET.get("asset") else None
    kind = request.GET.get("kind", "")
    kind = kind if kind in KIND_NUMBERS else ""
    rows: list[dict[str, Any]] = []
    cursor = None
    if account is not None:
        found = ledger_list_for(
            account.core_account,
            core_asset=asset.core_asset if asset else None,
            kind=KIND_NUMBERS.get(kind),
            from_ns=_day(filters["from"]),
            to_ns=_day(filters["to"], end=True),
        )
        page, cursor = _page(request, found, LEDGER_PAGE, ("entry_seq", "leg"))
        rows = [ledger_json(row) for row in page]
    filters |= {"asset": asset.code if asset else "", "kind": kind, "symbol": "", "side": ""}
    state = account_state(account, orders=False)
    number = account.number if account else ""
    context |= {
        "rows": rows,
        "shown": len(rows),
        "filters": filters,
        "kinds": list(KIND_NUMBERS),
        "balances": state["balances"],
        "csv_url": f"{reverse('api-ledger-csv')}?{_api_query(filters, account=number, asset=filters['asset'], kind=kind)}",
        **_pager(request, cursor),
    }
    return render(request, "trading/ledger.html", context)
