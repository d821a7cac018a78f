"""Links sent by mail: confirmation, recovery, change of address, freeze. Each works once, expires and cannot be forged."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.mail import get_connection, send_mail
from django.core.mail.backends.filebased import EmailBackend
from django.test import Client

from accounts.models import MailToken, User, UserSession
from accounts.selectors.security import payouts_frozen_until
from accounts.services.mail_tokens import mail_token_look, mail_token_make
from accounts.services.token_families import family_begin
from accounts.views import demo_mail
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform import throttling
from brokerage.platform.auth import access_token_grant, users_forget
from brokerage.platform.models import AuditPending
from brokerage.platform.problems import ApiProblem

PASSWORD = "Correct-Horse-2026"
NEXT = "Another-Horse-2027"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    for scope in ("login", "login_address", "register", "mail", "mail_address", "second_factor"):
        monkeypatch.setitem(throttling.BUDGETS, scope, throttling.Budget(100_000, 60, fail_closed=True))


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann@example.test", PASSWORD, display_name="Ann", country="GB")


def signed_in(user: User, password: str = PASSWORD) -> Client:
    client = Client()
    answer = client.post("/signin", {"email": user.email, "password": password})
    assert answer.status_code == 302, answer.content
    return client


def link(path: str, message: Any = None) -> str:
    found = re.search(rf"http://[^/]+(/{path}/\S+)", (message or mail.outbox[-1]).body)
    assert found is not None
    return found.group(1)


def test_registration_mails_a_confirmation_link_that_works_once() -> None:
    form = {"email": "new@example.test", "password": PASSWORD, "display_name": "N", "country": "GB", "terms": "on"}
    assert Client().post("/signup", form).status_code == 302
    address = link("confirm")
    visitor = Client()
    assert visitor.get(address).status_code == 200
    assert User.objects.get().email_confirmed_at is None, "opening a link changes nothing"
    assert visitor.post(address).status_code == 302
    assert User.objects.get().email_confirmed_at is not None
    assert AuditPending.objects.filter(action="user.email_confirmed").count() == 1
    again = visitor.post(address)
    assert again.status_code == 404
    assert b"used before" in again.content


def test_a_new_confirmation_link_ends_the_older_one(user: User) -> None:
    client = signed_in(user)
    client.post("/confirm")
    first = link("confirm")
    client.post("/confirm")
    assert client.get(first).status_code == 404
    assert client.get(link("confirm")).status_code == 200


def test_a_confirmation_link_is_for_the_address_it_was_sent_to(user: User) -> None:
    token = mail_token_make(user=user, purpose="confirm_email", data={"email": user.email})
    User.objects.filter(pk=user.pk).update(email="other@example.test")
    assert Client().post(f"/confirm/{token}").status_code == 404
    assert User.objects.get().email_confirmed_at is None


def test_links_expire(user: User) -> None:
    token = mail_token_make(user=user, purpose="recover")
    mail_token_look(token=token, purpose="recover")
    MailToken.objects.update(expires_at=utc_now() - timedelta(seconds=1))
    with pytest.raises(RejectedError) as refused:
        mail_token_look(token=token, purpose="recover")
    assert refused.value.code == 2032


@pytest.mark.parametrize("_case", ["forged signature", "other purpose", "no signature", "empty"])
def test_links_cannot_be_forged(user: User, _case: str) -> None:
    token = mail_token_make(user=user, purpose="confirm_email")
    wrong = {
        "forged signature": token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        "other purpose": token,
        "no signature": token.split(":")[0],
        "empty": "",
    }[_case]
    purpose = "recover" if _case == "other purpose" else "confirm_email"
    with pytest.raises(RejectedError) as refused:
        mail_token_look(token=wrong, purpose=purpose)
    assert refused.value.code == 2032


def test_the_database_holds_no_link(user: User) -> None:
    token = mail_token_make(user=user, purpose="recover")
    row = MailToken.objects.get()
    assert token.split(":")[0] not in str(row.__dict__)
    assert len(bytes(row.digest)) == 32


def test_recovery_answers_alike_for_known_and_unknown_addresses(user: User) -> None:
    known = Client().post("/recover", {"email": user.email}, follow=True)
    assert len(mail.outbox) == 1
    unknown = Client().post("/recover", {"email": "nobody@example.test"}, follow=True)
    told = mail.outbox[1]
    assert (told.to, told.subject) == (["nobody@example.test"], "No account with this address")
    assert "/recover/" not in told.body, "there is nothing to set"
    assert MailToken.objects.get().user == user
    strip = lambda page: re.sub(rb'(csrf[^>]*|nonce="[^"]*"|data-csrf="[^"]*")', b"", page.content)  # noqa: E731
    assert strip(known) == strip(unknown)


def test_recovery_sets_a_password_once_and_ends_everything_else(user: User) -> None:
    other = signed_in(user)
    access = family_begin(user=user)["access"]
    refresh = family_begin(user=user)["refresh"]
    assert other.get("/security").status_code == 200
    Client().post("/recover", {"email": "ANN@example.test"})
    address = link("recover")
    visitor = Client()
    weak = visitor.post(address, {"password": "short"})
    assert weak.status_code == 400
    assert visitor.post(address, {"password": NEXT}).status_code == 302
    users_forget()
    assert other.get("/security").status_code == 302, "the other session has ended"
    with pytest.raises(ApiProblem) as refused:
        access_token_grant(access)
    assert refused.value.code == 2010
    body = {"refresh": str(refresh)}
    assert Client().post("/api/v1/auth/token/refresh", body, content_type="application/json").status_code == 401
    assert visitor.post(address, {"password": "Third-Horse-2028"}).status_code == 404, "the link is used up"
    assert payouts_frozen_until(user.pk) > utc_now() + timedelta(hours=23)
    user.refresh_from_db()
    assert user.check_password(NEXT)
    assert user.email_confirmed_at is not None
    assert mail.outbox[-1].subject == "A change to your account's security"


def test_changing_the_password_keeps_this_session_and_ends_the_others(user: User) -> None:
    here, there = signed_in(user), signed_in(user)
    key = here.session.session_key
    wrong = here.post("/security/password", {"current": "Wrong-Horse-1", "password": NEXT})
    assert wrong.status_code == 403
    weak = here.post("/security/password", {"current": PASSWORD, "password": "password1234"})
    assert weak.status_code == 400
    assert here.post("/security/password", {"current": PASSWORD, "password": NEXT}).status_code == 302
    assert here.get("/security").status_code == 200
    assert here.session.session_key != key, "the session goes on under a new id"
    assert there.get("/security").status_code == 302
    assert AuditPending.objects.filter(action="user.password_changed", subject=str(user.pk)).exists()


def test_an_address_changes_when_both_ends_agreed(user: User) -> None:
    client = signed_in(user)
    assert client.post("/security/email", {"email": "ann2@example.test"}).status_code == 302
    old, new = mail.outbox[-2:]
    assert (old.to, new.to) == ([user.email], ["ann2@example.test"])
    visitor = Client()
    assert visitor.post(link("email/new", new)).status_code == 302
    assert User.objects.get().email == "ann@example.test", "one end is not enough"
    assert visitor.post(link("email/old", old)).status_code == 302
    assert User.objects.get().email == "ann2@example.test"
    assert client.get("/security").status_code == 302, "every session has ended"


def test_agreements_to_two_different_changes_do_not_add_up(user: User) -> None:
    client = signed_in(user)
    client.post("/security/email", {"email": "first@example.test"})
    Client().post(link("email/old", mail.outbox[-2]))
    client.post("/security/email", {"email": "second@example.test"})
    Client().post(link("email/new", mail.outbox[-1]))
    assert User.objects.get().email == "ann@example.test"


def test_an_address_in_use_is_not_given_away(user: User) -> None:
    User.objects.create_user("taken@example.test", PASSWORD)
    answer = signed_in(user).post("/security/email", {"email": "taken@example.test"})
    assert answer.status_code == 302
    assert [m.subject for m in mail.outbox[-2:]] == ["Agree to your new address", "You already have an account"]
    assert Client().post(link("email/old", mail.outbox[-2])).status_code == 302
    assert User.objects.get(pk=user.pk).email == "ann@example.test"


def test_mails_are_budgeted(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "mail", throttling.Budget(2, 3600, fail_closed=True))
    answers = [Client().post("/recover", {"email": "budget@example.test"}).status_code for _ in range(3)]
    assert answers == [302, 302, 429]


def test_the_demo_mailbox_reads_what_the_file_back_end_wrote(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Client().get("/demo/mail").status_code == 404, "outside a demo there is no such page"
    settings.EMAIL_FILE_PATH, settings.EMAIL_BACKEND = str(tmp_path), demo_mail.FILE_BACKEND
    assert Client().get("/demo/mail").status_code == 404, "and neither without being a demo"
    monkeypatch.setattr(demo_mail, "get_config", lambda: type("C", (), {"demo": True}))
    assert b"No mail yet" in Client().get("/demo/mail").content
    connection: EmailBackend = get_connection()
    for number in (1, 2):
        send_mail(
            f"Mail {number}", f"<b>Go</b> to\n\nhttp://127.0.0.1:8000/recover/abc:{number}\n", None,
            [f"a{number}@example.test"], connection=connection,
        )  # fmt: skip
    page = Client().get("/demo/mail").content.decode()
    assert page.index("Mail 2") < page.index("Mail 1")
    assert 'href="http://127.0.0.1:8000/recover/abc:1"' in page
    assert "<b>Go</b>" not in page
    only = Client().get("/demo/mail?to=a1@").content.decode()
    assert "Mail 1" in only
    assert "Mail 2" not in only


def test_a_session_row_stands_for_each_sign_in(user: User) -> None:
    signed_in(user)
    row = UserSession.objects.get()
    assert (row.user_id, row.method, row.ip) == (user.pk, "password", "127.0.0.1")
