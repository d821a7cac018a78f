"""Background jobs of accounts: mails."""

from __future__ import annotations

from celery import shared_task
from django.core.mail import send_mail

from accounts.models import User
from brokerage.config import get_config


@shared_task(name="accounts.tasks.mail_welcome", autoretry_for=(OSError,), retry_backoff=True, max_retries=5)
def mail_welcome(user_id: str) -> None:
    """Welcome a new user."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    base = get_config().base_url
    send_mail(
        "Your account is open",
        f"Hello {user.display_name or user.email},\n\nyour account is open. Sign in at {base}/signin to begin.\n",
        None,
        [user.email],
    )


@shared_task(name="accounts.tasks.mail_known_address", autoretry_for=(OSError,), retry_backoff=True, max_retries=5)
def mail_known_address(email: str) -> None:
    """Tell the owner of an address that somebody tried to register with it again."""
    base = get_config().base_url
    send_mail(
        "You already have an account",
        f"Somebody, probably you, tried to register with this address. You have an account already: sign in at {base}/signin.\n"
        "If it was not you, nothing has to be done.\n",
        None,
        [email],
    )
