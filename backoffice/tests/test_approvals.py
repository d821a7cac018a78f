"""Four eyes: what is asked by one is decided by another, done once, and refused in the documented order."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import Deposit, TradingAccount, User
from accounts.roles import ADMINISTRATOR, COMPLIANCE, DEALER, FINANCE, SENIOR_DEALER, SUPPORT
from backoffice import handlers
from backoffice.models import Approval, ClientGroup, Desk, RoleGrant
from backoffice.services.access import break_glass_begin
from backoffice.services.approvals import approval_decide, approval_list_for, approval_request, approval_withdraw
from backoffice.services.desks import desk_assign
from backoffice.tests.factories import REASON, client_account, staff
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform.models import AuditPending, OutboxEvent
from marketdata.services.seed import reference_seed

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> TradingAccount:
    reference_seed(demo=True)
    return client_account()


def ask(maker: User, kind: str, subject: str, **payload: Any) -> Approval:
    return approval_request(maker=maker, kind=kind, subject=subject, payload=payload, reason=REASON)


def decide(approval: Approval, checker: User, approve: bool = True) -> Approval:
    return approval_decide(approval_id=approval.pk, checker=checker, approve=approve, reason=REASON)


def code_of(act: Any, *args: Any, **kwargs: Any) -> int:
    with pytest.raises(RejectedError) as caught, transaction.atomic():
        act(*args, **kwargs)
    return caught.value.code


def test_an_approved_deposit_is_recorded_once_and_audited(account: TradingAccount) -> None:
    approval = ask(staff(FINANCE), "deposit", account.number, asset="USD", amount="100.5")
    assert not Deposit.objects.exists()
    done = decide(approval, staff(FINANCE))
    deposit = Deposit.objects.get()
    assert (deposit.amount, deposit.account, deposit.reference) == (100_500_000, account, f"approval-{approval.pk}")
    assert done.status == "executed"
    assert code_of(decide, approval, staff(FINANCE)) == 7051
    assert Deposit.objects.count() == 1
    actions = AuditPending.objects.filter(object_type="approval").values_list("action", flat=True)
    assert list(actions) == ["approval.requested", "approval.approved"]


def test_who_asked_may_not_decide_whatever_else_they_may(account: TradingAccount) -> None:
    maker = staff(FINANCE)
    approval = ask(maker, "deposit", account.number, asset="USD", amount="1")
    assert code_of(decide, approval, maker) == 7050
    assert code_of(decide, approval, maker, False) == 7050
    root = staff(superuser=True)
    own = ask(root, "deposit", account.number, asset="USD", amount="2")
    assert code_of(decide, own, root) == 7050
    assert not Deposit.objects.exists()


def test_an_emergency_role_gives_no_second_pair_of_eyes(account: TradingAccount) -> None:
    maker = staff(SENIOR_DEALER)
    break_glass_begin(user=maker, role=FINANCE, reason=REASON, minutes=5)
    maker = User.objects.get(pk=maker.pk)
    approval = ask(maker, "deposit", account.number, asset="USD", amount="1")
    assert code_of(decide, approval, maker) == 7050


def test_the_table_itself_refuses_one_pair_of_eyes(account: TradingAccount) -> None:
    maker = staff(FINANCE)
    approval = ask(maker, "deposit", account.number, asset="USD", amount="1")
    with pytest.raises(IntegrityError, match="four_eyes"), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(checker=maker, status="executed", decided_at=utc_now())


def test_deciding_and_asking_need_their_permissions(account: TradingAccount) -> None:
    approval = ask(staff(FINANCE), "deposit", account.number, asset="USD", amount="1")
    assert code_of(decide, approval, staff(SUPPORT)) == 2012
    assert code_of(ask, staff(SUPPORT), "deposit", account.number, asset="USD", amount="1") == 2012
    assert code_of(decide, approval, account.owner) == 2012
    assert account.owner is not None
    account.owner.is_active = False
    assert code_of(ask, account.owner, "deposit", account.number, asset="USD", amount="1") == 2012


def test_refused_and_withdrawn_requests_do_nothing(account: TradingAccount) -> None:
    maker = staff(FINANCE)
    first = ask(maker, "deposit", account.number, asset="USD", amount="1")
    assert decide(first, staff(FINANCE), approve=False).status == "refused"
    second = ask(maker, "deposit", account.number, asset="USD", amount="1")
    assert code_of(approval_withdraw, approval_id=second.pk, maker=staff(FINANCE)) == 2012
    assert approval_withdraw(approval_id=second.pk, maker=maker).status == "withdrawn"
    assert code_of(decide, second, staff(FINANCE)) == 7051
    assert not Deposit.objects.exists()


def test_a_late_decision_is_refused(account: TradingAccount) -> None:
    approval = ask(staff(FINANCE), "deposit", account.number, asset="USD", amount="1")
    Approval.objects.filter(pk=approval.pk).update(expires_at=utc_now() - timedelta(seconds=1))
    assert code_of(decide, approval, staff(FINANCE)) == 7052


def test_the_same_request_twice_is_one(account: TradingAccount) -> None:
    maker = staff(FINANCE)
    first = ask(maker, "deposit", account.number, asset="USD", amount="1.0")
    assert ask(maker, "deposit", account.number, asset="usd", amount="1.00").pk == first.pk
    assert ask(maker, "deposit", account.number, asset="USD", amount="1.01").pk != first.pk


@pytest.mark.parametrize(
    ("_case", "kind", "payload", "code"),
    [
        ("no such kind", "gift", {}, 1001),
        ("no such asset", "deposit", {"asset": "XXX", "amount": "1"}, 1001),
        ("zero", "deposit", {"asset": "USD", "amount": "0"}, 8002),
        ("below zero", "debit", {"asset": "USD", "amount": "-1"}, 8002),
        ("no number", "deposit", {"asset": "USD", "amount": "much"}, 1012),
        ("not a finite number", "deposit", {"asset": "USD", "amount": "NaN"}, 1012),
        ("too many decimals", "deposit", {"asset": "USD", "amount": "0.0000001"}, 1011),
        ("amount missing", "deposit", {"asset": "USD"}, 1016),
        ("one field too many", "deposit", {"asset": "USD", "amount": "1", "account": "A1"}, 1010),
        ("no such state", "account_state", {"state": "gone"}, 1001),
        ("no orders", "account_limits", {"max_open_orders": "0", "max_order_value": "1"}, 1014),
        ("too many orders", "account_limits", {"max_open_orders": "5001", "max_order_value": "1"}, 1014),
        ("no such role", "role", {"role": "king"}, 7054),
    ],
)
def test_what_cannot_be_is_refused_when_asked(
    account: TradingAccount, _case: str, kind: str, payload: dict[str, str], code: int
) -> None:
    assert code_of(ask, staff(superuser=True), kind, account.number, **payload) == code
    assert not Approval.objects.exists()


def test_a_request_without_a_reason_is_refused(account: TradingAccount) -> None:
    with pytest.raises(RejectedError) as caught:
        approval_request(
            maker=staff(FINANCE),
            kind="deposit",
            subject=account.number,
            payload={"asset": "USD", "amount": "1"},
            reason=" ",
        )
    assert caught.value.code == 7053


def test_nobody_decides_about_their_own_account_or_role(account: TradingAccount) -> None:
    assert account.owner is not None
    account.owner.is_staff = account.owner.is_superuser = True
    account.owner.save()
    approval = ask(staff(FINANCE), "deposit", account.number, asset="USD", amount="1")
    assert code_of(decide, approval, account.owner) == 7058
    officer = staff(COMPLIANCE)
    role = ask(staff(ADMINISTRATOR), "role", officer.email, role=FINANCE)
    assert code_of(decide, role, officer) == 7058


def test_a_role_needs_two_and_is_given_with_its_permissions() -> None:
    maker, officer, user = staff(ADMINISTRATOR), staff(COMPLIANCE), User.objects.create_user("new@example.test")
    approval = ask(maker, "role", user.email, role=DEALER)
    assert "trading.view_order" in approval.payload["gains"]
    assert not User.objects.get(pk=user.pk).is_staff
    decide(approval, officer)
    user = User.objects.get(pk=user.pk)
    assert user.is_staff
    assert user.has_perm("trading.view_order")
    grant = RoleGrant.objects.get()
    assert (grant.granted_by, grant.requested_by) == (officer, maker)


def test_a_client_cannot_be_made_staff(account: TradingAccount) -> None:
    assert account.owner is not None
    assert code_of(ask, staff(ADMINISTRATOR), "role", account.owner.email, role=DEALER) == 2012


def test_a_halt_refuses_at_the_edge_at_once_and_tells_the_engine(account: TradingAccount) -> None:
    approval = ask(staff(SENIOR_DEALER), "account_state", account.number, state="halted")
    assert approval.before == {"state": "active"}
    decide(approval, staff(SENIOR_DEALER))
    account.refresh_from_db()
    assert account.status == "suspended"
    event = OutboxEvent.objects.get(topic="account.state_approved")
    assert event.payload == {"core_account": account.core_account, "state": "halted"}
    opened = ask(staff(SENIOR_DEALER), "account_state", account.number, state="active")
    assert opened.before == {"state": "halted"}
    decide(opened, staff(SENIOR_DEALER))
    account.refresh_from_db()
    assert account.status == "active"


def test_the_engines_refusal_is_shown_on_the_request(account: TradingAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    approval = decide(ask(staff(FINANCE), "debit", account.number, asset="USD", amount="7"), staff(FINANCE))
    monkeypatch.setattr(handlers, "get_engine_client", object)
    sent: list[Any] = []
    monkeypatch.setattr(handlers, "account_debit_send", lambda client, **facts: sent.append(facts) or 4001)
    handlers.account_debit_approved(OutboxEvent.objects.get(topic="account.debit_approved"))
    assert sent[0]["minor"] == 7_000_000
    assert sent[0]["entry_id"] == approval.pk
    approval.refresh_from_db()
    assert approval.result == "refused by the engine with code 4001"


def test_a_dealer_asks_about_assigned_clients_only(account: TradingAccount) -> None:
    dealer = staff(DEALER)
    assert code_of(ask, dealer, "account_state", account.number, state="halted") == 2014
    desk = Desk.objects.create(name="One")
    ClientGroup.objects.create(name="G", desk=desk).accounts.add(account)
    desk_assign(user=dealer, place=desk)
    dealer = User.objects.get(pk=dealer.pk)
    approval = ask(dealer, "account_state", account.number, state="halted")
    assert list(approval_list_for(dealer)) == [approval]
    assert list(approval_list_for(staff(SENIOR_DEALER))) == [approval]
    assert list(approval_list_for(staff(FINANCE))) == []


@pytest.mark.django_db(transaction=True)
def test_two_checkers_at_once_do_it_once() -> None:
    reference_seed(demo=True)
    approval = ask(staff(FINANCE), "deposit", client_account().number, asset="USD", amount="5")
    checkers = [staff(FINANCE) for _ in range(4)]
    barrier, codes = threading.Barrier(len(checkers)), []

    def run(checker: User) -> None:
        barrier.wait()
        try:
            decide(approval, checker)
            codes.append(0)
        except RejectedError as error:
            codes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(checker,)) for checker in checkers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [0, 7051, 7051, 7051]
    assert Deposit.objects.count() == 1


def test_deposits_stay_within_what_the_clients_tier_allows(account: TradingAccount) -> None:
    User.objects.filter(pk=account.owner_id).update(kyc_tier=1)  # 2,000 in 30 days
    maker, checker = staff(FINANCE), staff(FINANCE)
    both = [ask(maker, "deposit", account.number, asset="USD", amount=amount) for amount in ("1500", "600")]
    with pytest.raises(RejectedError) as error:
        ask(maker, "deposit", account.number, asset="USD", amount="2000.01")
    assert (error.value.code, error.value.needed, error.value.available) == (7027, "2000 USD", "2000.01 USD")
    # Each fits alone; approved together they would not.
    decide(both[0], checker)
    with pytest.raises(RejectedError) as error:
        decide(both[1], checker)
    assert error.value.code == 7027
    assert Deposit.objects.filter(account=account).count() == 1
