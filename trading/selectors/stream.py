"""What an account's private stream has missed: read from the projection, at one point of it.

Owns the exactness of resuming: rows and the projection's offset are read in one snapshot, so whatever is published with a later event id is not in
them and whatever has an earlier one is. Leaves sockets to ``trading/consumers.py`` and shapes to ``shapes.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accounts.models import Balance
from risk.models import Position
from trading.models import Execution, Order
from trading.selectors.projection import projection_snapshot
from trading.selectors.shapes import balance_json, execution_json, order_json, position_json

#: Orders and executions sent again at most; beyond it a client reloads by REST.
MISSED_MAX = 500

Message = dict[str, Any]


@dataclass(frozen=True)
class Missed:
    """Everything with an event id above the asked one, up to ``event_seq``; ``messages`` None when it is too much or cannot be known."""

    event_seq: int
    messages: list[Message] | None


def missed_get(core_account: int, after_eid: int | None) -> Missed:
    """The account's messages after an event id, in order, and the projection's position they are complete to.

    ``after_eid`` None asks for the position alone. An id the projection has not reached is not one of its ids: the client must reload.
    """
    with projection_snapshot() as event_seq:
        if after_eid is None:
            return Missed(event_seq, [])
        if after_eid > event_seq:
            return Missed(event_seq, None)
        return Missed(event_seq, _messages(core_account, after_eid))


def _messages(core_account: int, after: int) -> list[Message] | None:
    orders = list(
        Order.objects.filter(core_account=core_account, seq__gt=after).order_by("seq").values()[: MISSED_MAX + 1]
    )
    executions = list(
        Execution.objects.filter(core_account=core_account, exec_id__gt=after)
        .order_by("exec_id")
        .values()[: MISSED_MAX + 1]
    )
    if len(orders) > MISSED_MAX or len(executions) > MISSED_MAX:
        return None
    found: list[tuple[int, Message]] = []
    for row in orders:
        found.append((row["seq"], {"type": "order", "eid": str(row["seq"]), "order": order_json(row)}))
    for row in executions:
        found.append(
            (row["exec_id"], {"type": "execution", "eid": str(row["exec_id"]), "execution": execution_json(row)})
        )
    for row in Balance.objects.filter(core_account=core_account, seq__gt=after).values():
        found.append((row["seq"], {"type": "balance", "eid": str(row["seq"]), "balance": balance_json(row)}))
    for row in Position.objects.filter(core_account=core_account, seq__gt=after).values():
        found.append((row["seq"], {"type": "position", "eid": str(row["seq"]), "position": position_json(row)}))
    return [message for _, message in sorted(found, key=lambda pair: pair[0])]
