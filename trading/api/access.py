"""What the trading views share: the caller's account, the instrument named, JSON of answers, bounded pages of rows.

Owns nothing but these few steps; rules are in the services and selectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from accounts.selectors.access import AccountRef, account_for_user
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from brokerage.platform.reporting import CSV_ROWS_MAX
from marketdata.selectors.instruments import InstrumentRef, instrument_by_core, instrument_by_symbol
from trading.selectors.shapes import execution_json, order_json, order_public_id
from trading.services.order_answer import OrderAnswer, Refusal

CSV_PAGE = 2_000
#: Says that the database did not answer and the engine did: what it does not keep (times, results, what is closed) is null.
FROM_ENGINE = {"X-Data-Source": "engine"}


def account_of(request: Request, values: Mapping[str, Any]) -> AccountRef:
    """The account a request is about; a stranger's does not exist (2014)."""
    return account_for_user(request.user.pk, values.get("account"))


def instrument_of(values: Mapping[str, Any]) -> InstrumentRef | None:
    """The instrument named in a body or filter; 3001 when there is none, None when none is named."""
    symbol = values.get("symbol")
    if symbol is None:
        return None
    instrument = instrument_by_symbol(symbol)
    if instrument is None:
        raise RejectedError(
            RejectCode.UNKNOWN_INSTRUMENT, f"There is no instrument {symbol}.", available=symbol, field="symbol"
        )
    return instrument


def refusal_problem(refusal: Refusal) -> ApiProblem:
    """The problem document of a refused command; names the refused order where it will be found."""
    extra = {"order_id": order_public_id(-refusal.cmd_seq)} if refusal.cmd_seq else None
    return ApiProblem(refusal.code, refusal.detail, needed=refusal.needed, available=refusal.available, extra=extra)


def answer_json(answer: OrderAnswer, account: AccountRef) -> dict[str, Any]:
    """An order as decided, its fills included."""
    if answer.order is None:
        raise ValueError("a refusal has no order")
    row = answer.order
    instrument = instrument_by_core(row["core_instrument"])
    document = order_json(row, instrument, account.number)
    document["executions"] = (
        None
        if answer.executions is None
        else [execution_json(fill, instrument, account.number) for fill in answer.executions]
    )
    return document


def csv_rows(queryset: QuerySet[Any, Any], keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """All rows of a queryset of dicts, newest first, fetched in keyset pages; refuses more than CSV_ROWS_MAX before
    the first row.
    """
    ordered = queryset.order_by(*(f"-{name}" for name in keys))
    if ordered[CSV_ROWS_MAX : CSV_ROWS_MAX + 1].exists():
        raise ApiProblem(
            RejectCode.VALUE_OUT_OF_RANGE,
            f"The download would have more than {CSV_ROWS_MAX} rows.",
            needed=str(CSV_ROWS_MAX),
            field="from",
            next_step="Narrow it with from and to.",
        )
    return _pages(ordered, keys)


def _pages(ordered: QuerySet[Any, Any], keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    first, *rest = keys
    last: dict[str, Any] | None = None
    while True:
        page = ordered
        if last is not None:
            # The first key bounds the scan by index; a second one only matters among equals.
            page = (
                page.filter(**{f"{first}__lte": last[first]}) if rest else page.filter(**{f"{first}__lt": last[first]})
            )
            if rest:
                page = page.exclude(**{first: last[first], f"{rest[0]}__gte": last[rest[0]]})
        rows = list(page[:CSV_PAGE])
        yield from rows
        if len(rows) < CSV_PAGE:
            return
        last = rows[-1]
