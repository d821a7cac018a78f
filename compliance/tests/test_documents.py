"""Documents: scanned, sealed in the vault, opened only by their link; what cannot be scanned waits."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from brokerage import config as config_module
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.crypto import CryptoError
from brokerage.platform.models import AuditPending
from compliance import scanning
from compliance.models import KycDocument
from compliance.scanning import EICAR, Verdict, clamd_scan
from compliance.services import documents
from compliance.services.documents import (
    document_add,
    document_data,
    link_make,
    link_open,
    quarantine_rescan,
    vault_path,
)
from compliance.tests.clamd import clamd
from compliance.tests.factories import client_make, officer_make
from compliance.tests.test_uploads import pdf, picture, short

pytestmark = pytest.mark.django_db
SOON = utc_now().date() + timedelta(days=900)


@pytest.fixture(autouse=True)
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A vault of the test's own; ``setup(clamd=…)`` changes more."""
    state: dict[str, Any] = {"vault_dir": tmp_path / "vault"}

    def change(**fields: Any) -> None:
        state.update(fields)
        changed = dataclasses.replace(config_module.get_config(), **state)
        for module in (documents, scanning):
            monkeypatch.setattr(module, "get_config", lambda: changed)

    change()
    return change


def add(user: Any, data: bytes, kind: str = "passport", **more: Any) -> KycDocument:
    return document_add(user=user, kind=kind, data=data, **({"expires_on": SOON} | more))


def code_of(error: Any) -> tuple[int, str | None]:
    return int(error.value.code), error.value.field


def test_a_document_is_sealed_under_a_random_name_that_says_nothing() -> None:
    user = client_make()
    row = add(user, picture())
    path = vault_path(row.name)
    sealed = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"JFIF" not in sealed
    assert document_data(row).startswith(b"\xff\xd8\xff")
    assert str(user.pk) not in str(path)
    assert add(user, picture()).name != row.name


def test_a_sealed_file_that_was_changed_or_moved_does_not_open() -> None:
    user = client_make()
    one, two = add(user, picture()), add(user, pdf(), "source_of_funds", expires_on=None)
    path = vault_path(one.name)
    vault_path(two.name).rename(path)
    with pytest.raises(CryptoError):
        document_data(one)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 63 + "/", "", "A" * 64])
def test_no_name_leads_out_of_the_vault(name: str) -> None:
    with pytest.raises(ValueError, match="vault"):
        vault_path(name)


def test_the_senders_name_and_type_decide_nothing(client: Client) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    user = client_make()
    client.force_login(user)
    for name, media in (
        ("../../x.jpg.exe", "text/html"),
        ("passport.svg", "image/svg+xml"),
        ("..\\..\\a.pdf\r\nX: y", "application/pdf"),
    ):
        answer = client.post(
            "/onboarding/steps/id_document",
            {"kind": "passport", "expires_on": SOON.isoformat(), "file": SimpleUploadedFile(name, picture(), media)},
        )
        assert answer.status_code == 302, (name, answer.context["form"].errors)
    assert {row.media_type for row in KycDocument.objects.all()} == {"image/jpeg"}
    evil = SimpleUploadedFile("passport.jpg", b"<svg onload=alert(1)>", "image/jpeg")
    answer = client.post(
        "/onboarding/steps/id_document", {"kind": "passport", "expires_on": SOON.isoformat(), "file": evil}
    )
    assert answer.status_code == 422
    assert b"whatever its name says" in answer.content


def test_a_new_document_replaces_one_that_was_not_accepted() -> None:
    user = client_make()
    add(user, picture())
    add(user, picture(), "national_id")
    assert sorted(KycDocument.objects.values_list("kind", "state")) == [
        ("national_id", "stored"),
        ("passport", "replaced"),
    ]


@pytest.mark.parametrize(
    ("_case", "data", "code"),
    [
        ("empty", b"", RejectCode.DOCUMENT_REFUSED),
        ("unsafe", picture() + EICAR, RejectCode.DOCUMENT_REFUSED),
        ("too large", b"\xff\xd8\xff" + b"\0" * 9_000_000, RejectCode.DOCUMENT_TOO_LARGE),
    ],
    ids=short,
)
def test_a_file_is_refused_and_nothing_is_kept(_case: str, data: bytes, code: int) -> None:
    with pytest.raises(RejectedError) as error:
        add(client_make(), data)
    assert code_of(error) == (code, "file")
    assert not KycDocument.objects.exists()


@pytest.mark.parametrize(
    ("_case", "kind", "days", "field", "code"),
    [
        ("ran out yesterday", "passport", -1, "expires_on", RejectCode.DETAILS_REFUSED),
        ("no expiry", "passport", None, "expires_on", RejectCode.MISSING_FIELD),
        ("bill of last year", "proof_of_address", -93, "issued_on", RejectCode.DETAILS_REFUSED),
        ("bill of tomorrow", "proof_of_address", 1, "issued_on", RejectCode.DETAILS_REFUSED),
        ("bill without a date", "proof_of_address", None, "issued_on", RejectCode.MISSING_FIELD),
    ],
)
def test_dates_are_checked(_case: str, kind: str, days: int | None, field: str, code: int) -> None:
    day = None if days is None else utc_now().date() + timedelta(days=days)
    with pytest.raises(RejectedError) as error:
        document_add(user=client_make(), kind=kind, data=picture(), **{field: day})
    assert code_of(error) == (code, field)


@pytest.mark.parametrize(
    ("kind", "field", "days"), [("passport", "expires_on", 0), ("proof_of_address", "issued_on", -92)]
)
def test_dates_on_the_boundary_are_taken(kind: str, field: str, days: int) -> None:
    day = utc_now().date() + timedelta(days=days)
    assert document_add(user=client_make(), kind=kind, data=picture(), **{field: day}).state == "stored"


def test_clamd_says_clean_or_infected_over_its_own_protocol() -> None:
    with clamd() as address:
        assert clamd_scan(b"x" * 200_000, address).verdict == Verdict.CLEAN
        found = clamd_scan(b"x" * 70_000 + EICAR, address)
    assert (found.verdict, found.text) == (Verdict.INFECTED, "Eicar-Test-Signature")


@pytest.mark.parametrize(
    "answer", [b"", b"stream: ERROR\0", b"INSTREAM size limit exceeded. ERROR\0", b"OK\0", b"stream: OK but\0"]
)
def test_an_answer_that_is_not_clear_is_unknown(answer: bytes) -> None:
    with clamd(answer) as address:
        assert clamd_scan(b"x", address).verdict == Verdict.UNKNOWN


def test_a_file_waits_in_quarantine_while_the_scanner_is_away_and_is_cleaned_after(setup: Any) -> None:
    user = client_make()
    setup(clamd="127.0.0.1:1")
    row = add(user, picture())
    assert row.state == "quarantined"
    with pytest.raises(RejectedError):
        link_open(token=link_make(row, user), viewer=user)
    assert quarantine_rescan(row.pk).state == "quarantined"
    with clamd() as address:
        setup(clamd=address)
        row = quarantine_rescan(row.pk)
    assert (row.state, row.media_type) == ("stored", "image/jpeg")
    assert link_open(token=link_make(row, user), viewer=user)[1].startswith(b"\xff\xd8\xff")


def test_a_file_found_unsafe_later_is_destroyed(setup: Any) -> None:
    setup(clamd="127.0.0.1:1")
    row = add(client_make(), picture() + EICAR)
    with clamd() as address:
        setup(clamd=address)
        row = quarantine_rescan(row.pk)
    assert row.state == "infected"
    assert not vault_path(row.name).exists()


def test_production_without_a_scanner_keeps_everything_in_quarantine(setup: Any) -> None:
    setup(env="production")
    assert add(client_make(), picture()).state == "quarantined"


def test_a_link_opens_for_its_person_for_a_while_and_every_opening_is_recorded(client: Client) -> None:
    user, officer, stranger = client_make(), officer_make(), client_make()
    row = add(user, picture())
    client.force_login(officer)
    answer = client.get(f"/onboarding/documents/{link_make(row, officer)}")
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment;")
    assert "sandbox" in answer["Content-Security-Policy"]
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    act = AuditPending.objects.get(action="kyc_document.opened")
    assert (act.actor_type, act.actor_id) == ("staff", str(officer.pk))
    for token in (link_make(row, user), link_make(row, officer) + "x", "nonsense"):
        assert client.get(f"/onboarding/documents/{token}").status_code == 403
    # A link made for somebody without the right is worth nothing.
    client.force_login(stranger)
    assert client.get(f"/onboarding/documents/{link_make(row, stranger)}").status_code == 403
    assert AuditPending.objects.filter(action="kyc_document.opened").count() == 1


def test_an_old_link_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    user = client_make()
    row = add(user, picture())
    monkeypatch.setattr(documents, "LINK_S", -1)
    with pytest.raises(RejectedError) as error:
        link_open(token=link_make(row, user), viewer=user)
    assert code_of(error)[0] == RejectCode.LINK_EXPIRED


def test_the_clock_asks_a_scanner_that_is_away_once(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from compliance import tasks

    setup(clamd="127.0.0.1:1")
    for _ in range(3):
        add(client_make(), picture())
    asked: list[int] = []
    honest = documents.scan
    monkeypatch.setattr(documents, "scan", lambda data: (asked.append(1), honest(data))[1])
    tasks.kyc_clock()
    assert len(asked) == 1
    with clamd() as address:
        setup(clamd=address)
        tasks.kyc_clock()
    assert set(KycDocument.objects.values_list("state", flat=True)) == {"stored"}


def test_the_limits_of_every_tier_are_known_and_grow() -> None:

    from accounts.trading_policy import trading_policy

    for name in ("order_usd", "order_day_usd", "open_orders", "deposit_30d_usd", "withdrawal_day_usd"):
        amounts = [getattr(trading_policy().tiers[tier], name) for tier in range(4)]
        assert amounts == sorted(amounts)
    assert trading_policy().jurisdiction_of("DE").leverage_cap == 30
    assert trading_policy().jurisdiction_of("US").code == "US"
    assert trading_policy().jurisdiction_of("BR").code == "ROW"
