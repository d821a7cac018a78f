"""Shapes of the onboarding API."""

from __future__ import annotations

from rest_framework import serializers

from brokerage.platform.api_fields import StrictSerializer
from compliance.forms import EXPECTED, EXPERIENCE, FUNDS, OCCUPATION
from compliance.models import KycCase, KycDocument

STATES = KycCase.State.choices
DOCUMENT_KINDS = KycDocument.Kind.choices
DOCUMENT_STATES = KycDocument.State.choices


class Action(serializers.Serializer):  # type: ignore[type-arg]
    """What the client is asked for."""

    step = serializers.CharField()
    code = serializers.CharField()
    text = serializers.CharField()


class StepShape(serializers.Serializer):  # type: ignore[type-arg]
    """A step of the checklist."""

    name = serializers.CharField()
    title = serializers.CharField()
    why = serializers.CharField()
    state = serializers.ChoiceField(choices=["done", "todo", "action", "waiting"])
    needed_for_tier = serializers.IntegerField(allow_null=True)


class Case(serializers.Serializer):  # type: ignore[type-arg]
    """A client's own case."""

    state = serializers.ChoiceField(choices=STATES)
    tier = serializers.IntegerField()
    trading_allowed = serializers.BooleanField()
    text = serializers.CharField(allow_blank=True)
    actions = Action(many=True)
    steps = StepShape(many=True)
    grace_until = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField()


class Document(serializers.Serializer):  # type: ignore[type-arg]
    """A document as the client sees it."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=DOCUMENT_KINDS)
    state = serializers.ChoiceField(choices=DOCUMENT_STATES)
    reason = serializers.CharField(allow_blank=True)
    media_type = serializers.CharField()
    size = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class DocumentBody(serializers.Serializer):  # type: ignore[type-arg]
    """A multipart upload."""

    kind = serializers.ChoiceField(choices=DOCUMENT_KINDS)
    issued_on = serializers.DateField(required=False)
    expires_on = serializers.DateField(required=False)
    file = serializers.FileField()


class AppealBody(StrictSerializer):
    """Why a refusal should be looked at again."""

    text = serializers.CharField(min_length=10, max_length=1000)


class IdentityBody(StrictSerializer):
    """Step identity."""

    first_name = serializers.CharField(max_length=80)
    last_name = serializers.CharField(max_length=80)
    birth_date = serializers.DateField()
    nationality = serializers.RegexField(r"^[A-Z]{2}$")
    mrz = serializers.CharField(max_length=150, required=False)


class AddressBody(StrictSerializer):
    """Step address."""

    street = serializers.CharField(max_length=120)
    city = serializers.CharField(max_length=80)
    postal_code = serializers.CharField(max_length=16)
    country = serializers.RegexField(r"^[A-Z]{2}$")


class SuitabilityBody(StrictSerializer):
    """Step suitability."""

    experience = serializers.ChoiceField(choices=[row[0] for row in EXPERIENCE])
    occupation = serializers.ChoiceField(choices=[row[0] for row in OCCUPATION])
    expected_deposit = serializers.ChoiceField(choices=[row[0] for row in EXPECTED])
    funds_from = serializers.ChoiceField(choices=[row[0] for row in FUNDS])
    leverage = serializers.CharField(max_length=80)
    stop = serializers.CharField(max_length=80)
    crypto = serializers.CharField(max_length=80)


class TaxBody(StrictSerializer):
    """Step tax."""

    country = serializers.RegexField(r"^[A-Z]{2}$")
    tax_number = serializers.CharField(max_length=30)
    us_person = serializers.BooleanField(default=False)


class BankBody(StrictSerializer):
    """Step bank."""

    holder = serializers.CharField(max_length=140)
    iban = serializers.CharField(max_length=42)


BODIES: dict[str, type[StrictSerializer]] = {
    "identity": IdentityBody,
    "address": AddressBody,
    "suitability": SuitabilityBody,
    "tax": TaxBody,
    "bank": BankBody,
}
