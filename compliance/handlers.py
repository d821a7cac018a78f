"""What compliance listens to: a changed residence changes whose rules hold; a client who leaves begins the time until erasure. Idempotent."""

from __future__ import annotations

from django.db import transaction

from accounts.models import TradingAccount, User
from accounts.services.beneficiaries import owner_name_register
from accounts.services.permissions import trading_permission_set
from accounts.trading_policy import trading_policy
from brokerage.platform.models import OutboxEvent
from brokerage.platform.outbox import on
from compliance.models import ClientEnd, KycCase
from compliance.policy import policy
from compliance.selectors.checklist import answer_of
from compliance.services.kyc import SYSTEM, State, case_lock, case_move


def _verified_name(account: TradingAccount, owner: User) -> str:
    """The name that onboarding has: the entity's, or the person's. What money is paid out to must carry it."""
    entity = account.kind == TradingAccount.Kind.ENTITY
    rows = KycCase.objects.filter(account=account.parent or account) if entity else KycCase.objects.filter(user=owner)
    case = rows.first()
    if case is None:
        return ""
    if entity:
        return str(answer_of(case, "company").get("legal_name", ""))
    given = answer_of(case, "identity")
    return f"{given['first_name']} {given['last_name']}" if given else ""


owner_name_register(_verified_name)


@on("profile.changed")
def residence_changed(event: OutboxEvent) -> None:
    """Staff have approved another country: its rules hold from now on; a client of a country not served is restricted."""
    if "country" not in event.payload.get("fields", ()):
        return
    user = User.objects.filter(pk=event.key).first()
    own = KycCase.objects.filter(user=user).first() if user is not None else None
    if user is None or own is None:
        return
    with transaction.atomic():
        case = case_lock(own.pk)
        case.jurisdiction = trading_policy().jurisdiction_of(user.country).code
        case.save(update_fields=["jurisdiction", "updated_at"])
        trading_permission_set(
            user_id=user.pk,
            kyc_tier=user.kyc_tier,
            trading_allowed=user.trading_allowed,
            reason="residence_changed",
            jurisdiction=case.jurisdiction,
        )
        if case.state == State.APPROVED and not policy().served(user.country):
            case_move(case, State.RESTRICTED, reason_code="not_served", actor=SYSTEM)


@on("user.closed")
def relation_ended(event: OutboxEvent) -> None:
    """From here the years count after which the client is erased (``compliance/retention.py``)."""
    end, _ = ClientEnd.objects.get_or_create(user_id=event.key)
    if end.ended_at is None:
        ClientEnd.objects.filter(pk=end.pk, ended_at=None).update(ended_at=event.created_at)
