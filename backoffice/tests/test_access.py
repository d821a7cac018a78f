"""Roles carry exactly what the table says; emergency roles end by themselves and are told; reviews name who gave what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.db import transaction

from accounts.models import User
from accounts.roles import ADMINISTRATOR, COMPLIANCE, DEALER, FINANCE, ROLES, SENIOR_DEALER, SUPPORT
from accounts.services import roles
from accounts.services.roles import UnknownPermissionError, roles_sync
from backoffice.models import BreakGlass, ClientGroup, Desk, RoleGrant
from backoffice.selectors.clients import account_for_staff, account_list_for_staff, account_search, client_of_staff
from backoffice.services.access import (
    REVIEW_HEADER,
    access_review_rows,
    break_glass_begin,
    break_glass_end,
    role_change_preview,
    role_end,
    role_grant,
)
from backoffice.services.desks import desk_assign, group_accounts_set, staff_seed
from backoffice.tasks import mail_emergency_role
from backoffice.tests.factories import REASON, client_account, staff
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform.models import AuditPending

pytestmark = pytest.mark.django_db


def again(user: User) -> User:
    """The user as the next request sees them: without remembered permissions."""
    return User.objects.get(pk=user.pk)


def refused(code: int, act: object, **arguments: object) -> None:
    with pytest.raises(RejectedError) as caught, transaction.atomic():
        act(**arguments)  # type: ignore[operator]
    assert caught.value.code == code


@pytest.mark.parametrize("role", list(ROLES))
def test_a_role_has_exactly_the_permissions_of_the_table(role: str) -> None:
    roles_sync()
    group = Group.objects.get(name=role)
    codes = {f"{p.content_type.app_label}.{p.codename}" for p in group.permissions.select_related("content_type")}
    assert codes == ROLES[role]
    assert again(staff(role)).get_all_permissions() >= ROLES[role]


def test_a_permission_added_by_hand_is_taken_away_again() -> None:
    roles_sync()
    Group.objects.get(name=DEALER).permissions.add(Permission.objects.get(codename="delete_user"))
    assert roles_sync() == [DEALER]
    assert not Group.objects.get(name=DEALER).permissions.filter(codename="delete_user").exists()
    assert roles_sync() == []


def test_a_permission_nobody_declares_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "ROLES", {DEALER: frozenset({"trading.fly"})})
    with pytest.raises(UnknownPermissionError, match=r"dealer.*trading\.fly"):
        roles_sync()


def test_members_of_a_renamed_group_keep_their_role() -> None:
    old = Group.objects.create(name="Dealing desk")
    user = User.objects.create_user("old@example.test", is_staff=True)
    user.groups.add(old)
    roles_sync()
    assert list(user.groups.values_list("name", flat=True)) == [DEALER]


def test_no_role_both_asks_for_money_and_roles() -> None:
    for codes in ROLES.values():
        assert not {"backoffice.request_money", "backoffice.request_role"} <= codes


def test_the_preview_says_what_a_role_would_add() -> None:
    preview = role_change_preview(user=staff(DEALER), role=SENIOR_DEALER)
    assert "backoffice.view_all_clients" in preview["gained"]
    assert "trading.view_order" in preview["already"]
    assert not set(preview["gained"]) & ROLES[DEALER]


def test_an_ended_role_ends_being_staff_and_is_recorded() -> None:
    user, officer = User.objects.create_user("new@example.test"), staff(COMPLIANCE)
    roles_sync()
    role_grant(user=user, role=DEALER, granted_by=officer, reason=REASON)
    assert again(user).is_staff
    assert again(user).has_perm("trading.view_order")
    role_end(user=user, role=DEALER, actor=officer, reason=REASON)
    assert not again(user).is_staff
    assert not again(user).has_perm("trading.view_order")
    assert RoleGrant.objects.get(user=user).ended_at is not None
    assert list(AuditPending.objects.values_list("action", flat=True)) == ["role.granted", "role.ended"]


def test_ending_a_role_needs_the_right_and_a_reason() -> None:
    user = staff(DEALER)
    refused(2012, role_end, user=user, role=DEALER, actor=staff(SUPPORT), reason=REASON)
    refused(7053, role_end, user=user, role=DEALER, actor=staff(COMPLIANCE), reason="  no  ")
    refused(7054, role_end, user=user, role="king", actor=staff(COMPLIANCE), reason=REASON)
    assert again(user).groups.exists()


def test_an_emergency_role_holds_until_its_end_and_is_mailed(
    django_capture_on_commit_callbacks: object,
) -> None:
    boss, user = staff(ADMINISTRATOR), staff(SENIOR_DEALER)
    assert not again(user).has_perm("backoffice.approve_money")
    with django_capture_on_commit_callbacks() as told:  # type: ignore[operator]
        taken = break_glass_begin(user=user, role=FINANCE, reason=REASON, minutes=15)
    assert len(told) == 1
    mail_emergency_role(str(taken.pk))
    assert again(user).has_perm("backoffice.approve_money")
    assert again(user).has_module_perms("accounts")
    assert [message.to for message in mail.outbox] == [[boss.email]]
    assert REASON in mail.outbox[0].body
    assert AuditPending.objects.get(action="emergency_role.taken").reason == REASON
    BreakGlass.objects.filter(pk=taken.pk).update(
        started_at=utc_now() - timedelta(minutes=16), ends_at=utc_now() - timedelta(minutes=1)
    )
    assert not again(user).has_perm("backoffice.approve_money")


def test_an_emergency_role_can_be_given_back() -> None:
    user = staff(SENIOR_DEALER)
    break_glass_begin(user=user, role=FINANCE, reason=REASON, minutes=5)
    break_glass_end(user=user)
    assert not again(user).has_perm("backoffice.approve_money")
    break_glass_begin(user=again(user), role=FINANCE, reason=REASON, minutes=5)


def test_emergency_roles_are_bounded() -> None:
    user = staff(SENIOR_DEALER)
    refused(2012, break_glass_begin, user=staff(DEALER), role=FINANCE, reason=REASON, minutes=5)
    refused(7054, break_glass_begin, user=user, role=ADMINISTRATOR, reason=REASON, minutes=5)
    refused(7053, break_glass_begin, user=user, role=FINANCE, reason="", minutes=5)
    for minutes in (0, 61):
        refused(7056, break_glass_begin, user=user, role=FINANCE, reason=REASON, minutes=minutes)
    break_glass_begin(user=user, role=FINANCE, reason=REASON, minutes=60)
    refused(7055, break_glass_begin, user=user, role=FINANCE, reason=REASON, minutes=5)


def test_a_client_never_gets_an_emergency_role() -> None:
    account = client_account()
    assert account.owner is not None
    refused(2012, break_glass_begin, user=account.owner, role=FINANCE, reason=REASON, minutes=5)


def test_the_review_names_access_since_and_giver() -> None:
    officer, user = staff(COMPLIANCE), User.objects.create_user("dealer@example.test")
    role_grant(user=user, role=DEALER, granted_by=officer, reason=REASON)
    user.user_permissions.add(Permission.objects.get(codename="delete_user"))
    rows = {(row[0], row[2]): row for row in access_review_rows(actor=officer)}
    given = rows[("dealer@example.test", "role dealer")]
    assert given[5:7] == [officer.email, REASON]
    assert given[4]
    assert rows[("dealer@example.test", "direct delete_user")][5] == "not recorded"
    assert rows[(officer.email, "role compliance")][5] == "not recorded"
    assert all(len(row) == len(REVIEW_HEADER) for row in rows.values())
    with pytest.raises(RejectedError):
        list(access_review_rows(actor=staff(DEALER)))


def test_a_dealer_sees_the_clients_of_the_assigned_desk_and_group_only() -> None:
    mine, other, nobodys = client_account("Ann Mine"), client_account("Bob Other"), client_account()
    desk, second = Desk.objects.create(name="One"), Desk.objects.create(name="Two")
    group, far = ClientGroup.objects.create(name="G1", desk=desk), ClientGroup.objects.create(name="G2", desk=second)
    group_accounts_set(group=group, accounts=[mine])
    group_accounts_set(group=far, accounts=[other])
    dealer = staff(DEALER)
    assert list(account_list_for_staff(dealer)) == []
    desk_assign(user=dealer, place=desk)
    assert list(account_list_for_staff(again(dealer))) == [mine]
    assert list(account_search(again(dealer), "Bob")) == []
    refused(2014, account_for_staff, user=again(dealer), number=other.number)
    refused(2014, client_of_staff, user=again(dealer), user_id=nobodys.owner_id)
    desk_assign(user=dealer, place=far)
    assert list(account_list_for_staff(again(dealer))) == [mine, other]
    desk_assign(user=dealer, place=far, working=False)
    assert list(account_list_for_staff(again(dealer))) == [mine]
    assert list(account_list_for_staff(staff(SUPPORT)))[:3] == [mine, other, nobodys]
    assert list(account_list_for_staff(mine.owner)) == []


def test_the_seed_registers_roles_once() -> None:
    user = staff(DEALER)
    staff_seed(demo=False)
    staff_seed(demo=False)
    grant = RoleGrant.objects.get(user=user)
    assert (grant.role, grant.granted_by) == (DEALER, None)


def test_no_list_of_the_administration_has_a_made_up_plural() -> None:
    odd = [
        str(model._meta.verbose_name_plural)
        for model in site._registry
        if str(model._meta.verbose_name_plural).endswith("ss")
    ]
    assert odd == []
