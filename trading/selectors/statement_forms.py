"""A statement as JSON (REST, pages) and as rows of a CSV file. Amounts keep every decimal of their asset.

Owns the names of fields and columns. Leaves the figures to ``statement.py``, the document on paper to ``statement_paper.py``, the writing of
files to ``brokerage/platform/reporting.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from brokerage.kernel.clock import rfc3339
from marketdata.selectors.candles import PriceView
from marketdata.selectors.instruments import AssetRef, InstrumentRef, asset_by_core
from trading.selectors.ledger import KIND_NUMBERS, ledger_json
from trading.selectors.shapes import average_text, execution_json, order_json
from trading.selectors.statement import Statement, entries_of, trades_of
from trading.selectors.statement_figures import DisagreementError, Flow, Holding, PositionThen

CSV_HEADER = (
    "section", "time", "id", "kind", "asset", "symbol", "side", "qty", "price", "value", "fee", "cost", "unrealised", "realised", "margin",
    "amount", "balance", "order_id", "source",
)  # fmt: skip
CSV_TEXT = ("section", "kind", "asset", "symbol", "source")
Row = dict[str, Any]


# ---- JSON -------------------------------------------------------------------------------------------------------------


def _price(price: PriceView | None, instrument: InstrumentRef | None) -> Row:
    known = price is not None and instrument is not None
    return {
        "price": instrument.price(price.ticks) if price and instrument else None,
        "price_time": rfc3339(price.time_ns) if price and known else None,
        "price_source": price.source if price and known else None,
        "price_symbol": instrument.symbol if price and instrument else None,
    }


def _flow(flow: Flow) -> Row:
    money = flow.asset.money
    return {
        "asset": flow.asset.code,
        "opening": money(flow.opening),
        "lines": [{"kind": kind, "amount": money(flow.lines[kind])} for kind in KIND_NUMBERS if kind in flow.lines],
        "closing": money(flow.closing),
        "display_decimals": flow.asset.display_decimals,
    }


def _holding(holding: Holding, currency: AssetRef | None) -> Row:
    return {
        "asset": holding.asset.code,
        "amount": holding.asset.money(holding.amount),
        "display_decimals": holding.asset.display_decimals,
        **_price(holding.price, holding.instrument),
        "value": currency.money(holding.value) if currency and holding.value is not None else None,
    }


def _position(row: PositionThen) -> Row:
    quote = row.instrument.quote

    def money(minor: int | None) -> str | None:
        return quote.money(minor) if minor is not None else None

    average = None
    if row.net and row.cost is not None:
        average = average_text(abs(row.cost), abs(row.net) * row.instrument.tick_value, row.instrument)
    return {
        "symbol": row.instrument.symbol,
        "kind": row.instrument.kind,
        "qty": row.instrument.qty(row.net),
        "avg_price": average,
        "cost": money(row.cost),
        **_price(row.price, row.instrument),
        "value": money(row.value),
        "unrealised": money(row.unrealised),
        "realised": money(row.realised),
        "margin": money(row.margin),
        "currency": quote.code,
    }


def statement_json(statement: Statement) -> Row:
    """The figures as REST and the pages show them; the rows are in the files."""
    period, currency = statement.period, statement.currency
    orders = statement.open_orders
    return {
        "account": statement.account.number,
        "owner": statement.owner,
        "from": period.first.isoformat(),
        "to": period.end.isoformat(),
        "so_far": period.so_far,
        "as_of": rfc3339(period.as_of_ns),
        "made": rfc3339(statement.made_ns),
        "seq": statement.seq,
        "currency": statement.account.base_currency,
        "value": currency.money(statement.total) if currency and statement.total is not None else None,
        "no_price": statement.missing,
        "assets": [_flow(flow) for flow in statement.flows],
        "holdings": [_holding(holding, currency) for holding in statement.holdings],
        "positions": [_position(row) for row in statement.positions],
        "entries": statement.entries,
        "trades": statement.trades,
        "open_orders": None
        if orders is None
        else {
            "count": statement.open_order_count,
            "results": [order_json(row, None, statement.account.number) for row in orders],
        },
    }


# ---- rows -------------------------------------------------------------------------------------------------------------


def cash_rows(statement: Statement) -> Iterator[tuple[AssetRef, Row]]:
    """The ledger's entries of the period with the balance after each; DisagreementError when the last is not the closing balance."""
    balances = {flow.asset.core_asset: flow.opening for flow in statement.flows}
    for row in entries_of(statement):
        core = row["core_asset"]
        asset = asset_by_core(core)
        if asset is None:
            raise DisagreementError(f"asset {core} is not known")
        balances[core] = balances.get(core, 0) + row["amount"]
        yield asset, {**ledger_json(row), "balance": asset.money(balances[core])}
    closing = {flow.asset.core_asset: flow.closing for flow in statement.flows}
    if balances != closing:
        raise DisagreementError(f"the entries lead to {balances}, not to {closing}")


def trade_rows(statement: Statement) -> Iterator[Row]:
    """The fills of the period as the API shows them."""
    for row in trades_of(statement):
        yield execution_json(row, None, statement.account.number)


def statement_rows(statement: Statement) -> Iterator[list[str | None]]:
    """The whole statement as rows under CSV_HEADER: period, summary, holdings, positions, open orders, trades, cash with the balance after each."""

    def row(section: str, **cells: str | None) -> list[str | None]:
        return [section if name == "section" else cells.get(name) for name in CSV_HEADER]

    shown = statement_json(statement)
    yield row(
        "period", kind="from", id=shown["account"], time=f"{shown['from']}T00:00:00.000000Z", asset=shown["currency"]
    )
    kind = "so far" if shown["so_far"] else "to"
    yield row(
        "period", kind=kind, id=shown["account"], time=shown["as_of"], asset=shown["currency"], value=shown["value"]
    )
    for flow in shown["assets"]:
        yield row("summary", kind="opening", asset=flow["asset"], amount=flow["opening"])
        for line in flow["lines"]:
            yield row("summary", kind=line["kind"], asset=flow["asset"], amount=line["amount"])
        yield row("summary", kind="closing", asset=flow["asset"], amount=flow["closing"])
    for held in shown["holdings"]:
        yield row(
            "holding", asset=held["asset"], amount=held["amount"], symbol=held["price_symbol"], price=held["price"], time=held["price_time"],
            source=held["price_source"], value=held["value"],
        )  # fmt: skip
    for at in shown["positions"]:
        yield row(
            "position", symbol=at["symbol"], kind=at["kind"], qty=at["qty"], asset=at["currency"], price=at["price"], time=at["price_time"],
            source=at["price_source"], value=at["value"], cost=at["cost"], unrealised=at["unrealised"], realised=at["realised"],
            margin=at["margin"],
        )  # fmt: skip
    for order in (shown["open_orders"] or {"results": []})["results"]:
        yield row(
            "open order", time=order["created_at"], id=order["order_id"], order_id=order["order_id"], symbol=order["symbol"],
            side=order["side"], qty=order["leaves_qty"], price=order["price"], kind=order["type"],
        )  # fmt: skip
    for fill in trade_rows(statement):
        yield row(
            "trade", time=fill["time"], id=fill["exec_id"], order_id=fill["order_id"], symbol=fill["symbol"], side=fill["side"],
            qty=fill["qty"], price=fill["price"], value=fill["notional"], fee=fill["fee"], asset=fill["fee_asset"], kind=fill["liquidity"],
            realised=fill["realised_pnl"],
        )  # fmt: skip
    for asset, entry in cash_rows(statement):
        yield row(
            "cash", time=entry["time"], id=entry["entry_id"], kind=entry["kind"], asset=asset.code, amount=entry["amount"],
            balance=entry["balance"],
        )  # fmt: skip
