"""A statement on paper: the same figures and rows as its other forms, in the order of sections that statements of brokers have.

Only average prices and the worth of holdings are rounded, half even. Owns sections and words. Leaves the figures to ``statement.py``, letters
and pages to ``brokerage/platform/pdf.py``, permission and the record of the download to the edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from brokerage.platform.pdf import Document, Facts, Section, Table, Text
from brokerage.platform.templatetags.portal import DASH, exact, num, word
from marketdata.selectors.instruments import AssetRef
from trading.selectors.ledger import KIND_NUMBERS
from trading.selectors.statement import Statement
from trading.selectors.statement_figures import FILLS_MAX
from trading.selectors.statement_forms import cash_rows, statement_json, trade_rows

SOURCES = {
    "trade": "last trade here",
    "live": "close of a bar of trades here",
    "recorded": "recorded close",
    "simulated": "simulated close",
}
Row = dict[str, Any]


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _time(text: str | None) -> str:
    """RFC 3339 as people read it; the whole second is enough on paper, the file has the rest."""
    return text[:19].replace("T", " ") if text else DASH


def _amount(text: str | None, asset: AssetRef | None) -> str:
    """Every decimal that is not nothing, at least those the asset is shown with."""
    return exact(text, asset.display_decimals if asset else 2)


def statement_paper(statement: Statement, *, made_for: str, made_at: datetime) -> Document:
    """The statement as a document: summary, holdings, positions, trades, cash ledger, fees, open orders, how to read it."""
    shown = statement_json(statement)
    period = statement.period
    days = _day(period.first) if period.last == period.first else f"{_day(period.first)} to {_day(period.last)}"
    about = f"{days} (UTC)" + (f", so far: as of {_time(shown['as_of'])} UTC" if period.so_far else "")
    return Document(
        f"Statement of account {statement.account.number}",
        about,
        made_for,
        made_at,
        [
            Section("Account", [_account(statement, shown, about)]),
            Section("From the opening to the closing balance", _reconciliation(statement)),
            Section("Holdings at the end", _holdings(statement, shown)),
            Section("Positions", _positions(shown)),
            Section("Trades", _trade_tables(statement)),
            Section("Cash and asset ledger", _ledger_tables(statement)),
            Section("Fees and costs", [_fees(statement)]),
            *([Section("Open orders", _orders(shown))] if shown["open_orders"] else []),
            Section("How to read this statement", [Text(text) for text in _notes(statement)]),
        ],
    )


def _account(statement: Statement, shown: Row, about: str) -> Facts:
    value = f"{_amount(shown['value'], statement.currency)} {shown['currency']}" if shown["value"] else DASH
    missing = f", without {', '.join(shown['no_price'])}: no price was recorded" if shown["no_price"] else ""
    return Facts(
        [
            ("Account", shown["account"]),
            ("Owner", shown["owner"] or DASH),
            ("Period", about),
            ("Base currency", shown["currency"]),
            ("Value at the end", value + missing),
            ("Trades, ledger entries", f"{num(statement.trades)}, {num(statement.entries)}"),
            ("Made from", f"event {statement.seq} of the journal"),
        ]
    )


def _reconciliation(statement: Statement) -> list[Text | Facts | Table]:
    blocks: list[Text | Facts | Table] = [
        Table(
            ("Line", f"Amount, {flow.asset.code}"),
            [
                ("Opening balance", _amount(flow.asset.money(flow.opening), flow.asset)),
                *((word(kind), _amount(flow.asset.money(flow.lines[kind]), flow.asset)) for kind in KIND_NUMBERS if kind in flow.lines),
                ("Closing balance", _amount(flow.asset.money(flow.closing), flow.asset)),
            ],
            (60, 40),
            frozenset({1}),
        )
        for flow in statement.flows
    ]  # fmt: skip
    return [*blocks, Text("Checked when this was made: opening and movements give the closing balance to the last unit.", soft=True)] if blocks else [
        Text("Nothing was held and nothing moved.", soft=True)
    ]  # fmt: skip


def _holdings(statement: Statement, shown: Row) -> list[Text | Facts | Table]:
    rows = [
        (
            row["asset"], _amount(row["amount"], held.asset), num(row["price"]) if row["price"] else ("" if held.value is not None else "no price"),
            f"{SOURCES[row['price_source']]}, {row['price_symbol']}\n{_time(row['price_time'])}" if row["price"] else "",
            _amount(row["value"], statement.currency) if row["value"] else DASH,
        )
        for row, held in zip(shown["holdings"], statement.holdings, strict=True)
    ]  # fmt: skip
    currency = shown["currency"]
    return [
        Table(
            ("Asset", "Amount", f"Price, {currency}", "Price from, time (UTC)", f"Value, {currency}"), rows, (10, 24, 17, 28, 21),
            frozenset({1, 2, 4}), "Nothing.",
        )
    ]  # fmt: skip


def _by_currency(rows: list[Row], name: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[name] or DASH, []).append(row)
    return found or {"": []}


def _positions(shown: Row) -> list[Text | Facts | Table]:
    def cells(row: Row) -> tuple[str, ...]:
        price = (
            f"{num(row['price'])}\n{SOURCES[row['price_source']]}\n{_time(row['price_time'])}"
            if row["price"]
            else "no price"
        )
        return (
            f"{row['symbol']}\n{word(row['kind'])}", num(row["qty"]), num(row["avg_price"]), price if Decimal(row["qty"]) else "",
            exact(row["cost"], 2), exact(row["value"], 2), exact(row["unrealised"], 2), exact(row["realised"], 2),
            exact(row["margin"], 2),
        )  # fmt: skip

    return [
        Table(
            ("Instrument", "Quantity", "Average", "Price", f"Cost, {code}", f"Value, {code}", f"Open result, {code}", f"Realised, {code}",
             f"Margin held, {code}"),
            [cells(row) for row in rows], (12, 10, 11, 15, 12, 12, 10, 11, 9), frozenset({1, 2, 4, 5, 6, 7, 8}), "None.",
        )
        for code, rows in _by_currency(shown["positions"], "currency").items()
    ]  # fmt: skip


def _trade_tables(statement: Statement) -> list[Text | Facts | Table]:
    return [
        Table(
            ("Time (UTC)", "Fill, order", "Instrument", "Side", "Quantity", f"Price, {code}", f"Value, {code}", f"Fee, {code}"),
            [
                (
                    _time(row["time"]).replace(" ", "\n"), f"{row['exec_id']}\n{row['order_id']}", row["symbol"] or DASH, word(row["side"]),
                    num(row["qty"]), num(row["price"]), exact(row["notional"], 2), exact(row["fee"], 2),
                )
                for row in rows
            ],
            (12, 18, 12, 7, 13, 14, 15, 11), frozenset({4, 5, 6, 7}), "None in this period.",
        )
        for code, rows in _by_currency(list(trade_rows(statement)), "fee_asset").items()
    ]  # fmt: skip


def _ledger_tables(statement: Statement) -> list[Text | Facts | Table]:
    rows: dict[str, list[tuple[str, ...]]] = {}
    assets = {flow.asset.code: flow for flow in statement.flows}
    for asset, entry in cash_rows(statement):
        rows.setdefault(asset.code, []).append(
            (_time(entry["time"]), entry["entry_id"], word(entry["kind"]), _amount(entry["amount"], asset), _amount(entry["balance"], asset))
        )  # fmt: skip
    tables: list[Text | Facts | Table] = [
        Table(
            ("Time (UTC)", "Entry", "Kind", f"Amount, {code}", f"Balance, {code}"),
            [("", "", "Opening balance", "", _amount(flow.asset.money(flow.opening), flow.asset)), *rows[code]],
            (20, 19, 19, 21, 21),
            frozenset({3, 4}),
        )
        for code, flow in assets.items()
        if code in rows
    ]
    return tables or [Text("No entries in this period.", soft=True)]


def _fees(statement: Statement) -> Table:
    rows = [
        (flow.asset.code, _amount(flow.asset.money(flow.lines["fee"]), flow.asset))
        for flow in statement.flows
        if "fee" in flow.lines
    ]
    return Table(("Asset", "Fees of trades"), rows, (60, 40), frozenset({1}), "None were charged in this period.")


def _orders(shown: Row) -> list[Text | Facts | Table]:
    orders = shown["open_orders"]
    rows = [
        (
            _time(row["created_at"]), row["order_id"], row["symbol"] or DASH, word(row["side"]), num(row["leaves_qty"]),
            f"{num(row['price'])} {row['fee_asset']}",
        )
        for row in orders["results"]
    ]  # fmt: skip
    more = [Text(f"The newest {len(rows)} of {orders['count']}.", soft=True)] if orders["count"] > len(rows) else []
    table = Table(
        ("Entered (UTC)", "Order", "Instrument", "Side", "Open quantity", "Limit"), rows, (20, 19, 15, 10, 18, 18), frozenset({4, 5})
    )  # fmt: skip
    return [table, *more]


def _notes(statement: Statement) -> Iterator[str]:
    yield (
        "Days are UTC; an entry belongs to the day on which the engine made it. Amounts are exact; average prices and the value of holdings are "
        "rounded half even."
    )
    yield (
        "Orders are matched in our own order book, by price and then by time. Instrument, price and fee of each trade are stated above, "
        "and its entries in the ledger carry the same time."
    )
    yield (
        "Holdings and positions are valued at the last price we had recorded at or before the end: the last trade here, else the close of a bar. "
        "A recorded or simulated close is not a price at which one could have traded here. What has no price is named and not in the value."
    )
    yield (
        "Realised results follow the average cost and do not include fees; those of margin positions are in the ledger as profit and loss. "
        "Margin held is that of the position alone, at the instrument's present rate; open orders hold more."
    )
    if any(row.cost is None for row in statement.positions):
        yield f"The account has more than {num(FILLS_MAX)} fills: costs and results were not computed for this statement."
    yield "If anything here is not as it should be, tell us at once and name the document's number at the foot of the page."
