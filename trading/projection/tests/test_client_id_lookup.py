"""Asking by client id after a clash: the order that has the id is told, not the refused one that came later."""

from __future__ import annotations

import pytest

from trading.models import Order
from trading.selectors.orders import order_by_client_id

pytestmark = pytest.mark.django_db


def _order(order_id: int, entry_seq: int, status: int, reject: int = 0) -> None:
    leaves = 0 if reject else 5
    Order.objects.create(
        order_id=order_id, core_account=1, core_instrument=1, cl_ord_id="mine", side=1, ord_type=2, time_in_force=1, order_qty=5,
        leaves_qty=leaves, cum_qty=0, ord_status=status, reject_reason=reject, entry_seq=entry_seq, created_ns=1, updated_ns=1, seq=entry_seq,
    )  # fmt: skip


def test_a_refused_second_use_does_not_hide_the_live_order() -> None:
    _order(7, 10, Order.Status.NEW)
    _order(-11, 11, Order.Status.REJECTED, 1003)
    found = order_by_client_id(1, "mine")
    assert found is not None
    assert found["order_id"] == 7


def test_an_order_refused_for_another_reason_is_found() -> None:
    _order(-11, 11, Order.Status.REJECTED, 4001)
    found = order_by_client_id(1, "mine")
    assert found is not None
    assert found["order_id"] == -11
