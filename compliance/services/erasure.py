"""Erasure: a person's sealed data by destroying their key, a client's whole file when its time is over, a case that came to nothing.

The audit trail keeps its proofs and loses the plain text. Orders, ledger and accounts stay, under a user without name or address.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Q

from accounts.models import (
    ApiKey,
    ChangeRequest,
    DataExport,
    FixKey,
    Invitation,
    KnownDevice,
    LoginEvent,
    MailToken,
    MobileNumber,
    Passkey,
    PersonalData,
    PushDevice,
    RecoveryCode,
    SocialLink,
    TokenFamily,
    TotpDevice,
    TradingAccount,
    User,
    UserSession,
    Withdrawal,
)
from brokerage.platform.audit import record
from brokerage.platform.auth import users_forget
from brokerage.platform.crypto import owner_key_destroy
from brokerage.platform.models import AuditPending
from compliance.audit.recorder import Recorder
from compliance.models import ClientEnd, KycCase, KycProposal, KycTransition, ScreeningHit
from compliance.services.documents import vault_path
from trading.models import FallbackRequest

#: What hangs on a user and goes with them; ``user`` is its column.
OWN_ROWS = (
    ApiKey, ChangeRequest, DataExport, FixKey, KnownDevice, LoginEvent, MailToken, MobileNumber, Passkey, PersonalData, PushDevice, RecoveryCode,
    SocialLink, TokenFamily, TotpDevice, UserSession,
)  # fmt: skip


class ErasureBusyError(Exception):
    """Acts of the person are still waiting in plain form for the chain; try again in a moment."""


def subject_erase(*, subject: Any, reason: str) -> bool:
    """Destroy the key of a person and record it; False when there was none. Waiting acts are sealed first, so that none stays readable."""
    Recorder().drain()
    with transaction.atomic():
        return _key_destroy(subject, reason)


def _key_destroy(subject: Any, reason: str) -> bool:
    if AuditPending.objects.filter(subject=str(subject)).exists():
        raise ErasureBusyError("Acts of this person still wait for the audit trail. Try again in a moment.")
    destroyed = owner_key_destroy(f"user:{subject}")
    record("subject.erased", object_type="user", object_id=subject, after={"key_destroyed": destroyed}, reason=reason)
    return destroyed


def client_erase(*, user_id: UUID, now: datetime, ended_by: datetime) -> bool:
    """Erase a client who had left by ``ended_by``; False for one who is held, active again or erased already.

    All in one transaction; the files go after it (what a crash leaves is unreadable, and swept as uploads without a row).
    ErasureBusyError when acts of the client still wait for the trail.
    """
    Recorder().drain()
    with transaction.atomic():
        end = ClientEnd.objects.select_for_update().filter(user_id=user_id).first()
        user = User.objects.select_for_update().get(pk=user_id)
        if end is None or end.ended_at is None or end.ended_at > ended_by or end.held_at or end.erased_at:
            return False
        if user.is_active:
            return False
        # First, while no row below has been touched: what follows must not record anything sealed for this person, which would make a new key.
        _key_destroy(user.pk, "the time of keeping is over")
        for case in (
            KycCase.objects.select_for_update(of=("self",)).filter(Q(user=user) | Q(account__owner=user)).order_by("pk")
        ):
            case_forget(case)
            _case_strip(case)
        for model in OWN_ROWS:
            model._default_manager.filter(user=user).delete()
        Invitation.objects.filter(invited_by=user).delete()
        # Where money went is in the books without names (its key goes); what staff wrote to the client about it goes.
        Withdrawal.objects.filter(account__owner=user).update(reason="")
        FallbackRequest.objects.filter(account__owner=user).update(message="")
        # An entity's legal name is no person's.
        TradingAccount.objects.filter(owner=user).exclude(kind=TradingAccount.Kind.ENTITY).update(name="")
        User.objects.filter(pk=user.pk).update(
            email=f"erased-{user.pk.hex}@erased.invalid",
            display_name="",
            country="",
            time_zone="",
            password=make_password(None),
            email_confirmed_at=None,
            last_login=None,
            frozen_reason="",
        )
        ClientEnd.objects.filter(pk=end.pk).update(erased_at=now)
        record("client.erased", object_type="user", object_id=user.pk, after={"ended": end.ended_at.date().isoformat()})
        transaction.on_commit(lambda: users_forget(user.pk))
    return True


def case_forget(case: KycCase) -> None:
    """Delete what a client gave for a case and what was found about them, in the caller's transaction. The case and its steps stay."""
    names = list(case.documents.values_list("name", flat=True))
    case.documents.all().delete()
    case.answers.all().delete()
    case.liveness.all().delete()
    case.checks.all().delete()
    case.hits.exclude(state=ScreeningHit.State.TRUE_MATCH).delete()
    # ``update``: this is no step of the case, its times stay.
    KycCase.objects.filter(pk=case.pk).update(risk_parts=[], risk_score=None, risk_band="", actions=[], provider_ref="")
    transaction.on_commit(lambda: files_remove(names))


def _case_strip(case: KycCase) -> None:
    """What officers wrote and found goes too."""
    case.hits.all().delete()
    case.good_guys.all().delete()
    KycTransition.objects.filter(case=case).update(note="")
    KycProposal.objects.filter(case=case).update(note="", body={})
    KycCase.objects.filter(pk=case.pk).update(client_text="")


def files_remove(names: list[str]) -> None:
    """Take files out of the vault; those that are gone already are no fault."""
    for name in names:
        vault_path(name).unlink(missing_ok=True)
