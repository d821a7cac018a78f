"""A client who is not verified cannot trade and is told what to do; one whom compliance lets trade can, within seconds."""

from __future__ import annotations

import threading
import time

import pytest

from accounts.services.permissions import trading_permission_set
from brokerage.kernel.rejects import RejectCode
from compliance import tasks
from compliance.models import KycCase
from compliance.providers.sandbox import SandboxProvider
from compliance.providers.sandbox_server import Sandbox, server_make
from compliance.services import checks
from compliance.tests.factories import ANSWERS
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


def test_a_client_is_refused_onboards_is_approved_by_the_vendor_and_trades(
    live_platform: LivePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = live_platform.trader("nora", verified=False)
    assert refused(trader.api("POST", "orders", limit("buy", "1", "100"))) == (403, RejectCode.KYC_REQUIRED)
    for step in ("identity", "address", "suitability", "tax"):
        assert trader.api("PUT", f"onboarding/steps/{step}", ANSWERS[step]).status_code == 200
    assert trader.api("POST", "onboarding/submit").json()["state"] == "submitted"
    sandbox = Sandbox("flow", "", 0.0)
    server = server_make(sandbox, 0)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    vendor = SandboxProvider(f"http://127.0.0.1:{server.server_address[1]}", "flow")
    monkeypatch.setattr(checks, "provider", lambda: vendor)
    try:
        case_id = str(KycCase.objects.get(user=trader.user).pk)
        tasks.kyc_checks_start(case_id)
        until = time.monotonic() + 10
        while KycCase.objects.get(pk=case_id).state != "approved":
            assert time.monotonic() < until
            checks.results_fetch(case_id)
            time.sleep(0.02)
    finally:
        server.shutdown()
        server.server_close()
    assert trader.api("GET", "onboarding").json()["trading_allowed"] is True
    assert placed(trader, limit("buy", "1", "100"))["status"] == "new"
