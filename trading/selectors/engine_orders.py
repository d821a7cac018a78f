"""Finding an order that may be too new for the projection: look, ask the engine how far it is, wait for the
projection, look again.

Owns the order of these steps. Unknown and strangers' orders are 2014; a projection that does not catch up is 9012; an
engine that is away leaves what the projection has.
"""

from __future__ import annotations

from typing import Any

from brokerage.kernel.errors import EngineUnavailableError, RejectedError
from brokerage.kernel.rejects import RejectCode
from trading.selectors.orders import order_by_client_id, order_get
from trading.selectors.projection import projection_demand
from trading.services.engine_access import get_engine_client

Row = dict[str, Any]


def _not_found() -> RejectedError:
    return RejectedError(RejectCode.NOT_FOUND, "There is no such order.")


def order_find(core_account: int, order_id: int) -> Row:
    """The order of that number in this account."""
    row = order_get(core_account, order_id)
    if row is None:
        try:
            cmd_seq = int(get_engine_client().status().cmd_seq)
        except EngineUnavailableError as error:
            raise _not_found() from error
        # Looked up again even where nothing had to be waited for: it may have been stored since the first look.
        projection_demand(cmd_seq)
        row = order_get(core_account, order_id)
    if row is None:
        raise _not_found()
    return row


def order_find_by_client_id(core_account: int, cl_ord_id: str) -> Row:
    """The order entered, or replaced, under that client id in this account."""
    row = order_by_client_id(core_account, cl_ord_id)
    if row is not None:
        return row
    try:
        outcome = get_engine_client().query_cl_ord_id(core_account, cl_ord_id)
    except EngineUnavailableError as error:
        raise RejectedError(
            RejectCode.ENGINE_UNAVAILABLE, "The order is not stored, and the engine cannot be asked."
        ) from error
    if outcome is None or not outcome.events:
        raise _not_found()
    first = outcome.events[0]
    projection_demand(first.ref_id)
    row = order_by_client_id(core_account, cl_ord_id)
    if row is None and first.order_id:
        row = order_get(core_account, first.order_id)
    if row is None:
        row = order_get(core_account, -first.ref_id)
    if row is None:
        raise _not_found()
    return row
