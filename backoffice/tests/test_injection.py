"""What a client types into a text field is text everywhere it is shown: portal, desk, administration, files, mails, logs, headers."""

from __future__ import annotations

import html
import io
import logging
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from accounts.roles import COMPLIANCE, FINANCE, SENIOR_DEALER
from accounts.tasks import mail_registered
from backoffice.services.access import break_glass_begin
from backoffice.services.approvals import approval_request
from backoffice.tasks import mail_emergency_role
from backoffice.tests.factories import browser, client_account, staff
from brokerage.platform.audit import record
from brokerage.platform.middleware import LineFormatter, RequestIdFilter
from brokerage.platform.pdf import shown
from brokerage.platform.tests.pdf_reader import names_in, squeezed, text_of
from compliance.audit.recorder import Recorder
from compliance.models import AuditEntry, KycTransition
from compliance.services.kyc import case_open
from marketdata.services.seed import reference_seed

pytestmark = pytest.mark.django_db
#: Short enough for a display name (80).
PAYLOADS = (
    "<script>alert(7321)</script>",
    "<img src=x onerror=alert(7321)>",
    "\"><svg onload=alert(7321)>",
    "' autofocus onfocus='alert(7321)",
    "</title></textarea><script>alert(7321)</script>",
    "<a href='javascript:alert(7321)'>x</a>",
    "</script><script>alert(7321)</script>",
    "{{ 7310000|add:133 }}{% debug %}",
    "{{ settings.SECRET_KEY }} ${7321*30017} #{7321*30017} <%= 7321*30017 %>",
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "&lt;script&gt;alert(7321)&lt;/script&gt;",
    "\u202egnp.exe <b>bold</b>",
)  # fmt: skip
EVALUATED = ("7310133", "219754457", "SECRET_KEY'", "django.template")


def assert_text(content: str, payload: str, where: str) -> None:
    """The payload is there as text and not as markup, and nothing of it was evaluated."""
    # One that is escaped already stands on lists beside what it imitates; there only its own escaped form counts.
    if any(letter in payload for letter in "<\"'&") and "&lt;" not in payload:
        assert payload not in content, where
    for sign in EVALUATED:
        assert sign not in content, (where, sign)


def test_a_name_is_text_on_every_page_that_shows_it() -> None:
    reference_seed(demo=True)
    desk = browser(staff(COMPLIANCE, superuser=True))
    for payload in PAYLOADS:
        name_is_text(payload, desk)


def name_is_text(payload: str, desk: Client) -> None:
    account = client_account(payload)
    assert account.owner is not None
    client, shown = browser(account.owner), 0
    for who, path in (
        (client, "/"), (client, "/profile"), (client, "/portfolio"), (client, "/no-such-page"),
        (desk, f"/desk/clients?q={account.owner.email}"), (desk, f"/desk/clients/{account.number}"),
        (desk, f"/admin/accounts/user/?q={account.owner.email}"),
        (desk, f"/admin/accounts/user/{account.owner.pk}/change/"), (desk, f"/admin/accounts/tradingaccount/?q={account.number}"),
    ):  # fmt: skip
        content = who.get(path).content.decode()
        assert_text(content, payload, path)
        shown += html.escape(payload) in content
    assert shown >= 5


def test_what_is_searched_and_typed_wrong_comes_back_as_text(settings: Any) -> None:
    settings.API_RATE_SCALE = 100
    desk = browser(staff(COMPLIANCE))
    for payload in PAYLOADS:
        query_is_text(payload, desk, Client())


def query_is_text(payload: str, desk: Client, visitor: Client) -> None:
    for who, path, query in (
        (desk, "/desk/clients", {"q": payload}), (desk, "/desk/approvals", {"status": payload, "before": payload}),
        (visitor, "/markets", {"q": payload, "class": payload}), (visitor, "/signin", {"next": payload, "email": payload}),
        (desk, "/desk/second-factor", {"next": payload}),
    ):  # fmt: skip
        assert_text(who.get(path, query).content.decode(), payload, path)
    again = visitor.post("/signin", {"email": payload, "password": "x", "next": payload})
    assert_text(again.content.decode(), payload, "sign in")
    again = visitor.post(
        "/signup", {"email": payload, "display_name": payload, "password": "short", "country": payload}
    )
    assert again.status_code == 400
    assert_text(again.content.decode(), payload, "sign up")


def test_reasons_of_staff_are_text_on_pages_in_files_and_in_mails() -> None:
    reference_seed(demo=True)
    desk = browser(staff(COMPLIANCE, superuser=True))
    for payload in PAYLOADS:
        reason_is_text(payload, desk)


def reason_is_text(payload: str, desk: Client) -> None:
    account, maker = client_account(), staff(FINANCE)
    row = approval_request(
        maker=maker, kind="deposit", subject=account.number, payload={"asset": "USD", "amount": "1"}, reason=payload
    )
    taken = break_glass_begin(user=staff(SENIOR_DEALER), role=FINANCE, reason=payload, minutes=5)
    for path in (
        f"/desk/approvals/{row.pk}",
        "/desk/access",
        "/admin/backoffice/approval/",
        "/admin/backoffice/breakglass/",
    ):
        assert_text(desk.get(path).content.decode(), payload, path)
    file = b"".join(desk.get("/desk/access/review.csv").streaming_content).decode()  # type: ignore[attr-defined]
    for line in file.splitlines():
        for cell in line.split(","):
            assert not cell.strip('"').startswith(("=", "+", "@")), line
    mail.outbox.clear()
    mail_emergency_role(str(taken.pk))
    assert mail.outbox
    for message in mail.outbox:
        assert message.content_subtype == "plain"
        assert not message.alternatives
        assert taken.reason in message.body


def test_names_notes_and_reasons_are_text_in_documents(settings: Any) -> None:
    """PDF: read with another library; what it cannot print or one cannot see stands there as its number."""
    settings.API_RATE_SCALE = 100
    officer = staff(COMPLIANCE, superuser=True)
    desk = browser(officer)
    for payload in PAYLOADS:
        account = client_account(payload)
        assert account.owner is not None
        case = case_open(user=account.owner)
        KycTransition.objects.create(
            case=case,
            from_state="draft",
            to_state="review",
            actor_type="staff",
            actor_id=str(officer.pk),
            reason_code="officer",
            note=payload,
        )
        record(
            "client.noted", object_type="note", object_id=payload, subject="", after={payload: payload}, reason=payload
        )
        Recorder().drain()
        entry = AuditEntry.objects.filter(action="client.noted").order_by("-seq")[:1].get()
        for path, least in (
            (f"/compliance/kyc/{case.pk}/file.pdf", 3), (f"/compliance/audit/{entry.seq}/record.pdf", 4),
            (f"/compliance/audit/search.pdf?{urlencode({'object_id': payload})}", 2),
        ):  # fmt: skip
            answer = desk.get(path)
            assert answer.status_code == 200, (path, answer.content[:300])
            text = squeezed(text_of(answer.content))
            assert text.count(squeezed(shown(payload))) >= least, (path, payload)
            assert not names_in(answer.content) & {"/Annots", "/URI", "/JavaScript", "/JS", "/Launch", "/XObject"}
            for sign in EVALUATED:
                assert sign not in text, (path, sign)


def test_a_name_cannot_add_headers_to_a_mail() -> None:
    user = User.objects.create_user("a@example.test", display_name="Eve\r\nBcc: all@evil.example")
    mail_registered(str(user.pk), known=False)
    raw = mail.outbox[0].message().as_string()
    head = raw.split("\n\n", 1)[0]
    assert "Bcc" not in head
    assert mail.outbox[0].recipients() == ["a@example.test"]


@pytest.mark.parametrize(
    "value", ["x\r\nSet-Cookie: a=b", "x\nLocation: //evil", "<script>", "a" * 65, "..", "\u00e9" * 10]
)
def test_a_request_id_that_could_break_a_header_or_line_is_replaced(value: str) -> None:
    answer = Client().get("/health/live", headers={"x-request-id": value})
    assert answer["X-Request-ID"] != value
    assert answer["X-Request-ID"].isalnum()
    assert "Set-Cookie" not in answer


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/x\r\nA: b"]
)
def test_signing_in_never_leads_elsewhere(path: str) -> None:
    User.objects.create_user("a@example.test", "Correct-Horse-2026")
    answer = Client().post("/signin", {"email": "a@example.test", "password": "Correct-Horse-2026", "next": path})
    assert answer.status_code == 302
    assert "evil" not in answer["Location"]
    assert answer["Location"].startswith("/")
    assert "\n" not in answer["Location"]


@pytest.mark.parametrize(
    "text",
    ["a\n2026-11-21 ERROR root [-] all is well", "a\r\nb", "a\x1b[31mred", "a\u2028b", "a\x00b", "a\u202eb", "a\x9bb"],
)
def test_a_log_record_is_one_line_whatever_is_in_it(text: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(levelname)s [%(request_id)s] %(message)s"))
    handler.addFilter(RequestIdFilter())
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("name is %s", text)
    line = stream.getvalue()
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert line[:-1].isprintable()


def test_a_traceback_cannot_look_like_records() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(levelname)s %(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        raise ValueError("first\nERROR forged record")
    except ValueError:
        log.exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert first == "ERROR failed"
    assert all(line.startswith("    ") for line in rest)


def test_the_lines_of_the_platform_use_it(settings: Any) -> None:
    assert settings.LOGGING["formatters"]["line"]["()"].endswith("LineFormatter")
    assert settings.CELERY_ACCEPT_CONTENT == ["json"]
    assert settings.CELERY_TASK_SERIALIZER == "json"
