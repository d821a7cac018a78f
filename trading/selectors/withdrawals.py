"""Reading withdrawals and payout destinations, and their JSON: the same for REST, pages and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import Beneficiary, Withdrawal
from accounts.selectors.access import AccountRef, accounts_of
from accounts.services.beneficiaries import destination_of
from brokerage.kernel.clock import ns_from_datetime, rfc3339, utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform.api import Page, page_of
from marketdata.selectors.instruments import asset_by_code

PAGE, KEYS, AT_ONCE = Page("withdrawals", 1), ("created_ns",), 500
STATUSES = [str(value) for value in Withdrawal.Status.values]


def withdrawal_list_for(account: AccountRef) -> QuerySet[Withdrawal]:
    """An account's withdrawals."""
    rows = Withdrawal.objects.filter(account_id=account.id).select_related("account", "beneficiary")
    return rows.order_by("-created_ns")


def withdrawal_keys_for(account: AccountRef) -> QuerySet[Withdrawal, dict[str, Any]]:
    """What lists and files of them are paged by; ``withdrawals_of`` fetches the rows."""
    return withdrawal_list_for(account).values("created_ns", "pk")


def withdrawals_of(account: AccountRef, keys: Iterable[dict[str, Any]]) -> Iterator[Withdrawal]:
    """The withdrawals of these keys in their order, some hundreds fetched at a time."""
    coming = iter(keys)
    while some := [key["pk"] for key in islice(coming, AT_ONCE)]:
        found = withdrawal_list_for(account).in_bulk(some)
        yield from (found[pk] for pk in some)


def withdrawal_page(account: AccountRef, *, cursor: str | None, limit: int) -> tuple[list[Withdrawal], str | None]:
    """One page of an account's withdrawals, newest first, and the cursor of the next."""
    keys, following = page_of(withdrawal_keys_for(account), PAGE, cursor=cursor, limit=limit, keys=KEYS)
    return list(withdrawals_of(account, keys)), following


def withdrawal_find(user_id: UUID, withdrawal_id: str) -> tuple[AccountRef, Withdrawal]:
    """A withdrawal of an account this user is a member of, and that account; 2014 otherwise."""
    accounts = {ref.id: ref for ref in accounts_of(user_id)}
    rows = Withdrawal.objects.select_related("account", "beneficiary")
    row = rows.filter(pk=withdrawal_id, account_id__in=accounts).first()
    if row is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such withdrawal.")
    return accounts[row.account_id], row


def beneficiary_find(user_id: UUID, beneficiary_id: str) -> tuple[AccountRef, Beneficiary]:
    """A living payout destination of an account this user is a member of, and that account; 2014 otherwise."""
    accounts = {ref.id: ref for ref in accounts_of(user_id)}
    row = Beneficiary.objects.filter(pk=beneficiary_id, account_id__in=accounts, removed_at=None).first()
    if row is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such payout destination.")
    return accounts[row.account_id], row


def _time(value: datetime | None) -> str | None:
    return rfc3339(ns_from_datetime(value)) if value is not None else None


def beneficiary_json(row: Beneficiary) -> dict[str, Any]:
    """A destination as it is shown: the number masked."""
    found = destination_of(row)
    return {
        "beneficiary_id": row.pk,
        "account": row.account.number,
        "holder": found.holder,
        "destination": found.masked,
        "usable": row.usable_at <= utc_now(),
        "usable_at": _time(row.usable_at),
        "created_at": _time(row.created_at),
    }


def withdrawal_json(row: Withdrawal) -> dict[str, Any]:
    """A withdrawal as the API shows it. Nothing is charged for one, so there is no fee to show."""
    asset = asset_by_code(row.asset)
    if asset is None:
        raise LookupError(f"asset {row.asset} is not known")
    return {
        "withdrawal_id": row.pk,
        "account": row.account.number,
        "asset": row.asset,
        "amount": asset.money(row.amount),
        "beneficiary_id": row.beneficiary_id,
        "destination": destination_of(row.beneficiary).masked,
        "status": str(row.status),
        "cancellable": row.status in Withdrawal.CANCELLABLE,
        "reason": row.reason or (reject_row(row.refused_code).title if row.refused_code else None),
        "reference": row.reference,
        "created_at": _time(row.created_at),
        "approved_at": _time(row.approved_at),
        "decided_at": _time(row.decided_at),
        "display_decimals": asset.display_decimals,
    }
