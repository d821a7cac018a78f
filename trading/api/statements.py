"""REST views of an account's statement: its figures, and the whole of it as CSV and PDF."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.selectors.access import AccountRef, account_for_user
from brokerage.platform.api import ApiView, query_of
from brokerage.platform.api_fields import DayField, StrictSerializer
from brokerage.platform.api_schema import decimal_out, documented
from brokerage.platform.pdf import pdf_response
from brokerage.platform.reporting import CsvRenderer, PdfRenderer, csv_response
from trading.api.overview import OpenOrders
from trading.api.schemas import LEDGER_KINDS
from trading.selectors.statement import ORDERS_MAX, period_of, statement_get
from trading.selectors.statement_figures import Period
from trading.selectors.statement_forms import CSV_HEADER, CSV_TEXT, statement_json
from trading.services.statements import statement_csv, statement_name, statement_pdf


class StatementQuery(StrictSerializer):
    """Whole UTC days."""

    from_ = DayField(help_text="First day; the account's first day where it is earlier.")
    to = DayField(
        help_text="The day after the last one. At most 366 days after from; a period that is not over is answered so far."
    )


class StatementLine(serializers.Serializer[Any]):
    """Entries of one kind."""

    kind = serializers.ChoiceField(choices=LEDGER_KINDS)
    amount = decimal_out()


class StatementAsset(serializers.Serializer[Any]):
    """One asset: opening + lines = closing, to the last unit."""

    asset = serializers.CharField()
    opening = decimal_out()
    lines = StatementLine(many=True)
    closing = decimal_out()
    display_decimals = serializers.IntegerField()


class StatementPrice(serializers.Serializer[Any]):
    """The newest price recorded at or before the end; nulls where there is none."""

    price = decimal_out(allow_null=True)
    price_time = serializers.DateTimeField(allow_null=True)
    price_source = serializers.ChoiceField(
        choices=["trade", "live", "recorded", "simulated"], allow_null=True, help_text="A trade here, or a bar's close."
    )
    price_symbol = serializers.CharField(allow_null=True)


class StatementHolding(StatementPrice):
    """A closing balance and its worth in the base currency."""

    asset = serializers.CharField()
    amount = decimal_out()
    display_decimals = serializers.IntegerField()
    value = decimal_out(allow_null=True)


class StatementPosition(StatementPrice):
    """An instrument that was open at the end or traded in the period; money in ``currency``."""

    symbol = serializers.CharField()
    kind = serializers.CharField(help_text="spot or margin.")
    qty = decimal_out(help_text="At the end; below zero: short.")
    avg_price = decimal_out(allow_null=True)
    cost = decimal_out(allow_null=True)
    value = decimal_out(allow_null=True)
    unrealised = decimal_out(allow_null=True)
    realised = decimal_out(allow_null=True, help_text="In the period, fees not included.")
    margin = decimal_out(allow_null=True, help_text="Held for the position alone; null for spot.")
    currency = serializers.CharField()


class StatementShape(serializers.Serializer[Any]):
    """The figures of a statement; entries and trades are in the files."""

    account = serializers.CharField()
    owner = serializers.CharField()
    from_ = serializers.DateField()
    to = serializers.DateField(help_text="Not in it.")
    so_far = serializers.BooleanField(help_text="The period is not over.")
    as_of = serializers.DateTimeField(help_text="Its end, or when it was made.")
    made = serializers.DateTimeField()
    seq = serializers.IntegerField(help_text="Event sequence it was made at.")
    currency = serializers.CharField(help_text="Base currency of the account.")
    value = decimal_out(
        allow_null=True, help_text="Holdings and the open result of margin positions, in the base currency."
    )
    no_price = serializers.ListField(child=serializers.CharField(), help_text="What is not in the value.")
    assets = StatementAsset(many=True)
    holdings = StatementHolding(many=True)
    positions = StatementPosition(many=True)
    entries = serializers.IntegerField()
    trades = serializers.IntegerField()
    open_orders = OpenOrders(
        allow_null=True, help_text=f"Now, the newest {ORDERS_MAX}; null for a period that is over."
    )

    def get_fields(self) -> dict[str, Any]:
        """``from_`` is ``from`` outside, which Python could not say."""
        return {name.rstrip("_"): one for name, one in super().get_fields().items()}


def _asked(request: Request, number: str) -> tuple[AccountRef, Period]:
    """Whose first, so that a stranger learns nothing of the account's first day."""
    account = account_for_user(request.user.pk, number)
    query = query_of(request, StatementQuery)
    return account, period_of(account, query["from"], query["to"])


class StatementView(ApiView):
    """The figures."""

    throttle_scopes = {"GET": "statement"}

    @documented(
        answer=StatementShape, query=StatementQuery, problems=(404,), tag="accounts", operation="statement_get",
        summary="Statement of an account: balances, movements, holdings and positions of a period",
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        """Opening balance, what moved it and closing balance of every asset, and what was held at the end."""
        return Response(statement_json(statement_get(*_asked(request, number))))


class StatementCsvView(ApiView):
    """The statement as a table."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (CsvRenderer, JSONRenderer)

    @documented(
        answer=str, query=StatementQuery, problems=(404,), tag="accounts", operation="statement_csv", summary="Statement as CSV",
        media="text/csv",
    )  # fmt: skip
    def get(self, request: Request, number: str) -> StreamingHttpResponse:
        """Summary, holdings, positions, trades and the ledger with running balances, oldest first; ``section`` says what a row is."""
        account, period = _asked(request, number)
        rows = statement_csv(account=account, period=period)
        return csv_response(statement_name(account, period, "csv"), CSV_HEADER, rows, text_columns=CSV_TEXT)


class StatementPdfView(ApiView):
    """The statement as a document."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (PdfRenderer, JSONRenderer)

    @documented(
        answer=OpenApiTypes.BINARY, query=StatementQuery, problems=(404,), tag="accounts", operation="statement_pdf",
        summary="Statement as PDF", media="application/pdf",
    )  # fmt: skip
    def get(self, request: Request, number: str) -> HttpResponse:
        """The digest of its bytes is recorded in the audit trail."""
        account, period = _asked(request, number)
        made = statement_pdf(account=account, period=period, made_for=str(getattr(request.user, "email", "")))
        return pdf_response(statement_name(account, period, "pdf"), made)
