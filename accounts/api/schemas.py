"""Bodies and answers of the account endpoints, for checking input and for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.forms import country_codes
from accounts.services.second_factor import CODE_MAX
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.api_fields import StrictSerializer, StrictText

ACCOUNT_STATUSES = ["pending", "active", "suspended", "closed"]


@extend_schema_field({"type": "string", "pattern": "^[A-Za-z]{2}$", "example": "GB"})
class CountryField(StrictText):
    """ISO 3166-1 alpha-2 code of a country the pages offer too, in either case; 1024 for any other."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 2)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        """The code in capitals."""
        code = super().to_internal_value(data).upper()
        if len(code) <= 2 and code not in country_codes():  # a longer one is told by its length
            raise RejectedError(RejectCode.UNKNOWN_COUNTRY, available=code, field=self.field_name)
        return code


class RegisterBody(StrictSerializer):
    """A new user."""

    email = serializers.EmailField(max_length=254)
    password = StrictText(max_length=128, trim_whitespace=False, write_only=True)
    display_name = StrictText(max_length=80, required=False, default="", allow_blank=True)
    country = CountryField(required=False, default="", allow_blank=True, help_text="ISO 3166-1 alpha-2.")


class TokenBody(StrictSerializer):
    """Sign in."""

    email = StrictText(max_length=254)
    password = StrictText(max_length=128, trim_whitespace=False, write_only=True)
    code = StrictText(
        max_length=CODE_MAX,
        required=False,
        write_only=True,
        help_text="Authenticator or recovery code; needed once one is set up.",
    )
    name = StrictText(max_length=80, required=False, help_text="What to call this sign-in in the list of sign-ins.")


class RefreshBody(StrictSerializer):
    """A refresh token."""

    refresh = StrictText(max_length=4096)


class ProfileBody(StrictSerializer):
    """What a user may change about themselves."""

    display_name = StrictText(max_length=80, required=False, allow_blank=True)
    country = CountryField(required=False, allow_blank=True)
    time_zone = StrictText(
        max_length=64, required=False, allow_blank=True, help_text="IANA name; empty: the browser's."
    )


class TicketBody(StrictSerializer):
    """Which account the socket is for."""

    account = StrictText(max_length=12, required=False)


class EmbedTokenBody(StrictSerializer):
    """Where the frame will be, and what it shows."""

    partner = StrictText(max_length=40)
    origin = StrictText(max_length=200, help_text="Of the page around the frame, such as https://app.partner.example.")
    account = StrictText(max_length=12, required=False, help_text="Account number; the first account when left out.")


class NoQuery(StrictSerializer):
    """No parameter at all."""


class Accepted(serializers.Serializer[Any]):
    """Taken in; what happens next is in the text."""

    detail = serializers.CharField()


class TokenPair(serializers.Serializer[Any]):
    """Tokens of one sign-in."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds the access token lasts.")


class Profile(serializers.Serializer[Any]):
    """A user, as they see themselves."""

    user_id = serializers.UUIDField()
    email = serializers.EmailField()
    display_name = serializers.CharField()
    country = serializers.CharField()
    time_zone = serializers.CharField()
    email_confirmed = serializers.BooleanField()
    pending_changes = serializers.ListField(
        child=serializers.CharField(), help_text="Regulated fields whose change waits for approval."
    )
    date_joined = serializers.DateTimeField()


class WsTicket(serializers.Serializer[Any]):
    """One use, for one socket."""

    ticket = serializers.CharField()
    expires_in = serializers.IntegerField()
    account = serializers.CharField()


class EmbedToken(serializers.Serializer[Any]):
    """One use, in one frame; the page around it hands it over by postMessage."""

    token = serializers.CharField()
    expires_in = serializers.IntegerField()
    partner = serializers.CharField()
    origin = serializers.CharField()
    account = serializers.CharField()
    frame = serializers.CharField(help_text="The address to show in the frame.")


class SignIn(serializers.Serializer[Any]):
    """A sign-in of a program: all tokens that descend from one."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    agent = serializers.CharField()
    address = serializers.CharField()
    last_address = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    current = serializers.BooleanField(help_text="True for the sign-in this request was made with.")


class Account(serializers.Serializer[Any]):
    """A trading account."""

    number = serializers.CharField()
    kind = serializers.CharField()
    name = serializers.CharField(help_text="Chosen by the owner, may be empty.")
    base_currency = serializers.CharField()
    status = serializers.ChoiceField(choices=ACCOUNT_STATUSES)
    role = serializers.ChoiceField(choices=["owner", "trader", "viewer"])
    created_at = serializers.DateTimeField()


class DisclosureText(serializers.Serializer[Any]):
    """A risk warning."""

    code = serializers.CharField()
    version = serializers.IntegerField()
    title = serializers.CharField()
    text = serializers.CharField()
    accepted = serializers.BooleanField()


class DisclosuresBody(StrictSerializer):
    """Which warnings have been read and are accepted."""

    codes = serializers.ListField(child=StrictText(max_length=40), min_length=1, max_length=20)


class ServerTime(serializers.Serializer[Any]):
    """The server's clock."""

    time = serializers.DateTimeField()
    time_ns = serializers.CharField(help_text="Nanoseconds since 1970 as text.")


class ErrorRow(serializers.Serializer[Any]):
    """One row of the table of refusals."""

    code = serializers.IntegerField()
    slug = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    rule = serializers.CharField()
    next_step = serializers.CharField()
    source = serializers.ChoiceField(choices=["core", "edge"])
