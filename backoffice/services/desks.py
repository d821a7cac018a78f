"""Desks, their client groups, and who works where."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from guardian.shortcuts import assign_perm, remove_perm

from accounts.models import TradingAccount, User
from accounts.roles import ROLES
from backoffice.models import ClientGroup, Desk
from backoffice.services.access import role_grant
from brokerage.platform import audit


def desk_assign(*, user: User, place: Desk | ClientGroup, working: bool = True) -> None:
    """Let somebody see the clients of a desk or group, or no longer."""
    permission = "backoffice.work_desk" if isinstance(place, Desk) else "backoffice.work_clientgroup"
    with transaction.atomic():
        (assign_perm if working else remove_perm)(permission, user, place)
        audit.record(
            "desk.assigned" if working else "desk.left", object_type=place._meta.model_name, object_id=place.pk,
            after={"user": str(user.pk), "name": place.name},
        )  # fmt: skip


def group_accounts_set(*, group: ClientGroup, accounts: list[TradingAccount]) -> None:
    """Put exactly these accounts into a group."""
    with transaction.atomic():
        before = sorted(group.accounts.values_list("number", flat=True))
        group.accounts.set(accounts)
        after = sorted(account.number for account in accounts)
        if before != after:
            audit.record(
                "client_group.changed", object_type="clientgroup", object_id=group.pk,
                before={"accounts": before}, after={"accounts": after},
            )  # fmt: skip


def staff_seed(*, demo: bool) -> None:
    """Write down the roles staff have from the installation and, in the demo, give the dealer a desk with both investors. Idempotent."""
    members: list[tuple[Any, str]] = [
        (user, group.name)
        for user in User.objects.filter(is_staff=True).prefetch_related("groups")
        for group in user.groups.all()
        if group.name in ROLES
    ]
    for user, role in members:
        role_grant(user=user, role=role, granted_by=None, reason="installation")
    if not demo:
        return
    desk, _ = Desk.objects.get_or_create(name="Dealing")
    group, made = ClientGroup.objects.get_or_create(name="Demo clients", defaults={"desk": desk})
    if made:
        group_accounts_set(
            group=group,
            accounts=list(
                TradingAccount.objects.filter(owner__email__in=("investor@demo.test", "investor2@demo.test"))
            ),
        )
        dealer = User.objects.filter(email="dealer@demo.test").first()
        if dealer is not None:
            desk_assign(user=dealer, place=desk)
