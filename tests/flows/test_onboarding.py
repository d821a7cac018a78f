"""A client who is not verified cannot trade and is told what to do; one whom compliance lets trade can, within seconds."""

from __future__ import annotations

from accounts.services.permissions import trading_permission_set
from brokerage.kernel.rejects import RejectCode
from tests.conftest_engine import LivePlatform
from tests.flows.steps import limit, placed, refused


def test_an_unverified_clients_order_is_refused_until_compliance_permits_it(live_platform: LivePlatform) -> None:
    trader = live_platform.trader("fresh", verified=False)
    answer = trader.api("POST", "orders", limit("buy", "1", "100"))
    assert refused(answer) == (403, RejectCode.KYC_REQUIRED)
    assert "/onboarding" in answer.json()["next_step"]
    assert refused(trader.api("POST", "orders/preview", limit("buy", "1", "100"))) == (403, RejectCode.KYC_REQUIRED)
    trading_permission_set(user_id=trader.user.pk, kyc_tier=1, trading_allowed=True, reason="test")
    order = placed(trader, limit("buy", "1", "100"))
    trading_permission_set(user_id=trader.user.pk, kyc_tier=1, trading_allowed=False, reason="test")
    assert refused(trader.api("POST", "orders", limit("buy", "1", "100"))) == (403, RejectCode.KYC_RESTRICTED)
    # What is open can always be taken back.
    assert trader.api("DELETE", f"orders/{order['order_id']}").status_code == 200
