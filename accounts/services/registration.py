"""Registration: a user and a trading account, with an answer that does not tell whether the address was known."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.services.trading_accounts import account_open
from brokerage.platform.audit import record
from brokerage.platform.jobs import enqueue


def user_register(*, email: str, password: str, display_name: str = "", country: str = "") -> None:
    """Register; a known address gets a mail that says so, and nothing else happens.

    Raises Django's ValidationError for a weak password (before the address is looked at, so that it tells nothing).
    """
    candidate = User(email=email.strip(), display_name=display_name.strip(), country=country)
    validate_password(password, candidate)
    # Hashed in both cases: the answer takes the same time for a known address.
    hashed = make_password(password)
    if User.objects.filter(email__iexact=candidate.email).exists():
        _tell_known(candidate.email)
        return
    candidate.password = hashed
    try:
        with transaction.atomic():
            candidate.save()
            account_open(user=candidate)
            record("user.registered", object_type="user", object_id=candidate.pk, subject=candidate.pk)
            enqueue("accounts.tasks.mail_welcome", user_id=str(candidate.pk))
    except IntegrityError:
        # Two registrations at the same moment: the other was first.
        _tell_known(candidate.email)


def _tell_known(email: str) -> None:
    enqueue("accounts.tasks.mail_known_address", email=email)
