"""A person's permission is written once, recorded and told; the same again changes nothing."""

import pytest

from accounts.models import User
from accounts.selectors.access import accounts_of
from accounts.services.permissions import trading_permission_set
from accounts.services.trading_accounts import account_open
from brokerage.platform.models import AuditPending, OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_new_user_may_not_trade_and_one_who_is_permitted_may_at_once() -> None:
    user = User.objects.create_user("p@example.test")
    account_open(user=user)
    assert [(ref.kyc_tier, ref.trading_allowed) for ref in accounts_of(user.pk)] == [(0, False)]
    assert trading_permission_set(user_id=user.pk, kyc_tier=2, trading_allowed=True, reason="kyc_approved")
    assert [(ref.kyc_tier, ref.trading_allowed) for ref in accounts_of(user.pk)] == [(2, True)]
    act = AuditPending.objects.get(action="permission.changed")
    assert act.before == {"kyc_tier": 0, "trading_allowed": False}
    assert act.reason == "kyc_approved"
    assert OutboxEvent.objects.get(topic="user.permission_changed").key == str(user.pk)


def test_the_same_permission_again_changes_nothing() -> None:
    user = User.objects.create_user("p@example.test", kyc_tier=1, trading_allowed=True)
    assert not trading_permission_set(user_id=user.pk, kyc_tier=1, trading_allowed=True, reason="again")
    assert not AuditPending.objects.exists()
