"""Reading fills from the projection, by account. Rows are dicts of columns; the caller pages them by exec_id."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from trading.models import Execution

Row = dict[str, Any]

#: Fills of one order that are shown with it; the rest is in the list.
OF_ORDER_MAX = 500


def execution_list_for(
    core_account: int,
    *,
    core_instrument: int | None = None,
    side: int | None = None,
    order_id: int | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> QuerySet[Execution, Row]:
    """Fills of an account as dicts."""
    rows = Execution.objects.filter(core_account=core_account)
    if order_id is not None:
        rows = rows.filter(order_id=order_id)
    if core_instrument is not None:
        rows = rows.filter(core_instrument=core_instrument)
    if side is not None:
        rows = rows.filter(side=side)
    if from_ns is not None:
        rows = rows.filter(time_ns__gte=from_ns)
    if to_ns is not None:
        rows = rows.filter(time_ns__lt=to_ns)
    return rows.values()


def executions_of_order(core_account: int, order_id: int) -> list[Row]:
    """The fills of one order, oldest first, at most OF_ORDER_MAX."""
    rows = Execution.objects.filter(order_id=order_id, core_account=core_account).order_by("exec_id")
    return list(rows.values()[:OF_ORDER_MAX])


def executions_of_command(core_account: int, order_id: int, cmd_seq: int) -> list[Row]:
    """The fills that one command gave an order, oldest first."""
    rows = Execution.objects.filter(order_id=order_id, core_account=core_account, cmd_seq=cmd_seq).order_by("exec_id")
    return list(rows.values()[:OF_ORDER_MAX])
