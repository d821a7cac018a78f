"""Reading orders from the projection, by account: lists, one order, its time line.

Every function takes the account first, so that a stranger's order cannot be reached. Rows are dicts of columns. Owns
the queries; leaves permission (which account) to ``accounts/selectors/access.py`` and JSON to ``shapes.py``.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from brokerage.kernel.errors import IdentifierError
from brokerage.kernel.identifiers import decode_id
from brokerage.kernel.rejects import RejectCode
from trading.models import Order, OrderEvent

Row = dict[str, Any]

OPEN = (0, 1)
STATUSES = ("open", "closed", "all")
EVENTS_MAX = 1000
ID_MAX = 2**63 - 1


def order_number(public_id: str) -> int | None:
    """The number behind a public order id; None when it is no such id."""
    refused = public_id.startswith("R") and len(public_id) == 14
    try:
        number = decode_id(public_id[1:] if refused else public_id)
    except IdentifierError:
        return None
    if not 0 < number <= ID_MAX:
        return None
    return -number if refused else number


def order_list_for(
    core_account: int,
    *,
    status: str = "all",
    core_instrument: int | None = None,
    side: int | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> QuerySet[Order, Row]:
    """Orders of an account as dicts; the caller pages them by (entry_seq), which is unique."""
    rows = Order.objects.filter(core_account=core_account)
    if status == "open":
        rows = rows.filter(ord_status__in=OPEN)
    elif status == "closed":
        rows = rows.exclude(ord_status__in=OPEN)
    if core_instrument is not None:
        rows = rows.filter(core_instrument=core_instrument)
    if side is not None:
        rows = rows.filter(side=side)
    if from_ns is not None:
        rows = rows.filter(created_ns__gte=from_ns)
    if to_ns is not None:
        rows = rows.filter(created_ns__lt=to_ns)
    return rows.values()


def order_get(core_account: int, order_id: int) -> Row | None:
    """One order of an account, or None."""
    return Order.objects.filter(pk=order_id, core_account=core_account).values().first()


def order_by_client_id(core_account: int, cl_ord_id: str) -> Row | None:
    """The last order entered under a client id, or None. One refused because the id was taken (1003) never had it."""
    rows = Order.objects.filter(core_account=core_account, cl_ord_id=cl_ord_id).order_by("-entry_seq")
    rows = rows.exclude(reject_reason=RejectCode.DUPLICATE_CL_ORD_ID)
    return rows.values().first()


def order_events(core_account: int, order_id: int) -> list[Row]:
    """The time line of an order, oldest first, at most EVENTS_MAX steps."""
    rows = OrderEvent.objects.filter(order_id=order_id, core_account=core_account).order_by("seq")
    return list(rows.values()[:EVENTS_MAX])
