"""REST views of money out: payout destinations and withdrawals. Stands on ``trading/services/payouts.py``.

Saving a destination and asking for a withdrawal need a fresh proof: a portal session's own, or from programs a code of the authenticator in
``X-Second-Factor``. A request that is repeated under its Idempotency-Key is answered without another code, because codes work once.
"""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.schemas import NoQuery
from accounts.services.beneficiaries import (
    HOLDER_MAX,
    beneficiary_add,
    beneficiary_list_for,
    beneficiary_remove,
    owner_demand,
)
from accounts.services.step_up import step_up_required
from brokerage.platform.api import ApiView, idempotency_key, listing, query_of
from brokerage.platform.api_fields import DecimalText, PageQuery, StrictSerializer, StrictText
from brokerage.platform.api_schema import IDEMPOTENCY, decimal_out, documented, list_of
from brokerage.platform.reporting import CsvRenderer, csv_response
from trading.api.access import account_of, csv_rows
from trading.api.schemas import OfAccountQuery
from trading.selectors.withdrawals import (
    KEYS,
    STATUSES,
    beneficiary_find,
    beneficiary_json,
    withdrawal_find,
    withdrawal_json,
    withdrawal_keys_for,
    withdrawal_page,
    withdrawals_of,
)
from trading.services.payouts import refusal_demand, withdrawal_replayed, withdrawal_request, withdrawal_take_back

CSV_COLUMNS = (
    "withdrawal_id", "account", "asset", "amount", "destination", "status", "reason", "reference", "created_at", "approved_at", "decided_at",
)  # fmt: skip
SECOND_FACTOR = OpenApiParameter(
    "X-Second-Factor",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    required=False,
    description="Code of the authenticator; from programs it must be there. Each works once.",
)


class BeneficiaryBody(StrictSerializer):
    """A new payout destination."""

    account = StrictText(required=False, max_length=12, help_text="Account number; the first account when left out.")
    holder = StrictText(max_length=HOLDER_MAX, help_text="As the bank writes it; the owner's own name.")
    iban = StrictText(max_length=42)


class WithdrawalBody(StrictSerializer):
    """Money to be paid out."""

    account = StrictText(required=False, max_length=12, help_text="Account number; the first account when left out.")
    beneficiary_id = StrictText(max_length=26)
    asset = StrictText(max_length=12, required=False, default="USD")
    amount = DecimalText()


class BeneficiaryShape(serializers.Serializer[Any]):
    """A payout destination, its number masked."""

    beneficiary_id = serializers.CharField()
    account = serializers.CharField()
    holder = serializers.CharField()
    destination = serializers.CharField()
    usable = serializers.BooleanField()
    usable_at = serializers.DateTimeField(help_text="End of the cool-off.")
    created_at = serializers.DateTimeField()


class WithdrawalShape(serializers.Serializer[Any]):
    """A withdrawal."""

    withdrawal_id = serializers.CharField()
    account = serializers.CharField()
    asset = serializers.CharField()
    amount = decimal_out()
    beneficiary_id = serializers.CharField()
    destination = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    cancellable = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)
    reference = serializers.CharField(allow_null=True, help_text="The bank's, once it is paid.")
    created_at = serializers.DateTimeField()
    approved_at = serializers.DateTimeField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    display_decimals = serializers.IntegerField()


class WithdrawalsQuery(OfAccountQuery, PageQuery):
    """Which account, which page."""


class BeneficiariesView(ApiView):
    """Where money can be paid to."""

    throttle_scopes = {"POST": "withdraw"}

    @documented(
        answer=list_of("Beneficiary", BeneficiaryShape), query=OfAccountQuery, problems=(404,), tag="accounts",
        operation="beneficiaries_list", summary="Payout destinations",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """List those of an account."""
        account = account_of(request, query_of(request, OfAccountQuery))
        return Response(listing([beneficiary_json(row) for row in beneficiary_list_for([account.core_account])]))

    @documented(
        answer=BeneficiaryShape, body=BeneficiaryBody, status=201, problems=(404, 422), parameters=(SECOND_FACTOR,), tag="accounts",
        operation="beneficiaries_add", summary="Save a payout destination",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Save one. It can be used after the cool-off; the same one again is the one there is."""
        data = self.body(BeneficiaryBody)
        step_up_required(request, "beneficiary")
        account = account_of(request, data)
        row = beneficiary_add(user=request.user, account=account, holder=data["holder"], iban=data["iban"])
        return Response(beneficiary_json(row), status=201)


class BeneficiaryView(ApiView):
    """One destination."""

    @documented(
        status=204,
        problems=(404, 409),
        tag="accounts",
        operation="beneficiaries_remove",
        summary="Remove a payout destination",
    )
    def delete(self, request: Request, beneficiary_id: str) -> Response:
        """Forget it; not while money is on its way to it."""
        account, row = beneficiary_find(request.user.pk, beneficiary_id)
        beneficiary_remove(user=request.user, account=account, beneficiary_id=row.pk)
        return Response(status=204)


class WithdrawalsView(ApiView):
    """Withdrawals of an account."""

    throttle_scopes = {"POST": "withdraw"}

    @documented(
        answer=list_of("Withdrawal", WithdrawalShape), query=WithdrawalsQuery, problems=(404,), tag="accounts",
        operation="withdrawals_list", summary="Withdrawals, newest first",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """One page of them."""
        query = query_of(request, WithdrawalsQuery)
        account = account_of(request, query)
        rows, cursor = withdrawal_page(account, cursor=query.get("cursor"), limit=query["limit"])
        return Response(listing([withdrawal_json(row) for row in rows], cursor))

    @documented(
        answer=WithdrawalShape, body=WithdrawalBody, status=201, more={200: WithdrawalShape}, problems=(404, 409, 422),
        parameters=(IDEMPOTENCY, SECOND_FACTOR), tag="accounts", operation="withdrawals_create", summary="Withdraw money",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Ask for a payout; 201 with status "held" once the money is set aside, "requested" while the engine is away."""
        data = self.body(WithdrawalBody)
        key = idempotency_key(request) or ""
        terms = {"beneficiary_id": data["beneficiary_id"], "asset": data["asset"].upper(), "amount": data["amount"]}
        replayed = None
        if key:
            account = account_of(request, data)
            owner_demand(account)
            replayed = withdrawal_replayed(account=account, key=key, **terms)
        if replayed is None:
            step_up_required(request, "withdrawal")
            account = account_of(request, data)
            row = withdrawal_request(user=request.user, account=account, key=key, **terms)
        else:
            row = replayed
        refusal_demand(row)
        headers = {"Idempotent-Replayed": "true"} if replayed is not None else {}
        return Response(withdrawal_json(row), status=200 if replayed is not None else 201, headers=headers)


class WithdrawalsCsvView(ApiView):
    """Withdrawals as a file."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (CsvRenderer, JSONRenderer)

    @documented(
        answer=str, query=OfAccountQuery, problems=(404, 422), tag="accounts", operation="withdrawals_csv",
        summary="Withdrawals as CSV", media="text/csv",
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream all of them, newest first."""
        account = account_of(request, query_of(request, OfAccountQuery))
        keys = csv_rows(withdrawal_keys_for(account), KEYS)
        shown = map(withdrawal_json, withdrawals_of(account, keys))
        lines = ([row[name] for name in CSV_COLUMNS] for row in shown)
        return csv_response(
            "withdrawals.csv", CSV_COLUMNS, lines, text_columns=("account", "destination", "reason", "reference")
        )


class WithdrawalView(ApiView):
    """One withdrawal."""

    @documented(
        answer=WithdrawalShape, problems=(404,), tag="accounts", operation="withdrawals_get", summary="One withdrawal"
    )
    def get(self, request: Request, withdrawal_id: str) -> Response:
        """How far it has got."""
        query_of(request, NoQuery)
        return Response(withdrawal_json(withdrawal_find(request.user.pk, withdrawal_id)[1]))

    @documented(
        answer=WithdrawalShape,
        problems=(404, 409),
        tag="accounts",
        operation="withdrawals_cancel",
        summary="Cancel a withdrawal",
    )
    def delete(self, request: Request, withdrawal_id: str) -> Response:
        """Take it back, until it is approved; the money is available again at once, or when the engine is back."""
        account, row = withdrawal_find(request.user.pk, withdrawal_id)
        owner_demand(account)
        return Response(withdrawal_json(withdrawal_take_back(row.pk)))
