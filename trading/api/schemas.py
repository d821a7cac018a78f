"""Bodies, parameters and answers of the trading endpoints, for checking input and for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from brokerage.kernel.terms import OrdStatus, OrdType, Side, StpMode, TimeInForce
from brokerage.platform.api_fields import (
    ClientOrderIdField,
    DecimalText,
    PageQuery,
    StrictBoolean,
    StrictSerializer,
    StrictText,
    SymbolField,
    TermField,
    TimeField,
    WholeNumber,
    WordField,
)
from brokerage.platform.api_schema import decimal_out
from trading.selectors.ledger import KIND_NUMBERS
from trading.selectors.orders import STATUSES
from trading.selectors.shapes import EVENT_WORDS

ORDER_STATUSES = list(OrdStatus.api_names())
ORDER_TYPES = list(OrdType.api_names())
EVENT_TYPES = [*EVENT_WORDS.values(), "other"]
LEDGER_KINDS = list(KIND_NUMBERS)
PLATFORM_STATES = ["ok", "degraded", "down"]


class PreviewBody(StrictSerializer):
    """An order as it would be sent."""

    account = StrictText(required=False, max_length=12, help_text="Account number; the first account when left out.")
    symbol = SymbolField()
    side = TermField(Side)
    type = TermField(OrdType)
    time_in_force = TermField(TimeInForce, required=False, help_text="Limit: gtc when left out; market: ioc.")
    qty = DecimalText()
    price = DecimalText(required=False, allow_null=True)
    post_only = StrictBoolean(required=False, default=False)
    reduce_only = StrictBoolean(required=False, default=False)
    stp = TermField(StpMode, required=False, default=StpMode.CANCEL_NEWEST, help_text="Self-trade prevention.")
    expire_at = TimeField(required=False, allow_null=True, help_text="Only with gtd.")


class OrderBody(PreviewBody):
    """A new order. client_order_id (or the Idempotency-Key header) makes it safe to send again."""

    client_order_id = ClientOrderIdField(required=False)


class ReplaceBody(StrictSerializer):
    """What changes. What is left out stays."""

    account = StrictText(required=False, max_length=12)
    qty = DecimalText(required=False, help_text="New total quantity, what is filled included.")
    price = DecimalText(required=False)
    expected_version = WholeNumber(
        required=False, low=1, high=255, help_text="Refuse (5006) when the order is another version."
    )
    client_order_id = ClientOrderIdField(required=False)


class CancelAllBody(StrictSerializer):
    """Which orders; all when empty."""

    account = StrictText(required=False, max_length=12)
    symbol = SymbolField(required=False)
    side = TermField(Side, required=False)


class OfAccountQuery(StrictSerializer):
    """Selects one of several accounts."""

    account = StrictText(required=False, max_length=12, help_text="Account number; the first account when left out.")


class RangeQuery(OfAccountQuery):
    """Filters of a list by time."""

    from_ = TimeField(required=False, help_text="At or after.")
    to = TimeField(required=False, help_text="Before.")


class OrderFilter(RangeQuery):
    """Filters of the order list."""

    status = WordField(STATUSES, required=False, default="all")
    symbol = SymbolField(required=False)
    side = TermField(Side, required=False)


class OrdersQuery(OrderFilter, PageQuery):
    """Filters and page of the order list."""


class ExecutionFilter(RangeQuery):
    """Filters of the list of fills."""

    symbol = SymbolField(required=False)
    side = TermField(Side, required=False)
    order_id = StrictText(required=False, max_length=14)


class ExecutionsQuery(ExecutionFilter, PageQuery):
    """Filters and page of the list of fills."""


class LedgerFilter(RangeQuery):
    """Filters of the ledger."""

    asset = StrictText(required=False, max_length=12)
    kind = WordField(tuple(KIND_NUMBERS), required=False)


class LedgerQuery(LedgerFilter, PageQuery):
    """Filters and page of the ledger."""


class PositionsQuery(OfAccountQuery):
    """Filters of the positions."""

    symbol = SymbolField(required=False)


class RejectBlock(serializers.Serializer[Any]):
    """Why an order was refused."""

    code = serializers.IntegerField()
    slug = serializers.CharField()
    title = serializers.CharField()
    detail = serializers.CharField()
    rule = serializers.CharField()
    needed = serializers.CharField(allow_null=True)
    available = serializers.CharField(allow_null=True)
    next_step = serializers.CharField()


class OrderAnswerShape(serializers.Serializer[Any]):
    """An order. Null: has none, or is not known here."""

    order_id = serializers.CharField()
    client_order_id = serializers.CharField(allow_null=True)
    account = serializers.CharField()
    symbol = serializers.CharField(allow_null=True)
    side = serializers.ChoiceField(choices=Side.api_names(), allow_null=True)
    type = serializers.ChoiceField(choices=ORDER_TYPES, allow_null=True)
    time_in_force = serializers.ChoiceField(choices=TimeInForce.api_names(), allow_null=True)
    price = decimal_out(allow_null=True)
    qty = decimal_out(allow_null=True)
    filled_qty = decimal_out(allow_null=True)
    leaves_qty = decimal_out(allow_null=True)
    avg_price = decimal_out(allow_null=True)
    status = serializers.ChoiceField(choices=ORDER_STATUSES)
    reject = RejectBlock(allow_null=True)
    cancel_reason = serializers.CharField(allow_null=True)
    cancel_text = serializers.CharField(allow_null=True)
    post_only = serializers.BooleanField()
    reduce_only = serializers.BooleanField()
    stp = serializers.ChoiceField(choices=StpMode.api_names(), allow_null=True)
    version = serializers.IntegerField()
    fee = decimal_out(allow_null=True)
    fee_asset = serializers.CharField(allow_null=True)
    expire_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)
    seq = serializers.IntegerField(allow_null=True)


class ExecutionShape(serializers.Serializer[Any]):
    """A fill."""

    exec_id = serializers.CharField()
    order_id = serializers.CharField()
    account = serializers.CharField()
    symbol = serializers.CharField(allow_null=True)
    side = serializers.ChoiceField(choices=Side.api_names())
    price = decimal_out(allow_null=True)
    qty = decimal_out(allow_null=True)
    notional = decimal_out(allow_null=True)
    fee = decimal_out(allow_null=True)
    fee_asset = serializers.CharField(allow_null=True)
    liquidity = serializers.ChoiceField(choices=["maker", "taker"])
    realised_pnl = decimal_out(allow_null=True)
    leaves_qty = decimal_out(allow_null=True)
    filled_qty = decimal_out(allow_null=True)
    time = serializers.DateTimeField()
    seq = serializers.IntegerField()


class OrderWithFills(OrderAnswerShape):
    """An order with its fills; null when they are not known yet."""

    executions = ExecutionShape(many=True, allow_null=True)


class EventReason(serializers.Serializer[Any]):
    """Why a step happened."""

    code = serializers.IntegerField()
    slug = serializers.CharField()
    detail = serializers.CharField()


class OrderEventShape(serializers.Serializer[Any]):
    """One step of an order."""

    seq = serializers.IntegerField()
    type = serializers.ChoiceField(choices=EVENT_TYPES)
    reason = EventReason(allow_null=True)
    price = decimal_out(allow_null=True)
    qty = decimal_out(allow_null=True)
    leaves_qty = decimal_out(allow_null=True)
    filled_qty = decimal_out(allow_null=True)
    time = serializers.DateTimeField()


class CanceledAll(serializers.Serializer[Any]):
    """What a cancel-all did."""

    canceled = serializers.IntegerField()
    order_ids = serializers.ListField(child=serializers.CharField())


class PreviewShape(serializers.Serializer[Any]):
    """What the order would do if it were sent now."""

    accepted = serializers.BooleanField()
    reject = RejectBlock(allow_null=True)
    symbol = serializers.CharField()
    side = serializers.ChoiceField(choices=Side.api_names())
    fills = serializers.IntegerField()
    fill_qty = decimal_out()
    rest_qty = decimal_out()
    avg_price = decimal_out(allow_null=True)
    worst_price = decimal_out(allow_null=True)
    notional = decimal_out(help_text="Value of what would trade at once.")
    fee = decimal_out()
    cost = decimal_out(help_text="Buy: notional and fee together; sell: notional less fee.")
    currency = serializers.CharField()
    hold = decimal_out(help_text="Additional amount held at entry.")
    hold_asset = serializers.CharField()
    day_limit = decimal_out(
        allow_null=True, help_text="Value of a day's orders, the tighter of product and all; null: not counted."
    )
    day_left = decimal_out(allow_null=True, help_text="What is left of it today, before this order.")


class DisclosureState(serializers.Serializer[Any]):
    """A risk warning and whether the owner has accepted its present version."""

    code = serializers.CharField()
    version = serializers.IntegerField()
    title = serializers.CharField()
    accepted = serializers.BooleanField()


class ProductLimits(serializers.Serializer[Any]):
    """One product class under the owner's rules."""

    product = serializers.CharField()
    name = serializers.CharField()
    instruments = serializers.ListField(child=serializers.CharField())
    complex = serializers.BooleanField()
    refused = serializers.IntegerField(allow_null=True, help_text="Code a new order would be refused with.")
    refused_text = serializers.CharField(allow_blank=True)
    leverage_cap = serializers.IntegerField(allow_null=True)
    order_max = decimal_out(allow_null=True)
    day_limit = decimal_out(allow_null=True)
    day_used = decimal_out()
    day_left = decimal_out(allow_null=True)
    disclosures = DisclosureState(many=True)


class LimitsShape(serializers.Serializer[Any]):
    """What an account may trade today."""

    account = serializers.CharField()
    tier = serializers.IntegerField()
    jurisdiction = serializers.CharField()
    jurisdiction_name = serializers.CharField()
    policy = serializers.CharField()
    currency = serializers.CharField()
    order_max = decimal_out()
    open_orders_max = serializers.IntegerField()
    day_limit = decimal_out()
    day_used = decimal_out()
    day_left = decimal_out()
    deposit_30d_limit = decimal_out()
    withdrawal_day_limit = decimal_out()
    resets_at = serializers.DateTimeField()
    reports = serializers.ListField(child=serializers.CharField())
    products = ProductLimits(many=True)


class BalanceShape(serializers.Serializer[Any]):
    """A balance."""

    asset = serializers.CharField()
    available = decimal_out()
    held = decimal_out()
    total = decimal_out()
    display_decimals = serializers.IntegerField()
    seq = serializers.IntegerField(allow_null=True)


class LedgerShape(serializers.Serializer[Any]):
    """One entry of the account's ledger."""

    entry_id = serializers.CharField()
    time = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=LEDGER_KINDS)
    asset = serializers.CharField()
    amount = decimal_out(help_text="Signed.")
    exec_id = serializers.CharField(allow_null=True)
    display_decimals = serializers.IntegerField()


class PositionShape(serializers.Serializer[Any]):
    """A position. Without a mark every value that needs one is null."""

    symbol = serializers.CharField()
    kind = serializers.CharField()
    qty = decimal_out(help_text="Signed: short below zero.")
    avg_price = decimal_out(allow_null=True)
    mark_price = decimal_out(allow_null=True)
    mark_ts = serializers.CharField(allow_null=True)
    market_value = decimal_out(allow_null=True)
    unrealised_pnl = decimal_out(allow_null=True)
    realised_pnl = decimal_out(allow_null=True)
    cost = decimal_out()
    margin_held = decimal_out(allow_null=True)
    currency = serializers.CharField()
    seq = serializers.IntegerField(allow_null=True)


class EngineShape(serializers.Serializer[Any]):
    """The engine's own word about itself; null when it does not answer."""

    epoch = serializers.IntegerField()
    journal_id = serializers.CharField()
    build_id = serializers.CharField()
    durability = serializers.CharField()
    cmd_seq = serializers.IntegerField()
    event_seq = serializers.IntegerField()


class ProjectionShape(serializers.Serializer[Any]):
    """How far the stored data has come."""

    cmd_seq = serializers.IntegerField()
    event_seq = serializers.IntegerField()
    lag_commands = serializers.IntegerField(allow_null=True)
    halted = serializers.BooleanField()


class StatusShape(serializers.Serializer[Any]):
    """Whether one can trade now."""

    state = serializers.ChoiceField(choices=PLATFORM_STATES)
    engine = EngineShape(allow_null=True)
    projection = ProjectionShape(allow_null=True)
    time = serializers.DateTimeField()
