"""Forms of onboarding and of the search in the audit trail: they check form; the services decide."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.forms import PortalForm, country_choices
from compliance.models import KycDocument
from compliance.register import STATES, jurisdictions
from compliance.selectors.checklist import BY_NAME
from compliance.selectors.reports import KINDS_OF_REPORT
from compliance.services.answers import QUIZ

EXPERIENCE = (("none", "None"), ("some", "Some trades"), ("years", "Several years"))
OCCUPATION = (
    ("employed", "Employed"),
    ("self_employed", "Self-employed"),
    ("student", "Student"),
    ("retired", "Retired"),
    ("other", "Other"),
)
EXPECTED = (
    ("under_10k", "Under 10,000 USD a year"),
    ("10k_50k", "10,000 to 50,000 USD"),
    ("50k_250k", "50,000 to 250,000 USD"),
    ("over_250k", "More"),
)
FUNDS = (
    ("salary", "Salary"),
    ("savings", "Savings"),
    ("pension", "Pension"),
    ("business", "Own business"),
    ("inheritance", "Inheritance or gift"),
    ("crypto", "Sale of crypto assets"),
    ("other", "Other"),
)
#: As browsers send a time of day, and as people type one.
TIME_FORMATS = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
CHOOSE = ("", "Choose…")


def _choice(label: str, choices: Any, hint: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=[CHOOSE, *choices], help_text=hint)


class CountryForm(PortalForm):
    """A form with fields named in ``countries`` that take a country."""

    countries: tuple[str, ...] = ()

    def prepare(self) -> None:
        """All countries."""
        for name in self.countries:
            self.choices_set(name, [CHOOSE, *country_choices()])


class IdentityForm(CountryForm):
    """Name, birth date, nationality; the printed zone when there is one."""

    countries = ("nationality",)
    first_name = forms.CharField(
        max_length=80,
        label="First names",
        help_text="As in your document.",
        widget=forms.TextInput(attrs={"autocomplete": "given-name"}),
    )
    last_name = forms.CharField(
        max_length=80, label="Surname", widget=forms.TextInput(attrs={"autocomplete": "family-name"})
    )
    birth_date = forms.DateField(
        label="Date of birth", widget=forms.DateInput(attrs={"type": "date", "autocomplete": "bday"})
    )
    nationality = forms.ChoiceField(label="Nationality")
    national_insurance = forms.CharField(
        required=False, max_length=13, label="National Insurance number (UK nationals)",
        help_text="Trades are reported with it. Leave it empty only if you have none.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    mrz = forms.CharField(
        required=False, max_length=150, label="Machine-readable zone (optional)",
        help_text="The two or three lines of < signs in your passport or card. Speeds the check up.",
        widget=forms.Textarea(attrs={"rows": 3, "class": "input mono", "autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip


class AddressForm(CountryForm):
    """Where the client lives."""

    countries = ("country",)
    street = forms.CharField(
        max_length=120, label="Street and number", widget=forms.TextInput(attrs={"autocomplete": "street-address"})
    )
    city = forms.CharField(
        max_length=80, label="Town", widget=forms.TextInput(attrs={"autocomplete": "address-level2"})
    )
    postal_code = forms.CharField(
        max_length=16, label="Postal code", widget=forms.TextInput(attrs={"autocomplete": "postal-code"})
    )
    country = forms.ChoiceField(label="Country")


class SuitabilityForm(PortalForm):
    """Experience, expectations and three questions."""

    experience = _choice("Experience with trading", EXPERIENCE)
    occupation = _choice("Occupation", OCCUPATION)
    expected_deposit = _choice("How much do you expect to pay in?", EXPECTED)
    funds_from = _choice("Where does the money come from?", FUNDS)
    leverage = _choice(QUIZ["leverage"][0], [(text, text) for text in QUIZ["leverage"][1]])
    stop = _choice(QUIZ["stop"][0], [(text, text) for text in QUIZ["stop"][1]])
    crypto = _choice(
        QUIZ["crypto"][0],
        [(text, text) for text in QUIZ["crypto"][1]],
        "Wrong answers keep nobody out; you are warned about such products.",
    )


class TaxForm(CountryForm):
    """Tax residence and number."""

    countries = ("country",)
    country = forms.ChoiceField(label="Country of tax residence")
    tax_number = forms.CharField(
        max_length=30,
        label="Tax number",
        help_text="UK: the ten digits of your UTR. US: SSN or ITIN. Germany: the eleven digits of your IdNr.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    us_person = forms.BooleanField(required=False, label="I am a US citizen or resident for tax purposes.")


class BankForm(PortalForm):
    """Where withdrawals go."""

    holder = forms.CharField(
        max_length=140,
        label="Account holder",
        help_text="It must be you.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    iban = forms.CharField(max_length=42, label="IBAN", widget=forms.TextInput(attrs={"autocomplete": "off"}))


class CompanyForm(CountryForm):
    """An entity as its registry knows it."""

    countries = ("country",)
    legal_name = forms.CharField(max_length=120, label="Legal name", help_text="As in the registry.")
    registry_number = forms.CharField(max_length=40, label="Registry number")
    country = forms.ChoiceField(label="Country of registration")
    lei = forms.CharField(
        required=False, max_length=20, label="LEI (optional)", help_text="Twenty characters, ISO 17442."
    )
    founded_on = forms.DateField(label="Founded on", widget=forms.DateInput(attrs={"type": "date"}))
    business = forms.CharField(max_length=200, label="What the company does")
    expected_deposit = _choice("How much does it expect to pay in?", EXPECTED)
    funds_from = _choice("Where does the money come from?", FUNDS)


class OwnerForm(CountryForm):
    """A person or company with a share of the entity or of a company behind it."""

    countries = ("nationality", "country")
    kind = forms.ChoiceField(label="This is", choices=(("person", "a person"), ("company", "a company")))
    parent = forms.ChoiceField(required=False, label="Owns a part of")
    share = forms.CharField(
        max_length=8, label="Share in per cent", initial="0", widget=forms.TextInput(attrs={"inputmode": "decimal"})
    )
    first_name = forms.CharField(required=False, max_length=80, label="First names (person)")
    last_name = forms.CharField(required=False, max_length=80, label="Surname (person)")
    birth_date = forms.DateField(
        required=False, label="Date of birth (person)", widget=forms.DateInput(attrs={"type": "date"})
    )
    nationality = forms.ChoiceField(required=False, label="Nationality (person)")
    controls = forms.BooleanField(
        required=False, label="This person decides for the company (director, managing officer, trustee)."
    )
    name = forms.CharField(required=False, max_length=120, label="Legal name (company)")
    country = forms.ChoiceField(required=False, label="Country of registration (company)")

    def __init__(self, *args: Any, companies: list[tuple[str, str]], **kwargs: Any) -> None:
        self.companies = companies
        super().__init__(*args, **kwargs)

    def prepare(self) -> None:
        """The countries, and the companies that are in the tree already."""
        super().prepare()
        self.choices_set("parent", [("", "the entity itself"), *self.companies])


class LivenessForm(PortalForm):
    """What the client did, in order."""

    def __init__(self, *args: Any, gestures: list[tuple[str, str]], asked: int, **kwargs: Any) -> None:
        self.gestures, self.asked = gestures, asked
        super().__init__(*args, **kwargs)

    def prepare(self) -> None:
        """A field for each movement that was asked for."""
        for place in range(1, self.asked + 1):
            self.fields[f"gesture_{place}"] = _choice(f"Movement {place}", self.gestures)
            self.fields[f"gesture_{place}"].widget.attrs["class"] = "input"


class DocumentForm(PortalForm):
    """A file with its dates; ``step`` decides the kinds."""

    kind = forms.ChoiceField(label="Kind of document")
    issued_on = forms.DateField(
        required=False, label="Date on the document", widget=forms.DateInput(attrs={"type": "date"})
    )
    expires_on = forms.DateField(required=False, label="Valid until", widget=forms.DateInput(attrs={"type": "date"}))
    file = forms.FileField(
        label="Photo or PDF", help_text="JPEG, PNG, WebP or a plain PDF; at most 8 MB. All corners in the picture, nothing covered.",
        allow_empty_file=True,  # the service says it in its own words
        widget=forms.ClearableFileInput(attrs={"accept": "image/jpeg,image/png,image/webp,application/pdf"}),
    )  # fmt: skip

    def __init__(self, *args: Any, step: str, **kwargs: Any) -> None:
        self.step = step
        super().__init__(*args, **kwargs)

    def prepare(self) -> None:
        """The kinds and dates of this step."""
        kinds = BY_NAME[self.step].kinds
        labels = dict(KycDocument.Kind.choices)
        self.choices_set("kind", [(kind, labels[kind]) for kind in kinds])
        if self.step == "id_document":
            del self.fields["issued_on"]
        elif self.step == "address_document":
            del self.fields["expires_on"]
        else:
            del self.fields["issued_on"], self.fields["expires_on"]
        if len(kinds) == 1:
            self.fields["kind"].initial = kinds[0]
            self.fields["kind"].widget = forms.HiddenInput()


class AppealForm(PortalForm):
    """Why a refusal should be looked at again."""

    text = forms.CharField(
        min_length=10,
        max_length=1000,
        label="Why should we look again?",
        widget=forms.Textarea(attrs={"rows": 4, "class": "input"}),
    )


FORMS: dict[str, type[PortalForm]] = {
    "identity": IdentityForm,
    "address": AddressForm,
    "suitability": SuitabilityForm,
    "tax": TaxForm,
    "bank": BankForm,
    "company": CompanyForm,
}


class TimeInput(forms.DateTimeInput):
    """The browser's own field for a day and a time."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class AuditFilterForm(PortalForm):
    """What to look for in the audit trail; all that is given must fit. Times are UTC."""

    actor = forms.CharField(label="Actor", max_length=254, required=False)
    object_type = forms.CharField(label="Kind of object", max_length=64, required=False)
    object_id = forms.CharField(label="Object", max_length=128, required=False)
    action = forms.CharField(label="Action", max_length=64, required=False)
    since = forms.DateTimeField(label="From (UTC)", required=False, input_formats=TIME_FORMATS, widget=TimeInput())
    until = forms.DateTimeField(label="Before (UTC)", required=False, input_formats=TIME_FORMATS, widget=TimeInput())

    def clean(self) -> dict[str, Any]:
        """The later time must be the later."""
        data = super().clean() or {}
        if data.get("since") and data.get("until") and data["since"] >= data["until"]:
            self.add_error("until", "This must be later than From.")
        return data


class RegisterFilterForm(PortalForm):
    """Which rows of the register of rules; both must fit."""

    jurisdiction = forms.ChoiceField(
        label="Jurisdiction", choices=[("", "All"), *jurisdictions().items()], required=False
    )
    state = forms.ChoiceField(label="State", choices=[("", "All"), *STATES.items()], required=False)


class AuthorityReportForm(PortalForm):
    """Which report to an authority, of which days."""

    report = forms.ChoiceField(label="Report", choices=[(row.code, row.name) for row in KINDS_OF_REPORT.values()])
    first = forms.DateField(label="First day (UTC)", widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label="Last day (UTC)", widget=forms.DateInput(attrs={"type": "date"}))
    references = forms.CharField(
        required=False, max_length=1_200, label="RTS 22 references to take back (optional)",
        widget=forms.TextInput(attrs={"class": "input mono", "autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
