"""Background work of the back office: mails about emergency roles."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.mail import send_mail
from django.db.models import Q

from accounts.models import User
from accounts.roles import ADMINISTRATOR
from backoffice.models import BreakGlass


@shared_task(name="backoffice.tasks.mail_emergency_role", autoretry_for=(OSError,), retry_backoff=True, max_retries=5)
def mail_emergency_role(break_glass_id: str) -> None:
    """Tell every administrator who took which role, why and until when."""
    taken = BreakGlass.objects.select_related("user").get(pk=break_glass_id)
    group = Group.objects.filter(name=ADMINISTRATOR)
    people = User.objects.filter(Q(groups__in=group) | Q(is_superuser=True), is_active=True).distinct()
    text = (
        f"{taken.user.email} took the role {taken.role} in an emergency.\n\n"
        f"Reason: {taken.reason}\nFrom {taken.started_at:%Y-%m-%d %H:%M} to {taken.ends_at:%H:%M} UTC.\n\n"
        "If this is not right, deactivate the user and look at the audit trail."
    )
    for person in people:
        send_mail("An emergency role was taken", text, settings.DEFAULT_FROM_EMAIL, [person.email])
