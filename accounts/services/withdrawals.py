"""Money out: the life of a withdrawal as rows. Who may ask, how much, what was decided; each step once, recorded, told by mail.

Every move is made under the row's lock and emits ``withdrawal.changed``; ``trading/services/payouts.py`` then does in the engine what the row
says (hold, settle, release) and calls ``withdrawal_held``, ``withdrawal_unheld`` and ``withdrawal_closed`` back. Nothing here knows the engine.
Staff's permissions and second pairs of eyes are ``backoffice``'s.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, Sum

from accounts.models import Beneficiary, Deposit, TradingAccount, User, Withdrawal
from accounts.selectors.access import AccountRef
from accounts.selectors.security import payouts_frozen_until
from accounts.services.beneficiaries import beneficiary_locked, destination_of, owner_demand, owners_of
from accounts.services.funding import AssetLike
from accounts.services.rules import SCALE, money_text
from accounts.trading_policy import CURRENCY, TierLimits, trading_policy
from brokerage.kernel.clock import NS_PER_DAY, SYSTEM_CLOCK, datetime_from_ns, ns_from_datetime, rfc3339, utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.units import decimals_of, minor_from_amount
from brokerage.platform.audit import record
from brokerage.platform.jobs import enqueue
from brokerage.platform.outbox import emit

Status = Withdrawal.Status
#: Banks carry cents.
DECIMALS = 2
REFERENCE_MAX = 64


def tier_of(account: TradingAccount) -> tuple[TierLimits, bool, int]:
    """(limits, trading allowed, tier) of whom the account's money belongs to: the entity, else its first owner."""
    entity, owner = account.parent or account, account.owner
    if owner is None:
        raise RejectedError(RejectCode.PERMISSION_DENIED, "The house pays nothing out this way.")
    tier, allowed = owner.kyc_tier, owner.trading_allowed
    if account.kind == TradingAccount.Kind.ENTITY and entity.entity_tier is not None:
        tier, allowed = entity.entity_tier, allowed and entity.entity_allowed
    return trading_policy().tiers[tier], allowed, tier


def frozen_demand(account: TradingAccount, *users: Any) -> None:
    """Refuse (7060) while payouts of an owner of the account, or of who asks, are frozen."""
    for user_id in {account.owner_id, *users} - {None}:
        until = payouts_frozen_until(user_id)
        if until is not None:
            needed = "support has unfrozen the sign-in" if until.year == 9999 else rfc3339(ns_from_datetime(until))
            raise RejectedError(RejectCode.PAYOUTS_FROZEN, needed=needed)


def day_used(account: TradingAccount, *, but: str = "") -> int:
    """Minor units that withdrawals of the day (UTC) of the same owner or entity take, what was refused or cancelled left out."""
    entity = account.parent or account
    if account.kind == TradingAccount.Kind.ENTITY and entity.entity_tier is not None:
        whose = Q(account=entity) | Q(account__parent=entity)
    else:
        whose = Q(account__owner=account.owner, account__entity_tier=None) & (
            Q(account__parent=None) | Q(account__parent__entity_tier=None)
        )
    midnight = datetime_from_ns(SYSTEM_CLOCK.now_ns() // NS_PER_DAY * NS_PER_DAY)
    rows = Withdrawal.objects.filter(whose, asset=CURRENCY, created_at__gte=midnight)
    rows = rows.exclude(status__in=(Status.CANCELLED, Status.REFUSED)).exclude(pk=but)
    return int(rows.aggregate(sum=Sum("amount"))["sum"] or 0)


def _demand(account: TradingAccount, user: User, asset: AssetLike, minor: int, beneficiary: Beneficiary) -> None:
    limits, allowed, tier = tier_of(account)
    if account.status != TradingAccount.Status.ACTIVE:
        raise RejectedError(
            RejectCode.ACCOUNT_NOT_ACTIVE,
            f"The account is {account.status}.",
            needed="active",
            available=str(account.status),
        )
    if not allowed:
        raise RejectedError(RejectCode.KYC_RESTRICTED if tier else RejectCode.KYC_REQUIRED)
    if (asset.code, asset.scale) != (CURRENCY, SCALE):
        raise RejectedError(
            RejectCode.LIMIT_CURRENCY,
            f"Money is paid out in {CURRENCY} only: your limits are counted in it.",
            needed=CURRENCY,
            available=asset.code,
            field="asset",
        )
    if beneficiary.usable_at > utc_now():
        raise RejectedError(
            RejectCode.DESTINATION_COOLING, needed=rfc3339(ns_from_datetime(beneficiary.usable_at)), field="beneficiary"
        )
    frozen_demand(account, user.pk)
    limit, would = int(limits.withdrawal_day_usd.scaleb(SCALE)), day_used(account) + minor
    if would > limit:
        raise RejectedError(
            RejectCode.WITHDRAWAL_LIMIT, needed=money_text(limit), available=money_text(would), field="amount"
        )


def withdrawal_known(account: AccountRef, key: str) -> Withdrawal | None:
    """The withdrawal that was asked for under this Idempotency-Key."""
    rows = Withdrawal.objects.select_related("account", "beneficiary", "beneficiary__account")
    return rows.filter(account_id=account.id, idempotency_key=key).first() if key else None


def same_demand(row: Withdrawal, *, asset: str, minor: int, beneficiary_id: str) -> None:
    """Refuse (1015) another request under a key that was used."""
    if (row.asset, row.amount, row.beneficiary_id) != (asset, minor, beneficiary_id):
        raise RejectedError(RejectCode.IDEMPOTENCY_KEY_REUSED)


def amount_minor(amount: Decimal, asset: AssetLike) -> int:
    """Minor units of an amount a bank can carry: 8002 at zero and below, 1011 beyond cents."""
    if amount <= 0:
        raise RejectedError(RejectCode.BAD_AMOUNT, field="amount")
    if decimals_of(amount) > DECIMALS:
        raise RejectedError(
            RejectCode.TOO_MANY_DECIMALS, needed=str(DECIMALS), available=str(decimals_of(amount)), field="amount"
        )
    return minor_from_amount(amount, asset.scale)


def withdrawal_create(
    *, user: User, account: AccountRef, beneficiary_id: str, asset: AssetLike, minor: int, key: str = ""
) -> Withdrawal:
    """Write down what is asked for. Of two that race for the rest of a day's limit one waits for the other.

    Refused in this order: 2012 no owner, 2014 no such destination, 2015 account not active, 7010/7011 identity, 7029 asset, 7061 cool-off,
    7060 freeze, 7062 limit. That so much is available the engine decides (4001).
    """
    owner_demand(account)
    with transaction.atomic():
        User.objects.select_for_update().filter(pk=account.owner_id).first()
        known = withdrawal_known(account, key)
        if known is not None:
            same_demand(known, asset=asset.code, minor=minor, beneficiary_id=beneficiary_id)
            return known
        beneficiary = beneficiary_locked(account, beneficiary_id)
        # Read anew: what the process remembers of an account may be seconds old.
        row = TradingAccount.objects.select_related("owner", "parent").get(pk=account.id)
        _demand(row, user, asset, minor, beneficiary)
        now_ns = SYSTEM_CLOCK.now_ns()
        made = Withdrawal.objects.create(
            id=ulid_new(), account=row, beneficiary=beneficiary, requested_by=user, idempotency_key=key, asset=asset.code,
            amount=minor, created_at=datetime_from_ns(now_ns), created_ns=now_ns,
        )  # fmt: skip
        _moved(made, "requested", "")
    return made


def _locked(withdrawal_id: str) -> Withdrawal:
    rows = Withdrawal.objects.select_for_update(of=("self",))
    return rows.select_related("account", "account__owner", "account__parent", "beneficiary__account").get(
        pk=withdrawal_id
    )


def _state_demand(row: Withdrawal, *allowed: str) -> None:
    if row.status not in allowed:
        raise RejectedError(RejectCode.WITHDRAWAL_STATE, needed=" or ".join(allowed), available=str(row.status))


def _moved(row: Withdrawal, what: str, reason: str, **after: Any) -> None:
    """Record, tell the engine's side, tell the owners. The state itself the caller has saved."""
    facts = {
        "account": row.account.number,
        "amount": money_text(row.amount),
        "destination": destination_of(row.beneficiary).masked,
    }
    record(
        f"withdrawal.{what}", object_type="withdrawal", object_id=row.pk, subject=row.account.owner_id or "",
        after={**facts, **after}, reason=reason,
    )  # fmt: skip
    emit("withdrawal.changed", row.pk, {"status": str(row.status)})
    if what in ("requested", "paid", "refused", "cancelled"):
        for owner in owners_of(row.account):
            enqueue("accounts.tasks.mail_withdrawal", user_id=str(owner.pk), withdrawal_id=row.pk, what=what)


def withdrawal_held(*, withdrawal_id: str, hold_id: int) -> Withdrawal:
    """The engine holds the money under this id. Told again, nothing changes."""
    with transaction.atomic():
        row = _locked(withdrawal_id)
        if row.hold_id is None and row.closed_at is None:
            row.hold_id = hold_id
            if row.status == Status.REQUESTED:
                row.status = Status.HELD
            row.save(update_fields=["hold_id", "status"])
            _moved(row, "held", "", hold_id=str(hold_id))
    return row


def withdrawal_unheld(*, withdrawal_id: str, code: int, available: int | None = None) -> Withdrawal:
    """The engine refused the hold with this code: over, nothing is held."""
    with transaction.atomic():
        row = _locked(withdrawal_id)
        if row.hold_id is None and row.closed_at is None:
            row.refused_code, row.refused_available, row.closed_at = code, available, utc_now()
            # What the client had taken back before stays so.
            refused = row.status == Status.REQUESTED
            if refused:
                row.status, row.decided_at = Status.REFUSED, row.closed_at
            row.save()
            _moved(row, "refused" if refused else "released", "", code=code)
    return row


def withdrawal_closed(*, withdrawal_id: str) -> Withdrawal:
    """The engine has settled or released the hold, as the row's state says. Told again, nothing changes."""
    with transaction.atomic():
        row = _locked(withdrawal_id)
        _state_demand(row, Status.PAID, Status.CANCELLED, Status.REFUSED)
        if row.closed_at is None:
            row.closed_at = utc_now()
            row.save(update_fields=["closed_at"])
            _moved(row, "settled" if row.status == Status.PAID else "released", "")
    return row


def withdrawal_cancel(*, withdrawal_id: str) -> Withdrawal:
    """The client takes it back: possible until it is approved (7064)."""
    with transaction.atomic():
        row = _locked(withdrawal_id)
        _state_demand(row, *Withdrawal.CANCELLABLE)
        row.status, row.decided_at = Status.CANCELLED, utc_now()
        row.save(update_fields=["status", "decided_at"])
        _moved(row, "cancelled", "")
    return row


def withdrawal_approve(*, withdrawal_id: str, staff: User, reason: str) -> Withdrawal:
    """Let it go to the bank. Looked at again: 7064 when it is not held any more, 7060 when payouts were frozen meanwhile, 7010/7011."""
    with transaction.atomic():
        row = _locked(withdrawal_id)
        _state_demand(row, Status.HELD)
        approvable_demand(row)
        row.status, row.approved_by, row.approved_at = Status.APPROVED, staff, utc_now()
        row.save(update_fields=["status", "approved_by", "approved_at"])
        _moved(row, "approved", reason)
    return row


def approvable_demand(row: Withdrawal) -> None:
    """Refuse what must not be let go now: a freeze (7060), an account that is not open (2015), a client who was restricted (7011)."""
    frozen_demand(row.account, row.requested_by_id)
    if row.account.status != TradingAccount.Status.ACTIVE:
        raise RejectedError(RejectCode.ACCOUNT_NOT_ACTIVE, needed="active", available=str(row.account.status))
    if not tier_of(row.account)[1]:
        raise RejectedError(RejectCode.KYC_RESTRICTED)


def withdrawal_refuse(*, withdrawal_id: str, reason: str) -> Withdrawal:
    """Staff say no, until the bank has paid; the client reads why."""
    with transaction.atomic():
        row = _locked(withdrawal_id)
        _state_demand(row, Status.HELD, Status.APPROVED)
        row.status, row.reason, row.decided_at = Status.REFUSED, reason, utc_now()
        row.save(update_fields=["status", "reason", "decided_at"])
        _moved(row, "refused", reason)
    return row


def withdrawal_paid(*, withdrawal_id: str, reference: str) -> Withdrawal:
    """The bank has paid under this reference. The same reference again changes nothing; another withdrawal's is refused (7065)."""
    reference = " ".join(reference.split())
    if not 4 <= len(reference) <= REFERENCE_MAX or not reference.isascii():
        raise RejectedError(
            RejectCode.MALFORMED, "Give the bank's reference, 4 to 64 plain characters.", field="reference"
        )
    try:
        with transaction.atomic():
            row = _locked(withdrawal_id)
            if row.status == Status.PAID and row.reference == reference:
                return row
            _state_demand(row, Status.APPROVED)
            row.status, row.reference, row.decided_at = Status.PAID, reference, utc_now()
            row.save(update_fields=["status", "reference", "decided_at"])
            _moved(row, "paid", "", reference=reference)
    except IntegrityError:
        other = Withdrawal.objects.get(reference=reference)
        raise RejectedError(
            RejectCode.PAYOUT_REFERENCE_USED, available=f"withdrawal {other.pk}", field="reference"
        ) from None
    return row


def flags_of(row: Withdrawal) -> list[str]:
    """What finance should look at before letting it go, in words."""
    rules, moment = trading_policy().payouts, row.created_at
    found = []
    if moment - row.beneficiary.created_at < timedelta(hours=rules.new_h):
        found.append("new destination")
    if not Withdrawal.objects.filter(account=row.account, status=Status.PAID).exclude(pk=row.pk).exists():
        found.append("first withdrawal")
    if above_alone(row):
        found.append("above the threshold")
    if any(payouts_frozen_until(user_id) for user_id in {row.account.owner_id, row.requested_by_id} - {None}):
        found.append("payouts frozen")
    since = moment - timedelta(hours=rules.quick_h)
    came = Deposit.objects.filter(account=row.account, asset=row.asset, created_at__gte=since, created_at__lte=moment)
    came_in = came.exclude(status=Deposit.Status.FAILED).aggregate(sum=Sum("amount"))["sum"] or 0
    if came_in * 2 >= row.amount:
        found.append("in and out quickly")
    return found


def above_alone(row: Withdrawal) -> bool:
    """True above what one member of staff lets go."""
    return row.amount > int(tier_of(row.account)[0].payout_alone_usd.scaleb(SCALE))
