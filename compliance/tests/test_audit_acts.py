"""Acts of users that the trail holds."""

from __future__ import annotations

import pytest

from accounts.models import User
from accounts.services.registration import user_register
from brokerage.platform.models import AuditPending


@pytest.mark.django_db
def test_a_registration_is_recorded_once_and_one_with_a_known_address_as_what_it_is():
    for _ in range(2):
        user_register(email="new@b.test", password="Correct-Horse-2026")
    user = str(User.objects.get().pk)
    rows = AuditPending.objects.order_by("id").values_list("action", "object_id", "subject")
    assert list(rows) == [("user.registered", user, user), ("user.registered_again", user, user)]
