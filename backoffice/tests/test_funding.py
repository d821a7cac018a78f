"""The funding desk: who may do what with a withdrawal, when it takes two, and what is flagged."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Beneficiary, Deposit, TradingAccount, User, Withdrawal
from accounts.roles import COMPLIANCE, DEALER, FINANCE, SUPPORT
from accounts.services.withdrawals import flags_of, withdrawal_cancel
from backoffice.models import Approval
from backoffice.services.approvals import approval_decide
from backoffice.services.funding import payout_approve, payout_paid, payout_refuse
from backoffice.tests.factories import REASON, browser, client_account, staff
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform.models import AuditPending, OutboxEvent
from marketdata.services.seed import reference_seed
from tests.payouts import IBAN, destination, enrolled

pytestmark = pytest.mark.django_db
_numbers = itertools.count(1)


@pytest.fixture
def account() -> TradingAccount:
    reference_seed(demo=True)
    account = client_account()
    assert account.owner is not None
    User.objects.filter(pk=account.owner_id).update(trading_allowed=True)
    enrolled(account.owner)
    return account


def held(account: TradingAccount, amount: str = "100", *, first: bool = False, **more: Any) -> Withdrawal:
    """A withdrawal whose money is set aside; unless it is the ``first`` one an older was paid."""
    saved = Beneficiary.objects.filter(account=account).first() or destination(account.owner, account.number)
    if not first:
        row(account, saved, status="paid", reference=f"OLD {next(_numbers)}", closed_at=utc_now())
    return row(account, saved, amount=int(amount) * 10**6, **more)


def row(account: TradingAccount, saved: Beneficiary, **more: Any) -> Withdrawal:
    number = next(_numbers)
    return Withdrawal.objects.create(**{
        "id": f"{number:026}", "account": account, "beneficiary": saved, "requested_by": account.owner, "asset": "USD", "amount": 1,
        "status": "held", "hold_id": number, "created_at": utc_now(), "created_ns": number, **more,
    })  # fmt: skip


def code_of(act: Any, **arguments: Any) -> int:
    with pytest.raises(RejectedError) as caught, transaction.atomic():
        act(**arguments)
    return caught.value.code


def test_what_nothing_is_flagged_about_one_lets_go(account: TradingAccount) -> None:
    asked = held(account)
    assert flags_of(asked) == []
    finance = staff(FINANCE)
    done = payout_approve(staff=finance, withdrawal_id=asked.pk, reason=REASON)
    assert isinstance(done, Withdrawal)
    assert (done.status, done.approved_by) == ("approved", finance)
    assert AuditPending.objects.get(action="withdrawal.approved").reason == REASON


@pytest.mark.parametrize(
    ("_case", "flag"),
    [
        ("a new destination", "new destination"),
        ("the first one", "first withdrawal"),
        ("above 5,000 at tier 2", "above the threshold"),
        ("a deposit a day ago", "in and out quickly"),
    ],
)
def test_what_is_flagged_takes_two(account: TradingAccount, _case: str, flag: str) -> None:
    asked = held(account, "5001" if "above" in flag else "5000", first="first" in flag)
    if flag == "new destination":
        Beneficiary.objects.update(created_at=utc_now() - timedelta(days=6))
    if flag == "in and out quickly":
        facts = {"account": account, "asset": "USD", "amount": 2_500 * 10**6, "status": "credited"}
        Deposit.objects.create(id="d", reference="r", **facts)
        Deposit.objects.update(created_at=utc_now() - timedelta(days=1))
    asked = Withdrawal.objects.get(pk=asked.pk)
    assert flags_of(asked) == [flag]
    maker = staff(FINANCE)
    waiting = payout_approve(staff=maker, withdrawal_id=asked.pk, reason=REASON)
    assert isinstance(waiting, Approval)
    assert waiting.payload["look_at"] == [flag]
    # Asked again it is the same request; who asked does not decide.
    again = payout_approve(staff=maker, withdrawal_id=asked.pk, reason=REASON)
    assert again.pk == waiting.pk
    decide = {"approval_id": waiting.pk, "approve": True, "reason": REASON}
    assert code_of(approval_decide, checker=maker, **decide) == 7050
    assert code_of(approval_decide, checker=staff(SUPPORT), **decide) == 2012
    checker = staff(FINANCE)
    approval_decide(checker=checker, **decide)
    asked.refresh_from_db()
    assert (asked.status, asked.approved_by) == ("approved", checker)


def test_a_request_about_what_was_taken_back_does_nothing(account: TradingAccount) -> None:
    asked = held(account, first=True)
    waiting = payout_approve(staff=staff(FINANCE), withdrawal_id=asked.pk, reason=REASON)
    withdrawal_cancel(withdrawal_id=asked.pk)
    decide = {"approval_id": waiting.pk, "checker": staff(FINANCE), "approve": True, "reason": REASON}
    assert code_of(approval_decide, **decide) == 7064
    assert Approval.objects.get().status == "pending"
    approval_decide(**{**decide, "approve": False})
    asked.refresh_from_db()
    assert asked.status == "cancelled"


def test_only_finance_and_with_a_reason_and_not_about_oneself(account: TradingAccount) -> None:
    asked = held(account)
    for role in (SUPPORT, COMPLIANCE, DEALER):
        for act in (payout_approve, payout_refuse):
            assert code_of(act, staff=staff(role), withdrawal_id=asked.pk, reason=REASON) == 2012
        assert code_of(payout_paid, staff=staff(role), withdrawal_id=asked.pk, reference="BANK 1") == 2012
    finance = staff(FINANCE)
    for act in (payout_approve, payout_refuse):
        assert code_of(act, staff=finance, withdrawal_id=asked.pk, reason="no") == 7053
        assert code_of(act, staff=finance, withdrawal_id="0" * 26, reason=REASON) == 2014
    User.objects.filter(pk=account.owner_id).update(is_staff=True, is_superuser=True)
    own = User.objects.get(pk=account.owner_id)
    assert code_of(payout_approve, staff=own, withdrawal_id=asked.pk, reason=REASON) == 7058


def test_paid_only_when_approved_and_the_table_keeps_it_so(account: TradingAccount) -> None:
    asked = held(account)
    finance = staff(FINANCE)
    assert code_of(payout_paid, staff=finance, withdrawal_id=asked.pk, reference="BANK 1") == 7064
    payout_approve(staff=finance, withdrawal_id=asked.pk, reason=REASON)
    for reference in ("", "abc", "x" * 65, "Überweisung"):
        assert code_of(payout_paid, staff=finance, withdrawal_id=asked.pk, reference=reference) == 1001
    assert payout_paid(staff=finance, withdrawal_id=asked.pk, reference="BANK 1").status == "paid"
    assert code_of(payout_refuse, staff=finance, withdrawal_id=asked.pk, reason=REASON) == 7064
    assert OutboxEvent.objects.filter(topic="withdrawal.changed", key=asked.pk).count() == 2
    with pytest.raises(IntegrityError, match="paid_has_its_reference"), transaction.atomic():
        Withdrawal.objects.filter(pk=asked.pk).update(reference=None)


def test_the_queue_and_the_page(account: TradingAccount) -> None:
    asked = held(account, "250")
    finance = browser(staff(FINANCE))
    queue = finance.get("/desk/funding").content.decode()
    assert account.number in queue
    assert "250.00" in queue
    assert IBAN not in queue
    page = finance.get(f"/desk/funding/{asked.pk}").content.decode()
    assert IBAN in page
    assert AuditPending.objects.filter(action="withdrawal.opened", object_id=asked.pk).exists()
    looking = browser(staff(SUPPORT)).get(f"/desk/funding/{asked.pk}").content.decode()
    assert "GB29 •••• 6819" in looking
    assert IBAN not in looking
    act = f"/desk/funding/{asked.pk}/act"
    assert finance.post(act, {"act": "approve", "approve-reason": "no"}).status_code == 400
    assert finance.post(act, {"act": "paid", "paid-reference": "BANK 1"}).status_code == 409
    assert finance.post(act, {"act": "nonsense"}).status_code == 400
    assert finance.post(act, {"act": "approve", "approve-reason": REASON}).status_code == 302
    assert finance.post(act, {"act": "paid", "paid-reference": "BANK 1"}).status_code == 302
    assert asked.pk in finance.get("/desk/funding?queue=paid").content.decode()
    asked.refresh_from_db()
    assert (asked.status, asked.reference) == ("paid", "BANK 1")
    assert finance.get("/desk/funding/" + "0" * 26).status_code == 404


def test_refused_the_client_reads_why(account: TradingAccount) -> None:
    asked = held(account)
    finance = browser(staff(FINANCE))
    form = {"act": "refuse", "refuse-reason": "The bank does not know the holder."}
    assert finance.post(f"/desk/funding/{asked.pk}/act", form).status_code == 302
    shown = browser(account.owner).get("/account/withdrawals").content.decode()
    assert "The bank does not know the holder." in shown


def test_a_long_queue_comes_in_pages(account: TradingAccount) -> None:
    saved = destination(account.owner, account.number)
    for _ in range(60):
        row(account, saved)
    finance = browser(staff(FINANCE))
    first = finance.get("/desk/funding").content.decode()
    assert first.count('data-label="Client"') == 50
    mark = first.split("&amp;from=")[1][:26]
    assert finance.get(f"/desk/funding?from={mark}").content.decode().count('data-label="Client"') == 10


def test_money_on_its_way_keeps_the_account_open_and_is_in_the_export(account: TradingAccount) -> None:
    from accounts.services.closing import user_close
    from accounts.services.exports import _sections

    assert account.owner is not None
    asked = held(account)
    with pytest.raises(RejectedError) as caught:
        user_close(user=account.owner)
    assert "withdrawal on its way" in str(caught.value.available)
    assert [row["iban"] for row in _sections["payout destinations"](account.owner)] == [IBAN]
    assert asked.pk in [row["id"] for row in _sections["withdrawals"](account.owner)]
