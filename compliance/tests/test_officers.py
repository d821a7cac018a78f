"""The officers' pages: who may see them, the queue's order and bounds, deciding with one and two people."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import User
from brokerage.kernel.clock import utc_now
from brokerage.platform.models import AuditPending
from compliance.models import KycCase, KycProposal, ScreeningHit
from compliance.services.kyc import case_lock, case_move, case_submit
from compliance.tests.factories import case_filled, client_make, factor_given, officer_make

pytestmark = pytest.mark.django_db


def in_review(score: int = 10, band: str = "low", age: int = 0) -> KycCase:
    case = case_filled()
    case_submit(user=case.user)
    with transaction.atomic():
        case_move(case_lock(case.pk), "review", reason_code="check_consider")
    KycCase.objects.filter(pk=case.pk).update(
        risk_score=score, risk_band=band, submitted_at=utc_now() - timedelta(hours=age)
    )
    case.refresh_from_db()
    return case


@pytest.fixture
def officer(client: Client) -> User:
    user = officer_make()
    client.force_login(user)
    factor_given(client, user)
    return user


def test_only_officers_get_in(client: Client) -> None:
    case = in_review()
    paths = ("/compliance/kyc", f"/compliance/kyc/{case.pk}")
    assert [client.get(path).status_code for path in paths] == [302, 302]
    for user in (client_make(), User.objects.create_user("dealer@example.test", "x", is_staff=True)):
        client.force_login(user)
        factor_given(client, user)
        assert [client.get(path).status_code for path in paths] == [403, 403]
        assert client.post(f"/compliance/kyc/{case.pk}/decide", {"decision": "approved"}).status_code == 403
    assert KycCase.objects.get(pk=case.pk).state == "review"


def test_the_queue_is_by_risk_then_age_and_is_paged(client: Client, officer: User) -> None:
    young, old, risky = in_review(10, age=1), in_review(10, age=5), in_review(80, "high")
    rows = client.get("/compliance/kyc").context["rows"]
    assert [row.pk for row in rows] == [risky.pk, old.pk, young.pk]
    for user in User.objects.bulk_create([User(email=f"many{n}@example.test") for n in range(60)]):
        KycCase.objects.create(user=user, state="approved")
    page = client.get("/compliance/kyc?view=approved&page=2")
    assert len(page.context["rows"].object_list) == 10
    assert client.get("/compliance/kyc?view=nonsense&page=99").status_code == 200


@pytest.mark.usefixtures("remembered")
def test_the_queue_asks_the_database_a_fixed_number_of_times(
    client: Client, officer: User, django_assert_max_num_queries
) -> None:  # type: ignore[no-untyped-def]
    for _ in range(4):
        in_review()
    # Two of them are the staff gate's: the session's second factor.
    with django_assert_max_num_queries(14):
        client.get("/compliance/kyc")


def test_a_case_shows_what_is_known_and_looking_is_recorded(client: Client, officer: User) -> None:
    case = in_review()
    ScreeningHit.objects.create(
        case=case, source="sdn", ent_num=7, listed_name="NEUMAN, Nora", score=91, party_digest="d",
        explanation=[{"query": "newman", "listed": "neuman", "how": "spelling", "score": 0.85}, {"note": "same birth date"}],
    )  # fmt: skip
    page = client.get(f"/compliance/kyc/{case.pk}").content.decode()
    for text in ("Newman", "NEUMAN, Nora", "score 91", "newman / neuman: spelling", "same birth date", "1 High Street"):
        assert text in page
    assert AuditPending.objects.filter(action="kyc_case.viewed", object_id=str(case.pk)).count() == 1


def test_a_low_risk_case_is_decided_by_one(client: Client, officer: User) -> None:
    case = in_review()
    data = {"decision": "approved", "reason_code": "identity_proven", "note": "everything fits"}
    answer = client.post(f"/compliance/kyc/{case.pk}/decide", data, follow=True)
    assert b"Decided." in answer.content
    case.refresh_from_db()
    assert (case.state, case.reason_code) == ("approved", "identity_proven")
    act = AuditPending.objects.filter(action="kyc_case.moved").last()
    assert act is not None
    assert (act.actor_type, act.actor_id) == ("staff", str(officer.pk))


def test_a_high_risk_case_takes_two(client: Client, officer: User) -> None:
    case = in_review(70, "high")
    data = {"decision": "approved", "reason_code": "identity_proven", "note": "everything fits"}
    assert b"second person" in client.post(f"/compliance/kyc/{case.pk}/decide", data, follow=True).content
    proposal = KycProposal.objects.get(case=case)
    refused = client.post(f"/compliance/kyc/proposals/{proposal.pk}", {"answer": "confirm"}, follow=True)
    assert b"another person" in refused.content
    assert b"second person" in client.get("/compliance/kyc").content
    second = officer_make()
    client.force_login(second)
    factor_given(client, second)
    client.post(f"/compliance/kyc/proposals/{proposal.pk}", {"answer": "confirm", "note": "agreed"})
    assert KycCase.objects.get(pk=case.pk).state == "approved"


def test_asking_for_more_names_the_step_to_the_client(client: Client, officer: User) -> None:
    case = in_review()
    data = {"decision": "more_info", "reason_code": "document_unclear", "note": "no document", "step": "id_document"}
    assert b"Name what the client" in client.post(f"/compliance/kyc/{case.pk}/decide", data, follow=True).content
    client.post(f"/compliance/kyc/{case.pk}/decide", data | {"action_text": "Upload your passport."})
    client.force_login(case.user)
    page = client.get("/onboarding").content.decode()
    assert "Upload your passport." in page
    assert "no document" not in page


def test_hits_are_decided_before_the_case(client: Client, officer: User) -> None:
    case = in_review()
    hit = ScreeningHit.objects.create(case=case, source="sdn", ent_num=7, listed_name="X", score=91, party_digest="d")
    data = {"decision": "approved", "reason_code": "hits_cleared", "note": "everything fits"}
    assert (
        b"Decide the screening hits first"
        in client.post(f"/compliance/kyc/{case.pk}/decide", data, follow=True).content
    )
    client.post(f"/compliance/kyc/hits/{hit.pk}", {"answer": "other", "reason": "born elsewhere"})
    client.post(f"/compliance/kyc/{case.pk}/decide", data)
    assert KycCase.objects.get(pk=case.pk).state == "approved"


def test_a_decision_that_is_none_is_told(client: Client, officer: User) -> None:
    case = in_review()
    assert (
        client.post(f"/compliance/kyc/{case.pk}/decide", {"decision": "", "note": "a reason"}, follow=True).status_code
        == 200
    )
    assert KycCase.objects.get(pk=case.pk).state == "review"
