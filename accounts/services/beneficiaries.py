"""Where an account's money may be paid to: bank accounts in the owner's name, saved with a fresh proof, usable after a cool-off.

Holder and IBAN are sealed for the account's owner and shown masked. The name is compared with every name known of the owner: the legal name
kept here and what apps above know (``owner_name_register``; compliance tells the verified one). Adding and removing are recorded and mailed to
every owner. Leaves paying out to ``withdrawals.py``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from stdnum import iban as iban_rules
from stdnum.exceptions import ValidationError

from accounts.models import Beneficiary, TradingAccount, TradingAccountMember, User, Withdrawal
from accounts.selectors.access import AccountRef
from accounts.services.personal import personal_get
from accounts.services.security import settings_demand
from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import ulid_new
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.crypto import KeyDestroyedError, seal, unseal_text
from brokerage.platform.jobs import enqueue

TABLE = "accounts_beneficiary"
BENEFICIARIES_MAX = 10
HOLDER_MAX = 140
#: The name an app above knows of this owner of this account, or empty text.
NameSource = Callable[[TradingAccount, User], str]
_name_sources: list[NameSource] = []


def owner_name_register(source: NameSource) -> None:
    """Ask this too what the owner of an account is called."""
    if source not in _name_sources:
        _name_sources.append(source)


@dataclass(frozen=True, slots=True)
class Destination:
    """A beneficiary unsealed."""

    holder: str
    iban: str

    @property
    def masked(self) -> str:
        """Country, check digits and the last four: enough to know one's own by."""
        return f"{self.iban[:4]} •••• {self.iban[-4:]}"


ERASED = Destination("erased", "••••••••")


def destination_of(row: Beneficiary) -> Destination:
    """What a row says; an erased client's says nothing any more."""
    try:
        found = json.loads(unseal_text(row.sealed, table=TABLE, row=row.pk, field="sealed"))
    except KeyDestroyedError:
        return ERASED
    return Destination(found["holder"], found["iban"])


def owner_demand(account: AccountRef) -> None:
    """Refuse (2012) a member who is no owner: money leaves an account by its owners only."""
    if not account.is_owner:
        raise RejectedError(RejectCode.PERMISSION_DENIED, "Only owners of the account take money out of it.")


def name_key(name: str) -> tuple[str, ...]:
    """A name without accents, case, punctuation and order: what two spellings of one name share."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return tuple(sorted(re.findall(r"\w+", plain.casefold())))


def owners_of(account: TradingAccount) -> list[User]:
    """Everybody who owns an account, the first owner first."""
    members = TradingAccountMember.objects.filter(account=account, role=TradingAccountMember.Role.OWNER)
    found = [account.owner] if account.owner is not None else []
    return found + [row.user for row in members.exclude(user=account.owner).select_related("user").order_by("pk")]


def _names(account: TradingAccount, owner: User) -> set[str]:
    entity = account.kind == TradingAccount.Kind.ENTITY
    own = (account.parent or account).name if entity else personal_get(owner)["legal_name"]
    return {own, *(source(account, owner) for source in _name_sources)} - {""}


def _name_demand(account: TradingAccount, holder: str) -> None:
    entity = account.kind == TradingAccount.Kind.ENTITY
    owners = owners_of(account)
    for owner in owners[:1] if entity else owners:
        names = _names(account, owner)
        if names and {name_key(name) for name in names} == {name_key(holder)}:
            return
    raise RejectedError(RejectCode.DESTINATION_NAME, needed="the legal name of the account's owner", field="holder")


def beneficiary_list_for(core_accounts: Iterable[int]) -> list[Beneficiary]:
    """Those of these accounts that were not removed, newest first."""
    rows = Beneficiary.objects.filter(account__core_account__in=list(core_accounts), removed_at=None)
    return list(rows.select_related("account").order_by("-id"))


def beneficiary_add(*, user: User, account: AccountRef, holder: str, iban: str) -> Beneficiary:
    """Save a bank account; the caller has seen to a fresh proof of who is there. One that is saved already is returned as it is.

    Refused in this order: 2012 no owner, 2037 settings locked, 7016 no IBAN, 7063 another name, 1014 too many.
    """
    owner_demand(account)
    settings_demand(user)
    holder = " ".join(holder.split())
    try:
        number = str(iban_rules.validate(iban))
    except ValidationError:
        raise RejectedError(
            RejectCode.DETAILS_REFUSED,
            "This is not a valid IBAN: compare it with your bank's statement.",
            field="iban",
        ) from None
    if not holder or len(holder) > HOLDER_MAX:
        raise RejectedError(RejectCode.VALUE_OUT_OF_RANGE, needed=f"1 to {HOLDER_MAX} characters", field="holder")
    with transaction.atomic():
        # Two that are added at once count one after the other.
        row = (
            TradingAccount.objects.select_for_update(of=("self",)).select_related("owner", "parent").get(pk=account.id)
        )
        _name_demand(row, holder)
        mine = beneficiary_list_for([row.core_account])
        for known in mine:
            if destination_of(known).iban == number:
                return known
        if len(mine) >= BENEFICIARIES_MAX:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE,
                f"An account has at most {BENEFICIARIES_MAX} payout destinations; remove one first.",
                needed=str(BENEFICIARIES_MAX),
            )
        now, key = utc_now(), ulid_new()
        document = json.dumps({"holder": holder, "iban": number})
        made = Beneficiary.objects.create(
            id=key, account=row, added_by=user, created_at=now,
            usable_at=now + timedelta(hours=trading_policy().payouts.cool_off_h),
            sealed=seal(document, owner=f"user:{row.owner_id}", table=TABLE, row=key, field="sealed"),
        )  # fmt: skip
        _noted(made, user, "beneficiary.added", f"a new payout destination, {destination_of(made).masked}, was added; "
               f"money can be paid to it from {made.usable_at:%d %b %Y, %H:%M} UTC on")  # fmt: skip
    return made


def beneficiary_remove(*, user: User, account: AccountRef, beneficiary_id: str) -> None:
    """Forget a destination; 2014 for one that is not this account's, 7064 while money is on its way to it."""
    owner_demand(account)
    settings_demand(user)
    with transaction.atomic():
        row = beneficiary_locked(account, beneficiary_id)
        if row.withdrawals.filter(status__in=Withdrawal.OPEN).exists():
            raise RejectedError(
                RejectCode.WITHDRAWAL_STATE,
                "Money is on its way to this destination: cancel the withdrawal first.",
                needed="no open withdrawal",
                available="open",
            )
        row.removed_at = utc_now()
        row.save(update_fields=["removed_at"])
        masked = destination_of(row).masked
        _noted(row, user, "beneficiary.removed", f"the payout destination {masked} was removed")


def beneficiary_locked(account: AccountRef, beneficiary_id: str) -> Beneficiary:
    """The destination of this account, locked; 2014 when there is none such."""
    rows = Beneficiary.objects.select_for_update(of=("self",)).select_related("account")
    row = rows.filter(pk=beneficiary_id, account_id=account.id, removed_at=None).first()
    if row is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such payout destination.", field="beneficiary")
    return row


def _noted(row: Beneficiary, user: User, action: str, what: str) -> None:
    record(
        action, object_type="beneficiary", object_id=row.pk, subject=row.account.owner_id or "",
        after={"account": row.account.number, "destination": destination_of(row).masked, "by": str(user.pk)},
    )  # fmt: skip
    for owner in owners_of(row.account):
        enqueue("accounts.tasks.mail_security_notice", user_id=str(owner.pk), what=what)
