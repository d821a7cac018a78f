"""Who a natural person is in a transaction report: the identifier their nationality asks for first, else the next one. Pure.

RTS 22 (Regulation (EU) 2017/590) Art. 6 and Annex II give each nationality an order of identifiers; where the last one is CONCAT it is made of
birth date and name by a fixed table of letters (Annex IV). An identifier that comes first and was not asked for is missing: CONCAT stands in its
place only for who is known to have none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

#: Nationality -> identifiers in order. What is not here: ``OTHERS``. ``tax`` is the personal number our tax step asks for and checks.
PRIORITY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("AT", "DE", "FR", "HU", "IE", "LU"), ("concat",)),
    **dict.fromkeys(("BE", "BG", "DK", "FI", "HR", "LV", "NO", "SE", "SI"), ("tax", "concat")),
    **dict.fromkeys(("CZ", "LT", "PT", "RO", "SK"), ("tax", "passport", "concat")),
    **dict.fromkeys(("EE", "ES", "IT", "PL"), ("tax",)),
    **dict.fromkeys(("CY", "LI", "NL"), ("passport", "concat")),
    "GB": ("nino", "concat"),
    # Numbers that onboarding does not ask for.
    "GR": ("investor_share", "concat"),
    "IS": ("kennitala",),
    "MT": ("identity_card", "passport"),
}
OTHERS = ("passport", "concat")
#: ISO 3166 codes of three letters, as a passport prints them, for nationalities whose identifier may be a passport.
PASSPORT_OF = {
    "AE": "ARE", "AR": "ARG", "AU": "AUS", "BR": "BRA", "CA": "CAN", "CH": "CHE", "CL": "CHL", "CN": "CHN", "CO": "COL", "CY": "CYP", "CZ": "CZE",
    "EG": "EGY", "IL": "ISR", "IN": "IND", "JP": "JPN", "KR": "KOR", "LI": "LIE", "LT": "LTU", "MM": "MMR", "MT": "MLT", "MX": "MEX", "MY": "MYS",
    "NG": "NGA", "NL": "NLD", "NZ": "NZL", "PK": "PAK", "PT": "PRT", "RO": "ROU", "RS": "SRB", "SG": "SGP", "SK": "SVK", "TR": "TUR", "UA": "UKR",
    "US": "USA", "ZA": "ZAF",
}  # fmt: skip
#: Before a surname and written apart: not part of it in CONCAT. One that is written together (McDonald, O'Brien) is.
_PREFIXES = frozenset(
    "AM AUF AUS D DA DE DEL DEM DEN DER DI DO DOS DU GIOLLA IM L LA LE MAC MC MHAC MHIC MIC NI NIC O UA UI VAN VOM VON".split()  # noqa: SIM905 - a block of words reads better than a list
)
_TITLES = frozenset(
    "ATTY COACH DAME DR FR GOV HONORABLE MADAME MAID MASTER MISS MONSIEUR MR MRS MS MX OFC PHD PRES PROF REV SIR".split()  # noqa: SIM905
)
#: Letters that are more than one of A to Z, or none by taking their marks away.
_LETTERS = {
    "Æ": "AE", "Ǽ": "AE", "Ð": "D", "Đ": "D", "Ħ": "H", "ı": "I", "Ĳ": "IJ", "ĸ": "K", "Ł": "L", "Ŋ": "N", "Ø": "O", "Ǿ": "O", "Œ": "OE", "Þ": "TH",
    "Ŧ": "T", "ẞ": "SS", "Ə": "A",
    "Α": "A", "Β": "V", "Γ": "G", "Δ": "D", "Ε": "E", "Ζ": "Z", "Η": "I", "Θ": "TH", "Ι": "I", "Κ": "K", "Λ": "L", "Μ": "M", "Ν": "N", "Ξ": "X",
    "Ο": "O", "Π": "P", "Ρ": "R", "Σ": "S", "Τ": "T", "Υ": "Y", "Φ": "F", "Χ": "CH", "Ψ": "PS", "Ω": "O",
    "А": "A", "Б": "B", "В": "V", "Г": "G", "Д": "D", "Е": "E", "Ж": "ZH", "З": "Z", "И": "I", "К": "K", "Л": "L", "М": "M", "Н": "N", "О": "O",
    "П": "P", "Р": "R", "С": "S", "Т": "T", "У": "U", "Ф": "F", "Х": "H", "Ц": "TS", "Ч": "CH", "Ш": "SH", "Щ": "SHT", "Ъ": "A", "Ь": "Y", "Ю": "YU",
    "Я": "YA",
}  # fmt: skip
_APART = frozenset("-'’.`´ʼ")


@dataclass(frozen=True, slots=True)
class Person:
    """What onboarding knows of somebody. ``numbers``: identifiers by kind; an empty one means that the client says there is none."""

    first_name: str
    surname: str
    born: date
    nationality: str
    numbers: Mapping[str, str]


def letters(text: str) -> str | None:
    """Capital letters A to Z and blanks of a name, or None where a letter is in no table of ours."""
    found = []
    for letter in unicodedata.normalize("NFC", text).upper():
        if letter in _APART:
            continue
        if letter.isspace():
            found.append(" ")
            continue
        bare = letter if letter in _LETTERS else unicodedata.normalize("NFD", letter)[0]
        plain = bare if "A" <= bare <= "Z" else _LETTERS.get(bare)
        if plain is None:
            return None
        found.append(plain)
    return " ".join("".join(found).split())


def _first(words: str, dropped: frozenset[str]) -> str:
    """What is left when words in front that are no name are gone; the last word is always one."""
    parts = words.split()
    while len(parts) > 1 and parts[0].rstrip(".") in dropped:
        parts = parts[1:]
    return " ".join(parts)


def concat(person: Person) -> str | None:
    """Birth date, five letters of the first name, five of the surname, filled up with ``#``; None where a name has no letters of ours."""
    first, surname = letters(person.first_name), letters(person.surname)
    if not first or not surname:
        return None
    given = _first(first, _TITLES).split()[0]
    family = _first(_first(surname, _TITLES), _PREFIXES).replace(" ", "")
    return f"{person.born:%Y%m%d}{given[:5]:#<5}{family[:5]:#<5}"


def person_id(person: Person) -> str | None:
    """The country and the identifier of the highest rank that the person has; None while it is not known."""
    for kind in PRIORITY.get(person.nationality, OTHERS):
        if kind == "concat":
            made = concat(person)
            return made and person.nationality + made
        known = person.numbers.get(kind)
        if known is None:
            return None
        if known:
            return person.nationality + known
    return None


def names(text: str) -> str | None:
    """Names as a report writes them: capitals, several with commas between; None for what is no name or too long."""
    plain = unicodedata.normalize("NFC", text).upper().replace("’", "'")
    parts = _first(" ".join(plain.split()), _TITLES).split()
    whole = ",".join(parts)
    fits = all(part[:1].isalpha() and all(letter.isalpha() or letter in _APART for letter in part) for part in parts)
    return whole if parts and fits and len(whole) <= 140 else None


def surname_words(text: str) -> str | None:
    """A surname of several words is one name: blanks stay."""
    found = names(text)
    return found and found.replace(",", " ")
