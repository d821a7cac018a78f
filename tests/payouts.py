"""What the tests of withdrawals share: a client with a name, an authenticator and a destination that is no longer new."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.test import Client

from accounts.models import Beneficiary, TotpDevice, User, Withdrawal
from accounts.selectors.access import account_for_user
from accounts.services.beneficiaries import beneficiary_add
from accounts.services.personal import personal_change
from accounts.services.second_factor import totp_begin
from accounts.services.step_up import PROOF
from backoffice.tests.factories import browser, code_now
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, utc_now
from tests.conftest_engine import LivePlatform, Trader

NAME, IBAN, OTHER_IBAN = "Anna Ely", "GB29NWBK60161331926819", "DE89370400440532013000"


def enrolled(user: User) -> None:
    """Give a user a name and an authenticator."""
    personal_change(user=user, values={"legal_name": NAME})
    if not TotpDevice.objects.filter(user=user).exists():
        device = totp_begin(user=user)
        TotpDevice.objects.filter(pk=device.pk).update(confirmed=True)


def destination(user: User, number: str, iban: str = IBAN, *, holder: str = NAME, old: bool = True) -> Beneficiary:
    """Save a destination; with ``old`` its cool-off and the time it counts as new are over."""
    row = beneficiary_add(user=user, account=account_for_user(user.pk, number), holder=holder, iban=iban)
    if old:
        long_ago = utc_now() - timedelta(days=30)
        Beneficiary.objects.filter(pk=row.pk).update(created_at=long_ago, usable_at=long_ago)
        row.refresh_from_db()
    return row


def code_for(user: User) -> str:
    """What the authenticator shows; it may be used again, as if half a minute had passed."""
    device = TotpDevice.objects.get(user=user)
    TotpDevice.objects.filter(pk=device.pk).update(last_step=0)
    return code_now(device)


@dataclass
class Payee:
    """A trader who can withdraw."""

    trader: Trader
    beneficiary: Beneficiary

    @property
    def number(self) -> str:
        return self.trader.account.number

    def ask(self, amount: str = "100", **more: Any) -> Any:
        """POST /withdrawals with a fresh code."""
        headers = {name: more.pop(name) for name in ("Idempotency_Key",) if name in more}
        body = {"beneficiary_id": self.beneficiary.pk, "amount": amount, **more}
        code = code_for(self.trader.user)
        return self.trader.api("POST", "withdrawals", body, X_Second_Factor=code, **headers)

    def held(self, amount: str = "100") -> Withdrawal:
        """A withdrawal whose money is set aside."""
        answer = self.ask(amount)
        assert answer.status_code == 201, answer.content
        assert answer.json()["status"] == "held"
        return Withdrawal.objects.get(pk=answer.json()["withdrawal_id"])

    def usd(self) -> tuple[str, str]:
        """(available, held) once the projection has caught up."""
        self.trader.platform.settle()
        row = next(row for row in self.trader.api("GET", "balances").json()["results"] if row["asset"] == "USD")
        return tuple(format(Decimal(row[name]), ".2f") for name in ("available", "held"))  # type: ignore[return-value]


def payee(platform: LivePlatform, name: str = "", usd: str = "1000") -> Payee:
    """Open one on the live platform."""
    trader = platform.trader(name, {"USD": usd})
    enrolled(trader.user)
    return Payee(trader, destination(trader.user, trader.account.number))


def proven_browser(user: User) -> Client:
    """A browser whose user has just given the second factor."""
    client = browser(user)
    session = client.session
    session[PROOF] = {"at": SYSTEM_CLOCK.now_ns() // NS_PER_S, "method": "totp", "strong": True}
    session.save()
    return client
