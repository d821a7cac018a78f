"""Which clients a member of staff may see: all of them, or those of the assigned desks and groups."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from guardian.shortcuts import get_objects_for_user

from accounts.models import TradingAccount, User
from backoffice.models import ClientGroup, Desk
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode


def sees_every_client(user: Any) -> bool:
    """True for roles without a fence."""
    return user.has_perm("backoffice.view_all_clients")


def core_accounts_of_staff(user: Any) -> QuerySet[TradingAccount, Any] | None:
    """The core numbers of the accounts a member of staff may see; None: all of them. The admin's lists are fenced with it."""
    if sees_every_client(user):
        return None
    return _assigned(user).values("core_account")


def _assigned(user: Any) -> QuerySet[TradingAccount]:
    options = {"accept_global_perms": False, "with_superuser": False}
    desks = get_objects_for_user(user, "backoffice.work_desk", klass=Desk, **options)
    groups = get_objects_for_user(user, "backoffice.work_clientgroup", klass=ClientGroup, **options)
    mine = ClientGroup.objects.filter(Q(pk__in=groups.values("pk")) | Q(desk__in=desks.values("pk")))
    return TradingAccount.objects.filter(pk__in=ClientGroup.accounts.through.objects.filter(
        clientgroup__in=mine.values("pk")).values("tradingaccount_id"))  # fmt: skip


def account_list_for_staff(user: Any) -> QuerySet[TradingAccount]:
    """Client accounts a member of staff may see; the house and the demo market are nobody's clients."""
    if not user.has_perm("backoffice.view_clients"):
        return TradingAccount.objects.none()
    accounts = TradingAccount.objects if sees_every_client(user) else _assigned(user)
    return accounts.filter(owner__isnull=False).exclude(kind__in=("house", "demo")).select_related("owner")


def account_search(user: Any, text: str) -> QuerySet[TradingAccount]:
    """Accounts by the beginning of their number, or a part of the owner's name or address."""
    accounts = account_list_for_staff(user)
    if text:
        accounts = accounts.filter(
            Q(number__istartswith=text) | Q(owner__email__icontains=text) | Q(owner__display_name__icontains=text)
        )
    return accounts.order_by("core_account")


def account_for_staff(user: Any, number: str) -> TradingAccount:
    """One of them; RejectedError 2014 for an account that is not theirs to see, as if there were none."""
    account = account_list_for_staff(user).filter(number=number).first()
    if account is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such client.", field="account")
    return account


def client_of_staff(user: Any, user_id: Any) -> User:
    """The owner of an account one may see; RejectedError 2014 otherwise. Staff are nobody's clients."""
    client = User.objects.filter(pk__in=account_list_for_staff(user).values("owner_id"), pk=user_id).first()
    if client is None or client.is_staff or client.is_superuser:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such client.")
    return client
