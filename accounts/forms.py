"""Forms of the identity pages: sign in, sign up, profile. They check form; the services decide."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

from accounts.models import User
from accounts.services.second_factor import CODE_MAX
from brokerage.platform.policy_rules import READ, TRADE, WITHDRAW

SYSTEM_COUNTRIES = Path("/usr/share/zoneinfo/iso3166.tab")


@lru_cache(maxsize=1)
def country_choices() -> list[tuple[str, str]]:
    """Return (ISO 3166-1 alpha-2 code, name) of every country, by name, from the time zone database."""
    try:
        text = resources.files("tzdata").joinpath("zoneinfo/iso3166.tab").read_text("utf-8")
    except (ModuleNotFoundError, OSError):
        text = SYSTEM_COUNTRIES.read_text("utf-8")
    rows = [line.split("\t")[:2] for line in text.splitlines() if line and not line.startswith("#")]
    return sorted(((code, name) for code, name in rows), key=lambda row: row[1])


@lru_cache(maxsize=1)
def country_codes() -> frozenset[str]:
    """Return the codes of every country."""
    return frozenset(code for code, _ in country_choices())


@lru_cache(maxsize=1)
def time_zone_choices() -> list[tuple[str, str]]:
    """Return the IANA zones people live in, by name; empty means the browser's own."""
    names = sorted(
        name
        for name in zoneinfo.available_timezones()
        if "/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/"))
    )
    return [("", "As this device"), ("UTC", "UTC"), *[(name, name.replace("_", " ")) for name in names]]


class PortalForm(forms.Form):
    """A form whose fields point at their hints and errors for screen readers."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.prepare()
        if self.is_bound:
            for name in self.errors:
                if name in self.fields:
                    self.fields[name].widget.attrs["aria-invalid"] = "true"

    def prepare(self) -> None:
        """Give this form's own fields what is known only now, such as choices; before anything that was sent is looked at."""

    def choices_set(self, name: str, choices: Iterable[tuple[str, str]]) -> None:
        """Give one field its choices. Of this form only: those of the class are every thread's."""
        self.fields[name].choices = list(choices)  # type: ignore[attr-defined]


class SignInForm(PortalForm):
    """E-mail and password."""

    email = forms.EmailField(
        max_length=254, label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "username"})
    )
    password = forms.CharField(
        max_length=256, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class SignUpForm(PortalForm):
    """Open an account."""

    display_name = forms.CharField(
        max_length=80, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    email = forms.EmailField(max_length=254, label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    password = forms.CharField(
        max_length=256,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "10"}),
        help_text="At least 10 characters, not a common password. A sentence works well.",
    )
    country = forms.ChoiceField(label="Country of residence", help_text="Decides which disclosures apply to you.")
    terms = forms.BooleanField(
        label="I have read how this demo works: all money is practice money.",
        error_messages={"required": "Tick this to go on."},
    )

    def prepare(self) -> None:
        """All countries."""
        self.choices_set("country", [("", "Choose…"), *country_choices()])

    def clean(self) -> dict[str, object]:
        """Check the password against the rules, with name and e-mail known, so that it is not one of them."""
        data = super().clean() or {}
        password = data.get("password")
        if isinstance(password, str):
            user = User(email=str(data.get("email", "")), display_name=str(data.get("display_name", "")))
            try:
                password_validation.validate_password(password, user)
            except ValidationError as error:
                self.add_error("password", error)
        return data


class ProfileForm(PortalForm):
    """What a user may change about themselves."""

    display_name = forms.CharField(
        max_length=80, label="Name shown to you", widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    time_zone = forms.ChoiceField(required=False, label="Time zone", help_text="Files and the API are always in UTC.")

    def prepare(self) -> None:
        """All time zones."""
        self.choices_set("time_zone", time_zone_choices())


class EmailForm(PortalForm):
    """An address."""

    email = forms.EmailField(max_length=254, label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "email"}))


class EmailChangeForm(PortalForm):
    """The next address, and the password that proves who asks."""

    email = forms.EmailField(
        max_length=254,
        label="New e-mail",
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        help_text="Both the old and the new address get a link; the change happens when both have been followed.",
    )


class NewPasswordForm(PortalForm):
    """A new password. Whether it is good enough the service says."""

    password = forms.CharField(
        max_length=256,
        strip=False,
        label="New password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "10"}),
        help_text="At least 10 characters, not a common password. A sentence works well.",
    )


class PasswordChangeForm(NewPasswordForm):
    """The current and the new password."""

    current = forms.CharField(
        max_length=256,
        strip=False,
        label="Current password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    field_order = ("current", "password")


class CodeForm(PortalForm):
    """A code of the authenticator, or a recovery code."""

    code = forms.CharField(
        max_length=CODE_MAX,
        label="Code",
        help_text="Six digits of your authenticator, or one of your recovery codes.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "text", "autofocus": True}),
    )


class MobileForm(PortalForm):
    """A mobile number."""

    number = forms.CharField(
        max_length=32,
        label="Mobile number",
        help_text="With + and the country code, as in +44 7700 900123.",
        widget=forms.TextInput(attrs={"autocomplete": "tel", "inputmode": "tel"}),
    )


class MobileCodeForm(PortalForm):
    """The code sent to a mobile number."""

    code = forms.CharField(
        max_length=12,
        label="Code",
        help_text="Six digits. It works for ten minutes.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )


class PasswordForm(PortalForm):
    """The current password."""

    password = forms.CharField(
        max_length=256,
        strip=False,
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class PersonalForm(PortalForm):
    """Who the client is in law."""

    legal_name = forms.CharField(
        max_length=120, required=False, label="Legal name", widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    birth_date = forms.DateField(
        required=False, label="Date of birth", widget=forms.DateInput(attrs={"type": "date", "autocomplete": "bday"})
    )
    address = forms.CharField(
        max_length=300,
        required=False,
        label="Address",
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "street-address"}),
    )
    country = forms.ChoiceField(required=False, label="Country of residence")
    citizenship = forms.ChoiceField(required=False, label="Citizenship")
    tax_id = forms.CharField(
        max_length=40, required=False, label="Tax id", widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    phone = forms.CharField(
        max_length=24,
        required=False,
        label="Phone",
        widget=forms.TextInput(attrs={"autocomplete": "tel", "inputmode": "tel"}),
    )

    def prepare(self) -> None:
        """All countries."""
        for name in ("country", "citizenship"):
            self.choices_set(name, [("", "Not given"), *country_choices()])


class NewAccountForm(PortalForm):
    """A joint or entity account."""

    kind = forms.ChoiceField(
        choices=[("joint", "Joint: several owners"), ("entity", "Entity: a firm with owners, traders and viewers")]
    )
    name = forms.CharField(max_length=80, required=False, label="Name", help_text="Of an entity: its legal name.")
    lei = forms.CharField(
        max_length=20, required=False, label="LEI", help_text="Of an entity, if it has one (ISO 17442)."
    )


class InvitationForm(PortalForm):
    """Whom to invite, as what."""

    email = forms.EmailField(max_length=254, label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(label="Role")

    def __init__(self, roles: tuple[str, ...], *args: object, **kwargs: object) -> None:
        self.roles = roles
        super().__init__(*args, **kwargs)

    def prepare(self) -> None:
        """The roles this account can give."""
        self.choices_set("role", [(role, role.capitalize()) for role in self.roles])


class ConfirmForm(PortalForm):
    """A box that must be ticked before something that cannot be undone."""

    sure = forms.BooleanField(
        label="I understand that this cannot be undone.", error_messages={"required": "Tick this to go on."}
    )


class ApiKeyForm(PortalForm):
    """A new API key."""

    name = forms.CharField(max_length=80, label="Name", help_text="What will use it, such as “rebalancing bot”.")
    scopes = forms.MultipleChoiceField(
        label="May",
        choices=[
            (READ, "Read: orders, balances, streams"),
            (TRADE, "Trade: enter, change and cancel orders"),
            (WITHDRAW, "Withdraw: needs addresses and an expiry"),
        ],
        widget=forms.CheckboxSelectMultiple,
        initial=[READ],
    )
    networks = forms.CharField(
        required=False,
        max_length=1000,
        label="Addresses it may be used from",
        widget=forms.Textarea(
            attrs={"rows": "3", "class": "input area", "placeholder": "203.0.113.7\n198.51.100.0/24"}
        ),
        help_text="One address or network a line. Empty: from anywhere.",
    )
    expires_in_days = forms.TypedChoiceField(
        required=False,
        coerce=int,
        empty_value=None,
        label="Expires",
        choices=[("30", "in 30 days"), ("90", "in 90 days"), ("365", "in a year"), ("", "never")],
        initial="90",
    )

    def clean_networks(self) -> list[str]:
        """One a line, without blanks."""
        return [line.strip() for line in self.cleaned_data["networks"].splitlines() if line.strip()]


class FixKeyForm(ApiKeyForm):
    """A new FIX session."""

    field_order = ("name", "account", "scopes", "networks", "expires_in_days", "cancel_on_disconnect")

    account = forms.ChoiceField(label="Account", help_text="The session enters and sees orders of this account only.")
    cancel_on_disconnect = forms.BooleanField(
        required=False, label="Cancel the session's open orders whenever its connection ends"
    )

    def __init__(self, *args: Any, accounts: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        self.accounts = accounts
        super().__init__(*args, **kwargs)

    def prepare(self) -> None:
        """The accounts its user may trade with, and what a session may be allowed."""
        self.choices_set("account", self.accounts)
        scopes = [(READ, "Read: reports and status of orders"), (TRADE, "Trade: enter, change and cancel orders")]
        self.choices_set("scopes", scopes)
        self.fields["scopes"].initial = [READ, TRADE]
        self.fields["name"].help_text = "What will use it, such as “execution desk”."
