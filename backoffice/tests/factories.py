"""Makers of staff and clients for tests."""

from __future__ import annotations

import itertools

from django.contrib.auth.models import Group
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.models import TotpDevice, TradingAccount, User
from accounts.services.roles import roles_sync
from accounts.services.second_factor import totp_begin, totp_secret
from accounts.services.trading_accounts import account_open
from tests.authenticator import code_of

REASON = "asked for by the client in ticket 4711"
_numbers = itertools.count(1)


def staff(*roles: str, superuser: bool = False) -> User:
    """A member of staff with these roles."""
    roles_sync()
    user = User.objects.create_user(
        f"staff{next(_numbers)}@example.test", "Correct-Horse-2026", is_staff=True, is_superuser=superuser
    )
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def client_account(name: str = "") -> TradingAccount:
    """An active account of a client."""
    number = next(_numbers)
    user = User.objects.create_user(
        f"client{number}@example.test", "Correct-Horse-2026", display_name=name or f"Client {number}", kyc_tier=2,
    )  # fmt: skip
    account = account_open(user=user)
    account.status = TradingAccount.Status.ACTIVE
    account.save(update_fields=["status"])
    return account


def browser(user: User, *, factor: bool = True) -> Client:
    """A signed-in browser; with ``factor`` the second one was given in this session."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    if factor:
        device = TotpDevice.objects.filter(user=user).first() or totp_begin(user=user)
        TotpDevice.objects.filter(pk=device.pk).update(confirmed=True)
        session = client.session
        session[DEVICE_ID_SESSION_KEY] = device.persistent_id
        session.save()
    return client


def code_now(device: TotpDevice) -> str:
    """What the authenticator shows now."""
    return code_of(totp_secret(device))
