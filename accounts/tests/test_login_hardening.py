"""Sign-in under attack: lockout by place, admission of hashes, equal work for unknown users, breached passwords, old hashes."""

from __future__ import annotations

import hashlib
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher, identify_hasher, make_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client

from accounts import hashers
from accounts.breached import BreachedPasswordValidator, is_breached
from accounts.hashers import HashGate
from accounts.models import LoginEvent, User
from accounts.services import lockout
from accounts.services.lockout import Place, lockout_demand, lockout_fail
from accounts.tests.test_recovery_and_mail import PASSWORD, signed_in
from brokerage.platform import throttling
from brokerage.platform.problems import ApiProblem
from brokerage.platform.valkey import get_valkey

pytestmark = pytest.mark.django_db(transaction=True)
WRONG = "Wrong-Horse-2026"


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    for scope in ("login", "login_address", "mail"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))
    for key in get_valkey().scan_iter("lock:*"):
        get_valkey().delete(key)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


def attempt(email: str, password: str, ip: str = "10.1.1.1", client: Client | None = None) -> Any:
    return (client or Client()).post("/signin", {"email": email, "password": password}, REMOTE_ADDR=ip)


def test_ten_wrong_tries_lock_this_place_and_no_other(user: User) -> None:
    open_session = signed_in(user)
    assert [attempt(user.email, WRONG).status_code for _ in range(10)] == [401] * 10
    locked = attempt(user.email, PASSWORD)
    assert locked.status_code == 429
    assert b"Too many wrong tries" in locked.content or b"too many wrong tries" in locked.content
    assert attempt(user.email, PASSWORD, ip="10.2.2.2").status_code == 302, "the owner elsewhere gets in"
    assert open_session.get("/security").status_code == 200, "open sessions go on"


def test_an_unknown_address_locks_alike() -> None:
    answers = [attempt("nobody@example.test", WRONG).status_code for _ in range(11)]
    assert answers == [401] * 10 + [429]


def test_the_api_and_the_page_share_one_count(user: User) -> None:
    for _ in range(10):
        attempt(user.email, WRONG, ip="127.0.0.1")
    body = {"email": user.email, "password": PASSWORD}
    answer = Client().post("/api/v1/auth/token", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (429, 2030)
    assert int(answer["Retry-After"]) > 0


def test_a_right_password_clears_the_count(user: User) -> None:
    for _ in range(9):
        attempt(user.email, WRONG)
    assert attempt(user.email, PASSWORD).status_code == 302
    assert attempt(user.email, WRONG).status_code == 401


def test_wrong_tries_from_everywhere_lock_new_places_only(user: User) -> None:
    device = signed_in(user)
    device.post("/signout")
    for number in range(lockout.USER_MAX):
        lockout_fail(email=user.email, place=Place(f"10.9.{number // 250}.{number % 250}"))
    assert attempt(user.email, PASSWORD, ip="10.3.3.3").status_code == 429
    assert attempt(user.email, PASSWORD, ip="10.3.3.3", client=device).status_code == 302


def test_a_device_of_somebody_else_is_no_place_of_its_own(user: User) -> None:
    thief = signed_in(User.objects.create_user("eve@example.test", PASSWORD))
    for number in range(lockout.USER_MAX):
        lockout_fail(email=user.email, place=Place(f"10.9.0.{number}"))
    thief.post("/signout")
    assert attempt(user.email, PASSWORD, client=thief).status_code == 429


def test_too_many_over_all_refuse_new_places(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "GLOBAL_MAX", 3)
    for number in range(3):
        lockout_fail(email=f"u{number}@example.test", place=Place(f"10.9.0.{number}"))
    with pytest.raises(ApiProblem) as refused:
        lockout_demand(email="fresh@example.test", place=Place("10.4.4.4"))
    assert refused.value.code == 2030
    lockout_demand(email=user.email, place=Place("10.4.4.4", "a known device"))


def test_an_unknown_user_costs_as_many_hashes_as_a_known_one(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = MD5PasswordHasher.encode

    def counted(self: Any, *args: Any, **more: Any) -> str:
        calls.append("hash")
        return real(self, *args, **more)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    counts = []
    for email in (user.email, "nobody@example.test"):
        calls.clear()
        assert attempt(email, WRONG).status_code == 401
        counts.append(len(calls))
    User.objects.filter(pk=user.pk).update(is_active=False)
    calls.clear()
    assert attempt(user.email, PASSWORD).status_code == 401
    assert [*counts, len(calls)] == [1, 1, 1]


def test_the_gate_bounds_what_runs_and_what_waits() -> None:
    gate = HashGate(running=2, waiting=3, wait_s=30)
    release, inside = threading.Event(), threading.Semaphore(0)
    peak, now, lock = [0], [0], threading.Lock()
    outcomes: list[str] = []

    def work() -> None:
        try:
            with gate.admitted():
                with lock:
                    now[0] += 1
                    peak[0] = max(peak[0], now[0])
                inside.release()
                release.wait(30)
                with lock:
                    now[0] -= 1
            outcomes.append("done")
        except ApiProblem as problem:
            outcomes.append(str(problem.code))

    first = [threading.Thread(target=work) for _ in range(2)]
    for thread in first:
        thread.start()
    for _ in first:
        assert inside.acquire(timeout=10)
    waiting = [threading.Thread(target=work) for _ in range(3)]
    for thread in waiting:
        thread.start()
    until = threading.Event()
    for _ in range(1000):
        if gate.waiting == 3:
            break
        until.wait(0.01)
    assert gate.waiting == 3
    with pytest.raises(ApiProblem) as refused, gate.admitted():
        pass
    assert (refused.value.code, refused.value.retry_after) == (2013, 2)
    release.set()
    for thread in [*first, *waiting]:
        thread.join(30)
    assert outcomes == ["done"] * 5
    assert peak[0] == 2
    assert gate.waiting == 0


def test_waiting_for_the_gate_ends() -> None:
    gate = HashGate(running=1, waiting=1, wait_s=0.05)
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with gate.admitted():
            holding.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    with pytest.raises(ApiProblem) as refused, gate.admitted():
        pass
    release.set()
    thread.join(10)
    assert refused.value.code == 2013
    with gate.admitted():
        pass


def test_a_full_gate_is_a_429_with_retry_after(user: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from brokerage.settings import base

    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    monkeypatch.setattr(hashers, "gate", HashGate(running=1, waiting=0))
    user.set_password(PASSWORD)
    user.save()
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with hashers.gate.admitted():
            holding.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    try:
        page = attempt(user.email, PASSWORD)
        body = {"email": user.email, "password": PASSWORD}
        api = Client().post("/api/v1/auth/token", body, content_type="application/json")
    finally:
        release.set()
        thread.join(10)
    assert page.status_code == 429
    assert (api.status_code, api.json()["code"], api["Retry-After"]) == (429, 2013, "2")
    assert not LoginEvent.objects.exists(), "nothing was decided about the password"
    assert attempt(user.email, PASSWORD).status_code == 302


@pytest.mark.parametrize("algorithm", ["bcrypt_sha256", "scrypt", "pbkdf2_sha256"])
def test_hashes_from_elsewhere_are_accepted_and_upgraded(user: User, settings: Any, algorithm: str) -> None:
    from brokerage.settings import base

    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    User.objects.filter(pk=user.pk).update(password=make_password(PASSWORD, hasher=algorithm))
    assert attempt(user.email, WRONG).status_code == 401
    assert identify_hasher(User.objects.get().password).algorithm == algorithm
    assert attempt(user.email, PASSWORD).status_code == 302
    assert User.objects.get().password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    "password", ["password", "PassWord", "Password2026!", "p@ssw0rd", "__dragon99__", "!!monkey!!"]
)
def test_breached_passwords_are_found_also_dressed_up(password: str) -> None:
    assert is_breached(password)
    with pytest.raises(ValidationError):
        BreachedPasswordValidator().validate(password)


@pytest.mark.parametrize("password", [PASSWORD, "eleven blue lamps sing", "2026", "", "Ünïcödé-Straße-7"])
def test_others_are_not(password: str) -> None:
    assert not is_breached(password)


def test_an_operators_list_is_searched(tmp_path: Path, settings: Any) -> None:
    settings.BREACHED_FILE = tmp_path / "breached.bin"
    assert not is_breached(PASSWORD), "no file, no hit"
    words, sums = tmp_path / "words.txt", tmp_path / "sums.txt"
    words.write_text("".join(f"word number {n}\n" for n in range(1000)) + f"{PASSWORD}\n")
    # As the public lists give it.
    digest = hashlib.sha1(b"stolen-Lamp-31", usedforsecurity=False).hexdigest().upper()
    sums.write_text(f"{digest}:12\n")
    out = StringIO()
    call_command("build_breached_list", str(words), str(sums), stdout=out)
    assert "1002 passwords" in out.getvalue()
    assert settings.BREACHED_FILE.stat().st_size == 1002 * 8
    assert all(is_breached(f"word number {n}") for n in (0, 1, 500, 999))
    assert is_breached(PASSWORD)
    assert is_breached("stolen-Lamp-31")
    assert not is_breached("word number 1000")
