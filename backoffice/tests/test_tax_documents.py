"""Staff take a client's tax documents: who may, what is recorded, what is refused."""

from __future__ import annotations

import hashlib

import pytest

from accounts.roles import ADMINISTRATOR, COMPLIANCE, FINANCE, RISK, SUPPORT
from backoffice.tests.factories import browser, staff
from brokerage.platform.models import AuditPending
from brokerage.platform.tests.pdf_reader import text_of
from compliance.tests.tax_books import Book, book_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def book() -> Book:
    book = book_make("US")
    book.moved("2026-01-02T12:00:00", "USD", "100000")
    book.fill("2026-01-05T15:00:00", "buy", "AAPL", "10", "100", "1")
    book.fill("2026-02-05T15:00:00", "sell", "AAPL", "5", "110", "1")
    return book.keep()


@pytest.mark.parametrize("role", [RISK, COMPLIANCE, ADMINISTRATOR])
def test_who_sees_ledger_and_trades_takes_them_and_is_recorded(book: Book, role: str) -> None:
    person, number = staff(role), book.account.number
    client = browser(person)
    page = client.get(f"/desk/clients/{number}").content.decode()
    for code, form in (("1099b", "pdf"), ("1099b", "csv"), ("1099da", "pdf")):
        address = f"/desk/clients/{number}/tax/{code}/2026.{form}"
        assert f'href="{address}"' in page
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer["Content-Disposition"] == f'attachment; filename="tax-{code}-2026-{number}.{form}"'
        act = AuditPending.objects.filter(action="tax_document.made").latest("pk")
        assert (act.actor_type, act.actor_id, act.object_id) == ("staff", str(person.pk), number)
        assert act.after["sha256"] == hashlib.sha256(answer.content).hexdigest()
        assert form == "csv" or person.email in text_of(answer.content)
    assert client.get(f"/desk/clients/{number}/tax/uk_cgt/2026.pdf").status_code == 404
    assert client.get(f"/desk/clients/{number}/tax/1099b/2026.xml").status_code == 404
    assert client.get(f"/desk/clients/{number}/tax/1099b/1999.pdf").status_code == 400
    assert client.get("/desk/clients/NOSUCH/tax/1099b/2026.pdf").status_code == 404


@pytest.mark.parametrize("role", [SUPPORT, FINANCE])
def test_who_lacks_one_of_the_rights_does_not(book: Book, role: str) -> None:
    client, number = browser(staff(role)), book.account.number
    assert "/tax/" not in client.get(f"/desk/clients/{number}").content.decode()
    assert client.get(f"/desk/clients/{number}/tax/1099b/2026.pdf").status_code == 403
    assert not AuditPending.objects.filter(action="tax_document.made").exists()
