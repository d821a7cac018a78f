"""REST views of what an account has and did: executions, balances, ledger, positions; and the platform's status."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.schemas import NoQuery
from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import SYSTEM_CLOCK, rfc3339
from brokerage.kernel.errors import EngineUnavailableError, RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.api import ApiView, Page, listing, page_of, query_of
from brokerage.platform.api_schema import documented, list_of
from brokerage.platform.reporting import CsvRenderer, csv_response
from marketdata.selectors.instruments import asset_by_code
from trading.api import schemas
from trading.api.access import FROM_ENGINE, account_of, csv_rows, instrument_of
from trading.selectors.engine_account import live_balances, live_positions, stored_or_live
from trading.selectors.executions import execution_list_for
from trading.selectors.ledger import KIND_NUMBERS, ledger_json, ledger_list_for
from trading.selectors.limits import limits_of
from trading.selectors.orders import order_number
from trading.selectors.portfolio import balance_list_for, position_list_for
from trading.selectors.projection import projection_if_there
from trading.selectors.shapes import balance_json, execution_json, position_json
from trading.services.engine_access import get_engine_client

EXECUTIONS_PAGE, EXECUTIONS_KEYS = Page("executions", 1), ("exec_id",)
LEDGER_PAGE, LEDGER_KEYS = Page("ledger", 2), ("entry_seq", "leg")
EXECUTIONS_CSV = (
    "exec_id", "order_id", "account", "symbol", "side", "price", "qty", "notional", "fee", "fee_asset", "liquidity", "realised_pnl", "time",
)  # fmt: skip
LEDGER_CSV = ("entry_id", "time", "kind", "asset", "amount", "exec_id")


def _executions(account: AccountRef, query: dict[str, Any]) -> Any:
    instrument = instrument_of(query)
    order_id = None
    if "order_id" in query:
        order_id = order_number(query["order_id"])
        if order_id is None:
            raise RejectedError(RejectCode.MALFORMED, "order_id is not an order's id.", field="order_id")
    return execution_list_for(
        account.core_account,
        core_instrument=instrument.core_instrument if instrument else None,
        side=int(query["side"]) if "side" in query else None,
        order_id=order_id,
        from_ns=query.get("from"),
        to_ns=query.get("to"),
    )


class ExecutionsView(ApiView):
    """Fills."""

    @documented(
        answer=list_of("Execution", schemas.ExecutionShape), query=schemas.ExecutionsQuery, problems=(404, 422), tag="orders",
        operation="executions_list", summary="Fills, newest first",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """One page of fills."""
        query = query_of(request, schemas.ExecutionsQuery)
        account = account_of(request, query)
        rows, cursor = page_of(
            _executions(account, query),
            EXECUTIONS_PAGE,
            cursor=query.get("cursor"),
            limit=query["limit"],
            keys=EXECUTIONS_KEYS,
        )
        return Response(listing([execution_json(row, None, account.number) for row in rows], cursor))


class ExecutionsCsvView(ApiView):
    """Fills as a file."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (CsvRenderer, JSONRenderer)

    @documented(
        answer=str, query=schemas.ExecutionFilter, problems=(404, 422), tag="orders", operation="executions_csv",
        summary="Fills as CSV", media="text/csv",
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream every fill of the filter, newest first."""
        query = query_of(request, schemas.ExecutionFilter)
        account = account_of(request, query)
        rows = csv_rows(_executions(account, query), EXECUTIONS_KEYS)
        lines = (
            [shown[name] for name in EXECUTIONS_CSV]
            for shown in (execution_json(row, None, account.number) for row in rows)
        )
        return csv_response("executions.csv", EXECUTIONS_CSV, lines, text_columns=("account", "symbol"))


class BalancesView(ApiView):
    """Money and assets."""

    @documented(
        answer=list_of("Balance", schemas.BalanceShape), query=schemas.OfAccountQuery, problems=(404,), tag="accounts",
        operation="balances_list", summary="Balances",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """What is available and held of each asset."""
        account = account_of(request, query_of(request, schemas.OfAccountQuery))
        core = account.core_account
        rows, live = stored_or_live(lambda: balance_list_for(core), lambda: live_balances(core))
        return Response(listing([balance_json(row) for row in rows]), headers=FROM_ENGINE if live else None)


def _ledger(account: AccountRef, query: dict[str, Any]) -> Any:
    asset = None
    if "asset" in query:
        asset = asset_by_code(query["asset"])
        if asset is None:
            raise RejectedError(RejectCode.UNKNOWN_ASSET, field="asset")
    return ledger_list_for(
        account.core_account,
        core_asset=asset.core_asset if asset else None,
        kind=KIND_NUMBERS[query["kind"]] if "kind" in query else None,
        from_ns=query.get("from"),
        to_ns=query.get("to"),
    )


class LedgerView(ApiView):
    """The account's ledger."""

    @documented(
        answer=list_of("LedgerEntry", schemas.LedgerShape), query=schemas.LedgerQuery, problems=(404, 422), tag="accounts",
        operation="ledger_list", summary="Ledger, newest first",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """One page of entries."""
        query = query_of(request, schemas.LedgerQuery)
        account = account_of(request, query)
        rows, cursor = page_of(
            _ledger(account, query), LEDGER_PAGE, cursor=query.get("cursor"), limit=query["limit"], keys=LEDGER_KEYS
        )
        return Response(listing([ledger_json(row) for row in rows], cursor))


class LedgerCsvView(ApiView):
    """The ledger as a file."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (CsvRenderer, JSONRenderer)

    @documented(
        answer=str, query=schemas.LedgerFilter, problems=(404, 422), tag="accounts", operation="ledger_csv", summary="Ledger as CSV",
        media="text/csv",
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream every entry of the filter, newest first."""
        query = query_of(request, schemas.LedgerFilter)
        rows = csv_rows(_ledger(account_of(request, query), query), LEDGER_KEYS)
        lines = ([shown[name] for name in LEDGER_CSV] for shown in (ledger_json(row) for row in rows))
        return csv_response("ledger.csv", LEDGER_CSV, lines, text_columns=("asset",))


class PositionsView(ApiView):
    """Positions with their marks."""

    @documented(
        answer=list_of("Position", schemas.PositionShape), query=schemas.PositionsQuery, problems=(404, 422), tag="accounts",
        operation="positions_list", summary="Positions",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Open positions, and closed ones that made or lost something."""
        query = query_of(request, schemas.PositionsQuery)
        core, instrument = account_of(request, query).core_account, instrument_of(query)
        number = instrument.core_instrument if instrument else None
        views, live = stored_or_live(
            lambda: position_list_for(core, core_instrument=number),
            lambda: [view for view in live_positions(core) if number in (None, view.instrument.core_instrument)],
        )
        shown = [
            position_json(view.row, view.instrument, mark=view.mark, margin_held=view.margin_held) for view in views
        ]
        return Response(listing(shown), headers=FROM_ENGINE if live else None)


class LimitsView(ApiView):
    """What an account may trade."""

    @documented(
        answer=schemas.LimitsShape, query=schemas.OfAccountQuery, problems=(404,), tag="accounts", operation="limits_get",
        summary="Limits, what is left of them today, products and their risk warnings",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """By tier and jurisdiction of the owner; ``refused`` is the code an order in the product would get."""
        found = limits_of(account_of(request, query_of(request, schemas.OfAccountQuery)))
        if found is None:
            raise RejectedError(RejectCode.NOT_FOUND)
        return Response(found)


class StatusView(ApiView):
    """Whether one can trade."""

    permission_classes = (AllowAny,)

    @documented(
        answer=schemas.StatusShape, public=True, problems=(401,), tag="system", operation="status_get", summary="Engine and projection",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """The engine's and the projection's own figures."""
        query_of(request, NoQuery)
        projection = projection_if_there()
        engine: dict[str, Any] | None = None
        try:
            status = get_engine_client().status()
            engine = {
                "epoch": int(status.epoch),
                "journal_id": str(status.journal_id),
                "build_id": str(status.build_id),
                "durability": str(status.durability),
                "cmd_seq": int(status.cmd_seq),
                "event_seq": int(status.event_seq),
            }
        except EngineUnavailableError:
            pass
        lag = max(0, engine["cmd_seq"] - projection.cmd_seq) if engine and projection else None
        behind = projection is None or bool(projection.halted_reason) or (lag or 0) > 10_000
        return Response(
            {
                "state": "down" if engine is None else "degraded" if behind else "ok",
                "engine": engine,
                "projection": {
                    "cmd_seq": projection.cmd_seq,
                    "event_seq": projection.event_seq,
                    "lag_commands": lag,
                    "halted": bool(projection.halted_reason),
                }
                if projection
                else None,
                "time": rfc3339(SYSTEM_CLOCK.now_ns()),
            }
        )
