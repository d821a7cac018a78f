"""Order events for the consolidated audit trail (FINRA CAT): a line of JSON for each event of an order in a share. Pure.

Events the platform has: MENO new order, MEOM modified, MEOC cancelled (also expired, and the part that self-trade prevention took), MEOT trade.
Orders are matched here and nowhere else, so there are no routes, child orders or fulfilments. Names and forms are those of the Technical
Specifications for Industry Members; times are Eastern, as they ask, with nanoseconds.

Owns the form of each event and the checks of linkage. Leaves reading facts to ``compliance/selectors/reports.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from brokerage.kernel.clock import NS_PER_S, datetime_from_ns
from brokerage.kernel.identifiers import encode_id
from brokerage.kernel.terms import CancelReason, OrderSource, OrdType, TimeInForce
from compliance.reporting.mifid_rts22 import CLIENT_SOURCES, Firm, match_id
from compliance.reporting.outcome import in_order

RULE = "CAT Reporting Technical Specifications for Industry Members, version 4.1.0"
EASTERN = ZoneInfo("America/New_York")
#: Kinds of step that are an event; every other is none.
NEW, FILLED, CANCELED, EXPIRED, REPLACED = "accepted", "filled", "canceled", "expired", "replaced"
EVENTS = frozenset({NEW, FILLED, CANCELED, EXPIRED, REPLACED})
#: Who asked for the end of an order: the customer, else the firm.
_BY_CUSTOMER = frozenset({CancelReason.USER, CancelReason.IOC_REMAINDER, CancelReason.GTD, CancelReason.DAY_END})

Json = dict[str, Any]
#: orderKeyDate and orderID: what an order is known by.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CatOrder:
    """An order as it was entered, and whose it is. ``fdid`` is a keyed digest, ``holder_type`` I or E, or empty when not known."""

    order_id: int
    symbol: str
    buys: bool
    ord_type: int
    time_in_force: int
    expire_ns: int
    created_ns: int
    source: int
    round_the_clock: bool
    fdid: str
    holder_type: str


@dataclass(frozen=True, slots=True)
class CatEvent:
    """A step of an order. ``qty``: entered, filled or cancelled, or the whole new quantity of a modified one; ``leaves`` after it."""

    seq: int
    cmd_seq: int
    kind: str
    reason: int
    price: Decimal
    qty: Decimal
    leaves: Decimal
    time_ns: int
    contra_order_id: int = 0


def reportable(kind: str, asset_class: str) -> bool:
    """True for shares that are owned: neither crypto assets, currencies nor contracts are NMS securities."""
    return (kind, asset_class) == ("spot", "stock")


def problems_of(order: CatOrder, event: CatEvent, firm: Firm) -> tuple[str, ...]:
    """Every reason why this event of an order cannot be reported."""
    found = []
    if not 1 <= len(firm.imid) <= 7 or not firm.imid.isalnum():
        found.append("FIRM_IMID")
    if not order.holder_type:
        found.append("CLIENT_TYPE")
    if OrderSource.of(order.source) not in CLIENT_SOURCES:
        found.append("EXECUTOR")
    if event.kind == FILLED and not firm.market_center:
        found.append("FIRM_MARKET_CENTER")
    if event.kind == CANCELED and event.reason == CancelReason.MASS:
        found.append("CANCEL_INITIATOR")
    return in_order(found)


def eastern(ns: int) -> str:
    """``YYYYMMDDTHHMMSS.nnnnnnnnn``, Eastern time."""
    return f"{datetime_from_ns(ns).astimezone(EASTERN):%Y%m%dT%H%M%S}.{ns % NS_PER_S:09d}"


def key_of(order: CatOrder) -> Json:
    """What every event of an order refers to it by."""
    return {"orderKeyDate": eastern(order.created_ns), "orderID": encode_id(order.order_id)}


def event_of(order: CatOrder, event: CatEvent, firm: Firm) -> Json:
    """The event of a step that is no trade."""
    head = _head(event, firm, {NEW: "MENO", REPLACED: "MEOM"}.get(event.kind, "MEOC")) | key_of(order)
    head |= {"symbol": order.symbol, "eventTimestamp": eastern(event.time_ns), "manualFlag": False}
    if event.kind in {CANCELED, EXPIRED}:
        by = "C" if event.reason in _BY_CUSTOMER else "F"
        return head | {"cancelQty": event.qty, "leavesQty": event.leaves, "initiator": by}
    terms = {
        "side": _side(order.buys),
        # A market order has none.
        **({} if order.ord_type == OrdType.MARKET else {"price": event.price}),
        "quantity": event.qty,
        **({"leavesQty": event.leaves} if event.kind == REPLACED else {}),
        "orderType": "MKT" if order.ord_type == OrdType.MARKET else "LMT",
        "timeInForce": _time_in_force(order),
        "tradingSession": "ALL" if order.round_the_clock else "REG",
        "custDspIntrFlag": False,
    }
    if event.kind == REPLACED:
        return head | {"electronicDupFlag": False, "initiator": "C"} | terms | {"representativeInd": "N"}
    # Clients act by themselves through the portal or the API; the firm solicits nothing, and is agent of who is no affiliate.
    return head | {"electronicDupFlag": False, "deptType": "A", "solicitationFlag": False} | terms | {
        "firmDesignatedID": order.fdid, "accountHolderType": order.holder_type, "affiliateFlag": False,
        "negotiatedTradeFlag": False, "representativeInd": "N",
    }  # fmt: skip


def trade_of(sides: Mapping[bool, CatOrder], event: CatEvent, firm: Firm) -> Json:
    """The trade of a match with the sides that are reported (True: the buyer), one or both."""
    one = next(iter(sides.values()))
    both = len(sides) == 2
    trade_id = trade_id_of(one.order_id, event)
    return _head(event, firm, "MEOT", f"T{trade_id}") | {
        "tradeKeyDate": eastern(event.time_ns), "tradeID": trade_id, "symbol": one.symbol, "eventTimestamp": eastern(event.time_ns),
        "manualFlag": False, "cancelFlag": False, "quantity": event.qty, "price": event.price, "capacity": "A",
        # The firm publishes its trades under the same number.
        "tapeTradeID": trade_id, "marketCenterID": firm.market_center,
        "sideDetailsInd": "NA" if both else "BUY" if True in sides else "SELL",
        **{
            name: [key_of(order) | {"side": _side(buys)}]
            for buys, name in ((True, "buyDetails"), (False, "sellDetails"))
            if (order := sides.get(buys)) is not None
        },
    }  # fmt: skip


def trade_id_of(order_id: int, event: CatEvent) -> str:
    """The number of the match a fill is a side of."""
    return match_id(event.cmd_seq, order_id, event.contra_order_id)


def line_of(event: Json) -> str:
    """A line of the file; numbers with every digit they have."""
    return _json(event) + "\n"


def linkage_problems(
    events: Iterable[Json], known: AbstractSet[Key], gaps: AbstractSet[Key] = frozenset()
) -> list[str]:
    """What the receiver would refuse for how events hang together: empty when nothing. ``known``: keys of orders of earlier days; ``gaps``: of
    orders with an event that was rejected, whose quantities cannot add up.

    An event refers to an order that is there; nothing is there twice; what an order has left is never below zero, and nothing comes after its end.
    """
    found, keys, ids = [], set(known), set()
    left: dict[Key, Decimal] = {}
    for event in events:
        name = f"{event['type']} {event['firmROEID']}"
        if event["firmROEID"] in ids:
            found.append(f"{name}: there twice")
        ids.add(event["firmROEID"])
        refers = [*event.get("buyDetails", []), *event.get("sellDetails", [])] if event["type"] == "MEOT" else [event]
        for one in refers:
            key = (one["orderKeyDate"], one["orderID"])
            if event["type"] == "MENO":
                if key in keys:
                    found.append(f"{name}: an order under this key is there already")
                keys.add(key)
                if key not in gaps:
                    left[key] = event["quantity"]
                continue
            if key not in keys:
                found.append(f"{name}: no order under this key")
            if key in left and left[key] == 0:
                found.append(f"{name}: the order had ended")
            if event["type"] == "MEOT" and key in left:
                left[key] -= event["quantity"]
            elif event["type"] == "MEOC" and key in left:
                left[key] -= event["cancelQty"]
            if event["type"] in {"MEOM", "MEOC"}:
                if event["type"] == "MEOC" and key in left and left[key] != event["leavesQty"]:
                    found.append(f"{name}: {left[key]} is left of the order, not {event['leavesQty']}")
                if key not in gaps:
                    left[key] = event["leavesQty"]
            if left.get(key, Decimal()) < 0:
                found.append(f"{name}: less than nothing is left of the order")
    return found


def _head(event: CatEvent, firm: Firm, type_: str, number: str = "") -> Json:
    day = eastern(event.time_ns)[:8]
    return {
        "actionType": "NEW", "firmROEID": f"{day}_{number or encode_id(event.seq)}", "type": type_, "CATReporterIMID": firm.imid,
    }  # fmt: skip


def _side(buys: bool) -> str:
    # A share that is not there cannot be sold here: a sale is long.
    return "B" if buys else "SL"


def _time_in_force(order: CatOrder) -> Json:
    day = int(eastern(order.created_ns)[:8])
    found: dict[int, Json] = {
        TimeInForce.DAY: {"DAY": day}, TimeInForce.GTC: {"GTC": True}, TimeInForce.IOC: {"IOC": True}, TimeInForce.FOK: {"FOK": True},
        TimeInForce.GTD: {"GTT": eastern(order.expire_ns)},
    }  # fmt: skip
    return found[order.time_in_force]


def _json(value: Any) -> str:
    """JSON without blanks; a Decimal is a number written out, which the library would make a float of."""
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_json(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=True)
