"""What trading says keeps an account from being closed."""

from __future__ import annotations

import pytest

from accounts.models import User
from accounts.services.closing import user_close
from accounts.services.trading_accounts import account_open
from brokerage.kernel.errors import RejectedError
from trading.models import Order

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("ord_status", "leaves", "closed"), [(0, 1, False), (1, 1, False), (2, 0, True), (4, 0, True)])
def test_open_orders_keep_an_account_open(ord_status: int, leaves: int, closed: bool) -> None:
    user = User.objects.create_user("ann@example.test")
    account = account_open(user=user)
    Order.objects.create(
        order_id=1, core_account=account.core_account, core_instrument=1, side=1, ord_type=2, time_in_force=1,
        order_qty=1, leaves_qty=leaves, cum_qty=1 - leaves, ord_status=ord_status, entry_seq=1, created_ns=1, updated_ns=1, seq=1,
    )  # fmt: skip
    if closed:
        user_close(user=user)
    else:
        with pytest.raises(RejectedError) as refused:
            user_close(user=user)
        assert refused.value.code == 2042
        assert "open orders" in (refused.value.available or "")
    assert User.objects.get(pk=user.pk).is_active is not closed
