"""Requests to the desk: asking, once and bounded, who may, and the pages of the fallback app, with Valkey away."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from kombu.exceptions import OperationalError

from accounts.models import LoginEvent, Passkey, TotpDevice, TradingAccount, TradingAccountMember, User, UserSession
from accounts.selectors.access import AccountRef, account_for_user, accounts_forget
from accounts.services import lockout, second_factor
from accounts.services.second_factor import totp_begin, totp_secret
from accounts.services.sessions import session_end
from accounts.services.trading_accounts import account_open
from brokerage.kernel.clock import NS_PER_S, ManualClock, utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform import jobs
from brokerage.platform.jobs import enqueue
from brokerage.platform.models import AuditPending, OutboxEvent
from brokerage.platform.outbox import OutboxRelay
from brokerage.platform.portal_watch import PortalState, watch
from brokerage.platform.valkey import get_valkey
from marketdata.models import TradePrint
from marketdata.selectors.instruments import InstrumentRef, instrument_by_symbol
from marketdata.services.seed import reference_seed
from risk.models import Position
from tests.authenticator import code_of as authenticator_code
from tests.fallback import NO_VALKEY, PASSWORD, fallback_app, key_of, signed_in
from trading.models import FallbackRequest, Order
from trading.selectors.fallback import request_list_for
from trading.selectors.shapes import order_public_id
from trading.services.fallback import (
    OPEN_MAX,
    request_cancel,
    request_claim,
    request_close,
    request_release,
    request_withdraw,
)

pytestmark = pytest.mark.django_db
WRONG = "Wrong-Horse-2026"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    lockout.here.clear()
    # Nobody listens at the portal's address here.
    monkeypatch.setattr(watch, "state", lambda: PortalState(False, False, 10**18))


@pytest.fixture
def app() -> Iterator[None]:
    """The fallback app, and no Valkey anywhere."""
    get_valkey.cache_clear()
    with fallback_app(REDIS_URL=NO_VALKEY):
        yield
    get_valkey.cache_clear()


@pytest.fixture
def user() -> User:
    reference_seed(demo=True)
    user = User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")
    account_open(user=user)
    return user


@pytest.fixture
def account(user: User) -> AccountRef:
    accounts_forget()
    return account_for_user(user.pk)


def item(symbol: str) -> InstrumentRef:
    found = instrument_by_symbol(symbol)
    assert found is not None
    return found


def order(account: AccountRef, number: int = 4711, **more: Any) -> Order:
    row = {
        "order_id": number, "entry_seq": number, "seq": number, "core_account": account.core_account, "core_instrument": 1, "side": 1,
        "ord_type": 2, "time_in_force": 1, "price": 6_400_000, "order_qty": 5, "leaves_qty": 5, "cum_qty": 0, "ord_status": 0,
        "created_ns": 10**18, "updated_ns": 10**18, **more,
    }  # fmt: skip
    return Order.objects.create(**row)


def position(account: AccountRef, symbol: str, net: int) -> InstrumentRef:
    instrument = item(symbol)
    Position.objects.create(
        core_account=account.core_account, core_instrument=instrument.core_instrument, net=net, cost=net * 1000, seq=1
    )
    return instrument


def code_of(act: Any, **arguments: Any) -> int:
    with pytest.raises(RejectedError) as caught, transaction.atomic():
        act(**arguments)
    return caught.value.code


def member(account: AccountRef, role: str, name: str = "bert") -> tuple[User, AccountRef]:
    other = User.objects.create_user(f"{name}@example.test", PASSWORD)
    TradingAccountMember.objects.create(account_id=account.id, user=other, role=role)
    accounts_forget()
    return other, account_for_user(other.pk, account.number)


def close_all(account: AccountRef, user: User, instrument: InstrumentRef, lots: int, key: str) -> FallbackRequest:
    qty = Decimal(instrument.qty(lots))
    return request_close(account=account, user=user, instrument=instrument, qty=qty, key=key)


# ---- asking -------------------------------------------------------------------------------------------------------------


def test_a_request_has_a_number_a_state_and_a_place_in_the_queue(user: User, account: AccountRef) -> None:
    first = request_cancel(account=account, user=user, order_id=order(account).pk, key="a")
    second = request_cancel(account=account, user=user, order_id=order(account, 4712, side=2).pk, key="b")
    assert (first.state, first.qty, first.side) == ("received", 5, 1)
    rows = list(request_list_for(account.id))
    assert [(row.pk, row.ahead) for row in rows] == [(second.pk, 1), (first.pk, 0)]  # type: ignore[attr-defined]
    acts = AuditPending.objects.filter(action="fallback_request.received").values_list("object_id", "subject")
    assert list(acts) == [(str(first.pk), str(user.pk)), (str(second.pk), str(user.pk))]


def test_the_same_form_twice_is_one_request_and_its_key_is_for_nothing_else(user: User, account: AccountRef) -> None:
    one, two = order(account), order(account, 4712)
    first = request_cancel(account=account, user=user, order_id=one.pk, key="a")
    assert request_cancel(account=account, user=user, order_id=one.pk, key="a") == first
    assert code_of(request_cancel, account=account, user=user, order_id=two.pk, key="a") == 1015
    # Another form for the same order: it is asked for already.
    assert request_cancel(account=account, user=user, order_id=one.pk, key="other") == first
    assert code_of(request_cancel, account=account, user=user, order_id=two.pk, key="") == 1016
    assert FallbackRequest.objects.count() == 1


def test_only_what_is_open_and_ones_own_can_be_asked_about(user: User, account: AccountRef) -> None:
    filled = order(account, ord_status=2, leaves_qty=0, cum_qty=5)
    assert code_of(request_cancel, account=account, user=user, order_id=filled.pk, key="a") == 7082
    assert code_of(request_cancel, account=account, user=user, order_id=1, key="a") == 2014
    strangers = order(account, 9, core_account=account.core_account + 1)
    assert code_of(request_cancel, account=account, user=user, order_id=strangers.pk, key="a") == 2014


@pytest.mark.parametrize(
    ("_case", "symbol", "net", "side"),
    [("long margin", "EUR-USD", 300, 2), ("short margin", "EUR-USD", -300, 1), ("held outright", "BTC-USD", 300, 2)],
)
def test_a_position_is_closed_by_its_other_side(
    user: User, account: AccountRef, _case: str, symbol: str, net: int, side: int
) -> None:
    instrument = position(account, symbol, net)
    row = close_all(account, user, instrument, 200, "a")
    assert (row.kind, row.qty, row.side, row.order_id) == ("close", 200, side, None)
    # What was asked for already cannot be asked for again.
    assert code_of(close_all, account=account, user=user, instrument=instrument, lots=101, key="b") == 7082
    assert close_all(account, user, instrument, 100, "c").qty == 100
    assert code_of(close_all, account=account, user=user, instrument=instrument, lots=1, key="d") == 7082


def test_what_is_owed_outright_cannot_be_closed_by_the_desk(user: User, account: AccountRef) -> None:
    instrument = position(account, "BTC-USD", -5)
    assert code_of(close_all, account=account, user=user, instrument=instrument, lots=5, key="a") == 7082


def test_open_requests_are_bounded(user: User, account: AccountRef) -> None:
    for number in range(OPEN_MAX):
        request_cancel(account=account, user=user, order_id=order(account, 100 + number).pk, key=f"k{number}")
    more = order(account, 500)
    assert code_of(request_cancel, account=account, user=user, order_id=more.pk, key="more") == 7081
    request_withdraw(account=account, number=FallbackRequest.objects.earliest("pk").pk)
    assert request_cancel(account=account, user=user, order_id=more.pk, key="more").state == "received"


def test_a_viewer_may_not_ask_a_trader_may(user: User, account: AccountRef) -> None:
    row = order(account)
    viewer, as_viewer = member(account, "viewer")
    assert code_of(request_cancel, account=as_viewer, user=viewer, order_id=row.pk, key="a") == 2012
    trader, as_trader = member(account, "trader", "tom")
    asked = request_cancel(account=as_trader, user=trader, order_id=row.pk, key="a")
    assert code_of(request_withdraw, account=as_viewer, number=asked.pk) == 2012
    assert request_withdraw(account=account, number=asked.pk).state == "withdrawn"


def test_a_suspended_account_may_still_ask(user: User, account: AccountRef) -> None:
    TradingAccount.objects.filter(pk=account.id).update(status="suspended")
    User.objects.filter(pk=user.pk).update(trading_allowed=False)
    accounts_forget()
    suspended = account_for_user(user.pk)
    assert request_cancel(account=suspended, user=user, order_id=order(account).pk, key="a").state == "received"


def test_withdrawing_ends_when_a_dealer_has_it(user: User, account: AccountRef) -> None:
    dealer = User.objects.create_user("dealer@example.test", PASSWORD, is_staff=True)
    row = request_cancel(account=account, user=user, order_id=order(account).pk, key="a")
    request_claim(number=row.pk, staff=dealer)
    assert code_of(request_withdraw, account=account, number=row.pk) == 7080
    request_release(number=row.pk, staff=dealer)
    assert request_withdraw(account=account, number=row.pk).state == "withdrawn"
    assert request_withdraw(account=account, number=row.pk).state == "withdrawn", "again changes nothing"
    assert code_of(request_claim, number=row.pk, staff=dealer) == 7080


def test_the_table_itself_keeps_one_open_cancel_per_order(user: User, account: AccountRef) -> None:
    row = request_cancel(account=account, user=user, order_id=order(account).pk, key="a")
    row.pk, row.key, row.uid = None, "b", "0" * 26
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


# ---- the app, without Valkey --------------------------------------------------------------------------------------------


def test_signing_in_needs_no_valkey_and_shows_the_account(app: None, user: User, account: AccountRef) -> None:
    instrument = position(account, "EUR-USD", 300)
    TradePrint.objects.create(
        seq=1, core_instrument=instrument.core_instrument, price=108_000, qty=1, side=1, time_ns=10**18
    )
    open_order = order(account)
    client = signed_in(user.email)
    assert client.cookies["fallback-session"]["httponly"]
    page = client.get("/").content.decode()
    for said in (
        account.number,
        "EUR-USD",
        instrument.qty(300),
        instrument.price(108_000),
        "last trade here",
        "does not answer",
    ):
        assert said in page, said
    assert f"/cancel/{order_public_id(open_order.pk)}" in page
    assert "<script" not in page
    assert AuditPending.objects.filter(action="session.begun", subject=str(user.pk)).count() == 1
    assert LoginEvent.objects.get(user=user).method == "fallback: password"


def test_two_taps_make_a_request(app: None, user: User, account: AccountRef) -> None:
    open_order = order(account)
    position(account, "EUR-USD", 300)
    client = signed_in(user.email)
    for path, more in (
        (f"/cancel/{order_public_id(open_order.pk)}", {}),
        ("/close/EUR-USD", {"qty": item("EUR-USD").qty(100)}),
    ):
        form = {"key": key_of(client.get(path)), **more}
        assert client.post(path, form).status_code == 302
        # The reader presses again, or the browser does.
        assert client.post(path, form).status_code == 302
    assert sorted(FallbackRequest.objects.values_list("kind", "qty")) == [("cancel", 5), ("close", 100)]
    listed = client.get("/requests").content.decode()
    assert "next in the queue" in listed
    assert "place 2 in the queue" in listed
    number = FallbackRequest.objects.get(kind="close").pk
    assert client.post(f"/requests/{number}/withdraw").status_code == 302
    assert FallbackRequest.objects.get(pk=number).state == "withdrawn"


def test_a_bad_quantity_is_told_on_the_form(app: None, user: User, account: AccountRef) -> None:
    position(account, "EUR-USD", 300)
    client = signed_in(user.email)
    for qty in ("", "much", "-1", "0", "99999999"):
        answer = client.post("/close/EUR-USD", {"key": "k", "qty": qty})
        assert 400 <= answer.status_code < 500, qty
        assert 'class="err"' in answer.content.decode(), qty
    assert not FallbackRequest.objects.exists()


def test_wrong_passwords_lock_the_place_without_valkey_and_are_kept_for_later(app: None, user: User) -> None:
    client = Client()
    answers = [
        client.post("/signin", {"email": user.email, "password": WRONG}, REMOTE_ADDR="10.1.1.1").status_code
        for _ in range(9)
    ]
    assert answers == [401] * 9
    lockout.lockout_fail(email=user.email, place=lockout.Place("10.1.1.1"))
    locked = client.post("/signin", {"email": user.email, "password": PASSWORD}, REMOTE_ADDR="10.1.1.1")
    assert locked.status_code == 429
    assert (
        client.post("/signin", {"email": user.email, "password": PASSWORD}, REMOTE_ADDR="10.2.2.2").status_code == 302
    )
    # The user's history is written by a job: it waits in the outbox until there is a queue.
    assert OutboxEvent.objects.filter(topic="job.due", key="accounts.tasks.login_failed").count() == 9
    assert AuditPending.objects.filter(action="sign_in.refused").count() == 9
    assert AuditPending.objects.filter(action="sign_in.locked").exists()


def test_a_session_ended_in_the_portal_is_ended_here(app: None, user: User) -> None:
    client = signed_in(user.email)
    assert client.get("/").status_code == 200
    row = UserSession.objects.get(user=user, ended_at=None)
    assert row.method == "fallback: password"
    session_end(user=user, session_id=row.pk)
    from accounts.selectors.sessions import sessions_forget

    sessions_forget()
    assert client.get("/").status_code == 302


def test_an_unknown_address_is_a_page_of_this_app(app: None, user: User) -> None:
    for client in (Client(), signed_in(user.email)):
        answer = client.get("/orders")
        assert answer.status_code == 404
        assert "Fallback" in answer.content.decode()
    assert Client().get("/health/ready").json() == {"ready": True, "checks": {"database": True}}
    assert Client().get("/health/live").content == b"ok"


def test_an_authenticator_opens_it_and_a_passkey_alone_is_told_what_to_do(app: None, user: User) -> None:
    device = totp_begin(user=user)
    TotpDevice.objects.filter(pk=device.pk).update(confirmed=True)
    client = Client()
    first = client.post("/signin", {"email": user.email, "password": PASSWORD})
    assert first["Location"].startswith("/second-step")
    assert client.get("/").status_code == 302, "a password alone opens nothing"
    assert client.post("/second-step", {"code": "000000"}).status_code == 401
    assert client.post("/second-step", {"code": authenticator_code(totp_secret(device))}).status_code == 302
    assert client.get("/").status_code == 200
    assert UserSession.objects.get(user=user, ended_at=None).method == "fallback: totp"

    TotpDevice.objects.all().delete()
    Passkey.objects.create(
        user=user,
        name="key",
        confirmed=True,
        credential_id=b"c",
        public_key=b"k",
        rp_id="portal.example",
        created_at=utc_now(),
    )
    other = Client()
    other.post("/signin", {"email": user.email, "password": PASSWORD})
    page = other.get("/second-step").content.decode()
    assert "Your second factor is a passkey" in page
    assert "call the desk" in page
    assert "<form class" not in page
    code = second_factor.recovery_codes_make(user=user)[0]
    assert "10 recovery codes" in other.get("/second-step").content.decode()
    assert other.post("/second-step", {"code": code}).status_code == 302
    assert other.get("/").status_code == 200


def test_where_everybody_needs_a_second_factor_a_password_is_not_enough(app: None, user: User) -> None:
    open_before = signed_in(user.email)
    with fallback_app(REDIS_URL=NO_VALKEY, CLIENT_SECOND_FACTOR=True):
        answer = Client().post("/signin", {"email": user.email, "password": PASSWORD})
        assert answer.status_code == 401
        assert "call the desk" in answer.content.decode()
        refused = open_before.get("/")
        assert refused.status_code == 401
        assert "needs a second factor" in refused.content.decode()


def test_a_job_left_in_the_outbox_is_handed_on(app: None, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue("accounts.tasks.mail_registered", user_id="1", known=True)
    sent: list[Any] = []

    def away(name: str, arguments: dict[str, Any]) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(jobs, "_send", away)
    OutboxRelay().run_once()
    event = OutboxEvent.objects.get(topic="job.due")
    assert (event.published_at, event.attempts) == (None, 0), "no queue is no failure"
    OutboxEvent.objects.update(next_attempt_at=None)
    monkeypatch.setattr(jobs, "_send", lambda name, arguments: sent.append((name, arguments)))
    OutboxRelay().run_once()
    assert sent == [("accounts.tasks.mail_registered", {"user_id": "1", "known": True})]
    assert OutboxEvent.objects.get(topic="job.due").published_at is not None


def test_locks_counted_here_are_bounded_and_end_with_their_window() -> None:
    clock = ManualClock()
    counts = lockout.Counts(most=3, clock=clock)
    for key in ("a", "b", "c"):
        counts.add(key)
    assert counts.add("a") == 2
    with pytest.raises(RejectedError) as full:
        counts.add("d")
    assert full.value.code == 9013, "locks are not dropped to make room"
    clock.advance(lockout.WINDOW_S * NS_PER_S)
    assert counts.get("a") == (0, 0)
    assert counts.add("d") == 1
