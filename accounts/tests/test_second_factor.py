"""Authenticator apps, recovery codes and step-up: each refusal, each code once, secrets sealed."""

from __future__ import annotations

import base64
import math
import re
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client, RequestFactory
from django_otp.oath import hotp

from accounts.models import LoginEvent, RecoveryCode, TotpDevice, User, UserSession
from accounts.qr import qr_svg
from accounts.services import second_factor, step_up
from accounts.services.lockout import Place
from accounts.services.second_factor import code_verify, totp_begin, totp_confirm, totp_secret
from accounts.services.security import user_freeze
from accounts.tests.test_recovery_and_mail import NEXT, PASSWORD, link, signed_in
from brokerage.kernel.clock import NS_PER_S, ManualClock, SystemClock, utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform import throttling
from brokerage.platform.crypto import CryptoError, unseal
from brokerage.platform.models import AuditPending

pytestmark = pytest.mark.django_db(transaction=True)
HERE = Place("10.0.0.1")


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    for scope in ("login", "login_address", "mail", "mail_address", "second_factor"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    made = ManualClock(SystemClock().now_ns())
    monkeypatch.setattr(second_factor, "SYSTEM_CLOCK", made)
    return made


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


def code_of(device: TotpDevice, clock: ManualClock, steps: int = 0) -> str:
    key = base64.b32decode(totp_secret(device) + "=" * (-len(totp_secret(device)) % 8))
    return f"{hotp(key, clock.now_ns() // NS_PER_S // 30 + steps):06d}"


def enrol(user: User, clock: ManualClock) -> tuple[TotpDevice, list[str]]:
    device = totp_begin(user=user)
    codes = totp_confirm(user=user, code=code_of(device, clock), place=HERE)
    clock.advance(60 * NS_PER_S)
    return TotpDevice.objects.get(user=user), codes


def refused(number: int, work: Any, /, *args: Any, **more: Any) -> None:
    with pytest.raises(RejectedError) as error:
        work(*args, **more)
    assert error.value.code == number


def test_setting_up_shows_a_qr_code_and_ten_codes_once(user: User, clock: ManualClock) -> None:
    client = signed_in(user)
    other = signed_in(user)
    page = client.get("/security/authenticator").content.decode()
    device = TotpDevice.objects.get()
    assert '<svg class="qr"' in page
    assert totp_secret(device) in page
    wrong = client.post("/security/authenticator", {"code": "000000"})
    assert wrong.status_code == 401
    assert not TotpDevice.objects.get().confirmed
    done = client.post("/security/authenticator", {"code": code_of(device, clock)})
    assert done.status_code == 200
    shown = re.findall(r"<li>([A-Z2-9]{6}(?:-[A-Z2-9]{6}){3})</li>", done.content.decode())
    assert len(set(shown)) == 10
    assert client.get("/security").status_code == 200
    assert other.get("/security").status_code == 302, "other sessions end"
    assert "authenticator app was set up" in mail.outbox[-1].body
    assert AuditPending.objects.filter(action="factor.totp_added").count() == 1


def test_the_secret_is_sealed_for_its_row(user: User, clock: ManualClock) -> None:
    device, codes = enrol(user, clock)
    raw = base64.b32decode(totp_secret(device) + "=" * (-len(totp_secret(device)) % 8))
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM accounts_totpdevice")
        stored = bytes(cursor.fetchone()[0])
        cursor.execute("SELECT digest FROM accounts_recoverycode")
        digests = [bytes(row[0]) for row in cursor.fetchall()]
    assert raw not in stored
    assert all(code.replace("-", "").encode() not in digest for code in codes for digest in digests)
    with pytest.raises(CryptoError):
        unseal(stored, table="accounts_totpdevice", row="another row", field="secret")


def test_sign_in_asks_for_the_second_step(user: User, clock: ManualClock) -> None:
    device, _ = enrol(user, clock)
    client = Client()
    answer = client.post("/signin", {"email": user.email, "password": PASSWORD, "next": "/profile"})
    assert answer["Location"] == "/signin/second?next=%2Fprofile"
    assert client.get("/profile").status_code == 302, "the password alone opens nothing"
    assert not UserSession.objects.exists()
    key = client.session.session_key
    assert client.post("/signin/second", {"code": "123456"}).status_code == 401
    assert LoginEvent.objects.filter(outcome="wrong_code").count() == 1
    done = client.post("/signin/second", {"code": code_of(device, clock), "next": "/profile"})
    assert done["Location"] == "/profile"
    assert client.session.session_key != key
    assert client.get("/profile").status_code == 200
    assert UserSession.objects.get().method == "password+totp"
    assert client.get("/profile").wsgi_request.user.is_verified()


def test_the_second_step_cannot_be_reached_without_the_first(user: User, clock: ManualClock) -> None:
    device, _ = enrol(user, clock)
    answer = Client().post("/signin/second", {"code": code_of(device, clock)})
    assert answer["Location"] == "/signin"


def test_the_second_step_dies_with_a_new_password(user: User, clock: ManualClock) -> None:
    device, _ = enrol(user, clock)
    client = Client()
    client.post("/signin", {"email": user.email, "password": PASSWORD})
    user.set_password(NEXT)
    user.save()
    assert client.post("/signin/second", {"code": code_of(device, clock)})["Location"] == "/signin"


def test_a_code_works_once(user: User, clock: ManualClock) -> None:
    device, _ = enrol(user, clock)
    code = code_of(device, clock)
    assert code_verify(user=user, code=code, place=HERE) == "totp"
    refused(2036, code_verify, user=user, code=code, place=HERE)


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, False), (0, True), (1, False)])
def test_a_code_is_taken_in_its_own_thirty_seconds_only(user: User, clock: ManualClock, steps: int, good: bool) -> None:
    device, _ = enrol(user, clock)
    clock.advance(300 * NS_PER_S)
    if good:
        assert code_verify(user=user, code=code_of(device, clock, steps), place=HERE) == "totp"
    else:
        refused(2036, code_verify, user=user, code=code_of(device, clock, steps), place=HERE)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "      "])
def test_what_is_no_code_is_refused(user: User, clock: ManualClock, code: str) -> None:
    enrol(user, clock)
    refused(2036, code_verify, user=user, code=code, place=HERE)


def test_recovery_codes_work_once_and_for_their_owner_only(user: User, clock: ManualClock) -> None:
    _, codes = enrol(user, clock)
    other = User.objects.create_user("eve@example.test", PASSWORD)
    enrol(other, clock)
    refused(2036, code_verify, user=other, code=codes[0], place=HERE)
    assert code_verify(user=user, code=codes[0].lower(), place=HERE) == "recovery"
    refused(2036, code_verify, user=user, code=codes[0], place=HERE)
    client = Client()
    client.post("/signin", {"email": user.email, "password": PASSWORD})
    assert client.post("/signin/second", {"code": codes[1]}).status_code == 302
    assert RecoveryCode.objects.filter(user=user, used_at=None).count() == 8


def test_a_recovery_code_cannot_be_guessed_from_a_stolen_table(user: User, clock: ManualClock) -> None:
    codes = [code.replace("-", "") for code in enrol(user, clock)[1]]
    bits = math.log2(len(second_factor.ALPHABET)) * min(map(len, codes))
    assert bits >= 112
    assert {letter for code in codes for letter in code} <= set(second_factor.ALPHABET)


def test_a_short_code_from_before_works_until_new_ones_are_made(user: User, clock: ManualClock) -> None:
    enrol(user, clock)
    for old in ("ABCDEFGHJK", "KJHGFEDCBA"):
        digest = second_factor._recovery_digest(user, old)
        RecoveryCode.objects.create(user=user, digest=digest, created_at=utc_now())
    assert code_verify(user=user, code="abcde-fghjk", place=HERE) == "recovery"
    refused(2036, code_verify, user=user, code="ABCDE-FGHJK", place=HERE)
    second_factor.recovery_codes_make(user=user)
    refused(2036, code_verify, user=user, code="KJHGF-EDCBA", place=HERE)


def test_a_whole_recovery_code_fits_wherever_codes_are_sent(user: User, clock: ManualClock) -> None:
    _, codes = enrol(user, clock)
    body = {"email": user.email, "password": PASSWORD, "code": codes[0]}
    assert Client().post("/api/v1/auth/token", body, content_type="application/json").status_code == 200
    request: Any = RequestFactory().post("/x", headers={"X-Second-Factor": codes[1]})
    request.user, request.auth = user, "token"
    step_up.step_up_required(request, "withdrawal")


def test_new_codes_end_the_old_ones(user: User, clock: ManualClock) -> None:
    _, old = enrol(user, clock)
    fresh = second_factor.recovery_codes_make(user=user)
    refused(2036, code_verify, user=user, code=old[0], place=HERE)
    assert code_verify(user=user, code=fresh[0], place=HERE) == "recovery"


def test_codes_alone_are_no_factor(user: User) -> None:
    refused(2035, second_factor.recovery_codes_make, user=user)


def test_confirming_what_was_not_begun_is_refused(user: User) -> None:
    refused(2038, totp_confirm, user=user, code="123456", place=HERE)


def test_wrong_codes_lock_one_place_and_not_another(user: User, clock: ManualClock) -> None:
    device, _ = enrol(user, clock)
    for _ in range(10):
        refused(2036, code_verify, user=user, code="000000", place=HERE)
    refused(2030, code_verify, user=user, code=code_of(device, clock), place=HERE)
    assert code_verify(user=user, code=code_of(device, clock), place=Place("10.0.0.2")) == "totp"


def test_tokens_need_the_code_too(user: User, clock: ManualClock) -> None:
    device, _ = enrol(user, clock)

    def ask(**more: str) -> Any:
        body = {"email": user.email, "password": PASSWORD, **more}
        return Client().post("/api/v1/auth/token", body, content_type="application/json")

    without, wrong = ask(), ask(code="000000")
    assert (without.status_code, without.json()["code"]) == (401, 2035)
    assert (wrong.status_code, wrong.json()["code"]) == (401, 2036)
    right = ask(code=code_of(device, clock))
    assert right.status_code == 200
    assert set(right.json()) == {"access", "refresh", "expires_in"}


def test_a_frozen_user_comes_back_with_a_new_password_and_the_second_factor(user: User, clock: ManualClock) -> None:
    device, _ = enrol(user, clock)
    user_freeze(user=user, reason="test")
    client = Client()
    client.post("/signin", {"email": user.email, "password": PASSWORD})
    old = client.post("/signin/second", {"code": code_of(device, clock)})
    assert old.status_code == 403, "the factor alone does not unfreeze"
    Client().post("/recover", {"email": user.email})
    Client().post(link("recover"), {"password": NEXT})
    client.post("/signin", {"email": user.email, "password": NEXT})
    clock.advance(60 * NS_PER_S)
    assert client.post("/signin/second", {"code": code_of(device, clock)}).status_code == 302
    user.refresh_from_db()
    assert not user.is_frozen
    assert AuditPending.objects.filter(action="user.unfrozen").count() == 1


def test_risky_pages_ask_again_after_a_while(user: User, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(user)
    assert client.get("/security/email").status_code == 200, "fresh from sign-in"
    later = ManualClock(SystemClock().now_ns() + 601 * NS_PER_S)
    monkeypatch.setattr(step_up, "SYSTEM_CLOCK", later)
    asked = client.get("/security/email")
    assert asked["Location"] == "/step-up?next=%2Fsecurity%2Femail"
    assert client.post("/security/email", {"email": "x@example.test"})["Location"] == "/step-up?next=%2Fsecurity"
    assert client.post("/step-up", {"password": "Wrong-Horse-1"}).status_code == 403
    key = client.session.session_key
    assert client.post("/step-up", {"password": PASSWORD, "next": "/security/email"})["Location"] == "/security/email"
    assert client.session.session_key != key
    assert client.get("/security/email").status_code == 200


def test_a_password_is_no_step_up_for_who_has_a_factor(user: User, clock: ManualClock) -> None:
    client = signed_in(user)
    device, _ = enrol(user, clock)
    UserSession.objects.update(ended_at=None)
    assert client.get("/security/email").status_code == 302
    assert client.post("/step-up", {"password": PASSWORD}).status_code == 400
    assert client.post("/step-up", {"code": code_of(device, clock)}).status_code == 302
    assert client.get("/security/email").status_code == 200


@pytest.mark.parametrize(
    ("_case", "enrolled", "header", "code"),
    [("no factor", False, "", 2035), ("no code", True, "", 2034), ("wrong code", True, "000000", 2036)],
)
def test_a_program_steps_up_with_a_header(
    user: User, clock: ManualClock, _case: str, enrolled: bool, header: str, code: int
) -> None:
    if enrolled:
        enrol(user, clock)
    request: Any = RequestFactory().post("/x", headers={"X-Second-Factor": header} if header else {})
    request.user, request.auth = user, "token"
    refused(code, step_up.step_up_required, request, "withdrawal")


def test_a_program_with_the_right_code_may_go_on_once(user: User, clock: ManualClock) -> None:
    device, _ = enrol(user, clock)
    request: Any = RequestFactory().post("/x", headers={"X-Second-Factor": code_of(device, clock)})
    request.user, request.auth = user, "token"
    step_up.step_up_required(request, "withdrawal")
    refused(2036, step_up.step_up_required, request, "withdrawal")


def test_removing_the_last_factor_removes_the_codes(user: User, clock: ManualClock) -> None:
    enrol(user, clock)
    second_factor.totp_remove(user=user)
    assert not TotpDevice.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert signed_in(user).get("/security").status_code == 200


def test_the_administration_has_no_door_of_its_own() -> None:
    assert Client().get("/admin/")["Location"] == "/signin?next=%2Fadmin%2F"
    assert Client().get("/admin/login/?next=/admin/")["Location"].startswith("/signin?next=")


def test_the_qr_code_has_its_finder_patterns() -> None:
    svg = qr_svg("otpauth://totp/x?secret=ABC", "code")
    assert svg.count("M4 4h1v1h-1z") == 1
    assert "M5 5h1v1h-1z" not in svg
    assert "<script" not in qr_svg("<script>", "code")
