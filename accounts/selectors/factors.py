"""Which second factors a user has."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from accounts.models import Passkey, RecoveryCode, TotpDevice


@dataclass(frozen=True)
class Factors:
    """A user's factors, as the security page shows them."""

    totp: TotpDevice | None
    passkeys: list[Passkey]
    codes_left: int

    @property
    def any(self) -> bool:
        """True when sign-in asks for a second factor."""
        return self.totp is not None or bool(self.passkeys)


def factors_of(user_id: UUID) -> Factors:
    """Read them."""
    return Factors(
        TotpDevice.objects.filter(user_id=user_id, confirmed=True).first(),
        list(Passkey.objects.filter(user_id=user_id, confirmed=True)),
        RecoveryCode.objects.filter(user_id=user_id, used_at=None).count(),
    )


def second_factor_enrolled(user_id: UUID) -> bool:
    """True when the user has a confirmed authenticator or passkey."""
    return (
        TotpDevice.objects.filter(user_id=user_id, confirmed=True).exists()
        or Passkey.objects.filter(user_id=user_id, confirmed=True).exists()
    )


def factor_device(user_id: UUID) -> TotpDevice | Passkey | None:
    """The factor that stands for the others where one must be named; None for a user without one."""
    factors = factors_of(user_id)
    return factors.totp or next(iter(factors.passkeys), None)
