"""Local checks of what a client types: machine-readable zones, tax and bank numbers, ages. Pure: no model, no network.

A check returns normally or raises ``DetailError`` with a sentence for the client. Rules: ICAO Doc 9303 parts 4 and 5 for the zones, python-stdnum
for identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import import_module

from stdnum import iban
from stdnum.exceptions import ValidationError

WEIGHTS = (7, 3, 1)
NINO = re.compile(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]", re.ASCII)
#: Country -> module of python-stdnum that knows its personal tax number.
TAX_NUMBERS = {
    "AT": "at.tin", "BE": "be.nn", "BG": "bg.egn", "CZ": "cz.rc", "DE": "de.idnr", "DK": "dk.cpr", "EE": "ee.ik", "ES": "es.nif",
    "FI": "fi.hetu", "FR": "fr.nif", "GB": "gb.utr", "GR": "gr.vat", "HR": "hr.oib", "IE": "ie.pps", "IT": "it.codicefiscale",
    "LT": "lt.asmens", "LV": "lv.pvn", "NL": "nl.bsn", "NO": "no.fodselsnummer", "PL": "pl.pesel", "PT": "pt.nif", "RO": "ro.cnp",
    "SE": "se.personnummer", "SI": "si.emso", "SK": "sk.rc", "US": "us.tin",
}  # fmt: skip


class DetailError(Exception):
    """A detail does not pass its own check; the text says which and what to do."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True)
class Zone:
    """What a machine-readable zone says."""

    form: str
    issuer: str
    number: str
    nationality: str
    born: date
    sex: str
    expires: date
    surname: str
    given_names: str


def check_digit(text: str) -> str:
    """The check digit of ICAO 9303: weights 7 3 1, letters from 10, filler 0."""
    total = 0
    for place, char in enumerate(text):
        if char.isdigit():
            value = int(char)
        elif "A" <= char <= "Z":
            value = ord(char) - 55
        elif char == "<":
            value = 0
        else:
            raise DetailError("mrz", f"The character {char!r} does not belong in a machine-readable zone.")
        total += value * WEIGHTS[place % 3]
    return str(total % 10)


def _demand(text: str, digit: str, what: str) -> None:
    # An unused optional number may carry a filler for its digit.
    if check_digit(text) != ("0" if digit == "<" else digit):
        raise DetailError("mrz", f"The check digit of the {what} does not fit: compare it with the document.")


def _day(text: str, *, today: date, future: bool) -> date:
    try:
        year, month, day = int(text[:2]), int(text[2:4]), int(text[4:6])
        century = today.year // 100 * 100
        if future:
            # Documents are valid for at most some decades ahead.
            full = century + year if century + year >= today.year - 40 else century + 100 + year
        else:
            full = century + year if century + year <= today.year else century - 100 + year
        return date(full, month, day)
    except ValueError:
        raise DetailError("mrz", "A date in the machine-readable zone cannot be read.") from None


def mrz_read(text: str, *, today: date) -> Zone:
    """Read a TD1 (cards, 3 × 30) or TD3 (passports, 2 × 44) zone and demand every check digit."""
    lines = [line.strip().upper().replace(" ", "") for line in text.strip().splitlines() if line.strip()]
    if [len(line) for line in lines] == [44, 44]:
        return _td3(lines[0], lines[1], today)
    if [len(line) for line in lines] == [30, 30, 30]:
        return _td1(lines, today)
    raise DetailError("mrz", "Type the zone as printed: two lines of 44 or three lines of 30 characters.")


def _td3(first: str, second: str, today: date) -> Zone:
    if not first.startswith("P"):
        raise DetailError("mrz", "The first line of a passport begins with P.")
    _demand(second[0:9], second[9], "document number")
    _demand(second[13:19], second[19], "birth date")
    _demand(second[21:27], second[27], "expiry date")
    _demand(second[28:42], second[42], "personal number")
    _demand(second[0:10] + second[13:20] + second[21:43], second[43], "whole zone")
    surname, given = _names(first[5:])
    return Zone(
        "TD3", first[2:5].strip("<"), second[0:9].strip("<"), second[10:13].strip("<"),
        _day(second[13:19], today=today, future=False), second[20].replace("<", "X"),
        _day(second[21:27], today=today, future=True), surname, given,
    )  # fmt: skip


def _td1(lines: list[str], today: date) -> Zone:
    first, second, third = lines
    if first[0] not in "ACI":
        raise DetailError("mrz", "The first line of a card begins with A, C or I.")
    number, digit, rest = first[5:14], first[14], first[15:30]
    if digit == "<":
        # A long number goes on in the optional field; its digit stands before the filler.
        tail = rest.split("<", 1)[0]
        if len(tail) < 2:
            raise DetailError("mrz", "The document number cannot be read.")
        number, digit = number + tail[:-1], tail[-1]
    _demand(number, digit, "document number")
    _demand(second[0:6], second[6], "birth date")
    _demand(second[8:14], second[14], "expiry date")
    _demand(first[5:30] + second[0:7] + second[8:15] + second[18:29], second[29], "whole zone")
    surname, given = _names(third)
    return Zone(
        "TD1", first[2:5].strip("<"), number.strip("<"), second[15:18].strip("<"),
        _day(second[0:6], today=today, future=False), second[7].replace("<", "X"),
        _day(second[8:14], today=today, future=True), surname, given,
    )  # fmt: skip


def _names(text: str) -> tuple[str, str]:
    surname, _, given = text.partition("<<")
    return surname.replace("<", " ").strip(), given.replace("<", " ").strip()


def tax_number_check(country: str, number: str) -> str:
    """The tax number in its plain form; where the country's rule is known, its check digits are demanded."""
    plain = number.strip().upper()
    if not 4 <= len(plain) <= 30:
        raise DetailError("tax_number", "A tax number has 4 to 30 characters.")
    module = TAX_NUMBERS.get(country)
    if module is None:
        return plain
    check: Callable[[str], str] = import_module(f"stdnum.{module}").validate
    try:
        return str(check(plain))
    except ValidationError:
        raise DetailError(
            "tax_number", f"This is not a valid tax number of {country}: compare it with a letter of the tax office."
        ) from None


def national_insurance_check(number: str) -> str:
    """The UK National Insurance number in its plain form, or empty for who has none; its form is demanded, there is no check digit."""
    plain = "".join(number.split()).upper()
    if plain and not NINO.fullmatch(plain):
        raise DetailError(
            "national_insurance",
            "This is no National Insurance number: two letters, six digits and a letter from A to D.",
        )
    return plain


def iban_check(number: str) -> str:
    """The IBAN in its plain form; its length, structure and check digits are demanded."""
    try:
        return str(iban.validate(number))
    except ValidationError:
        raise DetailError("iban", "This is not a valid IBAN: compare it with your bank's statement.") from None


def age_check(born: date, *, today: date, minimum: int) -> None:
    """Demand a minimum age in full years, and a birth date that can be."""
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    if born > today or years > 120:
        raise DetailError("birth_date", "This birth date cannot be.")
    if years < minimum:
        raise DetailError("birth_date", f"Clients must be at least {minimum} years old.")
