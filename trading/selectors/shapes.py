"""The JSON of orders, executions, balances and positions: one shape for REST, streams and pages.

Input is a mapping with the columns of the projection (``Order.objects.values()`` or a row built from engine events);
output is plain dicts of strings, integers, booleans and None. Owns the names and forms of the public fields, the
status words and the refusal block. Leaves to others: reading rows (the other selectors), who may see them (the
edges). Decimals are strings; times are RFC 3339 with Z.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts.selectors.access import account_number
from brokerage.kernel.clock import rfc3339
from brokerage.kernel.identifiers import encode_id
from brokerage.kernel.rejects import RejectCode, Unit, reject_row
from brokerage.kernel.terms import CancelReason, OrdStatus, OrdType, Side, StpMode, TimeInForce
from brokerage.kernel.units import RoundingMode, average_price, format_fixed, format_plain
from marketdata.selectors.instruments import AssetRef, InstrumentRef, asset_by_core, instrument_by_core

Row = Mapping[str, Any]

FLAG_POST_ONLY = 1
FLAG_REDUCE_ONLY = 2
#: Extra decimals of an average price beyond those of the price itself.
AVERAGE_DECIMALS = 4

_STATUS = {status.value: status.api for status in OrdStatus}
_SIDE = {side.value: side.api for side in Side}
_TYPE = {kind.value: kind.api for kind in OrdType}
_TIF = {tif.value: tif.api for tif in TimeInForce}
_STP = {mode.value: mode.api for mode in StpMode}
_CANCEL = {reason.value: reason for reason in CancelReason}
#: core_event_type -> the word of an order's time line.
EVENT_WORDS = {
    1: "accepted",
    2: "rejected",
    3: "rested",
    4: "filled",
    5: "canceled",
    6: "expired",
    7: "replaced",
    8: "cancel_rejected",
    9: "replace_rejected",
}


def order_public_id(order_id: int) -> str:
    """Public id of an order; a refused one (a negative number) is R and its command."""
    return encode_id(order_id) if order_id >= 0 else f"R{encode_id(-order_id)}"


def average_text(notional_ticks: int, qty_lots: int, instrument: InstrumentRef) -> str | None:
    """Average price of Σ(price × lots) over lots, rounded half even for display; None without lots."""
    decimals = min(12, instrument.price_decimals + AVERAGE_DECIMALS)
    average = average_price(int(notional_ticks), int(qty_lots), instrument.tick_size, decimals, RoundingMode.HALF_EVEN)
    if average is None:
        return None
    text = format_plain(average)
    short = len(text.partition(".")[2]) < instrument.price_decimals
    return format_fixed(average, instrument.price_decimals, RoundingMode.HALF_EVEN) if short else text


def funds_asset(side: int | None, instrument: InstrumentRef) -> AssetRef:
    """The asset an order needs: quote, or the base for a spot sell."""
    return instrument.base if instrument.spot and instrument.base and side == Side.SELL else instrument.quote


def reject_numbers(
    code: int, *, needed: int, available: int, price: int, side: int | None, instrument: InstrumentRef | None
) -> tuple[str | None, str | None]:
    """(needed, available) of a core refusal as text in the units of its rule; None where the rule has no number."""
    unit = reject_row(code).unit
    if unit is Unit.COUNT:
        return str(needed), None
    if instrument is None:
        return None, None
    if unit is Unit.PRICE:
        bound = price or needed
        return (instrument.price(bound) if bound else None), None
    if unit is Unit.QTY:
        both = code == RejectCode.UNFILLABLE
        zero_says_something = code in {RejectCode.REDUCE_ONLY, RejectCode.UNFILLABLE, RejectCode.QTY_BELOW_FILLED}
        shown = instrument.qty(needed) if needed or zero_says_something else None
        return shown, (instrument.qty(available) if both else None)
    if unit is Unit.QUOTE or unit is Unit.FUNDS:
        asset = instrument.quote if unit is Unit.QUOTE else funds_asset(side, instrument)
        return f"{asset.money(needed)} {asset.code}", f"{asset.money(available)} {asset.code}"
    return None, None


def reject_json(code: int, needed: str | None = None, available: str | None = None) -> dict[str, Any]:
    """The refusal block of an order or preview."""
    row = reject_row(code)
    return {
        "code": int(row.code),
        "slug": row.slug,
        "title": row.title,
        "detail": row.detail(needed, available),
        "rule": row.rule,
        "needed": needed,
        "available": available,
        "next_step": row.next_step,
    }


def order_json(row: Row, instrument: InstrumentRef | None = None, account: str | None = None) -> dict[str, Any]:
    """An order as the API shows it. A value that is None in the row (not known here) stays None."""
    if instrument is None:
        instrument = instrument_by_core(row["core_instrument"])
    if account is None:
        account = account_number(row["core_account"])
    flags = row["flags"] or 0
    reject = None
    if row["reject_reason"]:
        needed, available = reject_numbers(
            row["reject_reason"],
            needed=row.get("reject_needed", 0),
            available=row.get("reject_available", 0),
            price=row.get("reject_price", 0),
            side=row["side"],
            instrument=instrument,
        )
        reject = reject_json(row["reject_reason"], needed, available)
    cancel = _CANCEL.get(row["cancel_reason"] or 0)
    notional = row["notional_sum"]
    return {
        "order_id": order_public_id(row["order_id"]),
        "client_order_id": row["cl_ord_id"] or None,
        "account": account,
        "symbol": instrument.symbol if instrument else None,
        "side": _SIDE.get(row["side"]),
        "type": _TYPE.get(row["ord_type"]),
        "time_in_force": _TIF.get(row["time_in_force"]),
        # A market order's limit is the core's own worst price, not something the client gave.
        "price": _price(instrument, row["price"]) if row["ord_type"] != OrdType.MARKET else None,
        "qty": _qty(instrument, row["order_qty"]),
        "filled_qty": _qty(instrument, row["cum_qty"]),
        "leaves_qty": _qty(instrument, row["leaves_qty"]),
        "avg_price": average_text(notional, row["cum_qty"], instrument)
        if instrument and notional is not None
        else None,
        "status": _STATUS.get(row["ord_status"]),
        "reject": reject,
        "cancel_reason": cancel.api if cancel else None,
        "cancel_text": cancel.text if cancel else None,
        "post_only": bool(flags & FLAG_POST_ONLY),
        "reduce_only": bool(flags & FLAG_REDUCE_ONLY),
        "stp": _STP.get(row["stp"]),
        "version": row["version"],
        "fee": instrument.quote.money(row["fee_sum"]) if instrument and row["fee_sum"] is not None else None,
        "fee_asset": instrument.quote.code if instrument else None,
        "expire_at": rfc3339(row["expire_ns"]) if row["expire_ns"] else None,
        "created_at": rfc3339(row["created_ns"]) if row["created_ns"] else None,
        "updated_at": rfc3339(row["updated_ns"]) if row["updated_ns"] else None,
        "seq": row["seq"],
    }


def _price(instrument: InstrumentRef | None, ticks: int | None) -> str | None:
    return instrument.price(ticks) if instrument and ticks else None


def _qty(instrument: InstrumentRef | None, lots: int | None) -> str | None:
    return instrument.qty(lots) if instrument and lots is not None else None


def execution_json(row: Row, instrument: InstrumentRef | None = None, account: str | None = None) -> dict[str, Any]:
    """A fill as the API shows it; the other side's order is nobody's business and left out."""
    if instrument is None:
        instrument = instrument_by_core(row["core_instrument"])
    if account is None:
        account = account_number(row["core_account"])
    fee_asset = asset_by_core(row["fee_core_asset"])
    notional = row["last_px"] * row["last_qty"] * instrument.tick_value if instrument else 0
    return {
        "exec_id": encode_id(row["exec_id"]),
        "order_id": order_public_id(row["order_id"]),
        "account": account,
        "symbol": instrument.symbol if instrument else None,
        "side": _SIDE.get(row["side"]),
        "price": _price(instrument, row["last_px"]),
        "qty": _qty(instrument, row["last_qty"]),
        "notional": instrument.quote.money(notional) if instrument else None,
        "fee": fee_asset.money(row["fee"]) if fee_asset else None,
        "fee_asset": fee_asset.code if fee_asset else None,
        "liquidity": "maker" if row["liquidity"] == "m" else "taker",
        "realised_pnl": instrument.quote.money(row["realised_pnl"]) if instrument and not instrument.spot else None,
        "leaves_qty": _qty(instrument, row["leaves_qty"]),
        "filled_qty": _qty(instrument, row["cum_qty"]),
        "time": rfc3339(row["time_ns"]),
        "seq": row["exec_id"],
    }


def order_event_json(row: Row, instrument: InstrumentRef | None) -> dict[str, Any]:
    """One step of an order's time line."""
    word = EVENT_WORDS.get(row["exec_type"], "other")
    reason: dict[str, Any] | None = None
    if row["reason"] and word in {"canceled", "expired"}:
        cancel = _CANCEL.get(row["reason"])
        reason = {"code": row["reason"], "slug": cancel.api, "detail": cancel.text} if cancel else None
    elif row["reason"]:
        reject = reject_row(row["reason"])
        reason = {"code": int(reject.code), "slug": reject.slug, "detail": reject.text}
    return {
        "seq": row["seq"],
        "type": word,
        "reason": reason,
        "price": _price(instrument, row["price"]),
        "qty": _qty(instrument, row["qty"]),
        "leaves_qty": _qty(instrument, row["leaves"]),
        "filled_qty": _qty(instrument, row["cum"]),
        "time": rfc3339(row["time_ns"]),
    }


def balance_json(row: Row, asset: AssetRef | None = None) -> dict[str, Any]:
    """A balance as the API shows it."""
    if asset is None:
        asset = asset_by_core(row["core_asset"])
    if asset is None:
        raise LookupError(f"asset {row['core_asset']} is not known")
    return {
        "asset": asset.code,
        "available": asset.money(row["available"]),
        "held": asset.money(row["held"]),
        "total": asset.money(row["available"] + row["held"]),
        "display_decimals": asset.display_decimals,
        "seq": row["seq"],
    }


def position_json(
    row: Row,
    instrument: InstrumentRef | None = None,
    *,
    mark: tuple[int, str] | None = None,
    margin_held: int | None = None,
) -> dict[str, Any]:
    """A position as the API shows it.

    ``mark`` is (ticks, time text); without one everything that needs a price is None, never zero. ``margin_held`` is
    minor units of the quote.
    """
    if instrument is None:
        instrument = instrument_by_core(row["core_instrument"])
    if instrument is None:
        raise LookupError(f"instrument {row['core_instrument']} is not known")
    net, cost, quote = row["net"], row["cost"], instrument.quote
    value = net * mark[0] * instrument.tick_value if mark else None
    return {
        "symbol": instrument.symbol,
        "kind": instrument.kind,
        "qty": instrument.qty(net),
        # cost is price × lots × tick_value, so dividing by lots × tick_value gives ticks.
        "avg_price": average_text(abs(cost), abs(net) * instrument.tick_value, instrument) if net else None,
        "mark_price": instrument.price(mark[0]) if mark else None,
        "mark_ts": mark[1] if mark else None,
        "market_value": quote.money(value) if value is not None else None,
        "unrealised_pnl": quote.money(value - cost) if value is not None else None,
        "realised_pnl": quote.money(row["realised_pnl"]) if row["realised_pnl"] is not None else None,
        "cost": quote.money(cost),
        "margin_held": quote.money(margin_held) if margin_held is not None else None,
        "currency": quote.code,
        "seq": row["seq"],
    }
