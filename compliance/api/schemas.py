"""Shapes of the onboarding API."""

from __future__ import annotations

from rest_framework import serializers

from accounts.api.schemas import CountryField
from brokerage.platform.api_fields import DecimalText, StrictBoolean, StrictRows, StrictSerializer, StrictText
from compliance.forms import EXPECTED, EXPERIENCE, FUNDS, OCCUPATION
from compliance.models import KycCase, KycDocument

STATES = KycCase.State.choices
OWNER_KINDS = [("person", "Person"), ("company", "Company")]
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


class EntityRow(serializers.Serializer):  # type: ignore[type-arg]
    """An entity in a list."""

    account = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=STATES)
    tier = serializers.IntegerField()
    trading_allowed = serializers.BooleanField()


class OwnerNode(serializers.Serializer):  # type: ignore[type-arg]
    """A person or company in the tree, as it is put."""

    id = serializers.CharField()
    parent = serializers.CharField(allow_blank=True)
    kind = serializers.ChoiceField(choices=OWNER_KINDS)
    share = serializers.CharField()
    controls = serializers.BooleanField()
    first_name = serializers.CharField(required=False)
    last_name = serializers.CharField(required=False)
    birth_date = serializers.DateField(required=False)
    nationality = serializers.CharField(required=False)
    name = serializers.CharField(required=False)
    country = serializers.CharField(required=False)


class OwnerPerson(serializers.Serializer):  # type: ignore[type-arg]
    """A person behind the entity, over all branches."""

    name = serializers.CharField()
    birth_date = serializers.DateField()
    share = serializers.CharField(help_text="Effective, in per cent.")
    direct = serializers.CharField(help_text="The part held directly, in per cent.")
    controls = serializers.BooleanField()
    beneficial = serializers.BooleanField()


class OwnersShape(serializers.Serializer):  # type: ignore[type-arg]
    """Who owns and controls an entity."""

    nodes = OwnerNode(many=True)
    people = OwnerPerson(many=True)
    unknown = serializers.CharField(help_text="Per cent with nobody behind it.")
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="What is still to be named; empty when complete."
    )


class EntityCase(Case):
    """An entity's case, for its owners."""

    account = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    owners = OwnersShape()


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
    nationality = CountryField()
    national_insurance = serializers.CharField(
        max_length=13, required=False, allow_blank=True,
        help_text="Of UK nationals, for the reports of their trades; empty: there is none. Left out: not asked.",
    )  # fmt: skip
    mrz = serializers.CharField(max_length=150, required=False)


class AddressBody(StrictSerializer):
    """Step address."""

    street = serializers.CharField(max_length=120)
    city = serializers.CharField(max_length=80)
    postal_code = serializers.CharField(max_length=16)
    country = CountryField()


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

    country = CountryField()
    tax_number = serializers.CharField(max_length=30)
    us_person = serializers.BooleanField(default=False)


class BankBody(StrictSerializer):
    """Step bank."""

    holder = serializers.CharField(max_length=140)
    iban = serializers.CharField(max_length=42)


class CompanyBody(StrictSerializer):
    """Step company, of an entity."""

    legal_name = StrictText(max_length=120)
    registry_number = StrictText(max_length=40)
    country = CountryField()
    lei = StrictText(max_length=20, required=False, allow_blank=True)
    founded_on = serializers.DateField()
    business = StrictText(max_length=200)
    expected_deposit = serializers.ChoiceField(choices=[row[0] for row in EXPECTED])
    funds_from = serializers.ChoiceField(choices=[row[0] for row in FUNDS])


class OwnerBody(StrictSerializer):
    """A person (names, birth date, nationality) or company (name, country) with a share of what is above it."""

    class Meta:
        """Refusals name the place in the list."""

        list_serializer_class = StrictRows

    id = serializers.RegexField(
        r"^[A-Za-z0-9_-]{1,12}$", help_text="Your word for it; one that is there keeps its own."
    )
    parent = serializers.RegexField(
        r"^[A-Za-z0-9_-]{1,12}$", required=False, default="", allow_blank=True,
        help_text="Id of a company before it in the list; empty: of the entity itself.",
    )  # fmt: skip
    kind = serializers.ChoiceField(choices=OWNER_KINDS)
    share = DecimalText(help_text="Per cent of what is above it, at most four decimals.")
    controls = StrictBoolean(required=False, default=False, help_text="This person decides for the company.")
    first_name = StrictText(max_length=80, required=False)
    last_name = StrictText(max_length=80, required=False)
    birth_date = serializers.DateField(required=False)
    nationality = CountryField(required=False)
    name = StrictText(max_length=120, required=False)
    country = CountryField(required=False)


class OwnersBody(StrictSerializer):
    """The whole tree of owners, those above first."""

    owners = OwnerBody(many=True, max_length=100)


ENTITY_BODIES: dict[str, type[StrictSerializer]] = {"company": CompanyBody}
BODIES: dict[str, type[StrictSerializer]] = {
    "identity": IdentityBody,
    "address": AddressBody,
    "suitability": SuitabilityBody,
    "tax": TaxBody,
    "bank": BankBody,
}
