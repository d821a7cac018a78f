"""FIX messages and the house's words: orders as clients write them, reports as they read them. docs/fix.md has the tables.

Pure but for the caches of instruments and account numbers. Owns which values of a field we serve and every field of what we send. Leaves sending
to ``feed.py`` and ``application.py``. Numbers are exact decimals in the instrument's increments.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from accounts.selectors.access import account_number
from brokerage.fix.codec import Field, Message
from brokerage.fix.dictionary import time_ns, time_text
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import encode_id, is_cl_ord_id
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.kernel.terms import CancelReason, ExecType, OrderSource, OrdStatus, OrdType, Side, TimeInForce
from brokerage.kernel.units import parse_decimal
from marketdata.selectors.instruments import InstrumentRef, asset_by_core, instrument_by_core, instrument_by_symbol
from native.layout import EventType
from trading.selectors.shapes import (
    FLAG_POST_ONLY,
    FLAG_REDUCE_ONLY,
    average_text,
    order_public_id,
    reject_numbers,
)

#: FIX 4.4 spells numbers of ExecType and OrdStatus above 9 as letters, Trade is F.
_POST_ONLY, _REDUCE_ONLY = "6", "E"
_REASONS = {reason.value: reason for reason in CancelReason}


def source_of(session: int) -> int:
    """The ``source`` of orders of one FIX session (``OrderSource``)."""
    return OrderSource.FIX | session << 8


# ---- from the client ------------------------------------------------------------------------------------------------


def cl_ord_id_of(message: Message, tag: int = 11) -> str:
    """A ClOrdID in the form the core takes; 1001 else."""
    text = message.get(tag)
    if not is_cl_ord_id(text):
        raise RejectedError(RejectCode.MALFORMED, f"Tag {tag} is 1 to 36 printable characters without a space.")
    return text


def instrument_of(message: Message) -> InstrumentRef:
    """The instrument of Symbol (55); 3001 when there is none."""
    instrument = instrument_by_symbol(message.get(55))
    if instrument is None:
        raise RejectedError(RejectCode.UNKNOWN_INSTRUMENT, available=message.get(55)[:32])
    return instrument


def side_of(message: Message) -> Side:
    """Buy or sell; short and crossed sales are 1002."""
    try:
        return Side.from_fix(message.get(54))
    except ValueError as error:
        raise RejectedError(RejectCode.UNSUPPORTED, "Side (54) is 1 (buy) or 2 (sell).") from error


def _decimal(message: Message, tag: int) -> Decimal | None:
    text = message.get(tag)
    return parse_decimal(text.rstrip(".") if text.endswith(".") else text, field=str(tag)) if text else None


def order_terms(message: Message) -> dict[str, Any]:
    """What a NewOrderSingle asks for, as ``order_place`` takes it; RejectedError for what we do not serve."""
    instrument = instrument_of(message)
    try:
        ord_type = OrdType.from_fix(message.get(40))
    except ValueError as error:
        raise RejectedError(RejectCode.UNSUPPORTED, "OrdType (40) is 1 (market) or 2 (limit).") from error
    # FIX: an absent TimeInForce is Day; a market order is never more than immediate.
    default = TimeInForce.IOC if ord_type is OrdType.MARKET else TimeInForce.DAY
    try:
        tif = TimeInForce.from_fix(message.get(59)) if message.has(59) else default
    except ValueError as error:
        raise RejectedError(RejectCode.UNSUPPORTED, "TimeInForce (59) is 0, 1, 3, 4 or 6.") from error
    instructions = message.get(18).split()
    if set(instructions) - {_POST_ONLY, _REDUCE_ONLY}:
        raise RejectedError(RejectCode.UNSUPPORTED, "ExecInst (18) is 6 (post only), E (reduce only) or both.")
    if message.has(15) and message.get(15) != instrument.quote.code:
        raise RejectedError(RejectCode.UNSUPPORTED, f"Currency (15) of {instrument.symbol} is {instrument.quote.code}.")
    qty = _decimal(message, 38)
    if qty is None:
        raise RejectedError(RejectCode.MISSING_FIELD, needed="OrderQty (38)", field="38")
    return {
        "instrument": instrument,
        "side": side_of(message),
        "ord_type": ord_type,
        "time_in_force": tif,
        "qty": qty,
        "price": _decimal(message, 44),
        "post_only": _POST_ONLY in instructions,
        "reduce_only": _REDUCE_ONLY in instructions,
        "expire_at": time_ns(message.get(126)) if message.has(126) else None,
    }


def replace_terms(message: Message) -> tuple[Decimal | None, Decimal | None]:
    """New total quantity and price of an OrderCancelReplaceRequest; None for what stays."""
    return _decimal(message, 38), _decimal(message, 44)


def terms_text(message: Message) -> str:
    """What a change asks for, to tell a repetition from another request under the same id."""
    names = (38, 44) if message.type == "G" else ()
    return "|".join([message.get(41), *(format(_decimal(message, tag) or 0, "f") for tag in names)])[:100]


def answers(row: dict[str, Any], kind: str, terms: str) -> bool:
    """True when an event can be what a request of these terms caused."""
    if kind == "F":
        return bool(row["reason"] == CancelReason.USER)
    instrument = instrument_by_core(row["core_instrument"])
    wanted = terms.split("|")[1:]
    if instrument is None or len(wanted) != 2:
        return False
    is_qty, is_price = Decimal(instrument.qty(row["qty"])), Decimal(instrument.price(row["price"]))
    qty, price = (Decimal(text) for text in wanted)
    return qty in (0, is_qty) and price in (0, is_price)


def agrees(message: Message, row: dict[str, Any]) -> bool:
    """True when a change names the side, symbol and (if at all) the id of the order it is about."""
    instrument = instrument_by_core(row["core_instrument"])
    right = instrument is not None and instrument.symbol == message.get(55) and str(row["side"]) == message.get(54)
    named = message.get(37)
    return right and named in ("", "NONE", order_public_id(row["order_id"]))


# ---- to the client --------------------------------------------------------------------------------------------------


def refusal_text(
    code: int, detail: str = "", needed: str | None = None, available: str | None = None, next_step: str = ""
) -> str:
    """Text (58) of a refusal: its number, what is wrong with the numbers, what to do."""
    row = reject_row(code)
    return f"{int(row.code)} {detail or row.detail(needed, available)} {next_step or row.next_step}".strip()[:400]


def _status_of(row: dict[str, Any]) -> OrdStatus:
    kind = row["exec_type"]
    if kind == EventType.ORDER_REJECTED:
        return OrdStatus.REJECTED
    if kind == EventType.ORDER_FILLED:
        return OrdStatus.PARTIALLY_FILLED if row["leaves"] else OrdStatus.FILLED
    if kind == EventType.ORDER_EXPIRED and not row["leaves"]:
        return OrdStatus.EXPIRED
    if kind == EventType.ORDER_CANCELED and not row["leaves"]:
        return OrdStatus.CANCELED
    return OrdStatus.PARTIALLY_FILLED if row["cum"] else OrdStatus.NEW


def _exec_type_of(row: dict[str, Any]) -> ExecType:
    kind = row["exec_type"]
    if kind in (EventType.ORDER_CANCELED, EventType.ORDER_EXPIRED) and row["leaves"]:
        return ExecType.RESTATED  # self-trade prevention took a part
    return {
        EventType.ORDER_ACCEPTED: ExecType.NEW,
        EventType.ORDER_REJECTED: ExecType.REJECTED,
        EventType.ORDER_FILLED: ExecType.TRADE,
        EventType.ORDER_CANCELED: ExecType.CANCELED,
        EventType.ORDER_EXPIRED: ExecType.EXPIRED,
        EventType.ORDER_REPLACED: ExecType.REPLACED,
    }[EventType(kind)]


def _order_qty(row: dict[str, Any]) -> int:
    kind = row["exec_type"]
    if kind in (EventType.ORDER_REJECTED, EventType.ORDER_REPLACED, EventType.ORDER_ACCEPTED):
        return int(row["qty"])
    gone = row["qty"] if kind in (EventType.ORDER_CANCELED, EventType.ORDER_EXPIRED) and not row["leaves"] else 0
    return int(row["cum"] + row["leaves"] + gone)


def _fixed(row: dict[str, Any], instrument: InstrumentRef | None) -> list[Field]:
    """What an order keeps through its life."""
    fields: list[Field] = [(1, account_number(row["core_account"])), (55, instrument.symbol if instrument else "?")]
    for tag, value in ((40, row["ord_type"]), (54, row["side"]), (59, row["time_in_force"])):
        if value is not None:
            fields.append((tag, str(value)))
    flags = row["flags"] or 0
    told = [word for bit, word in ((FLAG_POST_ONLY, _POST_ONLY), (FLAG_REDUCE_ONLY, _REDUCE_ONLY)) if flags & bit]
    if told:
        fields.append((18, " ".join(told)))
    if row["expire_ns"] and row["expire_ns"] > 0:
        fields.append((126, time_text(row["expire_ns"])))
    return fields


def _amounts(instrument: InstrumentRef | None, order: int, leaves: int, cum: int, money: int | None) -> list[Field]:
    if instrument is None:
        return [(6, "0"), (14, str(cum)), (38, str(order)), (151, str(leaves))]
    average = average_text(money, cum, instrument) if money is not None else None
    return [(6, average or "0"), (14, instrument.qty(cum)), (38, instrument.qty(order)), (151, instrument.qty(leaves))]


def event_report(row: dict[str, Any], name: str, orig: str, money: int, fill: Any = None) -> list[Field]:
    """ExecutionReport of one engine event. ``money`` is Σ price × quantity of the order's fills so far, ``fill`` its stored execution."""
    instrument, kind, status = instrument_by_core(row["core_instrument"]), row["exec_type"], _status_of(row)
    rejected = status is OrdStatus.REJECTED
    fields: list[Field] = [
        (11, name or "NONE"),
        (17, encode_id(row["seq"])),
        (37, order_public_id(row["order_id"])),
        (39, status.fix),
        (60, time_text(row["time_ns"])),
        (150, _exec_type_of(row).fix),
        *_fixed(row, instrument),
    ]
    if orig:
        fields.append((41, orig))
    if rejected:
        # The event's numbers are those of the refusal; what was asked for is in the order's own row.
        return fields + _rejected(row, instrument)
    fields += _amounts(instrument, _order_qty(row), row["leaves"], row["cum"], money)
    if kind == EventType.ORDER_FILLED and instrument is not None:
        fields += [(31, instrument.price(row["price"])), (32, instrument.qty(row["qty"]))]
        if fill is not None:
            fee = asset_by_core(fill.fee_core_asset)
            fields.append((851, "1" if fill.liquidity == "m" else "2"))
            if fee is not None:
                fields += [(12, fee.money(fill.fee)), (13, "3"), (479, fee.code)]
    elif kind in (EventType.ORDER_ACCEPTED, EventType.ORDER_REPLACED) and row["ord_type"] != OrdType.MARKET:
        if instrument is not None and row["price"]:
            fields.append((44, instrument.price(row["price"])))
    elif kind in (EventType.ORDER_CANCELED, EventType.ORDER_EXPIRED):
        reason = _REASONS.get(row["reason"])
        fields += [(58, reason.text)] if reason is not None else []
        fields += [(378, "5")] if row["leaves"] else []
    return fields


def _rejected(row: dict[str, Any], instrument: InstrumentRef | None) -> list[Field]:
    needed, available = reject_numbers(
        row["reason"], needed=row["reject_needed"], available=row["reject_available"], price=row["reject_price"],
        side=row["side"], instrument=instrument,
    )  # fmt: skip
    text = refusal_text(row["reason"], "", needed, available)
    return [(6, "0"), (14, "0"), (58, text), (103, str(reject_row(row["reason"]).ord_rej_reason)), (151, "0")]


def status_report(row: dict[str, Any], name: str, text: str = "") -> list[Field]:
    """ExecutionReport of an order as it stands (ExecType I); ``row`` has the columns of ``trading_order``."""
    instrument = instrument_by_core(row["core_instrument"])
    fields: list[Field] = [
        (11, name or "NONE"),
        (17, "0"),
        (37, order_public_id(row["order_id"])),
        (39, OrdStatus(row["ord_status"]).fix),
        (150, ExecType.ORDER_STATUS.fix),
        *_fixed({**row, "expire_ns": row["expire_ns"] or 0}, instrument),
        *_amounts(instrument, row["order_qty"], row["leaves_qty"], row["cum_qty"], row["notional_sum"]),
    ]
    if row["price"] and row["ord_type"] != OrdType.MARKET and instrument is not None:
        fields.append((44, instrument.price(row["price"])))
    if row["updated_ns"]:
        fields.append((60, time_text(row["updated_ns"])))
    if row["reject_reason"]:
        fields.append((103, str(reject_row(row["reject_reason"]).ord_rej_reason)))
        text = text or refusal_text(row["reject_reason"])
    return [*fields, (58, text)] if text else fields


def refused_report(message: Message, exec_id: str, code: int, text: str, now_ns: int) -> list[Field]:
    """ExecutionReport of an order that was refused before the engine saw it."""
    echoed: list[Field] = [(tag, message.get(tag)) for tag in (1, 38, 40, 44, 54, 55, 59) if message.get(tag)]
    return [
        *echoed, (6, "0"), (11, message.get(11)), (14, "0"), (17, exec_id), (37, "NONE"), (39, "8"), (58, text),
        (60, time_text(now_ns)), (103, str(reject_row(code).ord_rej_reason)), (150, "8"), (151, "0"),
    ]  # fmt: skip


def unknown_status(message: Message, text: str, now_ns: int) -> list[Field]:
    """The answer to a status request about an order there is not."""
    return [
        (6, "0"), (11, message.get(11)), (14, "0"), (17, "0"), (37, "NONE"), (39, "8"), (54, message.get(54)),
        (55, message.get(55)), (58, text), (60, time_text(now_ns)), (103, "5"), (150, "I"), (151, "0"),
    ]  # fmt: skip


def cancel_reject(message: Message, row: dict[str, Any] | None, code: int, text: str, now_ns: int) -> list[Field]:
    """OrderCancelReject of a cancel or replace; ``row`` is the order where it is known."""
    status = OrdStatus(row["ord_status"]) if row is not None else OrdStatus.REJECTED
    return [
        (11, message.get(11)),
        (37, order_public_id(row["order_id"]) if row is not None else "NONE"),
        (39, status.fix),
        (41, message.get(41)),
        (58, text),
        (60, time_text(now_ns)),
        (102, str(reject_row(code).cxl_rej_reason)),
        (434, "1" if message.type == "F" else "2"),
    ]
