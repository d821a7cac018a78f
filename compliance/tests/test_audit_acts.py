"""Acts of users that the trail holds."""

from __future__ import annotations

import pytest

from accounts.models import User
from accounts.services.registration import user_register
from brokerage.platform.models import AuditPending


@pytest.mark.django_db
def test_a_registration_is_recorded_once_and_a_known_address_is_not():
    for _ in range(2):
        user_register(email="new@b.test", password="Correct-Horse-2026")
    row = AuditPending.objects.get()
    assert (row.action, row.object_id) == ("user.registered", str(User.objects.get().pk))
    assert row.subject == row.object_id
