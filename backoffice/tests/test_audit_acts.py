"""Acts of users, staff and the system that the trail holds: each with its actor, its object, and what it changed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis
from django.test import Client

from accounts.models import TradingAccount, User, UserSession
from accounts.services.funding import deposit_confirm
from accounts.services.lockout import PLACE_MAX, Place, lockout_fail
from accounts.services.registration import user_register
from accounts.services.sessions import sessions_expire
from backoffice.models import Approval
from backoffice.services.approvals import approval_result_set
from brokerage.kernel.clock import utc_now
from brokerage.kernel.identifiers import ulid_new
from brokerage.platform.audit import Actor, acting
from brokerage.platform.models import AuditPending
from brokerage.platform.problems import ApiProblem
from brokerage.platform.valkey import get_valkey
from marketdata.models import Asset, Instrument
from marketdata.services.instruments import instrument_save
from marketdata.services.seed import reference_seed
from trading.engine.gateway import Accepted
from trading.services import sessions as session_clock

pytestmark = pytest.mark.django_db
PASSWORD = "Correct-Horse-2026"


@pytest.fixture
def person() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD)


@pytest.fixture(autouse=True)
def _no_tries() -> None:
    for key in get_valkey().scan_iter("lock:*"):
        get_valkey().delete(key)


def acts_of(action: str) -> list[AuditPending]:
    return list(AuditPending.objects.filter(action=action).order_by("id"))


def only(action: str) -> AuditPending:
    (row,) = acts_of(action)
    return row


def post(path: str, **fields: Any) -> Any:
    return Client().post(f"/api/v1/{path}", fields, content_type="application/json")


def test_a_registration_is_recorded_once_and_one_with_a_known_address_as_what_it_is() -> None:
    for _ in range(2):
        user_register(email="new@b.test", password=PASSWORD)
    user = str(User.objects.get().pk)
    rows = AuditPending.objects.order_by("id").values_list("action", "object_id", "subject")
    assert list(rows) == [("user.registered", user, user), ("user.registered_again", user, user)]


def test_signing_in_and_out_of_the_portal(person: User) -> None:
    browser = Client()
    assert browser.post("/signin", {"email": person.email, "password": PASSWORD}).status_code == 302
    begun = only("session.begun")
    assert (begun.actor_type, begun.actor_id, begun.subject) == ("user", str(person.pk), str(person.pk))
    assert begun.after == {"method": "password"}
    assert begun.ip
    assert browser.post("/signout").status_code == 302
    ended = only("session.ended")
    assert (ended.actor_id, ended.object_id, ended.reason) == (str(person.pk), begun.object_id, "signed out")


def test_a_session_that_runs_out_is_ended_by_the_system(person: User) -> None:
    Client().post("/signin", {"email": person.email, "password": PASSWORD})
    UserSession.objects.update(last_seen_at=utc_now() - timedelta(days=365))
    assert sessions_expire() == 1
    row = only("session.ended")
    assert (row.actor_type, row.reason, row.subject) == ("system", "timed out", str(person.pk))


@pytest.mark.parametrize("known", [True, False])
def test_a_wrong_password_is_recorded_without_the_address_of_a_stranger(person: User, known: bool) -> None:
    address = person.email if known else "stranger@example.test"
    post("auth/token", email=address, password="not this one")
    Client().post("/signin", {"email": address, "password": "nor this one"})
    rows = acts_of("sign_in.refused")
    assert rows
    for row in rows:
        assert row.object_id == (str(person.pk) if known else "unknown")
        assert row.after == {"outcome": "wrong_password", "method": "password"}
        assert address not in str(row.__dict__)


def test_the_try_that_locks_is_recorded_once(person: User, settings: Any) -> None:
    settings.API_RATE_SCALE = 1
    for _ in range(PLACE_MAX + 3):
        lockout_fail(email=person.email, place=Place("192.0.2.1"), user_id=person.pk)
    row = only("sign_in.locked")
    assert (row.object_id, row.after) == (str(person.pk), {"of": "address", "tries": PLACE_MAX, "seconds": 900})


def test_tokens_are_recorded_from_the_first_to_the_reuse_that_ends_them(person: User) -> None:
    first = post("auth/token", email=person.email, password=PASSWORD).json()
    begun = only("token_family.begun")
    assert (begun.actor_id, begun.subject) == (str(person.pk), str(person.pk))
    assert post("auth/token/refresh", refresh=first["refresh"]).status_code == 200
    refreshed = only("token_family.refreshed")
    assert (refreshed.actor_id, refreshed.object_id) == (str(person.pk), begun.object_id)
    assert post("auth/token/refresh", refresh=first["refresh"]).status_code == 401
    ended = only("token_family.ended")
    assert (ended.object_id, ended.reason, ended.subject) == (begun.object_id, "refresh token reused", str(person.pk))
    # Whoever used it a second time is not known to be the owner.
    assert ended.actor_type == "anonymous"
    again = post("auth/token", email=person.email, password=PASSWORD).json()
    post("auth/logout", refresh=again["refresh"])
    assert acts_of("token_family.ended")[-1].reason == "signed out"


def test_listing_and_changes_of_fees_are_recorded_with_before_and_after() -> None:
    reference_seed(demo=True)
    assert len(acts_of("asset.listed")) == Asset.objects.count() > 0
    assert len(acts_of("instrument.listed")) == Instrument.objects.count() > 0
    item = Instrument.objects.select_related("base", "quote", "venue").order_by("pk")[0]
    old = item.taker_ppm
    with acting(Actor("staff", "17")):
        instrument_save(item)
        assert acts_of("instrument.changed") == []
        item.taker_ppm = old + 5
        instrument_save(item)
    row = only("instrument.changed")
    assert (row.actor_type, row.actor_id, row.object_id) == ("staff", "17", item.symbol)
    assert (row.before, row.after) == ({"taker_ppm": str(old)}, {"taker_ppm": str(old + 5)})


def test_the_session_clock_records_what_it_opens_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    reference_seed(demo=False)
    item = Instrument.objects.filter(venue__calendar="XNYS")[0]
    Instrument.objects.exclude(pk=item.pk).update(state="halted")
    Instrument.objects.filter(pk=item.pk).update(state="active")
    monkeypatch.setattr(session_clock, "venue_is_open", lambda calendar, now: False)

    class Engine:
        def submit(self, command: bytes) -> Any:
            return Accepted(1, ())

    assert session_clock.sessions_apply(Engine(), 0) == 1  # type: ignore[arg-type]
    row = only("instrument.state_changed")
    assert (row.actor_type, row.object_id) == ("system", item.symbol)
    assert (row.before, row.after) == ({"state": "active"}, {"state": "closed"})


def test_a_deposit_is_recorded_once_with_its_amount(person: User) -> None:
    reference_seed(demo=True)
    account = TradingAccount.objects.create(number="A7", core_account=7, owner=person)
    asset = Asset.objects.get(code="USD")
    for _ in range(2):
        with acting(Actor("staff", "17")):
            deposit = deposit_confirm(account=account, asset=asset, amount=Decimal("12.5"), reference="r-1")
    row = only("deposit.confirmed")
    assert (row.actor_type, row.actor_id, row.object_id, row.subject) == ("staff", "17", deposit.id, str(person.pk))
    assert row.after == {
        "account": "A7", "asset": "USD", "minor_units": str(125 * 10 ** (asset.scale - 1)), "reference": "r-1",
    }  # fmt: skip


def test_what_the_engine_made_of_an_approved_halt_is_recorded(person: User) -> None:
    approval = Approval.objects.create(
        id=ulid_new(),
        kind="account_state",
        subject="A7",
        payload={"state": "halted"},
        before={"state": "active"},
        maker=person,
        reason="ticket",
        created_at=utc_now(),
        expires_at=utc_now() + timedelta(hours=1),
    )
    approval_result_set(approval_id=str(approval.pk), result="done by the engine")
    row = only("approval.carried_out")
    assert (row.actor_type, row.object_id, row.reason) == ("system", str(approval.pk), "done by the engine")
    assert row.before == {"state": "active"}
    assert row.after["state"] == "halted"


def test_tries_while_valkey_is_away_are_refused_and_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise redis.ConnectionError

    monkeypatch.setattr("accounts.services.lockout.get_valkey", away)
    with pytest.raises(ApiProblem):
        lockout_fail(email="a@b.test", place=Place("192.0.2.1"))
    assert acts_of("sign_in.locked") == []
