"""Admin of trading and of everything with core numbers in it: orders, fills, ledger, balances, positions, projection and engine. Read only.

Money is shown here and not in accounts because only from here up the assets are known. Leaves every change to services.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.models import Balance, Deposit, LedgerEntry, Withdrawal
from accounts.selectors.access import account_number
from brokerage.kernel.clock import rfc3339
from brokerage.kernel.identifiers import encode_id
from brokerage.kernel.terms import OrdType, Side, TimeInForce
from brokerage.platform.admin_base import ReadOnlyAdmin
from brokerage.platform.health import health_of
from marketdata.selectors.instruments import asset_by_code, asset_by_core, instrument_by_core
from risk.models import Position
from trading.engine.gateway import EngineUnavailable
from trading.models import Execution, Order, ProjectionState
from trading.selectors.shapes import order_public_id
from trading.services.engine_access import get_engine_client

_SIDE = {side.value: side.api for side in Side}
_TYPE = {kind.value: kind.api for kind in OrdType}
_TIF = {tif.value: tif.api for tif in TimeInForce}


def _money(core_asset: int, minor: int) -> str:
    asset = asset_by_core(core_asset)
    return f"{asset.money(minor)} {asset.code}" if asset else str(minor)


def _price(row: Any, ticks: int) -> str:
    instrument = instrument_by_core(row.core_instrument)
    return instrument.price(ticks) if instrument and ticks > 0 else "–"


def _qty(row: Any, lots: int) -> str:
    instrument = instrument_by_core(row.core_instrument)
    return instrument.qty(lots) if instrument else str(lots)


class CoreAdmin(ReadOnlyAdmin):
    """Columns every row with core numbers has."""

    account_path = "core_account"

    @admin.display(description="Account", ordering="core_account")
    def account(self, row: Any) -> str:
        """Public number."""
        return account_number(row.core_account) or str(row.core_account)

    @admin.display(description="Instrument", ordering="core_instrument")
    def instrument(self, row: Any) -> str:
        """Symbol."""
        instrument = instrument_by_core(row.core_instrument)
        return instrument.symbol if instrument else str(row.core_instrument)

    @admin.display(description="Side", ordering="side")
    def side_text(self, row: Any) -> str:
        """Word."""
        return _SIDE.get(row.side, "–")

    @admin.display(description="Asset", ordering="core_asset")
    def asset(self, row: Any) -> str:
        """Code."""
        asset = asset_by_core(row.core_asset)
        return asset.code if asset else str(row.core_asset)

    @admin.display(description="Time (UTC)")
    def time(self, row: Any) -> str:
        """RFC 3339."""
        return rfc3339(row.time_ns)


@admin.register(Order)
class OrderAdmin(CoreAdmin):
    """Orders as projected, refused ones too."""

    list_display = (
        "public_id", "account", "instrument", "side_text", "type_text", "price_text", "qty_text", "filled_text", "ord_status", "reject_reason",
        "created",
    )  # fmt: skip
    list_filter = ("ord_status", "side", "core_instrument")
    search_fields = ("=core_account", "cl_ord_id", "=order_id")
    ordering = ("-entry_seq",)

    @admin.display(description="Order", ordering="order_id")
    def public_id(self, row: Order) -> str:
        """As clients see it."""
        return order_public_id(row.order_id)

    @admin.display(description="Type")
    def type_text(self, row: Order) -> str:
        """Type and time in force."""
        return f"{_TYPE.get(row.ord_type, '–')} {_TIF.get(row.time_in_force, '')}"

    @admin.display(description="Price", ordering="price")
    def price_text(self, row: Order) -> str:
        """Decimal."""
        return _price(row, row.price)

    @admin.display(description="Quantity", ordering="order_qty")
    def qty_text(self, row: Order) -> str:
        """Decimal."""
        return _qty(row, row.order_qty)

    @admin.display(description="Filled", ordering="cum_qty")
    def filled_text(self, row: Order) -> str:
        """Decimal."""
        return _qty(row, row.cum_qty)

    @admin.display(description="Created (UTC)", ordering="created_ns")
    def created(self, row: Order) -> str:
        """RFC 3339."""
        return rfc3339(row.created_ns)


@admin.register(Execution)
class ExecutionAdmin(CoreAdmin):
    """Fills."""

    list_display = (
        "public_id",
        "order",
        "account",
        "instrument",
        "side_text",
        "qty_text",
        "price_text",
        "fee_text",
        "liquidity",
        "time",
    )
    list_filter = ("side", "liquidity", "core_instrument")
    search_fields = ("=core_account", "=order_id", "=exec_id")
    ordering = ("-exec_id",)

    @admin.display(description="Execution", ordering="exec_id")
    def public_id(self, row: Execution) -> str:
        """As clients see it."""
        return encode_id(row.exec_id)

    @admin.display(description="Order", ordering="order_id")
    def order(self, row: Execution) -> str:
        """As clients see it."""
        return order_public_id(row.order_id)

    @admin.display(description="Quantity", ordering="last_qty")
    def qty_text(self, row: Execution) -> str:
        """Decimal."""
        return _qty(row, row.last_qty)

    @admin.display(description="Price", ordering="last_px")
    def price_text(self, row: Execution) -> str:
        """Decimal."""
        return _price(row, row.last_px)

    @admin.display(description="Fee", ordering="fee")
    def fee_text(self, row: Execution) -> str:
        """Decimal with code."""
        return _money(row.fee_core_asset, row.fee)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(CoreAdmin):
    """The double-entry ledger."""

    list_display = ("entry", "time", "book", "account", "asset", "amount_text", "kind")
    list_filter = ("book", "kind")
    search_fields = ("=core_account", "=cmd_seq", "=ref_id")
    ordering = ("-id",)

    @admin.display(description="Entry", ordering="id")
    def entry(self, row: LedgerEntry) -> str:
        """Event and leg."""
        return f"{encode_id(row.entry_seq)}-{row.leg}"

    @admin.display(description="Amount", ordering="amount")
    def amount_text(self, row: LedgerEntry) -> str:
        """Signed decimal with code."""
        return _money(row.core_asset, row.amount)


@admin.register(Balance)
class BalanceAdmin(CoreAdmin):
    """Balances as projected."""

    list_display = ("account", "asset", "available_text", "held_text", "seq")
    search_fields = ("=core_account",)
    ordering = ("core_account", "core_asset")

    @admin.display(description="Available", ordering="available")
    def available_text(self, row: Balance) -> str:
        """Decimal with code."""
        return _money(row.core_asset, row.available)

    @admin.display(description="Held", ordering="held")
    def held_text(self, row: Balance) -> str:
        """Decimal with code."""
        return _money(row.core_asset, row.held)


@admin.register(Position)
class PositionAdmin(CoreAdmin):
    """Positions as projected."""

    list_display = ("account", "instrument", "net_text", "cost_text", "pnl_text", "seq")
    list_filter = ("core_instrument",)
    search_fields = ("=core_account",)
    ordering = ("core_account", "core_instrument")

    @admin.display(description="Net", ordering="net")
    def net_text(self, row: Position) -> str:
        """Decimal, signed."""
        return _qty(row, row.net)

    @admin.display(description="Open cost", ordering="cost")
    def cost_text(self, row: Position) -> str:
        """Decimal with code."""
        return self._quote(row, row.cost)

    @admin.display(description="Realised", ordering="realised_pnl")
    def pnl_text(self, row: Position) -> str:
        """Decimal with code."""
        return self._quote(row, row.realised_pnl)

    @staticmethod
    def _quote(row: Position, minor: int) -> str:
        instrument = instrument_by_core(row.core_instrument)
        return f"{instrument.quote.money(minor)} {instrument.quote.code}" if instrument else str(minor)


class _FundingAdmin(ReadOnlyAdmin):
    """Deposits and withdrawals."""

    account_path = "account__core_account"

    list_filter = ("status", "asset")
    list_select_related = ("account",)

    @admin.display(description="Amount", ordering="amount")
    def amount_text(self, row: Deposit | Withdrawal) -> str:
        """Decimal with code."""
        asset = asset_by_code(row.asset)
        return f"{asset.money(row.amount)} {asset.code}" if asset else f"{row.amount} {row.asset}"


@admin.register(Deposit)
class DepositAdmin(_FundingAdmin):
    """Deposits and how far they have got."""

    list_display = ("id", "account", "amount_text", "status", "reference", "created_at")
    search_fields = ("id", "reference", "account__number")


@admin.register(Withdrawal)
class WithdrawalAdmin(_FundingAdmin):
    """Withdrawals and how far they have got."""

    list_display = ("id", "account", "amount_text", "status", "reference", "created_at")
    search_fields = ("id", "reference", "account__number")


@admin.register(ProjectionState)
class ProjectionStateAdmin(ReadOnlyAdmin):
    """How far the projection has come; its page also shows the engine, live."""

    list_display = ("journal_id", "epoch", "cmd_seq", "event_seq", "updated_at", "halted_reason")

    def get_urls(self) -> list[URLPattern]:
        """Add the engine's page."""
        return [
            path("engine/", self.admin_site.admin_view(self.engine_view), name="trading_engine_state"),
            *super().get_urls(),
        ]

    def engine_view(self, request: HttpRequest) -> HttpResponse:
        """The engine's own answer, now; ``?digest=1`` asks for the digest of its whole state as well."""
        state: dict[str, Any] = {}
        digest = problem = None
        try:
            client = get_engine_client()
            state = client.status().details
            if request.GET.get("digest"):
                cmd_seq, event_seq, value = client.digest()
                digest = f"{value:016x} at command {cmd_seq}, event {event_seq}"
        except EngineUnavailable as error:
            problem = str(error)
        context = {
            **self.admin_site.each_context(request),
            "title": "Engine",
            "state": sorted(state.items()),
            "digest": digest,
            "problem": problem,
            "projection": ProjectionState.objects.filter(pk=1).first(),
            "health": health_of(),
        }
        return TemplateResponse(request, "trading/admin_engine.html", context)
