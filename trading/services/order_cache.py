"""The last orders this process answered for, so that taking one back at once need not wait for the projection.

A row here is used only when the engine's event proves that nothing happened to the order since: same version, same filled quantity, same
remainder. Owns the bound. Leaves truth to the engine and the stored rows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from native.layout import Event, EventType

Row = dict[str, Any]

SIZE_MAX = 8_192

_lock = threading.Lock()
_rows: OrderedDict[int, Row] = OrderedDict()


def order_remember(row: Row) -> None:
    """Keep an order as it was answered; the oldest goes when there are too many."""
    with _lock:
        _rows[row["order_id"]] = dict(row)
        _rows.move_to_end(row["order_id"])
        if len(_rows) > SIZE_MAX:
            _rows.popitem(last=False)


def order_recall(core_account: int, event: Event) -> Row | None:
    """The remembered order of the account, when the event says that it is still the same."""
    with _lock:
        row = _rows.get(event.order_id)
    if row is None or row["core_account"] != core_account or row["cum_qty"] != event.cum_qty:
        return None
    if event.type == EventType.ORDER_CANCELED:
        same = row["version"] == event.version and row["leaves_qty"] == event.leaves + event.qty
    elif event.type == EventType.ORDER_REPLACED:
        # amount is the remainder before it; the version has grown by one, and begins again after 255.
        same = row["version"] % 255 + 1 == event.version and row["leaves_qty"] == event.amount
    else:
        same = False
    return dict(row) if same else None
