"""An entity as a client: its tree, its documents, everybody behind it screened, always seen by a person, high risk by two."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import TradingAccount, User
from accounts.selectors.access import account_for_user, accounts_forget
from accounts.services.rules import disclosures_accept
from accounts.services.trading_accounts import account_open
from accounts.trading_policy import trading_policy
from brokerage.kernel.errors import RejectedError
from compliance import tasks
from compliance.models import KycCase, KycProposal, ScreeningHit
from compliance.services import sanctions
from compliance.services.answers import answer_save
from compliance.services.checks import results_fetch
from compliance.services.documents import document_add
from compliance.services.entities import entity_case_open, owner_add
from compliance.services.kyc import case_appeal, case_decide, case_submit, proposal_close
from compliance.services.sanctions import hit_decide
from compliance.tests.factories import client_make, factor_given, officer_make
from compliance.tests.test_ownership import company, person
from compliance.tests.test_providers import Vendor, until, vendor  # noqa: F401 - the fixture
from compliance.tests.test_uploads import picture

pytestmark = pytest.mark.django_db(transaction=True)
COMPANY = {
    "legal_name": "Harbour Trading Ltd", "registry_number": "01234567", "country": "GB", "lei": "", "founded_on": "2015-03-01",
    "business": "Import of coffee", "expected_deposit": "under_10k", "funds_from": "business",
}  # fmt: skip


def entity(*owners: dict[str, Any], **more: Any) -> tuple[User, TradingAccount, KycCase]:
    user = client_make(kyc_tier=2, trading_allowed=True, right_answers=3)
    disclosures_accept(user=user, codes=list(trading_policy().disclosures))
    account = account_open(user=user, kind="entity", name="Harbour Trading Ltd")
    case = entity_case_open(user=user, number=account.number)
    answer_save(user=user, step="company", data=COMPANY | more, case=case)
    for row in owners or (person("Ann Ash", "60", controls=True), company("Holding", "40")):
        owner_add(case_id=case.pk, data=row)
    for kind in ("registry_extract", "ownership"):
        document_add(user=user, kind=kind, data=picture(), case=case)
    return user, account, case


def settled(case: KycCase) -> KycCase:
    """The case when the vendor has said everything."""

    def done() -> bool:
        results_fetch(case.pk)
        return KycCase.objects.get(pk=case.pk).state != "checking"

    until(done)
    return KycCase.objects.get(pk=case.pk)


OWNERS = (person("Ann Ash", "60", controls=True), company("Holding", "40"), person("Bob Birch", "70", "n2"))


def test_nothing_is_submitted_before_everybody_from_a_quarter_is_named() -> None:
    user, _, case = entity()
    with pytest.raises(RejectedError) as error:
        case_submit(user=user, case=case)
    assert (error.value.code, error.value.needed) == (7012, "owners")
    owner_add(case_id=case.pk, data=person("Bob Birch", "70", "n2"))
    assert case_submit(user=user, case=case).state == "submitted"


def test_only_its_owners_see_an_entity(client: Client) -> None:
    _, account, _ = entity(*OWNERS)
    client.force_login(client_make())
    for path in ("", "/steps/company", "/steps/owners", "/status"):
        assert client.get(f"/onboarding/entity/{account.number}{path}").status_code == 404
    with pytest.raises(RejectedError):
        entity_case_open(user=client_make(), number=account.number)


def test_an_entity_trades_when_a_person_has_approved_it(vendor: Vendor) -> None:  # noqa: F811
    user, account, case = entity(*OWNERS)
    assert account_for_user(user.pk, account.number).trading_allowed is False
    case_submit(user=user, case=case)
    tasks.kyc_checks_start(str(case.pk))
    case = settled(case)
    # Everything is clear, and yet a person looks at who is behind it.
    assert (case.state, case.reason_code) == ("review", "entity")
    assert {row.name: row.outcome for row in case.checks.all()} == {"company": "clear", "document": "clear"}
    case_decide(
        case_id=case.pk, officer=officer_make(), decision="approved", reason_code="identity_proven", note="it all fits"
    )
    ref = account_for_user(user.pk, account.number)
    assert (ref.trading_allowed, ref.kyc_tier, ref.limits_id) == (True, 2, account.pk)
    # The person's own standing is theirs, and without it nobody trades for the entity.
    assert User.objects.get(pk=user.pk).kyc_tier == 2
    User.objects.filter(pk=user.pk).update(trading_allowed=False)
    accounts_forget()
    assert account_for_user(user.pk, account.number).trading_allowed is False


def test_every_owner_is_screened_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, case = entity(*OWNERS)
    asked = []

    def screen(name: str, **more: Any) -> list[Any]:
        asked.append((name, more["birth"]))
        return []

    monkeypatch.setattr(sanctions, "name_screen", screen)
    sanctions.case_screen(case)
    assert asked == [
        ("Harbour Trading Ltd", ""), ("Ann Ash", "1970-01-01"), ("Holding", ""), ("Bob Birch", "1970-01-01"),
    ]  # fmt: skip


def test_one_owners_hit_is_not_cleared_by_anothers() -> None:
    _, _, case = entity(*OWNERS)
    KycCase.objects.filter(pk=case.pk).update(state="review")
    hits = [
        ScreeningHit.objects.create(
            case=case, subject=name, source="sdn", ent_num=7, listed_name="ASH", score=90, party_digest="d"
        )
        for name in ("Ann Ash", "Bob Birch")
    ]
    hit_decide(hit_id=hits[0].pk, officer=officer_make(), same=False, reason="another birth date")
    assert [hit.state for hit in ScreeningHit.objects.filter(case=case).order_by("subject")] == [
        "false_positive",
        "open",
    ]
    with pytest.raises(RejectedError):
        case_decide(case_id=case.pk, officer=officer_make(), decision="approved", reason_code="x", note="looks fine")


def test_an_opaque_entity_is_high_risk_and_takes_two(vendor: Vendor, client: Client) -> None:  # noqa: F811
    far = {"nationality": "MM"}
    user, account, case = entity(
        company("Outer", "100"), company("Middle", "100", "n1"), company("Inner", "100", "n2"),
        person("Ann Ash", "80", "n3", **far, controls=True), expected_deposit="over_250k",
    )  # fmt: skip
    case_submit(user=user, case=case)
    tasks.kyc_checks_start(str(case.pk))
    case = settled(case)
    parts = {part["name"]: part for part in case.risk_parts}
    assert "3 layers of companies, 20 % with nobody behind it" in parts["customer"]["reason"]
    assert parts["customer"]["points"] == 15
    assert (parts["geography"]["points"], case.risk_band) == (25, "high")
    first, second = officer_make(), officer_make()
    case_decide(case_id=case.pk, officer=first, decision="approved", reason_code="identity_proven", note="seen deeds")
    assert KycCase.objects.get(pk=case.pk).state == "review"
    proposal = KycProposal.objects.get(case=case)
    with pytest.raises(RejectedError):
        proposal_close(proposal_id=proposal.pk, officer=first, confirm=True, note="")
    client.force_login(second)
    factor_given(client, second)
    page = client.get(f"/compliance/kyc/{case.pk}").content.decode()
    for text in ("Owners and control", "Outer", "Ann Ash", "80 %", "control", "3 layers of companies"):
        assert text in page, text
    proposal_close(proposal_id=proposal.pk, officer=second, confirm=True, note="agreed")
    assert account_for_user(user.pk, account.number).trading_allowed is True


def test_who_refused_does_not_decide_the_appeal() -> None:
    user, _, case = entity(*OWNERS)
    KycCase.objects.filter(pk=case.pk).update(state="review")
    first, second = officer_make(), officer_make()
    case_decide(case_id=case.pk, officer=first, decision="rejected", reason_code="identity_doubt", note="no extract")
    case = case_appeal(user=user, text="The extract is attached now.", case=KycCase.objects.get(pk=case.pk))
    assert case.state == "review"
    with pytest.raises(RejectedError) as error:
        case_decide(case_id=case.pk, officer=first, decision="rejected", reason_code="x", note="still not")
    assert error.value.code == 7018
    case_decide(case_id=case.pk, officer=second, decision="approved", reason_code="identity_proven", note="it is there")
    assert KycProposal.objects.get(case=case).maker == second
