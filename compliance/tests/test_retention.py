"""The times of keeping: every table has one, what is over goes and nothing else, a hold keeps, a run that was cut is finished by the next."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import ProtectedError

from accounts.models import (
    ApiKey,
    DataExport,
    FixKey,
    Invitation,
    KnownDevice,
    LoginEvent,
    MailToken,
    MobileNumber,
    PushDevice,
    RecoveryCode,
    TokenFamily,
    User,
    UserSession,
)
from accounts.services import housekeeping
from accounts.services.trading_accounts import account_open
from brokerage import config as config_module
from brokerage.kernel.clock import utc_now
from brokerage.platform.audit import Actor
from brokerage.platform.models import AuditPending, OutboxEvent
from compliance.models import ClientEnd, KycAnswer, KycCase, KycDocument, ProviderEvent, ScreeningHit
from compliance.retention import TABLE, Act, Kept, as_markdown, row_of
from compliance.services import documents, erasure, retention
from compliance.services.documents import document_add, vault_path
from compliance.services.retention import hold_release, hold_set, retention_look, retention_run
from compliance.tests.factories import case_filled, client_make
from compliance.tests.test_documents import SOON
from compliance.tests.test_uploads import picture
from trading.models import FixMessage, FixSession

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2031, 5, 1, 3, 20, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Path:
    """Vault, mails and logs of the test's own."""
    changed = dataclasses.replace(config_module.get_config(), vault_dir=tmp_path / "vault", log_dir=tmp_path / "log")
    for module in (documents, retention):
        monkeypatch.setattr(module, "get_config", lambda: changed)
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    for name in ("log", "mail", "vault"):
        (tmp_path / name).mkdir()
    return tmp_path


def _case(user: User, state: str, **times: Any) -> KycCase:
    case = case_filled(user)
    KycCase.objects.filter(pk=case.pk).update(state=state, **times)
    return case


def _replaced(user: User) -> KycDocument:
    document = document_add(user=user, kind="passport", data=picture(), expires_on=SOON)
    KycDocument.objects.filter(pk=document.pk).update(state="replaced")
    return document


def _invitation(user: User) -> Invitation:
    account = account_open(user=user)
    return Invitation.objects.create(
        account=account, email="x@example.test", role="viewer", invited_by=user, created_at=NOW, expires_at=NOW
    )


def _fix_message(user: User) -> FixMessage:
    account = account_open(user=user)
    key = FixKey.objects.create(
        user=user, account=account, name="k", comp_id=uuid.uuid4().hex[:14], password_digest=b"x", scopes=["read"],
        created_at=NOW,
    )  # fmt: skip
    session = FixSession.objects.create(key=key, core_account=account.core_account)
    return FixMessage.objects.create(session=session, seq=1, msg_type="8", body="x", sent_ns=0, sent_at=NOW)


#: Class -> a row of it for a user; the moment is written afterwards.
MAKERS: dict[str, Callable[[User], Any]] = {
    "sign-ins": lambda u: LoginEvent.objects.create(user=u, outcome="ok", method="password", created_at=NOW),
    "sessions": lambda u: UserSession.objects.create(user=u, method="password", created_at=NOW, last_seen_at=NOW),
    "devices": lambda u: KnownDevice.objects.create(user=u, digest=os.urandom(32), first_seen_at=NOW, last_seen_at=NOW),
    "numbers not confirmed": lambda u: MobileNumber.objects.create(
        user=u, sealed=b"x", created_at=NOW, code_expires_at=NOW
    ),
    "push devices": lambda u: PushDevice.objects.create(user=u, name="p", sealed=b"x", created_at=NOW, seen_at=NOW),
    "session store": lambda u: Session.objects.create(session_key=uuid.uuid4().hex, session_data="x", expire_date=NOW),
    "mailed links": lambda u: MailToken.objects.create(
        user=u, purpose="freeze", digest=os.urandom(32), created_at=NOW, expires_at=NOW
    ),
    "invitations": _invitation,
    "programs' sign-ins": lambda u: TokenFamily.objects.create(
        user=u, current_jti="x", created_at=NOW, last_used_at=NOW, expires_at=NOW
    ),
    "keys revoked": lambda u: ApiKey.objects.create(
        user=u, name="k", key_id=uuid.uuid4().hex[:19], secret_sealed=b"x", scopes=["read"], created_at=NOW
    ),
    "keys expired": lambda u: ApiKey.objects.create(
        user=u, name="k", key_id=uuid.uuid4().hex[:19], secret_sealed=b"x", scopes=["read"], created_at=NOW
    ),
    "FIX keys revoked": lambda u: _fix_message(u).session.key,
    "FIX keys expired": lambda u: _fix_message(u).session.key,
    "FIX messages": lambda u: _fix_message(u),
    "recovery codes": lambda u: RecoveryCode.objects.create(user=u, digest=os.urandom(32), created_at=NOW),
    "exports": lambda u: DataExport.objects.create(user=u, created_at=NOW, expires_at=NOW),
    "events": lambda u: OutboxEvent.objects.create(topic="a.b", key="1"),
    "vendor's news": lambda u: ProviderEvent.objects.create(
        event_id=uuid.uuid4().hex, provider="p", kind="k", ref="r", occurred_at=NOW, digest="d"
    ),
    "administration's history": lambda u: LogEntry.objects.create(user=u, action_flag=2, object_repr="x"),
    "documents replaced": _replaced,
    "cases never finished": lambda u: _case(u, "draft"),
    "cases refused": lambda u: _case(u, "rejected"),
}  # fmt: skip
DELETED = [row for row in TABLE if row.act == Act.DELETE and row.models]


def made(row: Kept, user: User, moment: datetime) -> Any:
    item = MAKERS[row.name](user)
    type(item)._default_manager.filter(pk=item.pk).update(**{row.since: moment})
    return item


def there(item: Any) -> bool:
    """Whether what the class is about is still there."""
    if isinstance(item, KycCase):
        return KycAnswer.objects.filter(case=item).exists()
    return type(item)._default_manager.filter(pk=item.pk).exists()


# ---- the table ------------------------------------------------------------------------------------------------------


def test_every_table_of_the_database_has_a_time() -> None:
    named = [label for row in TABLE for label in row.models]
    known = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    missing = known - set(named) - {"compliance.KycCase", "compliance.KycDocument"}
    assert missing == set(), "say in compliance/retention.py how long these are kept"
    assert set(named) <= known


def test_rows_are_whole() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert row.why, row.name
        assert bool(row.where) != bool(row.models), row.name
        assert (row.after is not None) == (row.act in {Act.DELETE, Act.ERASE}), row.name
        if row.models and row.after is not None:
            names = {field.name for field in apps.get_model(row.models[0])._meta.get_fields()}
            assert {row.since, *(path.split("__")[0] for path in row.user.split())} <= names
    assert {row.name for row in DELETED} == set(MAKERS)


def test_every_row_about_a_user_can_be_held() -> None:
    """A table with a user that goes by time names the way to the user, so that a hold can keep it."""
    for row in DELETED:
        fields = apps.get_model(row.models[0])._meta.get_fields()
        if any(field.is_relation and field.many_to_one and field.related_model is User for field in fields):
            assert row.user, row.name


def test_the_document_says_what_the_table_says() -> None:
    assert as_markdown() in (ROOT / "docs" / "inventories.md").read_text()


def test_times_written_elsewhere_are_the_same() -> None:
    assert row_of("mailed links").after == housekeeping.LINKS_KEPT
    beat = django_settings.CELERY_BEAT_SCHEDULE["retention"]
    assert beat["task"] == "compliance.tasks.retention"


# ---- what goes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", DELETED, ids=lambda row: row.name)
def test_what_is_over_goes_and_a_second_less_stays(row: Kept, django_capture_on_commit_callbacks: Any) -> None:
    assert row.after is not None
    over, fresh = made(row, client_make(), NOW - row.after), made(row, client_make(), NOW - row.after + SECOND)
    assert [found.count for found in retention_look(now=NOW, only=[row.name])] == [1]
    assert there(over), "looking changes nothing"
    with django_capture_on_commit_callbacks(execute=True):
        assert [found.count for found in retention_run(now=NOW, only=[row.name])] == [1]
    assert (there(over), there(fresh)) == (False, True)
    assert [found.count for found in retention_run(now=NOW, only=[row.name])] == [0]
    act = AuditPending.objects.get(action="retention.applied")
    assert (act.object_id, act.after["count"], act.actor_type) == (row.name, 1, "system")


@pytest.mark.parametrize("row", [row for row in DELETED if row.user], ids=lambda row: row.name)
def test_a_hold_keeps_everything_about_a_client(row: Kept) -> None:
    assert row.after is not None
    user = client_make()
    item = made(row, user, NOW - row.after)
    hold_set(user=user, reason="an order of the court", actor=Actor("staff", "1"), now=NOW)
    assert retention_look(now=NOW, only=[row.name])[0].count == 0
    retention_run(now=NOW, only=[row.name])
    assert there(item)
    hold_release(user=user, reason="the court has decided", actor=Actor("staff", "1"))
    assert retention_run(now=NOW, only=[row.name])[0].count == 1
    assert [act.action for act in AuditPending.objects.filter(action__startswith="hold").order_by("pk")] == [
        "hold.set",
        "hold.released",
    ]


def test_files_of_documents_go_with_their_rows(django_capture_on_commit_callbacks: Any) -> None:
    user = client_make()
    document = _replaced(user)
    KycDocument.objects.filter(pk=document.pk).update(created_at=NOW - timedelta(days=91))
    kept = document_add(user=user, kind="passport", data=picture(), expires_on=SOON)
    with django_capture_on_commit_callbacks(execute=True):
        retention_run(now=NOW, only=["documents replaced"])
    assert not vault_path(document.name).exists()
    assert vault_path(kept.name).exists()


def test_a_refused_client_who_is_on_a_list_is_kept() -> None:
    row = row_of("cases refused")
    for state, kept in (("true_match", True), ("open", True), ("false_positive", False)):
        case = made(row, client_make(), NOW - timedelta(days=100))
        ScreeningHit.objects.create(
            case=case, source="ofac", ent_num=1, listed_name="X", score=90, party_digest="d", state=state
        )
        retention_run(now=NOW, only=[row.name])
        assert there(case) is kept, state


def test_clients_with_a_relation_keep_their_file() -> None:
    for state, tier in (("approved", 1), ("more_info", 2), ("restricted", 1), ("review", 0)):
        case = _case(client_make(), state, tier=tier, updated_at=NOW - timedelta(days=900), decided_at=NOW)
        retention_run(now=NOW)
        assert there(case), state


def test_files_without_a_row_old_mails_and_old_logs_go(places: Path) -> None:
    document = document_add(user=client_make(), kind="passport", data=picture(), expires_on=SOON)
    stray = vault_path("ab" * 32)
    stray.parent.mkdir(exist_ok=True)
    young = vault_path("ac" * 32)
    young.parent.mkdir(exist_ok=True)
    files = {
        vault_path(document.name): (365, True),
        stray: (2, False),
        young: (0, True),
        places / "mail" / "old.log": (8, False),
        places / "mail" / "new.log": (6, True),
        places / "log" / "web.log.1": (91, False),
        places / "log" / "worker.log.1": (89, True),
        places / "log" / "web.log": (400, True),
    }
    for path, (age, _) in files.items():
        path.touch()
        moment = (NOW - timedelta(days=age)).timestamp()
        os.utime(path, (moment, moment))
    names = ["uploads without a row", "mails as files", "old logs"]
    assert [found.count for found in retention_look(now=NOW, only=names)] == [1, 1, 1]
    retention_run(now=NOW, only=names)
    assert {path: path.exists() for path in files} == {path: kept for path, (_, kept) in files.items()}


# ---- how it goes ----------------------------------------------------------------------------------------------------


def many(count: int) -> None:
    user = client_make()
    LoginEvent.objects.bulk_create(
        LoginEvent(user=user, outcome="ok", method="password", created_at=NOW - timedelta(days=400))
        for _ in range(count)
    )


def test_batches_are_bounded_and_each_is_recorded(django_assert_max_num_queries: Any) -> None:
    many(25)
    retention_run(now=NOW, batch=10, only=["sign-ins"])
    assert LoginEvent.objects.count() == 0
    counts = AuditPending.objects.filter(action="retention.applied").order_by("pk").values_list("after", flat=True)
    assert [after["count"] for after in counts] == [10, 10, 5]


def test_a_run_that_was_cut_is_finished_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    many(25)
    real, calls = retention._note, iter(range(100))

    def cut(*args: Any) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(retention, "_note", cut)
    with pytest.raises(KeyboardInterrupt):
        retention_run(now=NOW, batch=10, only=["sign-ins"])
    # The batch that was cut is whole again: nothing goes without its record.
    assert LoginEvent.objects.count() == 15
    monkeypatch.setattr(retention, "_note", real)
    retention_run(now=NOW, batch=10, only=["sign-ins"])
    assert LoginEvent.objects.count() == 0


def test_time_ends_a_run_after_the_batch_at_hand() -> None:
    many(25)
    (found,) = retention_run(now=NOW, batch=10, seconds=0, only=["sign-ins"])
    assert (found.count, found.finished) == (10, False)
    assert LoginEvent.objects.count() == 15


def test_one_run_at_a_time() -> None:
    other = connection.copy()
    try:
        other.cursor().execute("SELECT pg_advisory_lock(%s)", [retention.LOCK])
        with pytest.raises(retention.RetentionRunningError):
            retention_run(now=NOW)
        with pytest.raises(CommandError, match="already"):
            call_command("retention", "--apply")
        other.cursor().execute("SELECT pg_advisory_unlock(%s)", [retention.LOCK])
    finally:
        other.close()
    retention_run(now=NOW)


def test_the_command_shows_first_and_does_when_told() -> None:
    LoginEvent.objects.create(
        user=client_make(), outcome="ok", method="password", created_at=utc_now() - timedelta(days=366)
    )
    out = StringIO()
    call_command("retention", stdout=out)
    assert "1 would go  sign-ins" in out.getvalue()
    assert LoginEvent.objects.exists()
    call_command("retention", "--apply", "--only=sign-ins", stdout=out)
    assert "1 gone  sign-ins" in out.getvalue()
    assert not LoginEvent.objects.exists()
    with pytest.raises(CommandError, match="no such class"):
        call_command("retention", "--only=nothing")


def test_the_command_holds_and_releases() -> None:
    user = client_make()
    with pytest.raises(CommandError, match="reason"):
        call_command("retention", f"--hold={user.email}")
    call_command("retention", f"--hold={user.email}", "--reason=a lawsuit", stdout=StringIO())
    assert ClientEnd.objects.get(user=user).held_at is not None
    call_command("retention", f"--release={user.email}", "--reason=it is over", stdout=StringIO())
    with pytest.raises(CommandError, match="Nothing is held"):
        call_command("retention", f"--release={user.email}", "--reason=it is over")
    with pytest.raises(CommandError, match="no such client"):
        call_command("retention", "--hold=nobody@example.test", "--reason=a lawsuit")


def test_the_client_row_itself_cannot_be_deleted() -> None:
    """What the books point to stays; only the words go."""
    user = client_make()
    ClientEnd.objects.create(user=user)
    with pytest.raises(ProtectedError):
        user.delete()


def test_erasing_knows_every_table_that_hangs_on_a_user() -> None:
    """A new table with a column for the client is erased with them, or is named here as kept."""
    kept = {
        "accounts.AccountLimits", "accounts.DisclosureAcceptance", "accounts.TradingAccount", "accounts.TradingAccountMember", "accounts.Invitation",
        "accounts.User_groups", "accounts.User_user_permissions", "admin.LogEntry", "guardian.UserObjectPermission", "account.EmailAddress",
        "socialaccount.SocialAccount", "compliance.KycCase", "compliance.KycProposal", "compliance.ScreeningHit", "compliance.GoodGuy",
        "accounts.Beneficiary", "accounts.Withdrawal", "trading.FallbackRequest",
        "compliance.ClientEnd", "backoffice.Approval", "backoffice.RoleGrant", "backoffice.BreakGlass", "backoffice.ViewAs",
    }  # fmt: skip
    erased = {model._meta.label for model in erasure.OWN_ROWS}
    hanging = {
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        if any(
            field.is_relation
            and (field.many_to_one or field.one_to_one)
            and field.concrete
            and field.related_model is User
            for field in model._meta.get_fields()
        )
    }
    assert hanging - erased - kept == set()
