"""Text and push messages: a number is confirmed by a code, devices register; both are told of changes to security, once, and hold nothing up."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Retry
from django.core import mail
from django.test import Client

from accounts import tasks
from accounts.models import LoginEvent, MobileNumber, PushDevice, User
from accounts.services.closing import user_close
from accounts.services.exports import _sections
from accounts.services.mobile import (
    TRIES_MAX,
    mobile_ask,
    mobile_confirm,
    mobile_notices_set,
    mobile_number,
    mobile_remove,
)
from accounts.services.push_devices import DEVICES_MAX, push_device_add, push_token
from accounts.services.security import settings_lock
from accounts.services.step_up import PROOF
from accounts.services.token_families import family_begin
from accounts.views import demo_mail
from brokerage import config as config_module
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform import messaging, throttling
from brokerage.platform.models import AuditPending

PASSWORD = "Correct-Horse-2026"
NUMBER = "+447700900123"
TOKEN = "fcm-Tok3n-of-a-telephone-4711"
pytestmark = pytest.mark.django_db(transaction=True)


class Carrier:
    """A provider that keeps what it was given, and fails as told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []
        self.fault: Exception | None = None

    def send(self, *parts: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.sent.append(parts)


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    for scope in ("login", "login_address", "mail", "second_factor", "sms"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def sms(monkeypatch: pytest.MonkeyPatch) -> Carrier:
    carrier = Carrier()
    monkeypatch.setitem(messaging.SMS, "console", lambda: carrier)
    return carrier


@pytest.fixture
def push(monkeypatch: pytest.MonkeyPatch) -> Carrier:
    carrier = Carrier()
    monkeypatch.setitem(messaging.PUSH, "console", lambda: carrier)
    return carrier


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


def code_in(carrier: Carrier) -> str:
    found = re.search(r"\b[0-9]{6}\b", carrier.sent[-1][1])
    assert found is not None
    return found.group()


def confirmed(user: User, carrier: Carrier) -> None:
    mobile_ask(user=user, number="+44 7700 900-123")
    mobile_confirm(user=user, code=code_in(carrier))


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def refusal(act: Any) -> int:
    with pytest.raises(RejectedError) as refused:
        act()
    return int(refused.value.code)


def test_a_number_is_sealed_and_confirmed_by_the_code_sent_to_it(user: User, sms: Carrier) -> None:
    mobile_ask(user=user, number="+44 (7700) 900.123")
    row = MobileNumber.objects.get()
    assert sms.sent[0][0] == mobile_number(row) == NUMBER
    assert b"7700900123" not in bytes(row.sealed)
    code = code_in(sms)
    assert code not in str(row.__dict__), "only a digest is kept"
    assert row.confirmed_at is None
    assert "http" not in sms.sent[0][1]
    mobile_confirm(user=user, code=f"{code[:3]} {code[3:]}")
    row.refresh_from_db()
    assert (row.confirmed_at is not None, row.notices, row.code_digest) == (True, True, None)
    assert refusal(lambda: mobile_confirm(user=user, code=code)) == 2036, "a code works once"
    assert NUMBER not in str(list(AuditPending.objects.values()))
    assert set(AuditPending.objects.values_list("action", flat=True)) >= {"mobile.asked", "mobile.confirmed"}


@pytest.mark.parametrize(
    "number", ["", "07700900123", "+0447700900123", "+44", "+44770090012x", "+1234567890123456", "٠١٢٣٤٥٦٧٨"]
)
def test_what_is_no_number_is_refused(user: User, sms: Carrier, number: str) -> None:
    assert refusal(lambda: mobile_ask(user=user, number=number)) == 1001
    assert (sms.sent, MobileNumber.objects.count()) == ([], 0)


def test_wrong_codes_are_bounded(user: User, sms: Carrier) -> None:
    mobile_ask(user=user, number=NUMBER)
    code = code_in(sms)
    for _ in range(TRIES_MAX):
        assert refusal(lambda: mobile_confirm(user=user, code=other(code))) == 2036
    assert MobileNumber.objects.get().tries == TRIES_MAX
    assert refusal(lambda: mobile_confirm(user=user, code=code)) == 2036, "the right one comes too late"
    mobile_ask(user=user, number=NUMBER)
    if code_in(sms) != code:
        assert refusal(lambda: mobile_confirm(user=user, code=code)) == 2036, "a newer code ends the older one"
    mobile_confirm(user=user, code=code_in(sms))


def test_codes_run_out_and_are_for_one_number(user: User, sms: Carrier) -> None:
    mobile_ask(user=user, number=NUMBER)
    MobileNumber.objects.update(code_expires_at=utc_now() - timedelta(seconds=1))
    assert refusal(lambda: mobile_confirm(user=user, code=code_in(sms))) == 2036
    assert refusal(lambda: mobile_confirm(user=user, code="")) == 2036


def test_codes_are_budgeted_by_user_and_by_number(user: User, sms: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "sms", throttling.Budget(2, 3600, fail_closed=True))
    number = f"+4477{user.pk.int % 10**8:08d}"
    for _ in range(2):
        mobile_ask(user=user, number=number)
    assert refusal(lambda: mobile_ask(user=user, number=NUMBER)) == 2013
    second = User.objects.create_user("bob@example.test", PASSWORD)
    assert refusal(lambda: mobile_ask(user=second, number=number)) == 2013
    assert len(sms.sent) == 2


def test_the_settings_lock_holds_for_the_number(user: User, sms: Carrier) -> None:
    confirmed(user, sms)
    settings_lock(user=user)
    for act in (
        lambda: mobile_ask(user=user, number=NUMBER),
        lambda: mobile_confirm(user=user, code="123456"),
        lambda: mobile_notices_set(user=user, on=False),
        lambda: mobile_remove(user=user),
    ):
        assert refusal(act) == 2037
    assert MobileNumber.objects.get().notices


def test_another_number_needs_the_first_removed(user: User, sms: Carrier) -> None:
    confirmed(user, sms)
    assert refusal(lambda: mobile_ask(user=user, number="+12025550123")) == 1014
    mobile_remove(user=user)
    assert "was removed" in mail.outbox[-1].body
    assert NUMBER not in mail.outbox[-1].body
    mobile_ask(user=user, number="+12025550123")
    assert sms.sent[-1][0] == "+12025550123"


def test_the_pages_ask_for_a_proof_and_lead_through(user: User, sms: Carrier) -> None:
    client = Client()
    assert client.post("/signin", {"email": user.email, "password": PASSWORD}).status_code == 302
    session = client.session
    del session[PROOF]
    session.save()
    asked = client.post("/security/mobile", {"number": NUMBER})
    assert "/step-up" in asked["Location"]
    assert sms.sent == []
    client.post("/step-up", {"password": PASSWORD})
    bad = client.post("/security/mobile", {"number": "07700 900123"})
    assert (bad.status_code, b"country code" in bad.content) == (400, True)
    assert client.post("/security/mobile", {"number": NUMBER})["Location"] == "/security/mobile/code"
    page = client.get("/security/mobile/code").content.decode()
    assert "+44********23" in page
    assert NUMBER not in page
    assert "not confirmed" in client.get("/security").content.decode()
    assert b"The code is wrong" in client.post("/security/mobile/code", {"code": other(code_in(sms))}).content
    assert client.post("/security/mobile/code", {"code": code_in(sms)})["Location"] == "/security"
    assert "Tell me by mail only" in client.get("/security").content.decode()
    assert client.post("/security/mobile/notices", {"on": "0"}).status_code == 302
    assert not MobileNumber.objects.get().notices
    assert "Also tell me by text message" in client.get("/security").content.decode()
    assert client.post("/security/mobile/remove").status_code == 302
    assert not MobileNumber.objects.exists()
    assert client.post("/security/mobile/notices", {"on": "1"}).status_code == 400


def test_a_number_signs_nobody_in(user: User, sms: Carrier) -> None:
    """It is no second factor: with a number alone nobody counts as having one."""
    from accounts.selectors.factors import factors_of, second_factor_enrolled

    confirmed(user, sms)
    assert not second_factor_enrolled(user.pk)
    assert not factors_of(user.pk).any


def test_notices_go_to_mail_text_and_devices_once(user: User, sms: Carrier, push: Carrier) -> None:
    confirmed(user, sms)
    push_device_add(user=user, token=TOKEN, name="telephone")
    push_device_add(user=user, token=f"{TOKEN}-2", name="tablet")
    for sent in (mail.outbox, sms.sent, push.sent):
        sent.clear()
    tasks.mail_security_notice.apply(kwargs={"user_id": str(user.pk), "what": "your password was changed"}, throw=True)
    assert (len(mail.outbox), len(sms.sent), len(push.sent)) == (1, 1, 2)
    assert "Your password was changed" in sms.sent[0][1]
    assert "http" not in sms.sent[0][1], "no link goes by text message"
    assert {part[0] for part in push.sent} == {TOKEN, f"{TOKEN}-2"}
    mobile_notices_set(user=user, on=False)
    assert len(sms.sent) == 1
    tasks.mail_new_device.apply(
        kwargs={"user_id": str(user.pk), "ip": "203.0.113.7", "label": "Firefox/1 Linux"}, throw=True
    )
    assert "Firefox on Linux at 203.0.113.7" in push.sent[-1][2]
    for label in ("http://evil.example/pay", ""):
        tasks.mail_new_device.apply(kwargs={"user_id": str(user.pk), "ip": "203.0.113.7", "label": label}, throw=True)
        assert "a browser we do not know at 203.0.113.7" in push.sent[-1][2]
        assert "evil" not in push.sent[-1][2]


def test_a_mail_tried_again_tells_the_others_no_second_time(
    user: User, sms: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed(user, sms)
    sms.sent.clear()
    sent: list[str] = []
    fails = [OSError("no mail server")]

    def send(subject: str, *_: Any) -> None:
        if fails:
            raise fails.pop()
        sent.append(subject)

    monkeypatch.setattr(tasks, "_send", send)
    asked = {"user_id": str(user.pk), "what": "your password was changed"}
    with pytest.raises(Retry):
        tasks.mail_security_notice.apply(kwargs=asked, throw=True)
    assert (sent, len(sms.sent)) == ([], 1), "told although the mail could not go"
    tasks.mail_security_notice.apply(kwargs=asked, throw=True, retries=1)
    assert (len(sent), len(sms.sent)) == (1, 1)


def test_a_channel_that_fails_holds_nothing_up(user: User, sms: Carrier, push: Carrier) -> None:
    confirmed(user, sms)
    push_device_add(user=user, token=TOKEN, name="telephone")
    sms.fault = push.fault = OSError("the provider is away")
    mail.outbox.clear()
    client = Client()
    client.post("/signin", {"email": user.email, "password": PASSWORD})
    answer = client.post("/security/password", {"current": PASSWORD, "password": "Another-Horse-2027"})
    assert answer.status_code == 302
    user.refresh_from_db()
    assert user.check_password("Another-Horse-2027")
    assert [message.subject for message in mail.outbox] == ["A change to your account's security"]
    assert LoginEvent.objects.filter(user=user, outcome="ok").exists()


def test_a_device_the_push_service_forgot_is_forgotten(user: User, push: Carrier) -> None:
    push_device_add(user=user, token=TOKEN, name="telephone")
    push.fault = messaging.TokenGoneError()
    tasks.mail_security_notice.apply(kwargs={"user_id": str(user.pk), "what": "your password was changed"}, throw=True)
    assert not PushDevice.objects.exists()


def test_programs_register_and_remove_their_devices(user: User, push: Carrier) -> None:
    stranger = User.objects.create_user("bob@example.test", PASSWORD)
    mine, theirs = (
        Client(headers={"Authorization": f"Bearer {family_begin(user=one)['access']}"}) for one in (user, stranger)
    )
    json: Any = {"content_type": "application/json"}
    made = mine.post("/api/v1/push-devices", {"token": TOKEN, "name": "telephone"}, **json)
    assert (made.status_code, set(made.json())) == (201, {"id", "name", "created_at", "seen_at"})
    row = PushDevice.objects.get()
    assert push_token(row) == TOKEN
    assert TOKEN.encode() not in bytes(row.sealed)
    again = mine.post("/api/v1/push-devices", {"token": TOKEN, "name": "my telephone"}, **json).json()
    assert (again["id"], again["name"]) == (made.json()["id"], "my telephone")
    listed = mine.get("/api/v1/push-devices")
    assert [row["id"] for row in listed.json()["results"]] == [again["id"]]
    assert TOKEN not in listed.content.decode()
    for bad in ({"token": "short", "name": "x"}, {"token": "with blank " * 3, "name": "x"}, {"name": "x"}):
        assert mine.post("/api/v1/push-devices", bad, **json).status_code == 400
    assert theirs.get("/api/v1/push-devices").json()["results"] == []
    assert theirs.delete(f"/api/v1/push-devices/{again['id']}").status_code == 404
    for number in range(1, DEVICES_MAX):
        push_device_add(user=user, token=f"{TOKEN}-{number}", name="spare")
    full = mine.post("/api/v1/push-devices", {"token": f"{TOKEN}-more", "name": "x"}, **json)
    assert (full.status_code, full.json()["code"]) == (400, 1014)
    assert mine.delete(f"/api/v1/push-devices/{again['id']}").status_code == 204
    assert not PushDevice.objects.filter(pk=again["id"]).exists()
    assert AuditPending.objects.filter(action="push_device.removed").count() == 1


def test_new_devices_are_budgeted(user: User, push: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "mail", throttling.Budget(2, 3600, fail_closed=True))
    for number in (1, 2):
        push_device_add(user=user, token=f"{TOKEN}-{number}", name="telephone")
    assert refusal(lambda: push_device_add(user=user, token=f"{TOKEN}-3", name="telephone")) == 2013
    assert len(mail.outbox) == 2
    push_device_add(user=user, token=f"{TOKEN}-1", name="renewed")


def test_ones_own_data_has_them(user: User, sms: Carrier, push: Carrier) -> None:
    confirmed(user, sms)
    push_device_add(user=user, token=TOKEN, name="telephone")
    assert next(iter(_sections["mobile"](user)))["number"] == NUMBER
    assert next(iter(_sections["push_devices"](user)))["name"] == "telephone"


def test_leaving_forgets_them(user: User, sms: Carrier, push: Carrier) -> None:
    confirmed(user, sms)
    push_device_add(user=user, token=TOKEN, name="telephone")
    user_close(user=user)
    assert (MobileNumber.objects.count(), PushDevice.objects.count()) == (0, 0)


def test_where_there_are_no_messages_nothing_is_offered(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    off = dataclasses.replace(config_module.get_config(), sms_backend="", push_backend="")
    monkeypatch.setattr(messaging, "get_config", lambda: off)
    assert refusal(lambda: mobile_ask(user=user, number=NUMBER)) == 2014
    assert refusal(lambda: push_device_add(user=user, token=TOKEN, name="x")) == 2014
    messaging.sms_send(NUMBER, "x")
    messaging.push_send(TOKEN, "x", "x")
    client = Client()
    client.post("/signin", {"email": user.email, "password": PASSWORD})
    assert b"Mobile number" not in client.get("/security").content


def test_the_sandbox_shows_messages_in_the_demo_and_masks_them_in_the_log(
    user: User, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings.EMAIL_FILE_PATH, settings.EMAIL_BACKEND = str(tmp_path / "mail"), demo_mail.FILE_BACKEND
    demo = dataclasses.replace(config_module.get_config(), demo=True)
    for module in (messaging, demo_mail):
        monkeypatch.setattr(module, "get_config", lambda: demo)
    mobile_ask(user=user, number=NUMBER)
    page = Client().get("/demo/mail?to=%2B447700900123").content.decode()
    code = re.search(r"Brokerage: ([0-9]{6}) confirms", page)
    assert code is not None, page
    mobile_confirm(user=user, code=code.group(1))
    push_device_add(user=user, token=TOKEN, name="telephone <b>")
    tasks.mail_security_notice.apply(kwargs={"user_id": str(user.pk), "what": "your password was changed"}, throw=True)
    page = Client().get("/demo/mail").content.decode()
    assert page.count("Text message") >= 2
    assert "Push message: A change to your account" in page
    assert TOKEN not in page
    said = capfd.readouterr().err
    lines = [line for line in said.splitlines() if "brokerage.platform.messaging" in line]
    assert re.search(r"SMS to \+44\*{8}23: [0-9]+ letters, parts: 1$", lines[0]), lines
    assert any("Push to ****4711: " in line for line in lines)
    for secret in (NUMBER, NUMBER[1:], TOKEN, code.group(1)):
        assert secret not in said
    assert not list((tmp_path / "mail").glob("*.part"))
