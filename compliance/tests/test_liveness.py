"""The liveness check over the sandbox's HTTP protocol: passed, to be repeated, failed, out of time, too often; messages in any order."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.test import Client

from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from compliance.models import KycCase, LivenessCheck
from compliance.providers.base import ApplicantUnknownError
from compliance.selectors.checklist import steps_done
from compliance.services import checks, liveness
from compliance.services.liveness import liveness_answer, liveness_begin, liveness_fetch, liveness_last, liveness_poll
from compliance.tests.factories import case_filled, client_make
from compliance.tests.test_providers import Vendor, vendor  # noqa: F401 - the fixture

pytestmark = pytest.mark.django_db(transaction=True)


def result(check: LivenessCheck) -> LivenessCheck:
    until = time.monotonic() + 5
    while True:
        liveness_fetch(check.ref)
        check.refresh_from_db()
        if check.state != "pending":
            return check
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_movements_asked_for_pass(vendor: Vendor) -> None:  # noqa: F811
    case = case_filled()
    check = liveness_begin(case=case)
    assert (check.state, check.tries_left, len(set(check.gestures))) == ("open", 3, 3)
    assert liveness_begin(case=case).pk == check.pk, "one at a time"
    assert liveness_answer(case=case, gestures=check.gestures).state == "pending"
    assert result(check).state == "passed"
    assert "liveness" in steps_done(case)
    with pytest.raises(RejectedError) as error:
        liveness_begin(case=case)
    assert error.value.code == 7028


def test_wrong_movements_are_repeated_and_end_after_three(vendor: Vendor) -> None:  # noqa: F811
    case = case_filled()
    check = liveness_begin(case=case)
    for left, state in ((2, "retry"), (1, "retry"), (0, "failed")):
        liveness_answer(case=case, gestures=list(reversed(check.gestures)))
        assert (result(check).state, check.tries_left) == (state, left)
    with pytest.raises(RejectedError) as error:
        liveness_answer(case=case, gestures=check.gestures)
    assert (error.value.code, error.value.available) == (7028, "failed")
    assert "liveness" not in steps_done(case)


def test_a_picture_of_a_picture_fails(vendor: Vendor) -> None:  # noqa: F811
    case = case_filled(identity={"last_name": "Still"})
    check = liveness_begin(case=case)
    liveness_answer(case=case, gestures=check.gestures)
    assert (result(check).state, "picture" in check.reason) == ("failed", True)


def test_an_answer_out_of_time_is_not_taken(vendor: Vendor) -> None:  # noqa: F811
    case = case_filled()
    check = liveness_begin(case=case)
    LivenessCheck.objects.filter(pk=check.pk).update(expires_at=utc_now() - timedelta(seconds=1))
    with pytest.raises(RejectedError):
        liveness_answer(case=case, gestures=check.gestures)
    assert liveness_last(case).state == "expired"  # type: ignore[union-attr]
    # What comes to the vendor too late is told the same by the vendor.
    vendor.sandbox.liveness_s = 0
    late = liveness_begin(case=case)
    LivenessCheck.objects.filter(pk=late.pk).update(expires_at=utc_now() + timedelta(seconds=60))
    time.sleep(0.01)
    liveness_answer(case=case, gestures=late.gestures)
    assert result(late).state == "expired"


def test_five_checks_a_day_are_all(vendor: Vendor) -> None:  # noqa: F811
    case = case_filled(identity={"last_name": "Still"})
    for _ in range(5):
        check = liveness_begin(case=case)
        liveness_answer(case=case, gestures=check.gestures)
        result(check)
    with pytest.raises(RejectedError) as error:
        liveness_begin(case=case)
    assert (error.value.code, error.value.available) == (7028, "5")
    LivenessCheck.objects.update(created_at=utc_now() - timedelta(hours=25))
    assert liveness_begin(case=case).state == "open"


def test_the_message_makes_us_fetch_and_is_never_believed(vendor: Vendor) -> None:  # noqa: F811
    case = case_filled()
    check = liveness_begin(case=case)
    liveness_answer(case=case, gestures=check.gestures)
    until = time.monotonic() + 5
    while not vendor.sent and time.monotonic() < until:
        time.sleep(0.01)
    client = Client()
    answers = [
        client.generic("POST", "/api/v1/onboarding/webhooks/sandbox", body, content_type="application/json", headers=headers).status_code
        for headers, body in vendor.sent
    ]  # fmt: skip
    # One is forged, two are the same.
    assert sorted(answers) == [204, 204, 401]
    check.refresh_from_db()
    assert check.state == "passed"
    # Said once more, by a poll or late: nothing changes.
    checks.event_process("evt_unknown")
    liveness_poll()
    liveness_fetch(check.ref)
    check.refresh_from_db()
    assert check.state == "passed"


def test_a_vendor_that_forgot_ends_the_check(vendor: Vendor) -> None:  # noqa: F811
    case = case_filled()
    check = liveness_begin(case=case)
    vendor.sandbox.liveness.clear()
    with pytest.raises(ApplicantUnknownError):
        liveness.provider().liveness_fetch(check.ref)
    with pytest.raises(RejectedError):
        liveness_answer(case=case, gestures=check.gestures)
    assert liveness_last(case).state == "expired"  # type: ignore[union-attr]
    liveness_begin(case=case)


def test_the_page_says_that_it_is_a_sandbox_and_leads_through(vendor: Vendor, client: Client) -> None:  # noqa: F811
    user = client_make()
    client.force_login(user)
    path = "/onboarding/steps/liveness"
    # Not before it is known who it is about.
    assert client.post(path, {"begin": "1"}).status_code == 409
    case = case_filled(user)
    page = client.get(path).content.decode()
    assert "This is a sandbox" in page
    assert client.post(path, {"begin": "1"}).status_code == 302
    check = LivenessCheck.objects.get(case=case)
    assert client.post(path, {"gesture_1": "nonsense"}).status_code == 400
    sent = {f"gesture_{place}": name for place, name in enumerate(check.gestures, 1)}
    assert client.post(path, sent).status_code == 302
    assert result(check).state == "passed"
    assert "Passed" in client.get(path).content.decode()
    assert client.get("/onboarding/status").json()["liveness"] == "passed"
    assert KycCase.objects.get(pk=case.pk).state == "draft"
