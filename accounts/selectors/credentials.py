"""Credentials of programs as their owner sees them, and what the checks of ``brokerage/platform`` ask about them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from accounts.models import TokenFamily
from brokerage.kernel.clock import utc_now

LISTED_MAX = 100


def family_lives(family: str) -> bool:
    """True while a sign-in has not ended."""
    try:
        key = UUID(family)
    except ValueError:
        return False
    return TokenFamily.objects.filter(pk=key, revoked_at=None, expires_at__gt=utc_now()).exists()


def families_of(user: Any) -> list[TokenFamily]:
    """The user's living sign-ins, last used first."""
    living = TokenFamily.objects.filter(user=user, revoked_at=None, expires_at__gt=utc_now())
    return list(living.order_by("-last_used_at", "pk")[:LISTED_MAX])
