"""The contract of KYC vendors, held by the sandbox's adapter over real HTTP, and what the platform does with what vendors send."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, rfc3339, utc_now
from compliance import tasks
from compliance.api import webhooks
from compliance.models import KycCase, KycCheck, KycDocument, ProviderEvent
from compliance.providers.base import (
    ApplicantUnknownError,
    CheckResult,
    DocumentNote,
    KycProvider,
    ProviderError,
    Subject,
    WebhookRefusedError,
)
from compliance.providers.sandbox import HEADER, SandboxProvider, sign
from compliance.providers.sandbox_server import Sandbox, server_make
from compliance.services import checks, liveness
from compliance.services.answers import answer_save
from compliance.services.kyc import case_submit
from compliance.tests.factories import ANSWERS, case_filled

SECRET = "a secret of this test"
NORA = Subject("case:1", "Nora", "Newman", "1990-05-17", "GB")


class Vendor:
    """A running sandbox and its adapter."""

    def __init__(self, sandbox: Sandbox, adapter: SandboxProvider) -> None:
        self.sandbox, self.adapter = sandbox, adapter
        self.sent: list[tuple[dict[str, str], bytes]] = []


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    sandbox = Sandbox(SECRET, "", 0.0)
    server = server_make(sandbox, 0)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    found = Vendor(sandbox, SandboxProvider(f"http://127.0.0.1:{server.server_address[1]}", SECRET))

    def keep(body: bytes, secret: str = "") -> None:
        found.sent.append(({HEADER: sign(secret or SECRET, SYSTEM_CLOCK.now_ns() // NS_PER_S, body)}, body))

    monkeypatch.setattr(sandbox, "_send", keep)
    for module in (checks, liveness, webhooks):
        monkeypatch.setattr(module, "provider", lambda: found.adapter)
    yield found
    server.shutdown()
    server.server_close()


def until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)


def finished(adapter: KycProvider, ref: str) -> list[CheckResult]:
    until(lambda: all(row.outcome != "pending" for row in adapter.fetch(ref)))
    return adapter.fetch(ref)


# the contract: every adapter passes these


def test_the_same_applicant_again_is_the_same(vendor: Vendor) -> None:
    assert vendor.adapter.create_applicant(NORA) == vendor.adapter.create_applicant(NORA)
    assert vendor.adapter.create_applicant(
        Subject("case:2", "N", "N", "1990-01-01", "GB")
    ) != vendor.adapter.create_applicant(NORA)


def test_checks_are_started_once_and_end_with_an_outcome(vendor: Vendor) -> None:
    ref = vendor.adapter.create_applicant(NORA)
    note = [DocumentNote("passport", "d" * 64)]
    assert vendor.adapter.start_check(ref, ["identity", "document"], note) == vendor.adapter.start_check(
        ref, ["identity"], note
    )
    rows = finished(vendor.adapter, ref)
    assert sorted((row.check, row.outcome) for row in rows) == [("document", "clear"), ("identity", "clear")]
    assert all(row.raw_ref and row.occurred_at.tzinfo for row in rows)


@pytest.mark.parametrize(
    ("surname", "outcome"), [("Consider", "consider"), ("REFUSED", "reject"), ("Blurred", "retry")]
)
def test_every_outcome_can_be_had(vendor: Vendor, surname: str, outcome: str) -> None:
    ref = vendor.adapter.create_applicant(Subject("x", "A", surname, "1990-01-01", "GB"))
    vendor.adapter.start_check(ref, ["identity", "document"], [])
    found = [row for row in finished(vendor.adapter, ref) if row.outcome != "clear"]
    assert [row.outcome for row in found] == [outcome]
    assert found[0].reasons


def test_an_applicant_nobody_knows_is_told_apart_from_a_vendor_who_is_away(vendor: Vendor) -> None:
    with pytest.raises(ApplicantUnknownError):
        vendor.adapter.fetch("app_none")
    with pytest.raises(ProviderError) as error:
        SandboxProvider("http://127.0.0.1:1", SECRET).fetch("app_none")
    assert not isinstance(error.value, ApplicantUnknownError)
    with pytest.raises(ProviderError):
        SandboxProvider(vendor.adapter.url, "another secret").create_applicant(NORA)


def body(**fields: Any) -> bytes:
    return json.dumps(
        {"event_id": "e1", "kind": "check.completed", "applicant": "app_1", "at": "2026-11-21T10:00:00Z"} | fields
    ).encode()


def now_s() -> int:
    return SYSTEM_CLOCK.now_ns() // NS_PER_S


def test_a_genuine_message_is_understood(vendor: Vendor) -> None:
    event = vendor.adapter.verify_webhook({HEADER.lower(): sign(SECRET, now_s(), body())}, body())
    assert (event.event_id, event.ref, event.kind) == ("e1", "app_1", "check.completed")


@pytest.mark.parametrize(
    ("_case", "headers", "raw"),
    [
        ("no signature", lambda: {}, body()),
        ("another secret", lambda: {HEADER: sign("x", now_s(), body())}, body()),
        ("another body", lambda: {HEADER: sign(SECRET, now_s(), body())}, body(event_id="e2")),
        ("six minutes old", lambda: {HEADER: sign(SECRET, now_s() - 360, body())}, body()),
        ("from the future", lambda: {HEADER: sign(SECRET, now_s() + 360, body())}, body()),
        (
            "another time than was signed",
            lambda: {HEADER: sign(SECRET, 1, body()).replace("t=1", f"t={now_s()}")},
            body(),
        ),
        ("not ASCII", lambda: {HEADER: "t=1,v1=é"}, body()),
        ("not JSON", lambda: {HEADER: sign(SECRET, now_s(), b"{")}, b"{"),
        ("not an event", lambda: {HEADER: sign(SECRET, now_s(), b"[]")}, b"[]"),
    ],
)
def test_any_other_message_is_refused(vendor: Vendor, _case: str, headers: Any, raw: bytes) -> None:
    with pytest.raises(WebhookRefusedError):
        vendor.adapter.verify_webhook(headers(), raw)


def test_an_adapter_without_a_secret_believes_nobody() -> None:
    with pytest.raises(WebhookRefusedError):
        SandboxProvider("http://127.0.0.1:1", "").verify_webhook({HEADER: sign("", now_s(), body())}, body())


# what the platform does with it


def started(**more: Any) -> KycCase:
    case = case_filled(**more)
    case_submit(user=case.user)
    tasks.kyc_checks_start(str(case.pk))
    case.refresh_from_db()
    assert case.state == "checking"
    return case


def deliver(client: Client, message: tuple[dict[str, str], bytes]) -> int:
    headers, raw = message
    answer = client.post("/api/v1/onboarding/webhooks/sandbox", raw, content_type="application/json", headers=headers)
    return answer.status_code


@pytest.mark.django_db
def test_duplicates_wrong_order_and_forgeries_end_in_one_approval(vendor: Vendor, client: Client) -> None:
    case = started()
    until(lambda: len(vendor.sent) >= 5)
    assert [deliver(client, message) for message in vendor.sent] == [401, 204, 204, 204, 204]
    assert ProviderEvent.objects.count() == 2
    for event in ProviderEvent.objects.order_by("id"):
        tasks.kyc_event(event.event_id)
        tasks.kyc_event(event.event_id)
    case.refresh_from_db()
    assert (case.state, case.tier) == ("approved", 1)
    assert case.transitions.filter(to_state="approved").count() == 1
    assert User.objects.get(pk=case.user_id).trading_allowed


@pytest.mark.django_db
def test_a_lost_webhook_is_made_up_for_by_asking(vendor: Vendor) -> None:
    case = started()
    finished(vendor.adapter, case.provider_ref)
    tasks.kyc_clock()
    assert KycCase.objects.get(pk=case.pk).state == "checking"  # not yet due
    KycCase.objects.filter(pk=case.pk).update(poll_at=utc_now() - timedelta(seconds=1))
    tasks.kyc_clock()
    assert KycCase.objects.get(pk=case.pk).state == "approved"


@pytest.mark.django_db
def test_a_vendor_who_lost_the_applicant_is_told_again(vendor: Vendor) -> None:
    case = started()
    vendor.sandbox.applicants.clear()
    vendor.sandbox.by_external.clear()
    checks.results_fetch(case.pk)
    case.refresh_from_db()
    finished(vendor.adapter, case.provider_ref)
    checks.results_fetch(case.pk)
    assert KycCase.objects.get(pk=case.pk).state == "approved"


@pytest.mark.django_db
def test_older_news_never_overwrites_newer() -> None:
    case = case_filled()
    KycCase.objects.filter(pk=case.pk).update(state="checking", provider_ref="r", check_round=1)
    for name in ("identity", "document"):
        KycCheck.objects.create(case=case, check_round=1, name=name, provider="sandbox")
    new, old = utc_now(), utc_now() - timedelta(minutes=1)
    checks.results_apply(case.pk, "r", [CheckResult("identity", "consider", ("x",), "c", new)])
    checks.results_apply(case.pk, "r", [CheckResult("identity", "clear", (), "c", old)])
    checks.results_apply(
        case.pk, "another applicant", [CheckResult("identity", "reject", (), "c", new + timedelta(minutes=1))]
    )
    assert KycCheck.objects.get(name="identity").outcome == "consider"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("surname", "state", "reason"),
    [
        ("Consider", "review", "check_consider"),
        ("Refused", "rejected", "check_failed"),
        ("Newman", "approved", "checks_clear"),
    ],
)
def test_the_outcome_decides_the_state(vendor: Vendor, surname: str, state: str, reason: str) -> None:
    case = started(identity={"last_name": surname})
    finished(vendor.adapter, case.provider_ref)
    checks.results_fetch(case.pk)
    case.refresh_from_db()
    assert (case.state, case.reason_code) == (state, reason)
    assert User.objects.get(pk=case.user_id).trading_allowed is (state == "approved")


@pytest.mark.django_db
def test_a_blurred_photo_asks_for_that_document_again(vendor: Vendor) -> None:
    case = case_filled(identity={"last_name": "Blurred"})
    KycDocument.objects.create(case=case, kind="driving_licence", media_type="image/jpeg", size=1, digest="d", name="n")
    case_submit(user=case.user)
    tasks.kyc_checks_start(str(case.pk))
    case.refresh_from_db()
    finished(vendor.adapter, case.provider_ref)
    checks.results_fetch(case.pk)
    case.refresh_from_db()
    assert case.state == "more_info"
    assert [row["step"] for row in case.actions] == ["id_document"]
    assert case.actions[0]["text"].startswith("Driving licence: The photo is blurred")
    assert KycDocument.objects.get().state == "rejected"
    # Without it the case cannot be handed in again.
    with pytest.raises(Exception, match="7012"):
        case_submit(user=case.user)


@pytest.mark.django_db
def test_a_vendor_who_is_away_leaves_the_case_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_filled()
    case_submit(user=case.user)
    monkeypatch.setattr(checks, "provider", lambda: SandboxProvider("http://127.0.0.1:1", SECRET))
    with pytest.raises(ProviderError):
        checks.checks_start(case.pk)
    assert KycCase.objects.get(pk=case.pk).state == "submitted"


@pytest.mark.django_db
def test_a_webhook_of_a_vendor_we_do_not_have_is_not_found(vendor: Vendor, client: Client) -> None:
    assert client.post("/api/v1/onboarding/webhooks/other", b"{}", content_type="application/json").status_code == 404
    assert client.get("/api/v1/onboarding/webhooks/sandbox").status_code == 405


@pytest.mark.django_db
def test_answers_may_be_changed_before_they_are_handed_in() -> None:
    case = case_filled()
    first = case.answers.get(step="tax").digest
    answer_save(user=case.user, step="tax", data=ANSWERS["tax"])
    assert case.answers.get(step="tax").digest != first
    assert rfc3339(SYSTEM_CLOCK.now_ns())
