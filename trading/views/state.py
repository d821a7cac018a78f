"""What an account has and did, as the pages and their scripts take it: the shapes of the REST API in one bundle.

While the database does not answer, the engine is asked for what it has: open orders, balances, positions; no history.
Owns the bundle, the totals shown above it and their formulas. Totals are exact sums of exact products; what has no price
is named instead of guessed. Leaves reading to the selectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest

from accounts.selectors.access import AccountRef, account_for_user, accounts_of
from brokerage.kernel.clock import SYSTEM_CLOCK, rfc3339
from brokerage.kernel.errors import RejectedError
from marketdata.selectors.quotes import quotes_get
from trading.selectors.engine_account import live_balances, live_orders, live_positions, stored_or_live
from trading.selectors.executions import execution_list_for
from trading.selectors.orders import order_list_for
from trading.selectors.portfolio import balance_list_for, holding_symbols, position_list_for
from trading.selectors.projection import projection_get
from trading.selectors.shapes import balance_json, execution_json, order_json, position_json

OPEN_MAX = 200
RECENT_MAX = 50
ZERO = Decimal(0)


def page_account(request: HttpRequest) -> AccountRef | None:
    """Return the account a page is about: the one named, else the first; None when there is none yet."""
    if not request.user.is_authenticated:
        return None
    number = request.GET.get("account") or None
    try:
        return account_for_user(request.user.pk, number)  # type: ignore[arg-type]
    except RejectedError as error:
        if number:
            raise Http404 from error
        return None


def page_accounts(request: HttpRequest) -> tuple[AccountRef, ...]:
    """Return every account the user may choose."""
    return accounts_of(request.user.pk) if request.user.is_authenticated else ()  # type: ignore[arg-type]


def account_state(account: AccountRef | None, *, orders: bool = True) -> dict[str, Any]:
    """Return the account's bundle, with ``late`` (a time) when the database does not answer and the engine had to."""
    if account is None:
        return {"account": None, "eid": None, "open": [], "closed": [], "fills": [], "balances": [], "positions": []}
    return stored_or_live(lambda: _stored(account, orders), lambda: _live(account))[0]


def _live(account: AccountRef) -> dict[str, Any]:
    core, number = account.core_account, account.number
    return {
        "account": number,
        "eid": None,
        "late": rfc3339(SYSTEM_CLOCK.now_ns()),
        "open": [order_json(row, None, number) for row in live_orders(core)[:OPEN_MAX]],
        "closed": [],
        "fills": [],
        "balances": [balance_json(row) for row in live_balances(core)],
        "positions": [
            position_json(view.row, view.instrument, mark=view.mark, margin_held=view.margin_held)
            for view in live_positions(core)
        ],
    }


def _stored(account: AccountRef, orders: bool) -> dict[str, Any]:
    # ``eid`` is read first, so that the stream repeats rather than misses.
    core, number = account.core_account, account.number
    state: dict[str, Any] = {"account": number, "eid": str(projection_get().event_seq)}
    state["open"] = [
        order_json(row, None, number) for row in order_list_for(core, status="open").order_by("-entry_seq")[:OPEN_MAX]
    ]
    state["closed"], state["fills"] = [], []
    if orders:
        state["closed"] = [
            order_json(row, None, number)
            for row in order_list_for(core, status="closed").order_by("-entry_seq")[:RECENT_MAX]
        ]
        state["fills"] = [
            execution_json(row, None, number) for row in execution_list_for(core).order_by("-exec_id")[:RECENT_MAX]
        ]
    state["balances"] = [balance_json(row) for row in balance_list_for(core)]
    state["positions"] = [
        position_json(view.row, view.instrument, mark=view.mark, margin_held=view.margin_held)
        for view in position_list_for(core)
    ]
    return state


@dataclass(frozen=True, slots=True)
class Totals:
    """Value of an account in its base currency."""

    currency: str
    total: Decimal
    cash: Decimal
    available: Decimal
    held: Decimal
    holdings: Decimal
    unrealised: Decimal
    day_change: Decimal
    missing: list[str] = field(default_factory=list)


def account_totals(state: dict[str, Any], currency: str) -> Totals:
    """Add up cash, what is held at the price it could be sold for, and the open result of margin positions.

    Day change: what is held now times its price change over 24 hours; deposits and trades of the day do not count.
    """
    symbols = holding_symbols(currency)
    positions = [row for row in state["positions"] if Decimal(row["qty"])]
    wanted = {symbols[row["asset"]] for row in state["balances"] if row["asset"] in symbols}
    quotes = quotes_get(sorted(wanted | {row["symbol"] for row in positions}))
    cash = available = held = holdings = unrealised = day = ZERO
    missing: list[str] = []
    for row in state["balances"]:
        amount = Decimal(row["total"])
        if row["asset"] == currency:
            cash, available, held = amount, Decimal(row["available"]), Decimal(row["held"])
            continue
        if not amount:
            continue
        quote = quotes.get(symbols.get(row["asset"], "")) or {}
        price = quote.get("bid") or quote.get("last")
        if price is None:
            missing.append(row["asset"])
            continue
        holdings += amount * Decimal(price)
        day += amount * _moved(price, quote)
    for row in positions:
        if row["kind"] != "margin":
            continue
        if row["unrealised_pnl"] is None or row["currency"] != currency:
            missing.append(row["symbol"])
            continue
        unrealised += Decimal(row["unrealised_pnl"])
        day += Decimal(row["qty"]) * _moved(row["mark_price"], quotes.get(row["symbol"]) or {})
    return Totals(
        currency=currency,
        total=cash + holdings + unrealised,
        cash=cash,
        available=available,
        held=held,
        holdings=holdings,
        unrealised=unrealised,
        day_change=day,
        missing=missing,
    )


def _moved(price: str, quote: dict[str, Any]) -> Decimal:
    opened = quote.get("open_24h")
    return Decimal(price) - Decimal(opened) if opened else ZERO
