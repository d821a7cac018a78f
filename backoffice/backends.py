"""Permissions of a role taken in an emergency: they hold while the row runs and end with it, with nothing to clean up."""

from __future__ import annotations

from typing import Any

from accounts.roles import ROLES
from backoffice.models import BreakGlass
from brokerage.kernel.clock import utc_now


class BreakGlassBackend:
    """An authentication backend that only answers about permissions."""

    def authenticate(self, request: Any, **credentials: Any) -> None:
        """Nobody signs in by this."""
        return

    def get_user(self, user_id: Any) -> None:
        """Not a source of users."""
        return

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """True while an emergency role of this user includes the permission."""
        return obj is None and perm in self._permissions(user_obj)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """True while it includes anything of the app."""
        return any(code.startswith(f"{app_label}.") for code in self._permissions(user_obj))

    @staticmethod
    def _permissions(user: Any) -> frozenset[str]:
        if not (user.is_active and getattr(user, "is_staff", False)):
            return frozenset()
        now = utc_now()
        taken = getattr(user, "_break_glass", None)
        if taken is None:
            taken = tuple(BreakGlass.objects.filter(user=user, ended_at=None, ends_at__gt=now))
            user._break_glass = taken
        return frozenset().union(*(ROLES[row.role] for row in taken if row.ends_at > now and row.role in ROLES))
