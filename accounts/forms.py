"""Forms of the identity pages: sign in, sign up, profile. They check form; the services decide."""

from __future__ import annotations

import zoneinfo
from functools import lru_cache
from importlib import resources
from pathlib import Path

from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

from accounts.models import User
from brokerage.platform.policy import READ, TRADE, WITHDRAW

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
        if self.is_bound:
            for name in self.errors:
                if name in self.fields:
                    self.fields[name].widget.attrs["aria-invalid"] = "true"

    def first_error_field(self) -> str:
        """Name of the first field with an error, where the focus goes."""
        return next((name for name in self.fields if name in self.errors), "")


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
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "10"}, render_value=True),
        help_text="At least 10 characters, not a common password. A sentence works well.",
    )
    country = forms.ChoiceField(label="Country of residence", help_text="Decides which disclosures apply to you.")
    terms = forms.BooleanField(
        label="I have read how this demo works: all money is practice money.",
        error_messages={"required": "Tick this to go on."},
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        # Before the parent: it looks at the errors, which needs the choices.
        self.base_fields["country"].choices = [("", "Choose…"), *country_choices()]  # type: ignore[attr-defined]
        super().__init__(*args, **kwargs)

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

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.base_fields["time_zone"].choices = time_zone_choices()  # type: ignore[attr-defined]
        super().__init__(*args, **kwargs)


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
