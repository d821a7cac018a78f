"""PDF documents of compliance: who gets them, what is in them, that taking one is recorded, that the proof printed in them verifies."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.crypto import seal
from brokerage.platform.models import AuditPending
from brokerage.platform.pdf import pdf_make
from brokerage.platform.tests.pdf_reader import names_in, nothing_outside, reader_of, squeezed, text_of
from brokerage.platform.tests.test_pdf import FILE
from compliance.audit import chain
from compliance.models import (
    AuditCheckpoint,
    AuditEntry,
    KycAnswer,
    KycCase,
    KycCheck,
    KycDocument,
    KycTransition,
    ScreeningHit,
)
from compliance.services.erasure import subject_erase
from compliance.services.kyc import proposal_close
from compliance.tests.factories import client_make, factor_given, officer_make
from compliance.tests.test_audit_recorder import acts, tampering, trail  # noqa: F401 - the fixture
from compliance.tests.test_officers import in_review
from compliance.views import audit as audit_views
from compliance.views import officers as officer_views

pytestmark = pytest.mark.django_db


@pytest.fixture
def officer(client: Client) -> User:
    user = officer_make("decide_kyc", "view_auditentry")
    client.force_login(user)
    factor_given(client, user)
    return user


def full_case(officer: User, client: Client) -> KycCase:
    """A case with something in every part of its file, decided by two people."""
    case = in_review()
    hit = ScreeningHit.objects.create(
        case=case, source="sdn", ent_num=7, listed_name="NEUMAN, Nora", score=91, party_digest="d",
        explanation=[{"query": "newman", "listed": "neuman", "how": "spelling", "score": 0.85}, {"note": "same birth date"}],
    )  # fmt: skip
    KycCheck.objects.create(
        case=case,
        check_round=case.check_round,
        name="document",
        provider="sandbox",
        outcome="consider",
        reasons=["blurred picture"],
    )
    KycDocument.objects.create(case=case, kind="passport", media_type="image/jpeg", size=9, digest="ab" * 32, name="n1")
    client.post(f"/compliance/kyc/hits/{hit.pk}", {"answer": "other", "reason": "born elsewhere"})
    part = {"name": "geography", "points": 12, "of": 20, "reason": "country under monitoring: PA"}
    KycCase.objects.filter(pk=case.pk).update(risk_score=70, risk_band="high", risk_parts=[part])
    data = {"decision": "approved", "reason_code": "identity_proven", "note": "everything fits"}
    client.post(f"/compliance/kyc/{case.pk}/decide", data)
    second = officer_make()
    proposal_close(proposal_id=case.proposals.get().pk, officer=second, confirm=True, note="agreed")
    return KycCase.objects.get(pk=case.pk)


def test_only_officers_get_a_file_and_each_is_recorded(client: Client) -> None:
    case = in_review()
    path = f"/compliance/kyc/{case.pk}/file.pdf"
    assert client.get(path).status_code == 302
    for user in (client_make(), officer_make("view_auditentry"), case.user):
        client.force_login(user)
        factor_given(client, user)
        assert client.get(path).status_code == 403
    assert not AuditPending.objects.filter(action="kyc_case.exported").exists()
    user = officer_make()
    client.force_login(user)
    factor_given(client, user)
    answer = client.get(path)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    assert answer["Content-Disposition"] == f'attachment; filename="kyc-{case.pk}.pdf"'
    assert "no-store" in answer["Cache-Control"] or "no-cache" in answer["Cache-Control"]
    act = AuditPending.objects.get(action="kyc_case.exported")
    assert (act.object_id, act.actor_type, act.actor_id) == (str(case.pk), "staff", str(user.pk))
    assert act.after is not None
    assert act.after["sha256"] == hashlib.sha256(answer.content).hexdigest()
    # The number printed on paper leads to the record.
    assert f"Document {act.after['document']}" in text_of(answer.content)
    assert client.get("/compliance/kyc/00000000-0000-4000-8000-000000000000/file.pdf").status_code == 404


def test_the_page_leads_to_the_file(client: Client, officer: User) -> None:
    case = in_review()
    assert f"/compliance/kyc/{case.pk}/file.pdf" in client.get(f"/compliance/kyc/{case.pk}").content.decode()


def test_a_file_has_everything_its_page_has_but_the_pictures(client: Client, officer: User) -> None:
    case = full_case(officer, client)
    answer = client.get(f"/compliance/kyc/{case.pk}/file.pdf")
    text = squeezed(text_of(answer.content))
    for words in (
        f"KYC file: {case.title}", str(case.pk), "Approved", "Newman", "1990-05-17", "1 High Street", "Tier",
        "NEUMAN, Nora", "91 of 100", "newman / neuman: spelling (0.85)", "same birth date", "born elsewhere", f"Not the same, by {officer.email}",
        "document", "Needs a look", "blurred picture", "Passport", "ab" * 32, "country under monitoring: PA", "12 / 20", "70 of 100, high",
        "review to approved", "everything fits", "approved: confirmed", officer.email, case.proposals.get().checker.email, "identity proven",
    ):  # fmt: skip
        assert squeezed(words) in text, words
    reader = reader_of(answer.content)
    assert reader.metadata.title == f"KYC file: {case.title}"  # type: ignore[union-attr]
    assert not names_in(answer.content) & {"/XObject", "/Annots", "/URI", "/JavaScript"}
    assert len(reader.pages) >= 2


def test_the_proof_in_a_file_leads_from_the_record_to_the_signed_root(
    client: Client,
    trail: Any,  # noqa: F811
    officer: User,
) -> None:
    case = full_case(officer, client)
    acts(7)
    trail.drain()
    point = AuditCheckpoint.objects.order_by("-size").first()
    assert point is not None
    text = text_of(client.get(f"/compliance/kyc/{case.pk}/file.pdf").content)
    newest = AuditEntry.objects.filter(object_type="kyc_case", object_id=str(case.pk)).order_by("-seq").first()
    assert newest is not None
    assert f"{newest.seq}: leaf {newest.seq - 1} of the tree of {point.size}" in text
    digests = re.findall(r"\b[0-9a-f]{64}\b", text.split("Way to the root")[1])
    root = chain.inclusion_root(
        newest.seq - 1, point.size, chain.leaf_hash(bytes(newest.entry_hash)), [bytes.fromhex(part) for part in digests]
    )
    assert root == bytes(point.root)
    assert bytes(point.root).hex() in text
    assert bytes(newest.entry_hash).hex() in text


def test_a_file_of_an_erased_client_says_so(client: Client, trail: Any, officer: User) -> None:  # noqa: F811
    case = in_review()
    trail.drain()
    subject_erase(subject=case.user.pk, reason="asked for")
    text = text_of(client.get(f"/compliance/kyc/{case.pk}/file.pdf").content)
    assert "erased" in text
    assert "High Street" not in text


def test_a_search_of_the_trail_as_a_document(client: Client, trail: Any, officer: User, monkeypatch: Any) -> None:  # noqa: F811
    acts(12)
    trail.drain()
    AuditPending.objects.all().delete()
    answer = client.get("/compliance/audit/search.pdf?action=listing.changed")
    text = text_of(answer.content)
    assert "12 records, the newest first" in text
    assert "All of them." in text
    assert text.count("listing.changed") == 13
    point = AuditCheckpoint.objects.order_by("-size").first()
    assert point is not None
    assert bytes(point.root).hex() in text
    act = AuditPending.objects.get(action="audit.exported")
    assert act.after is not None
    assert (act.after["form"], act.after["action"]) == ("pdf", "listing.changed")
    monkeypatch.setattr(audit_views, "PDF_MAX", 5)
    assert "The newest 5 at most" in text_of(client.get("/compliance/audit/search.pdf").content)
    assert client.get("/compliance/audit/search.pdf?since=tomorrow").status_code == 400


def test_a_record_as_a_document_shows_change_checks_and_proof(client: Client, trail: Any, officer: User) -> None:  # noqa: F811
    acts(3)
    trail.drain()
    AuditPending.objects.all().delete()
    text = text_of(client.get("/compliance/audit/2/record.pdf").content)
    for words in (
        "Audit record 2",
        "listing.changed",
        "In the signed tree",
        "holds",
        "Way to the root",
        "leaf 1 of the tree of 3",
    ):
        assert words in text
    assert "FAILS" not in text
    assert AuditPending.objects.filter(action="audit_entry.exported", object_id="2").count() == 1
    with tampering() as cursor:
        cursor.execute("UPDATE audit_entry SET action = 'listing.kept' WHERE seq = 2")
    assert "FAILS" in text_of(client.get("/compliance/audit/2/record.pdf").content)
    assert client.get("/compliance/audit/99/record.pdf").status_code == 404


@pytest.mark.parametrize("path", ["/compliance/audit/search.pdf", "/compliance/audit/1/record.pdf"])
def test_only_auditors_get_documents_of_the_trail(client: Client, trail: Any, path: str) -> None:  # noqa: F811
    acts(1)
    trail.drain()
    assert client.get(path).status_code == 302
    for user in (client_make(), officer_make("decide_kyc")):
        client.force_login(user)
        factor_given(client, user)
        assert client.get(path).status_code == 403


def test_taking_documents_is_throttled_like_other_downloads(
    client: Client,
    trail: Any,  # noqa: F811
    officer: User,
    monkeypatch: Any,
) -> None:
    def spent(budget: str, who: str) -> None:
        raise RejectedError(RejectCode.THROTTLED, budget, available=who)

    case = in_review()
    trail.drain()
    for module in (officer_views, audit_views):
        monkeypatch.setattr(module, "throttle_demand", spent)
    for path in (
        f"/compliance/kyc/{case.pk}/file.pdf",
        "/compliance/audit/search.pdf",
        "/compliance/audit/1/record.pdf",
    ):
        assert client.get(path).status_code == 429, path
    assert not AuditPending.objects.filter(action__endswith=".exported").exists()


#: What a client, an officer, a vendor or a list may write into any field of text; also in pages' tests (backoffice/tests/test_injection.py).
PAYLOADS = (
    f'<img src="{FILE}"/>', '<img src="http://127.0.0.1:1/x.png"/>', f"<a href='{FILE}'>x</a>", "</para><b>bold", "&#60;i&#62;",
    "<font name='/etc/passwd'>x</font>", "(x) Tj /JS (app.alert) endstream", "{{ 7310000|add:133 }}",
)  # fmt: skip


def answers_say(case: KycCase, payload: str) -> None:
    """As if the forms had let it through."""
    for answer in KycAnswer.objects.filter(case=case):
        fields = {"first_name": payload, payload: "x", "list": [payload, payload]}
        place = {"table": "compliance_kycanswer", "row": str(answer.pk), "field": "sealed"}
        answer.sealed = seal(json.dumps(fields), owner=f"user:{case.person.pk}", **place)
        answer.save()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markup_in_any_field_is_printed_and_fetches_nothing(
    client: Client,
    trail: Any,  # noqa: F811
    officer: User,
    monkeypatch: Any,
    payload: str,
) -> None:
    case = full_case(officer, client)
    answers_say(case, payload)
    User.objects.filter(pk__in=[case.user.pk, officer.pk]).update(display_name=payload)
    KycCase.objects.filter(pk=case.pk).update(
        actions=[{"step": "identity", "code": "officer", "text": payload}],
        reason_code=payload[:40],
        risk_parts=[{"name": payload, "points": 1, "of": 2, "reason": payload}],
    )
    why = [{"note": payload}, {"query": payload, "listed": payload, "how": payload}]
    case.hits.update(subject=payload, listed_name=payload, reason=payload, source=payload[:20], explanation=why)
    case.checks.update(name=payload[:30], provider=payload[:20], reasons=[payload])
    case.proposals.update(note=payload)
    KycTransition.objects.filter(case=case).update(note=payload)
    trail.drain()

    def guarded(document: Any) -> Any:
        with nothing_outside():
            return pdf_make(document)

    for module in (officer_views, audit_views):
        monkeypatch.setattr(module, "pdf_make", guarded)
    for path, least in ((f"/compliance/kyc/{case.pk}/file.pdf", 20), ("/compliance/audit/search.pdf", 0)):
        answer = client.get(path)
        assert answer.status_code == 200, path
        text = squeezed(text_of(answer.content))
        assert text.count(squeezed(payload)) >= least, path
        assert "root:x:0" not in text
        assert "7310133" not in text
        assert not names_in(answer.content) & {
            "/XObject",
            "/Annots",
            "/URI",
            "/JavaScript",
            "/JS",
            "/Launch",
            "/EmbeddedFile",
        }
