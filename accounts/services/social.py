"""Signing in with an OpenID provider: one account, never two.

A subject that is linked signs its user in (a second factor is still asked for). One that is not: with an address nobody has, which the provider
has verified, a user is made; with the address of a user, that user signs in once as always, and only then the two are linked. A signed-in user
links from the security page. Owns these rules; the protocol is in ``accounts/views/social.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import Passkey, SocialLink, User
from accounts.services.security import credentials_changed, settings_demand
from accounts.services.trading_accounts import account_open
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record

PENDING = "pending_social"
PENDING_S = 600


@dataclass(frozen=True)
class Claim:
    """What a verified id token says."""

    provider: str
    subject: str
    email: str
    email_verified: bool
    name: str = ""


def linked_user(claim: Claim) -> User | None:
    """The user of a subject, and note the use; None when it is linked to nobody."""
    link = SocialLink.objects.select_related("user").filter(provider=claim.provider, subject=claim.subject).first()
    if link is None:
        return None
    if not link.user.is_active:
        raise RejectedError(RejectCode.SOCIAL_REFUSED)
    SocialLink.objects.filter(pk=link.pk).update(last_used_at=utc_now())
    return link.user


def user_from_claim(claim: Claim) -> User | None:
    """Make a user of a verified address nobody has; None when somebody has it. 2045 for an address that is not verified."""
    if not claim.email or not claim.email_verified:
        raise RejectedError(RejectCode.SOCIAL_REFUSED)
    if User.objects.filter(email__iexact=claim.email).exists():
        return None
    try:
        with transaction.atomic():
            user = User.objects.create_user(
                claim.email, None, display_name=claim.name[:80], email_confirmed_at=utc_now()
            )
            account_open(user=user)
            _link(user, claim)
    except IntegrityError:
        # Another sign-in or registration was first.
        return None
    return user


def pending_set(session: Any, claim: Claim) -> None:
    """Remember a subject, whose address was verified, until its user has signed in."""
    session[PENDING] = {
        "provider": claim.provider,
        "subject": claim.subject,
        "email": claim.email,
        "at": SYSTEM_CLOCK.now_ns() // NS_PER_S,
    }


def pending_link(session: Any, user: User, keep_session: Any) -> bool:
    """Link the remembered subject to who has just signed in, if it is their address and not too long ago."""
    pending = session.pop(PENDING, None)
    if not pending or SYSTEM_CLOCK.now_ns() // NS_PER_S - pending["at"] > PENDING_S:
        return False
    if pending["email"].lower() != user.email.lower():
        return False
    try:
        claim = Claim(pending["provider"], pending["subject"], pending["email"], True)
        social_link(user=user, claim=claim, keep_session=keep_session)
    except RejectedError:
        return False
    return True


def social_link(*, user: User, claim: Claim, keep_session: Any = None) -> None:
    """Link a subject to a user who has proved to be there; 2045 when either is linked otherwise."""
    settings_demand(user)
    try:
        with transaction.atomic():
            _link(user, claim)
            credentials_changed(
                user=user, what=f"sign-in with {claim.provider} was linked", action="user.credentials_changed",
                keep_session=keep_session,
            )  # fmt: skip
    except IntegrityError as error:
        raise RejectedError(RejectCode.SOCIAL_REFUSED) from error


def _link(user: User, claim: Claim) -> None:
    now = utc_now()
    SocialLink.objects.create(
        user=user, provider=claim.provider, subject=claim.subject, created_at=now, last_used_at=now
    )
    record("social.linked", object_type="user", object_id=user.pk, subject=user.pk, after={"provider": claim.provider})


def social_unlink(*, user: User, provider: str, keep_session: Any = None) -> None:
    """Forget a link; 2014 when there is none, 2039 when it is the last way in."""
    settings_demand(user)
    with transaction.atomic():
        link = SocialLink.objects.select_for_update().filter(user=user, provider=provider).first()
        if link is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such link.")
        others = SocialLink.objects.filter(user=user).exclude(pk=link.pk).exists()
        if not user.has_usable_password() and not others and not Passkey.objects.filter(user=user).exists():
            raise RejectedError(RejectCode.LAST_FACTOR)
        link.delete()
        record("social.unlinked", object_type="user", object_id=user.pk, subject=user.pk, after={"provider": provider})
        credentials_changed(
            user=user, what=f"sign-in with {provider} was removed", action="user.credentials_changed",
            keep_session=keep_session,
        )  # fmt: skip
