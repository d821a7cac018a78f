"""REST view of an account in one answer."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.schemas import Account, NoQuery
from accounts.api.views import account_json
from accounts.selectors.access import account_for_user
from brokerage.platform.api import ApiView, query_of
from brokerage.platform.api_schema import documented
from trading.api import schemas
from trading.api.withdrawals import WithdrawalShape
from trading.selectors.overview import ORDERS_MAX, WITHDRAWALS_MAX, account_overview


class MarkedPosition(schemas.PositionShape):
    """A position and how old its mark is."""

    mark_age_ms = serializers.IntegerField(allow_null=True, help_text="Null without a mark.")


class OpenOrders(serializers.Serializer[Any]):
    """The newest open orders."""

    count = serializers.IntegerField(help_text="All of them, however many are shown.")
    results = schemas.OrderAnswerShape(many=True, help_text=f"At most {ORDERS_MAX}.")


class OpenWithdrawals(serializers.Serializer[Any]):
    """The newest withdrawals that are neither paid nor ended."""

    count = serializers.IntegerField(help_text="All of them, however many are shown.")
    results = WithdrawalShape(many=True, help_text=f"At most {WITHDRAWALS_MAX}.")


class OverviewShape(serializers.Serializer[Any]):
    """An account with everything about it that changes."""

    account = Account()
    time = serializers.DateTimeField(help_text="When it was put together.")
    seq = serializers.IntegerField(help_text="Event sequence read before the rows: the private stream goes on from it.")
    balances = schemas.BalanceShape(many=True)
    positions = MarkedPosition(many=True)
    open_orders = OpenOrders()
    limits = schemas.LimitsShape(
        allow_null=True, help_text="Null: the account has none, or what was used today is not known (limits_code)."
    )
    limits_code = serializers.IntegerField(allow_null=True)
    open_withdrawals = OpenWithdrawals()


class OverviewView(ApiView):
    """One account, in one call."""

    @documented(
        answer=OverviewShape, problems=(404,), tag="accounts", operation="accounts_overview",
        summary="Account, balances, positions, open orders, limits and open withdrawals in one answer",
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        """Each part as its own call shows it."""
        query_of(request, NoQuery)
        account = account_for_user(request.user.pk, number)
        return Response({"account": account_json(account), **account_overview(account)})
