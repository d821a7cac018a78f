"""Prices, quantities and money: exact conversion between decimal text and the integers of the core. The only rounding
of the house.

Owns: parsing decimal input, ticks ⇄ price, lots ⇄ quantity, minor units ⇄ amount, the listing numbers derived from the
increments, and plain-string formatting. Leaves to others: which increment an instrument has (marketdata), fees (the
core).

Everything is integers and ``Decimal``; a binary float is refused wherever it appears. Where something is rounded the
caller
names the mode. Input is bounded at 10^18 before any arithmetic, and results must fit the core's signed 64 bits.
"""

from __future__ import annotations

import re
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    localcontext,
)
from enum import StrEnum
from functools import lru_cache

from brokerage.kernel.errors import NotANumberError, OffIncrementError, OutOfRangeError, TooManyDecimalsError

#: No price, quantity or amount at an edge is larger than this.
VALUE_MAX = 10**18
#: Anything above this in absolute value is refused by the core (docs/engine.md §1).
CORE_MAX = 2**62
#: Digits of text looked at; longer text is refused unread.
TEXT_MAX = 48
#: Most decimals any asset or increment has.
SCALE_MAX = 12

PRICE_OFF_INCREMENT = 3011
QTY_OFF_LOT = 3012

_PLAIN = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
# Wide enough for a product of two 64-bit numbers at full scale: nothing is rounded by the context itself.
_WIDE = Context(prec=100)

Number = Decimal | int | str


class RoundingMode(StrEnum):
    """How a value which is not a whole number of units is treated. The caller always names it."""

    EXACT = "exact"  # refuse it
    DOWN = ROUND_DOWN  # towards zero
    FLOOR = ROUND_FLOOR
    CEILING = ROUND_CEILING
    HALF_EVEN = ROUND_HALF_EVEN
    HALF_UP = ROUND_HALF_UP


def parse_decimal(value: Number, *, field: str | None = None) -> Decimal:
    """Return the exact Decimal of a plain decimal number (text, int or Decimal); refuse everything else."""
    # bool is an int to Python, and float converts silently: both are asked for by type.
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise NotANumberError(
            f"{_shown(field)} must be a decimal number in a string, not a {type(value).__name__}", field=field
        )
    if isinstance(value, str):
        if len(value) > TEXT_MAX or not _PLAIN.fullmatch(value):
            raise NotANumberError(f"{_shown(field)} is not a plain decimal number", field=field)
        number = Decimal(value)
    elif isinstance(value, int):
        # Checked before Decimal(), so that a huge int costs nothing.
        if abs(value) > VALUE_MAX:
            raise _too_large(field)
        number = Decimal(value)
    else:
        number = value
        if not number.is_finite():
            raise NotANumberError(f"{_shown(field)} is not a finite number", field=field)
    if (number and number.adjusted() > 18) or abs(number) > VALUE_MAX:
        raise _too_large(field)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -TEXT_MAX:
        raise NotANumberError(f"{_shown(field)} has more decimals than any number here", field=field)
    return number


def decimals_of(value: Decimal) -> int:
    """Decimals that carry information: 0.10 has one, 100 and 1E+2 have none."""
    exponent = value.normalize(_WIDE).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


@lru_cache(maxsize=4096)
def _increment(step: Decimal) -> tuple[int, int]:
    """Split an increment into (whole number, decimals): 0.25 is (25, 2), 1000 is (1000, 0)."""
    if isinstance(step, bool) or not isinstance(step, Decimal) or not step.is_finite() or step <= 0:
        raise ValueError(f"an increment is a positive Decimal, not {step!r}")
    decimals = decimals_of(step)
    if decimals > SCALE_MAX or step > VALUE_MAX:
        raise ValueError(f"increment {step} is out of range")
    return int(step.scaleb(decimals, _WIDE)), decimals


def to_units(
    value: Number,
    step: Decimal,
    rounding: RoundingMode = RoundingMode.EXACT,
    *,
    off_code: int = 1014,
    field: str | None = None,
) -> int:
    """Return how many steps a value is; exact unless a rounding mode is named."""
    number = parse_decimal(value, field=field)
    whole, decimals = _increment(step)
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise NotANumberError(f"{_shown(field)} is not a finite number", field=field)
    units_num = int("".join(map(str, digits)) or "0") * (-1 if sign else 1)
    # value / step = units_num × 10^(exponent + decimals) / whole, kept as a fraction of two ints.
    power = exponent + decimals
    numerator = units_num * 10**power if power >= 0 else units_num
    denominator = whole if power >= 0 else whole * 10**-power
    quotient, rest = divmod(numerator, denominator)
    if rest:
        if rounding is RoundingMode.EXACT:
            if decimals_of(number) > decimals:
                raise TooManyDecimalsError(
                    f"{_shown(field)} has {decimals_of(number)} decimals, at most {decimals} are allowed",
                    needed=str(decimals),
                    available=str(decimals_of(number)),
                    field=field,
                )
            raise OffIncrementError(
                off_code,
                f"{_shown(field)} must be a multiple of {format_plain(step)}",
                needed=format_plain(step),
                available=format_plain(number),
                field=field,
            )
        quotient = _round(quotient, rest, denominator, rounding)
    if abs(quotient) > CORE_MAX:
        largest = format_plain(from_units(CORE_MAX, step))
        raise OutOfRangeError(
            f"{_shown(field)} is larger than the engine can carry",
            needed=largest,
            available=format_plain(number),
            field=field,
        )
    return quotient


def _round(floor: int, rest: int, denominator: int, rounding: RoundingMode) -> int:
    """Round floor + rest/denominator (0 < rest < denominator) to a whole number."""
    if rounding is RoundingMode.FLOOR:
        return floor
    if rounding is RoundingMode.CEILING:
        return floor + 1
    if rounding is RoundingMode.DOWN:
        return floor if floor >= 0 else floor + 1
    twice = 2 * rest
    if twice != denominator:
        return floor + 1 if twice > denominator else floor
    if rounding is RoundingMode.HALF_EVEN:
        return floor + (floor & 1)
    return floor + 1 if floor >= 0 else floor  # HALF_UP: ties away from zero


def divide(numerator: int, denominator: int, rounding: RoundingMode) -> int:
    """Divide two integers with a named rounding; EXACT refuses a remainder."""
    _whole(numerator)
    _whole(denominator)
    if denominator == 0:
        raise ZeroDivisionError("division by zero")
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(numerator, denominator)
    if not rest:
        return quotient
    if rounding is RoundingMode.EXACT:
        raise ValueError("the division leaves a remainder")
    return _round(quotient, rest, denominator, rounding)


def from_units(units: int, step: Decimal) -> Decimal:
    """Return units × step, exactly, with the decimals of the step."""
    whole, decimals = _increment(step)
    return Decimal(_whole(units) * whole).scaleb(-decimals, _WIDE)


def ticks_from_price(
    price: Number, tick_size: Decimal, rounding: RoundingMode = RoundingMode.EXACT, *, field: str = "price"
) -> int:
    """Price in ticks; off the increment is refused (3011), or 1011 when it has too many decimals."""
    return to_units(price, tick_size, rounding, off_code=PRICE_OFF_INCREMENT, field=field)


def lots_from_qty(
    qty: Number, lot_size: Decimal, rounding: RoundingMode = RoundingMode.EXACT, *, field: str = "qty"
) -> int:
    """Quantity in lots; off the lot is refused (3012), or 1011 when it has too many decimals."""
    return to_units(qty, lot_size, rounding, off_code=QTY_OFF_LOT, field=field)


@lru_cache(maxsize=64)
def scale_step(scale: int) -> Decimal:
    """One minor unit of an asset with that many decimals."""
    if isinstance(scale, bool) or not isinstance(scale, int) or not 0 <= scale <= SCALE_MAX:
        raise ValueError(f"a scale is 0..{SCALE_MAX}, not {scale!r}")
    return Decimal(1).scaleb(-scale)


def minor_from_amount(
    amount: Number, scale: int, rounding: RoundingMode = RoundingMode.EXACT, *, field: str = "amount"
) -> int:
    """Amount of money in minor units of an asset with ``scale`` decimals."""
    return to_units(amount, scale_step(scale), rounding, field=field)


def tick_value_of(tick_size: Decimal, lot_size: Decimal, quote_scale: int) -> int:
    """Quote minor units of one tick × one lot; refuses a listing where it is no whole number ≥ 1 (every notional is
    then exact)."""
    return _derived(tick_size, lot_size, quote_scale, "price increment × quantity increment")


def lot_minor_of(lot_size: Decimal, base_scale: int) -> int:
    """Base minor units of one lot; refuses a lot finer than the asset."""
    return _derived(lot_size, Decimal(1), base_scale, "quantity increment")


def _derived(first: Decimal, second: Decimal, scale: int, what: str) -> int:
    (first_whole, first_decimals), (second_whole, second_decimals) = _increment(first), _increment(second)
    scale_step(scale)
    numerator: int = first_whole * second_whole * 10**scale
    denominator: int = 10 ** (first_decimals + second_decimals)
    result, rest = divmod(numerator, denominator)
    if rest or result < 1 or result > CORE_MAX:
        raise OffIncrementError(
            3008,
            f"{what} must be a whole number of minor units of an asset with {scale} decimals",
            needed=format_plain(scale_step(scale)),
            available=format_plain(_WIDE.multiply(first, second)),
        )
    return result


def average_price(
    notional_ticks: int, qty_lots: int, tick_size: Decimal, decimals: int, rounding: RoundingMode
) -> Decimal | None:
    """Σ(last_px × last_qty) / Σ last_qty as a price rounded to ``decimals``; None when nothing was traded. For
    display only."""
    if _whole(qty_lots) == 0:
        return None
    whole, step_decimals = _increment(tick_size)
    units = divide(_whole(notional_ticks) * whole * 10**decimals, qty_lots * 10**step_decimals, rounding)
    return Decimal(units).scaleb(-decimals, _WIDE)


def round_decimal(value: Decimal, decimals: int, rounding: RoundingMode) -> Decimal:
    """Round a Decimal to a number of decimals, mode named; EXACT refuses to drop anything."""
    if isinstance(value, bool) or not isinstance(value, Decimal) or not value.is_finite():
        raise NotANumberError("only a finite Decimal can be rounded")
    if rounding is RoundingMode.EXACT:
        if decimals_of(value) > decimals:
            raise TooManyDecimalsError(
                "the value has too many decimals", needed=str(decimals), available=str(decimals_of(value))
            )
        rounding = RoundingMode.HALF_EVEN
    with localcontext(_WIDE):
        return value.quantize(Decimal(1).scaleb(-decimals), rounding=rounding.value)


def format_plain(value: Decimal) -> str:
    """Plain digits, never an exponent, no trailing zeros: 0.10 → "0.1", 1E+3 → "1000", -0 → "0"."""
    if isinstance(value, bool) or not isinstance(value, Decimal) or not value.is_finite():
        raise NotANumberError("only a finite Decimal has a plain form")
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_fixed(value: Decimal, decimals: int, rounding: RoundingMode) -> str:
    """Plain digits with exactly that many decimals, rounded by the named mode."""
    rounded = round_decimal(value, decimals, rounding)
    return format(rounded if rounded else abs(rounded), "f")


def format_scaled(units: int, decimals: int) -> str:
    """units × 10^-decimals as plain digits with exactly that many decimals. No Decimal is made: this is the hot
    formatter."""
    if decimals == 0:
        return str(_whole(units))
    sign = "-" if _whole(units) < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def format_price(ticks: int, tick_size: Decimal) -> str:
    """Price of a number of ticks, with the decimals of the increment."""
    whole, decimals = _increment(tick_size)
    return format_scaled(ticks * whole, decimals)


def format_qty(lots: int, lot_size: Decimal) -> str:
    """Quantity of a number of lots, with the decimals of the lot."""
    whole, decimals = _increment(lot_size)
    return format_scaled(lots * whole, decimals)


def format_money(
    minor: int, scale: int, display_decimals: int | None = None, rounding: RoundingMode = RoundingMode.HALF_EVEN
) -> str:
    """Amount of minor units; fewer display decimals than the scale round by the named mode (for people, never for
    files)."""
    if display_decimals is None or display_decimals == scale:
        return format_scaled(minor, scale)
    if display_decimals > scale:
        return format_scaled(_whole(minor) * 10 ** (display_decimals - scale), display_decimals)
    return format_scaled(divide(minor, 10 ** (scale - display_decimals), rounding), display_decimals)


def _whole(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a number of units is an int, not {type(value).__name__}")
    return value


def _shown(field: str | None) -> str:
    return field or "the value"


def _too_large(field: str | None) -> OutOfRangeError:
    return OutOfRangeError(
        f"{_shown(field)} is larger than 10^18", needed=str(VALUE_MAX), available="more", field=field
    )
