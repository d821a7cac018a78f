"""Whose rules hold for a client: what was approved, never what was only typed in; a moved client's change with the approval."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction

from accounts.models import ChangeRequest, User
from accounts.selectors.access import rules_of
from accounts.services.personal import change_decide, personal_change
from brokerage.kernel.clock import utc_now
from brokerage.platform.outbox import OutboxRelay
from compliance.models import KycCase, KycDocument, LivenessCheck
from compliance.services.answers import answer_save
from compliance.services.kyc import case_lock, case_move, case_submit
from compliance.tests.factories import ANSWERS, case_filled

pytestmark = pytest.mark.django_db(transaction=True)


def approved() -> KycCase:
    case = case_filled()
    case_submit(user=case.user)
    with transaction.atomic():
        for state in ("checking", "approved"):
            case_move(case_lock(case.pk), state, reason_code="test")
    return KycCase.objects.get(pk=case.pk)


def whose(case: KycCase) -> str:
    return rules_of(User.objects.get(pk=case.user_id), frozenset()).jurisdiction


def test_an_address_typed_in_changes_nothing_before_it_is_approved() -> None:
    case = approved()
    assert whose(case) == "GB"
    answer_save(user=case.user, step="address", data=ANSWERS["address"] | {"country": "BR"})
    answer_save(user=case.user, step="bank", data=ANSWERS["bank"])
    for kind in ("passport", "proof_of_address"):
        KycDocument.objects.create(case=case, kind=kind, media_type="image/jpeg", size=1, digest="d", name=kind)
    LivenessCheck.objects.create(
        case=case, ref="l", state="passed", tries_left=2, expires_at=utc_now(), created_at=utc_now()
    )
    case_submit(user=case.user)
    assert whose(case) == "GB"
    with transaction.atomic():
        for state in ("checking", "approved"):
            case_move(case_lock(case.pk), state, reason_code="test")
    assert whose(case) == "ROW"


@pytest.mark.parametrize(("country", "found", "state"), [("JP", "JP", "approved"), ("KP", "ROW", "restricted")])
def test_a_residence_that_staff_approved_brings_its_rules(country: str, found: str, state: str) -> None:
    case = approved()
    staff = User.objects.create_user("changes@example.test", "x", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="decide_changerequest"))
    personal_change(user=case.user, values={"country": country})
    assert whose(case) == "GB"
    change_decide(request_id=ChangeRequest.objects.get().pk, staff=User.objects.get(pk=staff.pk), approve=True)
    for _ in range(2):
        OutboxRelay().run_once()
    assert whose(case) == found
    assert KycCase.objects.get(pk=case.pk).state == state
