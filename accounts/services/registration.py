"""Registration: a user, with an answer that does not tell whether the address was known; their account is opened when they first sign in.

What a registration sets going is felt by the requests after it as well, so a known and an unknown address also leave the same behind: one
record, one mail of the same cost, and nothing for the engine. Only who knows the password gets further.
"""

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
    candidate = User(email=email.strip(), display_name=display_name.strip(), country=country, account_due=True)
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


def first_account_open(user: User) -> None:
    """Open the account of somebody who registered and signs in for the first time; once, also for two sign-ins at a moment."""
    if not user.account_due:
        return
    with transaction.atomic():
        if User.objects.filter(pk=user.pk, account_due=True).update(account_due=False):
            account_open(user=user)
    user.account_due = False


def _known(email: str) -> UUID | None:
    return User.objects.filter(email__iexact=email).values_list("pk", flat=True).first()


def _register(candidate: User, known: UUID | None) -> None:
    """Write the user, or for a known address write and take back one nobody has: the clock tells no difference."""
    with transaction.atomic():
        here = transaction.savepoint()
        if known is not None:
            candidate.email = f"{candidate.pk}@known.invalid"
        candidate.save(force_insert=True)
        (transaction.savepoint_commit if known is None else transaction.savepoint_rollback)(here)
        user_id = candidate.pk if known is None else known
        action = "user.registered" if known is None else "user.registered_again"
        record(action, object_type="user", object_id=user_id, subject=user_id)
        enqueue("accounts.tasks.mail_registered", user_id=str(user_id), known=known is not None)
