"""REST views of orders: place, preview, list, look up, replace, cancel. Parse, authorise, call one service or
selector, shape.
"""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.selectors.access import AccountRef
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import is_cl_ord_id
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import OrderSource
from brokerage.kernel.units import format_plain
from brokerage.platform.api import ApiView, Page, idempotency_key, listing, page_of, query_of
from brokerage.platform.api_schema import IDEMPOTENCY, documented, list_of
from brokerage.platform.problems import ApiProblem
from brokerage.platform.reporting import CsvRenderer, csv_response
from marketdata.selectors.instruments import instrument_by_core
from trading.api import schemas
from trading.api.access import FROM_ENGINE, account_of, answer_json, csv_rows, instrument_of, refusal_problem
from trading.selectors import orders as order_reads
from trading.selectors.engine_account import live_orders, stored_or_live
from trading.selectors.engine_orders import order_find, order_find_by_client_id
from trading.selectors.executions import executions_of_order
from trading.selectors.shapes import (
    average_text,
    funds_asset,
    order_event_json,
    order_json,
    order_public_id,
    reject_json,
)
from trading.services import orders as order_service
from trading.services.order_answer import OrderAnswer

PAGE = Page("orders", 1)
KEYS = ("entry_seq",)
CSV_COLUMNS = (
    "order_id", "client_order_id", "account", "symbol", "side", "type", "time_in_force", "price", "qty", "filled_qty", "leaves_qty",
    "avg_price", "status", "cancel_reason", "fee", "fee_asset", "created_at", "updated_at",
)  # fmt: skip
#: Refusals an order can meet, as HTTP statuses.
REFUSALS = (404, 409, 422, 504)


def source_of(request: Request) -> int:
    """Which door an order came through; for the record only."""
    return OrderSource.API if request.auth else OrderSource.PORTAL


def _answered(answer: OrderAnswer, account: AccountRef, status: int) -> Response:
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    if answer.refusal is not None:
        problem = refusal_problem(answer.refusal)
        problem.headers.update(headers)
        raise problem
    return Response(answer_json(answer, account), status=200 if answer.replayed else status, headers=headers)


def _order_id(public_id: str) -> int:
    number = order_reads.order_number(public_id)
    if number is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such order.")
    return number


def _filtered(account: AccountRef, query: dict[str, Any]) -> Any:
    instrument = instrument_of(query)
    return order_reads.order_list_for(
        account.core_account,
        status=query["status"],
        core_instrument=instrument.core_instrument if instrument else None,
        side=int(query["side"]) if "side" in query else None,
        from_ns=query.get("from"),
        to_ns=query.get("to"),
    )


def _live(account: AccountRef, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Open orders as the engine has them, in one page; it knows no other orders, and not when one was entered."""
    if query["status"] != "open" or {"cursor", "from", "to"} & query.keys():
        raise ApiProblem(
            RejectCode.OVERLOADED,
            "The database cannot be reached at the moment.",
            next_step="Open orders are told without it: ask with status=open, and neither cursor nor times.",
        )
    instrument = instrument_of(query)
    return live_orders(
        account.core_account,
        core_instrument=instrument.core_instrument if instrument else None,
        side=int(query["side"]) if "side" in query else None,
    )


class OrdersView(ApiView):
    """Orders of an account."""

    throttle_scopes = {"POST": "orders"}

    @documented(
        answer=list_of("Order", schemas.OrderAnswerShape), query=schemas.OrdersQuery, problems=(404, 422), tag="orders",
        operation="orders_list", summary="Orders, newest first",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """One page of orders."""
        query = query_of(request, schemas.OrdersQuery)
        account = account_of(request, query)
        (rows, cursor), live = stored_or_live(
            lambda: page_of(
                _filtered(account, query), PAGE, cursor=query.get("cursor"), limit=query["limit"], keys=KEYS
            ),
            lambda: (_live(account, query), None),
        )
        shown = [order_json(row, None, account.number) for row in rows]
        return Response(listing(shown, cursor), headers=FROM_ENGINE if live else None)

    @documented(
        answer=schemas.OrderWithFills, body=schemas.OrderBody, status=201, more={200: schemas.OrderWithFills},
        problems=REFUSALS, parameters=(IDEMPOTENCY,), tag="orders", operation="orders_place", summary="Place an order",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Enter an order and answer what became of it, fills included."""
        data = self.body(schemas.OrderBody)
        cl_ord_id = idempotency_key(request, data.pop("client_order_id", None))
        account, terms = _terms(request, data)
        answer = order_service.order_place(account=account, **terms, cl_ord_id=cl_ord_id, source=source_of(request))
        return _answered(answer, account, 201)


def _terms(request: Request, data: dict[str, Any]) -> tuple[AccountRef, dict[str, Any]]:
    account = account_of(request, data)
    return account, {
        "instrument": instrument_of(data),
        "side": data["side"],
        "ord_type": data["type"],
        "time_in_force": data.get("time_in_force"),
        "qty": data["qty"],
        "price": data.get("price"),
        "post_only": data["post_only"],
        "reduce_only": data["reduce_only"],
        "stp": data["stp"],
        "expire_at": data.get("expire_at"),
    }


class PreviewView(ApiView):
    """What an order would do."""

    throttle_scopes = {"POST": "preview"}

    @documented(
        answer=schemas.PreviewShape, body=schemas.PreviewBody, problems=(404, 422), tag="orders", operation="orders_preview",
        summary="Preview an order",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Cost, fee, hold and worst price now, or why it would be refused; changes nothing."""
        account, terms = _terms(request, self.body(schemas.PreviewBody))
        return Response(_preview_json(order_service.order_preview(account=account, **terms)))


def _preview_json(preview: order_service.PreviewAnswer) -> dict[str, Any]:
    instrument, side = preview.terms.instrument, preview.terms.side
    quote, refusal = instrument.quote, preview.refusal
    cost = preview.fill_notional + preview.fee if side.sign > 0 else preview.fill_notional - preview.fee
    hold_asset = funds_asset(side, instrument)
    return {
        "accepted": refusal is None,
        "reject": reject_json(refusal.code, refusal.needed, refusal.available) if refusal else None,
        "symbol": instrument.symbol,
        "side": side.api,
        "fills": preview.fills,
        "fill_qty": instrument.qty(preview.fill_qty),
        "rest_qty": instrument.qty(preview.rest_qty),
        "avg_price": average_text(preview.fill_notional, preview.fill_qty * instrument.tick_value, instrument),
        "worst_price": instrument.price(preview.worst_price) if preview.worst_price else None,
        "notional": quote.money(preview.fill_notional),
        "fee": quote.money(preview.fee),
        "cost": quote.money(cost),
        "currency": quote.code,
        "hold": hold_asset.money(preview.hold),
        "hold_asset": hold_asset.code,
        "day_limit": format_plain(preview.day_limit) if preview.day_limit is not None else None,
        "day_left": format_plain(preview.day_left) if preview.day_left is not None else None,
    }


class OrderView(ApiView):
    """One order."""

    throttle_scopes = {"DELETE": "cancel", "PATCH": "orders"}

    @documented(
        answer=schemas.OrderWithFills, query=schemas.OfAccountQuery, problems=(404,), tag="orders", operation="orders_get",
        summary="One order with its fills",
    )  # fmt: skip
    def get(self, request: Request, order_id: str) -> Response:
        """Show it; an order just placed is waited for."""
        account = account_of(request, query_of(request, schemas.OfAccountQuery))
        row = order_find(account.core_account, _order_id(order_id))
        fills = executions_of_order(account.core_account, row["order_id"])
        return Response(answer_json(OrderAnswer(order=row, executions=fills), account))

    @documented(
        answer=schemas.OrderWithFills, body=schemas.ReplaceBody, problems=REFUSALS, parameters=(IDEMPOTENCY,), tag="orders",
        operation="orders_replace", summary="Replace an order",
    )  # fmt: skip
    def patch(self, request: Request, order_id: str) -> Response:
        """Change price or total quantity; priority is kept only for a smaller quantity at the same price."""
        data = self.body(schemas.ReplaceBody)
        account = account_of(request, data)
        answer = order_service.order_replace(
            account=account,
            order_id=_order_id(order_id),
            qty=data.get("qty"),
            price=data.get("price"),
            expected_version=data.get("expected_version", 0),
            cl_ord_id=idempotency_key(request, data.get("client_order_id")),
        )
        return _answered(answer, account, 200)

    @documented(
        answer=schemas.OrderWithFills, query=schemas.OfAccountQuery, problems=REFUSALS, tag="orders", operation="orders_cancel",
        summary="Cancel an order",
    )  # fmt: skip
    def delete(self, request: Request, order_id: str) -> Response:
        """Cancel it; a second time is refused with 5002."""
        account = account_of(request, query_of(request, schemas.OfAccountQuery))
        answer = order_service.order_cancel(account=account, order_id=_order_id(order_id))
        return _answered(answer, account, 200)


class OrderByClientIdView(ApiView):
    """The order entered under a client id."""

    @documented(
        answer=schemas.OrderWithFills, query=schemas.OfAccountQuery, problems=(404,), tag="orders", operation="orders_get_by_client_id",
        summary="One order by its client id",
    )  # fmt: skip
    def get(self, request: Request, client_order_id: str) -> Response:
        """Show it: this is how an unknown outcome is resolved."""
        account = account_of(request, query_of(request, schemas.OfAccountQuery))
        if not is_cl_ord_id(client_order_id):
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such order.")
        row = order_find_by_client_id(account.core_account, client_order_id)
        fills = executions_of_order(account.core_account, row["order_id"])
        return Response(answer_json(OrderAnswer(order=row, executions=fills), account))


class OrderEventsView(ApiView):
    """The time line of an order."""

    @documented(
        answer=list_of("OrderEvent", schemas.OrderEventShape), query=schemas.OfAccountQuery, problems=(404,), tag="orders",
        operation="orders_events", summary="Time line of an order",
    )  # fmt: skip
    def get(self, request: Request, order_id: str) -> Response:
        """Every step, oldest first."""
        account = account_of(request, query_of(request, schemas.OfAccountQuery))
        row = order_find(account.core_account, _order_id(order_id))
        instrument = instrument_by_core(row["core_instrument"])
        steps = order_reads.order_events(account.core_account, row["order_id"])
        return Response(listing([order_event_json(step, instrument) for step in steps]))


class CancelAllView(ApiView):
    """All open orders at once."""

    throttle_scopes = {"POST": "cancel"}

    @documented(
        answer=schemas.CanceledAll, body=schemas.CancelAllBody, problems=(404, 422, 504), tag="orders", operation="orders_cancel_all",
        summary="Cancel all open orders",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Cancel every open order, of one instrument or side if named; safe to repeat."""
        idempotency_key(request)
        data = self.body(schemas.CancelAllBody)
        gone = order_service.order_cancel_all(
            account=account_of(request, data), instrument=instrument_of(data), side=data.get("side")
        )
        return Response({"canceled": len(gone), "order_ids": [order_public_id(number) for number in gone]})


class OrdersCsvView(ApiView):
    """Orders as a file."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (CsvRenderer, JSONRenderer)

    @documented(
        answer=str, query=schemas.OrderFilter, problems=(404, 422), tag="orders", operation="orders_csv", summary="Orders as CSV",
        media="text/csv",
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream every order of the filter, newest first."""
        query = query_of(request, schemas.OrderFilter)
        account = account_of(request, query)
        rows = csv_rows(_filtered(account, query), KEYS)
        lines = (
            [shown[name] for name in CSV_COLUMNS] for shown in (order_json(row, None, account.number) for row in rows)
        )
        return csv_response("orders.csv", CSV_COLUMNS, lines, text_columns=("client_order_id", "account", "symbol"))
