"""Clients, answers and officers for the tests of compliance."""

from __future__ import annotations

import itertools
from typing import Any

from django.contrib.auth.models import Permission
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.models import TotpDevice, User
from accounts.services.second_factor import totp_begin
from compliance.models import KycCase
from compliance.services.answers import answer_save
from compliance.services.kyc import case_open

_count = itertools.count(1)

ANSWERS: dict[str, dict[str, Any]] = {
    "identity": {"first_name": "Nora", "last_name": "Newman", "birth_date": "1990-05-17", "nationality": "GB"},
    "address": {"street": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB"},
    "suitability": {
        "experience": "some", "occupation": "employed", "expected_deposit": "under_10k", "funds_from": "salary",
        "leverage": "All of it", "stop": "At the next price there is, which may be worse", "crypto": "Nobody",
    },
    "tax": {"country": "GB", "tax_number": "1955839661", "us_person": False},
    "bank": {"holder": "Nora Newman", "iban": "GB29NWBK60161331926819"},
}  # fmt: skip


def client_make(**fields: Any) -> User:
    """A client who has registered and nothing more."""
    return User.objects.create_user(f"client{next(_count)}@example.test", "x", country="GB", **fields)


def factor_given(client: Client, user: User) -> None:
    """As if the second factor had been given in this session: staff pages ask for it."""
    device = TotpDevice.objects.filter(user=user).first() or totp_begin(user=user)
    TotpDevice.objects.filter(pk=device.pk).update(confirmed=True)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.save()


def officer_make(*permissions: str) -> User:
    """A member of staff who may decide cases."""
    user = User.objects.create_user(f"officer{next(_count)}@example.test", "x", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions or ("decide_kyc",)))
    return user


def case_filled(
    user: User | None = None, steps: tuple[str, ...] = ("identity", "address", "suitability", "tax"), **more: Any
) -> KycCase:
    """A case with its answers given; ``more`` replaces answers of a step."""
    user = user or client_make()
    case_open(user=user)
    for step in steps:
        answer_save(user=user, step=step, data=ANSWERS[step] | more.get(step, {}))
    return KycCase.objects.get(user=user)
