"""The onboarding pages and their REST twins: left and resumed, nothing of another client, refusals in the client's words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from compliance.models import KycCase
from compliance.services.kyc import case_lock, case_move, case_submit
from compliance.tests.factories import ANSWERS, case_filled, client_make
from compliance.tests.test_documents import SOON, setup  # noqa: F401 - a vault of the test's own
from compliance.tests.test_uploads import picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def signed_in(client: Client) -> Client:
    client.user = client_make(display_name="Nora")  # type: ignore[attr-defined]
    client.force_login(client.user)  # type: ignore[attr-defined]
    return client


def put(client: Client, step: str, data: dict[str, Any]) -> Any:
    return client.put(f"/api/v1/onboarding/steps/{step}", json.dumps(data), content_type="application/json")


@pytest.fixture(autouse=True)
def no_csrf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test client signs in by session; its CSRF token is the subject of other tests."""
    monkeypatch.setattr("brokerage.platform.auth._CsrfCheck.process_view", lambda *_: None)


def test_the_pages_ask_for_a_sign_in(client: Client) -> None:
    for path in ("/onboarding", "/onboarding/steps/identity", "/onboarding/status", "/onboarding/documents/x"):
        assert client.get(path).status_code == 302
    assert client.get("/api/v1/onboarding").status_code == 401


def test_every_page_renders_in_every_state(signed_in: Client) -> None:
    case = case_filled(signed_in.user)  # type: ignore[attr-defined]
    for state in KycCase.State.values:
        KycCase.objects.filter(pk=case.pk).update(state=state, client_text="A text.")
        assert signed_in.get("/onboarding").status_code == 200
    KycCase.objects.filter(pk=case.pk).update(state="draft")
    for step in (*ANSWERS, "id_document", "address_document", "funds_document"):
        page = signed_in.get(f"/onboarding/steps/{step}")
        assert page.status_code == 200
        assert b"Later" in page.content
    for step in ("email", "nonsense"):
        assert signed_in.get(f"/onboarding/steps/{step}").status_code == 404


def test_a_step_is_kept_and_found_again(signed_in: Client) -> None:
    answer = signed_in.post("/onboarding/steps/identity", ANSWERS["identity"])
    assert (answer.status_code, answer["Location"]) == (302, "/onboarding")
    page = signed_in.get("/onboarding/steps/identity").content.decode()
    assert 'value="Newman"' in page
    assert "Submit for checking" not in signed_in.get("/onboarding").content.decode()


def test_a_detail_that_does_not_check_is_told_at_its_field_and_what_was_typed_is_kept(signed_in: Client) -> None:
    answer = signed_in.post("/onboarding/steps/bank", {"holder": "Nora", "iban": "GB00"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert 'id="id_iban_error"' in page
    assert 'value="GB00"' in page


def test_the_case_is_handed_in_over_rest(signed_in: Client) -> None:
    for step in ("identity", "address", "suitability", "tax"):
        assert put(signed_in, step, ANSWERS[step]).status_code == 200
    upload = signed_in.post(
        "/api/v1/onboarding/documents",
        {"kind": "passport", "expires_on": SOON.isoformat(), "file": SimpleUploadedFile("a", picture())},
    )
    assert upload.status_code == 201, upload.content
    assert upload.json()["state"] == "stored"
    assert len(signed_in.get("/api/v1/onboarding/documents").json()["results"]) == 1
    answer = signed_in.post("/api/v1/onboarding/submit")
    assert answer.status_code == 202
    assert answer.json()["state"] == "submitted"
    assert signed_in.get("/onboarding/status").json()["state"] == "submitted"
    assert put(signed_in, "tax", ANSWERS["tax"]).status_code == 409


@pytest.mark.parametrize(
    ("_case", "step", "change", "status", "code"),
    [
        ("unknown step", "second_factor", {}, 404, 2014),
        ("unknown field", "tax", {"more": "x"}, 400, 1010),
        ("check digit", "tax", {"tax_number": "1955839662"}, 422, 7016),
        ("not served", "address", {"country": "IR"}, 451, 7017),
        ("no date", "identity", {"birth_date": "yesterday"}, 400, 1001),
    ],
)
def test_rest_refusals(
    signed_in: Client, _case: str, step: str, change: dict[str, Any], status: int, code: int
) -> None:
    answer = put(signed_in, step, ANSWERS.get(step, {}) | change)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_submission_with_steps_missing_is_refused(signed_in: Client) -> None:
    answer = signed_in.post("/api/v1/onboarding/submit")
    assert (answer.status_code, answer.json()["code"]) == (422, 7012)


def test_a_refused_client_appeals_on_the_page(signed_in: Client) -> None:
    case = case_filled(signed_in.user)  # type: ignore[attr-defined]
    case_submit(user=case.user)
    locked = case_lock(case.pk)
    case_move(locked, "rejected", reason_code="test")
    assert "You may appeal" in signed_in.get("/onboarding").content.decode()
    assert signed_in.post("/onboarding/appeal", {"text": "short"}).status_code == 400
    assert signed_in.post("/onboarding/appeal", {"text": "please look at it again"}).status_code == 302
    assert KycCase.objects.get(pk=case.pk).state == "review"
    assert (
        signed_in.post(
            "/api/v1/onboarding/appeal", json.dumps({"text": "and once more please"}), content_type="application/json"
        ).status_code
        == 409
    )


def test_a_client_is_never_shown_score_notes_or_hits(signed_in: Client) -> None:
    case = case_filled(signed_in.user)  # type: ignore[attr-defined]
    KycCase.objects.filter(pk=case.pk).update(
        state="review", risk_score=77, risk_band="high", reason_code="screening_hit"
    )
    shown = signed_in.get("/onboarding").content.decode() + signed_in.get("/api/v1/onboarding").content.decode()
    # Nonces, tokens and ids are drawn by lot and may hold any two digits: the score is looked for as a number of its own.
    shown = re.sub(r'nonce="[^"]*"|value="[^"]*"', "", shown)
    assert not re.search(r"(?<![\w.:/+-])77(?![\w.:/+-])", shown)
    for word in ("screening", "high_risk", "sanction"):
        assert word not in shown
