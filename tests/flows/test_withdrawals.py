"""Money out, on the real engine: held at once, paid or given back, safe to die anywhere, and every sum stays zero."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from django.db.models import Sum

from accounts.models import LedgerEntry, Withdrawal
from accounts.services import withdrawals as rows
from accounts.services.withdrawals import withdrawal_approve, withdrawal_cancel, withdrawal_paid, withdrawal_refuse
from backoffice.tests.factories import REASON, staff
from brokerage.kernel.errors import EngineUnavailableError
from brokerage.platform.models import AuditPending, OutboxEvent
from brokerage.platform.outbox import RetryLater
from tests.conftest_engine import LivePlatform, LiveWeb
from tests.flows.test_last_unit import AT_ONCE, at_once
from tests.payouts import Payee, payee, proven_browser
from trading import handlers
from trading.projection.reconcile import reconcile
from trading.services import payouts


@pytest.fixture
def anna(live_platform: LivePlatform) -> Payee:
    return payee(live_platform)


def handle(row: Withdrawal) -> Withdrawal:
    """What the runners do with the events of a withdrawal, each twice."""
    for event in [*OutboxEvent.objects.filter(topic="withdrawal.changed", key=row.pk)] * 2:
        handlers.withdrawal_changed(event)
    row.refresh_from_db()
    return row


def books_balance(platform: LivePlatform) -> None:
    """Every command's legs sum to zero, all of them too, and tables equal the engine."""
    platform.settle()
    sums = LedgerEntry.objects.values("core_asset").annotate(sum=Sum("amount")).order_by()
    assert {row["sum"] for row in sums} == {0}
    found = reconcile(platform.engine.client)
    assert not found.breaks, found


def test_held_approved_paid_and_settled_once(live_platform: LivePlatform, anna: Payee) -> None:
    row = anna.held("250.50")
    assert anna.usd() == ("749.50", "250.50")
    withdrawal_approve(withdrawal_id=row.pk, staff=staff("finance"), reason=REASON)
    handle(row)
    assert anna.usd() == ("749.50", "250.50")
    withdrawal_paid(withdrawal_id=row.pk, reference=f"BANK-{row.pk}")
    # The bank's message arrives again.
    withdrawal_paid(withdrawal_id=row.pk, reference=f"BANK-{row.pk}")
    row = handle(row)
    assert (row.status, row.closed_at is not None) == ("paid", True)
    assert anna.usd() == ("749.50", "0.00")
    shown = anna.trader.api("GET", f"withdrawals/{row.pk}").json()
    assert (shown["status"], shown["reference"], shown["cancellable"]) == ("paid", f"BANK-{row.pk}", False)
    entries = anna.trader.api("GET", "ledger?kind=withdrawal").json()["results"]
    assert [entry["amount"] for entry in entries] == ["-250.500000"]
    acts = AuditPending.objects.filter(object_type="withdrawal", object_id=row.pk).values_list("action", flat=True)
    assert list(acts) == [f"withdrawal.{act}" for act in ("requested", "held", "approved", "paid", "settled")]
    books_balance(live_platform)


def test_cancelled_before_approval_the_money_is_back(live_platform: LivePlatform, anna: Payee) -> None:
    row = anna.held("400")
    answer = anna.trader.api("DELETE", f"withdrawals/{row.pk}")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert anna.usd() == ("1000.00", "0.00")
    again = anna.trader.api("DELETE", f"withdrawals/{row.pk}")
    assert (again.status_code, again.json()["code"]) == (409, 7064)
    handle(row)
    assert anna.usd() == ("1000.00", "0.00")
    books_balance(live_platform)


def test_refused_by_staff_after_approval_too_the_money_is_back(anna: Payee) -> None:
    row = anna.held("400")
    withdrawal_approve(withdrawal_id=row.pk, staff=staff("finance"), reason=REASON)
    late = anna.trader.api("DELETE", f"withdrawals/{row.pk}")
    assert (late.status_code, late.json()["code"]) == (409, 7064)
    withdrawal_refuse(withdrawal_id=row.pk, reason="The bank sent it back.")
    row = handle(row)
    assert anna.usd() == ("1000.00", "0.00")
    assert anna.trader.api("GET", f"withdrawals/{row.pk}").json()["reason"] == "The bank sent it back."


def test_more_than_is_available_is_refused_and_written_down(anna: Payee) -> None:
    answer = anna.ask("1000.01", Idempotency_Key="all-and-more")
    document = answer.json()
    assert (answer.status_code, document["code"]) == (422, 4001)
    assert (document["needed"], document["available"]) == ("1000.010000", "1000.000000")
    row = Withdrawal.objects.get(pk=document["withdrawal_id"])
    assert (row.status, row.closed_at is not None) == ("refused", True)
    again = anna.ask("1000.01", Idempotency_Key="all-and-more")
    assert (again.status_code, again.json()["withdrawal_id"]) == (422, row.pk)
    assert anna.ask("1000").status_code == 201


def test_money_that_orders_hold_cannot_go(anna: Payee) -> None:
    order = {"symbol": "SOL-USD", "side": "buy", "type": "limit", "qty": "5", "price": "100"}
    assert anna.trader.api("POST", "orders", order).status_code == 201
    assert anna.ask("600").json()["code"] == 4001
    assert anna.ask("450").status_code == 201


def test_one_key_is_one_withdrawal(anna: Payee) -> None:
    first = anna.ask("10", Idempotency_Key="rent")
    # Without another code: it was used up the first time.
    body = {"beneficiary_id": anna.beneficiary.pk, "amount": "10.00"}
    again = anna.trader.api("POST", "withdrawals", body, Idempotency_Key="rent")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again["Idempotent-Replayed"] == "true"
    assert first.json()["withdrawal_id"] == again.json()["withdrawal_id"]
    other = anna.trader.api("POST", "withdrawals", {**body, "amount": "11"}, Idempotency_Key="rent")
    assert (other.status_code, other.json()["code"]) == (409, 1015)
    assert anna.usd() == ("990.00", "10.00")


class CutError(Exception):
    """The process ends here."""


def cut(*args: Any, **kwargs: Any) -> None:
    raise CutError


def test_killed_between_the_hold_and_its_row_it_is_held_once(
    live_platform: LivePlatform, anna: Payee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payouts, "withdrawal_held", cut)
    assert anna.ask("300").status_code == 500
    monkeypatch.undo()
    row = Withdrawal.objects.get(account=anna.trader.account)
    assert (row.status, row.hold_id) == ("requested", None)
    assert anna.usd() == ("700.00", "300.00")
    row = handle(row)
    assert row.status == "held"
    assert anna.usd() == ("700.00", "300.00")
    books_balance(live_platform)


@pytest.mark.parametrize(("end", "left"), [("paid", "700.00"), ("cancelled", "1000.00"), ("refused", "1000.00")])
def test_killed_between_the_end_of_a_hold_and_its_row_it_ends_once(
    live_platform: LivePlatform, anna: Payee, monkeypatch: pytest.MonkeyPatch, end: str, left: str
) -> None:
    row = anna.held("300")
    if end == "paid":
        withdrawal_approve(withdrawal_id=row.pk, staff=staff("finance"), reason=REASON)
        withdrawal_paid(withdrawal_id=row.pk, reference=f"BANK-{row.pk}")
    elif end == "cancelled":
        withdrawal_cancel(withdrawal_id=row.pk)
    else:
        withdrawal_refuse(withdrawal_id=row.pk, reason=REASON)
    monkeypatch.setattr(payouts, "withdrawal_closed", cut)
    with pytest.raises(CutError):
        payouts.withdrawal_advance(live_platform.engine.client, row.pk)
    monkeypatch.undo()
    assert anna.usd() == (left, "0.00")
    row = handle(row)
    assert (row.status, row.closed_at is not None) == (end, True)
    assert anna.usd() == (left, "0.00")
    books_balance(live_platform)


def test_while_the_engine_is_away_it_waits(anna: Payee, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def submit(self, command: bytes) -> None:
            raise EngineUnavailableError("away")

    for module in (payouts, handlers):
        monkeypatch.setattr(module, "get_engine_client", Away)
    answer = anna.ask("300")
    assert (answer.status_code, answer.json()["status"]) == (201, "requested")
    row = Withdrawal.objects.get(pk=answer.json()["withdrawal_id"])
    with pytest.raises(RetryLater):
        handle(row)
    # Taken back before it was ever held: the hold is looked for, found or made, and released.
    withdrawal_cancel(withdrawal_id=row.pk)
    monkeypatch.undo()
    row = handle(row)
    assert (row.status, row.closed_at is not None) == ("cancelled", True)
    assert anna.usd() == ("1000.00", "0.00")


def test_taken_back_while_the_engine_was_away_and_then_not_covered(
    anna: Payee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payouts, "withdrawal_advance", lambda client, pk: Withdrawal.objects.get(pk=pk))
    answer = anna.ask("2000")
    monkeypatch.undo()
    row = Withdrawal.objects.get(pk=answer.json()["withdrawal_id"])
    withdrawal_cancel(withdrawal_id=row.pk)
    row = handle(row)
    assert (row.status, row.closed_at is not None, row.refused_code) == ("cancelled", True, 4001)
    assert anna.usd() == ("1000.00", "0.00")


def test_a_hold_nobody_confirmed_for_a_day_is_left_to_a_person(anna: Payee, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payouts, "withdrawal_held", cut)
    anna.ask("300")
    monkeypatch.undo()
    row = Withdrawal.objects.get(account=anna.trader.account)
    Withdrawal.objects.filter(pk=row.pk).update(created_at=row.created_at - payouts.HOLD_SURE)
    with pytest.raises(payouts.HoldUncertainError):
        handle(row)
    assert anna.usd() == ("700.00", "300.00")


def test_a_hundred_withdrawals_and_orders_on_the_last_money(live_platform: LivePlatform, live_web: LiveWeb) -> None:
    """Half of them ask for a payout, half buy; what there is is enough for one."""
    rich = live_platform.trader("rich")
    order = {"symbol": "SOL-USD", "side": "buy", "type": "limit", "qty": "1", "price": "100"}
    hold = rich.api("POST", "orders/preview", order).json()["hold"]
    poor = payee(live_platform, usd=hold)
    amount = str(Decimal(hold).quantize(Decimal("0.01"), ROUND_DOWN))
    browser = proven_browser(poor.trader.user)
    token = "c" * 32
    cookie = f"sessionid={browser.cookies['sessionid'].value}; csrftoken={token}"
    headers = {"Cookie": cookie, "X-CSRFToken": token, "Content-Type": "application/json"}

    def one(number: int) -> tuple[int, dict[str, Any]]:
        path, body = (
            ("orders", {**order, "client_order_id": f"race-{number}"})
            if number % 2
            else ("withdrawals", {"beneficiary_id": poor.beneficiary.pk, "amount": amount})
        )
        request = urllib.request.Request(f"{live_web.url}/api/v1/{path}", json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    answers = at_once(one)
    counted = Counter(status for status, _ in answers)
    assert counted == {201: 1, 422: AT_ONCE - 1}, (
        counted,
        [body for status, body in answers if status not in (201, 422)][:2],
    )
    assert {body["slug"] for status, body in answers if status == 422} == {"insufficient_funds"}
    live_platform.settle()
    held = Withdrawal.objects.filter(account=poor.trader.account, status="held").count()
    resting = len(poor.trader.api("GET", "orders?status=open").json()["results"])
    assert held + resting == 1
    assert rows.day_used(poor.trader.account) == sum(
        Withdrawal.objects.filter(account=poor.trader.account, status="held").values_list("amount", flat=True)
    )
    books_balance(live_platform)
