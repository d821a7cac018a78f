"""Recording acts: in the caller's transaction, with whoever acts."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory

from brokerage.platform import audit
from brokerage.platform.models import AuditPending


@pytest.mark.django_db
def test_it_is_there_when_the_transaction_is_and_not_otherwise():
    audit.record("profile.changed", object_type="user", object_id=1, after={"name": "x"})
    with transaction.atomic():
        audit.record("profile.lost", object_type="user", object_id=1)
        transaction.set_rollback(True)
    assert [row.action for row in AuditPending.objects.all()] == ["profile.changed"]


@pytest.mark.django_db
@pytest.mark.parametrize(("staff", "kind"), [(False, "user"), (True, "staff")])
def test_the_requests_user_acts_also_when_known_late(staff, kind):
    user = get_user_model().objects.create_user("a@b.test", "x", is_staff=staff)
    request = RequestFactory().get("/", REMOTE_ADDR="10.1.2.3")
    request.user = AnonymousUser()

    def view(request):
        audit.record("first", object_type="t", object_id=1)
        request.user = user
        audit.record("second", object_type="t", object_id=1)
        return HttpResponse()

    audit.AuditContextMiddleware(view)(request)
    audit.record("third", object_type="t", object_id=1)
    first, second, third = AuditPending.objects.all()
    assert (first.actor_type, first.actor_id, first.ip) == ("anonymous", "", "10.1.2.3")
    assert (second.actor_type, second.actor_id) == (kind, str(user.pk))
    assert (third.actor_type, third.ip) == ("system", "")


@pytest.mark.django_db
def test_a_named_actor_acts_for_the_block():
    with audit.acting(audit.Actor("engine")):
        audit.record("order.filled", object_type="order", object_id=9)
    assert AuditPending.objects.get().actor_type == "engine"
    with pytest.raises(ValueError, match="unknown"):
        audit.Actor("martian")
