"""Registration: a user and a trading account, with an answer that does not tell whether the address was known."""

from __future__ import annotations

from uuid import UUID

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
    candidate.set_password(password)
    known = _known(candidate.email)
    if known is None:
        try:
            _register(candidate, None)
            return
        except IntegrityError:
            # Two registrations at the same moment: the other was first.
            known = _known(candidate.email)
            if known is None:
                raise
    _register(candidate, known)


def _known(email: str) -> UUID | None:
    return User.objects.filter(email__iexact=email).values_list("pk", flat=True).first()


def _register(candidate: User, known: UUID | None) -> None:
    """Write the user, or for a known address write and take back one nobody has: the clock tells no difference."""
    email = candidate.email
    with transaction.atomic():
        here = transaction.savepoint()
        if known is not None:
            candidate.email = f"{candidate.pk}@known.invalid"
        candidate.save(force_insert=True)
        account_open(user=candidate)
        (transaction.savepoint_commit if known is None else transaction.savepoint_rollback)(here)
        if known is None:
            record("user.registered", object_type="user", object_id=candidate.pk, subject=candidate.pk)
            enqueue("accounts.tasks.mail_welcome", user_id=str(candidate.pk))
        else:
            record("user.registered_again", object_type="user", object_id=known, subject=known)
            enqueue("accounts.tasks.mail_known_address", email=email)
