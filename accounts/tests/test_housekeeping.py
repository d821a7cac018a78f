"""What time has ended is tidied away, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import DataExport, MailToken, User, UserSession
from accounts.services.housekeeping import identity_tidy
from accounts.services.mail_tokens import mail_token_make
from accounts.services.sessions import session_begin
from brokerage.kernel.clock import utc_now

pytestmark = pytest.mark.django_db


def test_only_what_is_over_goes() -> None:
    user, now = User.objects.create_user("ann@example.test"), utc_now()
    for hours in (-1, 1):
        DataExport.objects.create(user=user, created_at=now, expires_at=now + timedelta(hours=hours))
        mail_token_make(user=user, purpose="freeze")
        session_begin(user=user, method="password", ip="", user_agent="")
    MailToken.objects.filter(pk=MailToken.objects.first().pk).update(expires_at=now - timedelta(days=31))
    UserSession.objects.filter(pk=UserSession.objects.first().pk).update(created_at=now - timedelta(hours=13))
    assert identity_tidy() == {"sessions": 1, "exports": 1, "links": 1}
    assert identity_tidy() == {"sessions": 0, "exports": 0, "links": 0}
    assert UserSession.objects.filter(ended_reason="timed out").count() == 1
    assert (DataExport.objects.count(), MailToken.objects.count()) == (1, 1)
