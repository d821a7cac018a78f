"""A client who left: kept as long as the law says, then nothing is left that says who it was, and the trail still proves everything."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from accounts.models import Beneficiary, KnownDevice, LoginEvent, PersonalData, TradingAccount, User, Withdrawal
from accounts.services.beneficiaries import ERASED, TABLE, destination_of
from accounts.services.closing import user_close
from accounts.services.personal import personal_change
from accounts.services.second_factor import totp_begin
from accounts.services.sessions import session_begin
from accounts.services.trading_accounts import account_open
from brokerage import config as config_module
from brokerage.kernel.clock import utc_now
from brokerage.platform import crypto
from brokerage.platform.audit import Actor, record
from brokerage.platform.models import AuditPending, DataKey, OutboxEvent
from brokerage.platform.outbox import OutboxRelay
from compliance.audit.recorder import Recorder
from compliance.audit.signing import signer
from compliance.audit.verify import trail_verify
from compliance.models import AuditEntry, ClientEnd, KycCase
from compliance.retention import YEARS_5
from compliance.services import documents, retention
from compliance.services.documents import document_add, vault_path
from compliance.services.retention import hold_set, retention_run
from compliance.tests.factories import ANSWERS, case_filled
from compliance.tests.test_audit_recorder import trail  # noqa: F401 - a fixture
from compliance.tests.test_documents import SOON
from compliance.tests.test_uploads import picture

CLASS = "clients who left"
SECRETS = (
    "quentin.left@example.test", "Quentin Quixley", "Quixley", "198.51.100.77", "Netscape-of-Quentin", "7 Vanished Lane",
    ANSWERS["identity"]["last_name"], ANSWERS["address"]["street"], ANSWERS["tax"]["tax_number"], "wrote about Quentin",
)  # fmt: skip


@pytest.fixture(autouse=True)
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = dataclasses.replace(config_module.get_config(), vault_dir=tmp_path / "vault")
    for module in (documents, retention):
        monkeypatch.setattr(module, "get_config", lambda: changed)


@pytest.fixture
def left(trail: Recorder, django_capture_on_commit_callbacks: Any) -> User:  # noqa: F811
    """A client with everything a client can have, who has left today."""
    user = User.objects.create_user(
        "quentin.left@example.test", "a long and calm sentence", display_name="Quentin Quixley", country="GB"
    )
    account_open(user=user)
    TradingAccount.objects.filter(owner=user).update(name="Quixley family")
    personal_change(user=user, values={"legal_name": "Quentin Quixley", "address": "7 Vanished Lane"})
    case = case_filled(user)
    document_add(user=user, kind="passport", data=picture(), expires_on=SOON)
    KycCase.objects.filter(pk=case.pk).update(state="approved", tier=1, client_text="wrote about Quentin")
    case.transitions.create(
        from_state="review", to_state="approved", actor_type="staff", reason_code="x", note="wrote about Quentin"
    )
    session_begin(user=user, method="password", ip="198.51.100.77", user_agent="Netscape-of-Quentin")
    now = utc_now()
    KnownDevice.objects.create(
        user=user, digest=b"d" * 32, label="Netscape-of-Quentin", first_seen_at=now, last_seen_at=now
    )
    totp_begin(user=user)
    document = json.dumps({"holder": "Quentin Quixley", "iban": "GB33BUKB20201555555555"})
    saved = Beneficiary.objects.create(
        id="01KQUENTIN0000000000000000", account=TradingAccount.objects.get(owner=user), added_by=user, created_at=now, usable_at=now,
        sealed=crypto.seal(document, owner=f"user:{user.pk}", table=TABLE, row="01KQUENTIN0000000000000000", field="sealed"),
    )  # fmt: skip
    Withdrawal.objects.create(
        id="01KWITHDRAWN00000000000000", account=saved.account, beneficiary=saved, requested_by=user, asset="USD", amount=1,
        status="refused", reason="wrote about Quentin", created_at=now, created_ns=1, decided_at=now, closed_at=now,
    )  # fmt: skip
    assert destination_of(saved).holder == "Quentin Quixley"
    record("profile.changed", object_type="user", object_id=user.pk, subject=user.pk, after={"name": "Quentin Quixley"})
    with django_capture_on_commit_callbacks(execute=True):
        user_close(user=user)
    relay = OutboxRelay()
    while OutboxEvent.objects.filter(published_at=None, topic="user.closed").exists():
        relay.run_once()
    Recorder().drain()
    return user


def found_in_tables() -> dict[str, set[str]]:
    """Which of the secrets stand in which table, in whatever column."""
    found: dict[str, set[str]] = {}
    for model in apps.get_models(include_auto_created=True):
        for row in model._default_manager.values_list():
            text = " ".join(
                bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value) for value in row
            )
            for secret in SECRETS:
                if secret in text:
                    found.setdefault(model._meta.label, set()).add(secret)
    return found


def test_leaving_begins_the_time(left: User) -> None:
    end = ClientEnd.objects.get(user=left)
    assert end.ended_at is not None
    assert end.ended_at <= utc_now()
    assert (end.held_at, end.erased_at) == (None, None)


def test_nothing_goes_before_the_years_are_over(left: User) -> None:
    end = ClientEnd.objects.get(user=left)
    before = end.ended_at + YEARS_5 - timedelta(seconds=1)
    retention_run(now=before, only=[CLASS])
    left.refresh_from_db()
    assert left.email == "quentin.left@example.test"
    assert PersonalData.objects.filter(user=left).exists()
    assert found_in_tables(), "the search sees what is there"


def test_then_nothing_says_who_it_was_and_every_proof_holds(
    left: User, django_capture_on_commit_callbacks: Any
) -> None:
    end = ClientEnd.objects.get(user=left)
    names = list(KycCase.objects.get(user=left).documents.values_list("name", flat=True))
    sealed = AuditEntry.objects.filter(subject=str(left.pk)).count()
    assert sealed > 3
    assert all(vault_path(name).exists() for name in names)
    with django_capture_on_commit_callbacks(execute=True):
        (outcome,) = retention_run(now=end.ended_at + YEARS_5, only=[CLASS])
    assert (outcome.count, outcome.finished) == (1, True)
    Recorder().drain()
    assert found_in_tables() == {}
    assert not any(vault_path(name).exists() for name in names)
    # The key is gone, and no new one was made on the way.
    keys = DataKey.objects.filter(owner=f"user:{left.pk}")
    assert [key.wrapped for key in keys] == [None]
    entries = AuditEntry.objects.filter(subject=str(left.pk))
    assert entries.count() == sealed
    for row in entries:
        with pytest.raises(crypto.KeyDestroyedError):
            crypto.unseal(row.payload, table="audit_entry", row=str(row.source_id), field="payload")
    assert trail_verify(signer().public) == AuditEntry.objects.count()
    acts = set(AuditEntry.objects.filter(object_id=str(left.pk)).values_list("action", flat=True))
    assert {"subject.erased", "client.erased"} <= acts
    assert destination_of(Beneficiary.objects.get()) == ERASED
    # The books stay.
    left.refresh_from_db()
    assert (left.email, left.is_active) == (f"erased-{left.pk.hex}@erased.invalid", False)
    assert not left.has_usable_password()
    assert TradingAccount.objects.filter(owner=left, status="closed").count() == 1
    assert retention_run(now=end.ended_at + YEARS_5, only=[CLASS])[0].count == 0


def test_a_hold_prevents_it(left: User) -> None:
    end = ClientEnd.objects.get(user=left)
    hold_set(user=left, reason="a lawsuit", actor=Actor("staff", "1"), now=utc_now())
    assert retention_run(now=end.ended_at + 3 * YEARS_5, only=[CLASS])[0].count == 0
    assert LoginEvent.objects.filter(user=left).exists()
    assert DataKey.objects.get(owner=f"user:{left.pk}").wrapped is not None


def test_who_came_back_is_not_erased(left: User) -> None:
    end = ClientEnd.objects.get(user=left)
    User.objects.filter(pk=left.pk).update(is_active=True)
    assert retention_run(now=end.ended_at + YEARS_5, only=[CLASS])[0].count == 0
    assert PersonalData.objects.filter(user=left).exists()


def test_waiting_acts_put_it_off(left: User, monkeypatch: pytest.MonkeyPatch) -> None:
    end = ClientEnd.objects.get(user=left)
    record("profile.changed", object_type="user", object_id=left.pk, subject=left.pk, after={"name": "Quentin Quixley"})
    monkeypatch.setattr(Recorder, "drain", lambda self: 0)
    assert retention_run(now=end.ended_at + YEARS_5, only=[CLASS])[0].count == 0
    assert AuditPending.objects.filter(subject=str(left.pk)).exists()
    monkeypatch.undo()


def test_an_erasure_that_was_cut_leaves_everything_for_the_next(left: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from compliance.services import erasure

    end = ClientEnd.objects.get(user=left)

    def cut(case: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(erasure, "_case_strip", cut)
    with pytest.raises(KeyboardInterrupt):
        retention_run(now=end.ended_at + YEARS_5, only=[CLASS])
    assert DataKey.objects.get(owner=f"user:{left.pk}").wrapped is not None
    assert ClientEnd.objects.get(user=left).erased_at is None
