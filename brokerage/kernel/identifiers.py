"""Codes and ids: standard codes with their check digits, ULIDs, and the public text form of the core's 64-bit numbers.

Owns: ISIN (ISO 6166), MIC (ISO 10383), CFI (ISO 10962), LEI (ISO 17442), ISO 4217 form, ULID,
``encode_id``/``decode_id``, the form of a
client order id. Leaves to others: whether a code is registered (reference data) and what an id points to.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from brokerage.kernel.clock import NS_PER_MS, SYSTEM_CLOCK, Clock
from brokerage.kernel.errors import IdentifierError

#: Crockford base32: no I, L, O, U.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE = {char: value for value, char in enumerate(ALPHABET)}
_VALUE.update({char.lower(): value for char, value in list(_VALUE.items()) if char.isalpha()})
# Read as Crockford says: O is zero, I and L are one.
_VALUE.update({"O": 0, "o": 0, "I": 1, "i": 1, "L": 1, "l": 1})

ID_LENGTH = 13  # ceil(64 / 5)
U64_MAX = 2**64 - 1
CL_ORD_ID_MAX = 36

_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]", re.ASCII)
_MIC = re.compile(r"[A-Z0-9]{4}", re.ASCII)
_LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_CL_ORD_ID = re.compile(r"[\x21-\x7e]{1,36}", re.ASCII)

# ISO 10962: category letter and the group letters it allows. The four attribute letters are only checked for form.
_CFI_GROUPS = {
    "E": "SPCFLDYM", "C": "IHBEFSPM", "D": "BCWTSEGANDM", "R": "ASPWFDM", "O": "CPM", "F": "FC", "S": "RTECFM",
    "H": "RTECFM", "I": "FT", "J": "EFCRT", "K": "RTECFYM", "L": "LRS", "T": "CTRIBDM", "M": "CM",
}  # fmt: skip

#: Active ISO 4217 codes of national currencies (funds, metals and test codes are listed apart).
ISO_4217 = frozenset(
    """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
    COP CRC CUP CVE
    CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR
    ISK JMD JOD JPY
    KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR
    MZN NAD NGN NIO
    NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN
    SVC SYP SZL THB
    TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW""".split()  # noqa: SIM905 - a block of codes reads better than a list
)
ISO_4217_METALS = frozenset({"XAU", "XAG", "XPT", "XPD"})


def is_isin(code: str) -> bool:
    """True for a well-formed ISIN with the right check digit."""
    if not isinstance(code, str) or not _ISIN.fullmatch(code):
        return False
    digits = "".join(str(int(char, 36)) for char in code)
    total = 0
    # Luhn from the right over the letters turned into two digits each.
    for index, char in enumerate(reversed(digits)):
        number = int(char) * (2 if index % 2 else 1)
        total += number // 10 + number % 10
    return total % 10 == 0


def is_mic(code: str) -> bool:
    """True for the form of a market identifier code."""
    return isinstance(code, str) and _MIC.fullmatch(code) is not None


def is_cfi(code: str) -> bool:
    """True for six letters with a category and group of ISO 10962."""
    return (
        isinstance(code, str)
        and re.fullmatch(r"[A-Z]{6}", code) is not None
        and code[0] in _CFI_GROUPS
        and code[1] in _CFI_GROUPS[code[0]]
    )


def is_lei(code: str) -> bool:
    """True for a well-formed LEI with the right check digits (ISO 7064 mod 97-10)."""
    if not isinstance(code, str) or not _LEI.fullmatch(code):
        return False
    return int("".join(str(int(char, 36)) for char in code)) % 97 == 1


def is_currency(code: str) -> bool:
    """True for an active national currency code of ISO 4217, or a metal's."""
    return (
        isinstance(code, str)
        and _CURRENCY.fullmatch(code) is not None
        and (code in ISO_4217 or code in ISO_4217_METALS)
    )


def check_code(kind: str, code: str) -> str:
    """Return the code, or raise IdentifierError; kind is one of isin, mic, cfi, lei, currency."""
    checks = {"isin": is_isin, "mic": is_mic, "cfi": is_cfi, "lei": is_lei, "currency": is_currency}
    if not checks[kind](code):
        raise IdentifierError(f"not a valid {kind.upper()}: {code!r:.60}", field=kind)
    return code


def is_cl_ord_id(text: str) -> bool:
    """True for 1..36 printable ASCII characters without a space: what the core accepts as a client order id."""
    return isinstance(text, str) and _CL_ORD_ID.fullmatch(text) is not None


def _encode(number: int, length: int) -> str:
    return "".join(ALPHABET[number >> (5 * place) & 31] for place in range(length - 1, -1, -1))


def _decode(text: str) -> int:
    number = 0
    for char in text:
        value = _VALUE.get(char)
        if value is None:
            raise IdentifierError(f"{char!r} is no base32 character")
        number = number << 5 | value
    return number


def encode_id(number: int) -> str:
    """13 Crockford base32 characters of an unsigned 64-bit number; the text sorts as the number does."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= U64_MAX:
        raise IdentifierError("an id is an unsigned 64-bit number")
    return _encode(number, ID_LENGTH)


def decode_id(text: str) -> int:
    """The number of an ``encode_id`` text, letters in either case. IdentifierError for anything else."""
    if not isinstance(text, str) or len(text) != ID_LENGTH:
        raise IdentifierError(f"an id has {ID_LENGTH} characters")
    number = _decode(text)
    if number > U64_MAX:
        raise IdentifierError("the id is larger than 64 bits")
    return number


def ulid_new(clock: Clock = SYSTEM_CLOCK, randbits: Callable[[int], int] = secrets.randbits) -> str:
    """A new ULID: 48 bits of milliseconds, 80 random bits, 26 characters."""
    ms = clock.now_ns() // NS_PER_MS
    if not 0 <= ms < 2**48:
        raise ValueError("the clock is outside what a ULID can carry")
    random = randbits(80)
    if not 0 <= random < 2**80:
        raise ValueError("the randomness is not 80 bits")
    return _encode(ms << 80 | random, 26)


def ulid_parse(text: str) -> tuple[int, int]:
    """(milliseconds, random bits) of a ULID. IdentifierError for anything else."""
    if not isinstance(text, str) or len(text) != 26:
        raise IdentifierError("a ULID has 26 characters")
    number = _decode(text)
    if number >= 2**128:
        raise IdentifierError("the ULID is larger than 128 bits")
    return number >> 80, number & (2**80 - 1)
