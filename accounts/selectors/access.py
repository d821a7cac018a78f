"""Which accounts a user may use and how: the one place that answers it, cached in the process for two seconds.

Owns ``AccountRef`` and the rule that a stranger's account does not exist. Leaves trading permission of a state (2015)
to the services and the membership rows to ``accounts/services``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import CharField, OuterRef, Value
from django.db.models.functions import Cast, Concat

from accounts.models import DisclosureAcceptance, TradingAccount, TradingAccountMember, User
from accounts.trading_policy import ClientRules, trading_policy
from brokerage.kernel.clock import NS_PER_S
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.remembered import Remembered

MAX_AGE_NS = 2 * NS_PER_S
#: Numbers remembered at most; beyond it they are asked again.
SIZE_MAX = 20_000


@dataclass(frozen=True, slots=True)
class AccountRef:
    """An account as one user sees it."""

    id: UUID
    number: str
    core_account: int
    kind: str
    base_currency: str
    status: str
    role: str
    created_at: datetime
    name: str = ""

    @property
    def is_owner(self) -> bool:
        """True for who may change the account's members."""
        return self.role == TradingAccountMember.Role.OWNER

    kyc_tier: int = 0
    trading_allowed: bool = False
    #: None for the house.
    owner_id: UUID | None = None
    #: A day's orders are counted under this: the owner, or the entity. None for the house.
    limits_id: UUID | None = None
    #: What may be traded and how much; None for the house, which has no such rules.
    rules: ClientRules | None = None

    @property
    def may_trade(self) -> bool:
        """True for owners and traders."""
        return self.role in {TradingAccountMember.Role.OWNER, TradingAccountMember.Role.TRADER}


_accounts: Remembered[UUID, tuple[AccountRef, ...]] = Remembered(MAX_AGE_NS)
_numbers: dict[int, str] = {}


def _accepted() -> ArraySubquery:
    """The warnings an account's owner has accepted, ``code@version`` each, in the query that reads the account."""
    tag = Concat("code", Value("@"), Cast("version", CharField()))
    return ArraySubquery(
        DisclosureAcceptance.objects.filter(user_id=OuterRef("owner_id")).order_by().annotate(tag=tag).values("tag")
    )


def accounts_of(user_id: UUID, *, fresh: bool = False) -> tuple[AccountRef, ...]:
    """The user's own accounts, then those shared with them, by number; ``fresh`` asks the database whatever is remembered."""
    return _accounts.get(user_id, lambda: _asked(user_id), fresh=fresh)


def _asked(user_id: UUID) -> tuple[AccountRef, ...]:
    accounts = TradingAccount.objects.annotate(accepted=_accepted()).select_related("owner", "parent")
    owned = accounts.filter(owner_id=user_id)
    rows = [(row, str(TradingAccountMember.Role.OWNER)) for row in owned]
    mine = {row.pk for row, _ in rows}
    of = dict(
        TradingAccountMember.objects.filter(user_id=user_id)
        .exclude(account_id__in=mine)
        .values_list("account_id", "role")
    )
    rows += [(row, str(of[row.pk])) for row in accounts.filter(pk__in=of)] if of else []
    refs = {row.pk: _ref(row, role, frozenset(row.accepted)) for row, role in rows}  # type: ignore[attr-defined]
    return tuple(sorted(refs.values(), key=lambda ref: (ref.role != "owner", ref.core_account)))


def _ref(row: TradingAccount, role: str, accepted: frozenset[str]) -> AccountRef:
    # What compliance decided hangs on the owner, for an entity also on its (main) account: a member who trades needs both. The house has none.
    owner, entity = row.owner, (row.parent or row) if row.kind == TradingAccount.Kind.ENTITY else None
    if owner is None:
        return AccountRef(
            row.pk, row.number, row.core_account, row.kind, row.base_currency, row.status, str(role), row.created_at, row.name,
            trading_allowed=True,
        )  # fmt: skip
    rules = rules_of(owner, accepted)
    if entity is not None and entity.entity_tier is not None:
        rules = replace(rules, tier=entity.entity_tier, jurisdiction=entity.entity_jurisdiction or rules.jurisdiction)
        allowed, tier, limits_id = owner.trading_allowed and entity.entity_allowed, entity.entity_tier, entity.pk
    else:
        allowed, tier, limits_id = owner.trading_allowed, owner.kyc_tier, owner.pk
    return AccountRef(
        row.pk, row.number, row.core_account, row.kind, row.base_currency, row.status, str(role), row.created_at, row.name,
        tier, allowed, owner.pk, limits_id, rules,
    )  # fmt: skip


def rules_of(user: User, accepted: frozenset[str]) -> ClientRules:
    """A person under the trading policy. The jurisdiction is what compliance found, else that of the country given."""
    found = user.jurisdiction or trading_policy().jurisdiction_of(user.country).code
    return ClientRules(user.kyc_tier, found, user.right_answers, accepted)


def account_jurisdiction(row: TradingAccount) -> str:
    """Whose rules hold for an account (its owner and parent loaded): the entity's own, else the owner's. Empty for the house."""
    rules = _ref(row, "", frozenset()).rules
    return rules.jurisdiction if rules is not None else ""


def account_for_user(user_id: UUID, number: str | None = None, *, fresh: bool = False) -> AccountRef:
    """The account of that number, or the first one; RejectedError 2014 when the user has none such."""
    accounts = accounts_of(user_id, fresh=fresh)
    for ref in accounts:
        if number is None or ref.number == number:
            return ref
    if number is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no trading account yet.")
    raise RejectedError(RejectCode.NOT_FOUND, "There is no such account.", field="account")


def account_number(core_account: int) -> str:
    """The public number of a core account; ``HOUSE`` or empty when there is none. Numbers never change, so they are
    kept.
    """
    number = _numbers.get(core_account)
    if number is None:
        number = TradingAccount.objects.filter(core_account=core_account).values_list("number", flat=True).first() or ""
        if number:
            if len(_numbers) >= SIZE_MAX:
                _numbers.clear()
            _numbers[core_account] = number
    return number


def accounts_forget(user_id: UUID | None = None) -> None:
    """Drop what is remembered: of one user after a change, of all between tests."""
    _accounts.forget(user_id)
    if user_id is None:
        _numbers.clear()
