"""Listing: an instrument is checked and its derived numbers are computed in one place.

Every notional must be a whole number of the quote asset's minor units, so tick × lot must be too: listing refuses anything else.
"""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import transaction

from brokerage.kernel.errors import UnitsError
from brokerage.kernel.units import decimals_of, lot_minor_of, tick_value_of
from brokerage.platform.audit import record
from brokerage.platform.outbox import emit
from marketdata.models import Instrument


def instrument_derive(instrument: Instrument) -> None:
    """Fill tick_value, lot_minor and the decimals; ValidationError with the field when the increments do not fit the assets."""
    try:
        instrument.tick_value = tick_value_of(instrument.tick_size, instrument.lot_size, instrument.quote.scale)
    except UnitsError as error:
        raise ValidationError(
            {"tick_size": f"Price increment times quantity increment must be whole in {instrument.quote.code}: {error}"}
        ) from error
    if instrument.kind == Instrument.Kind.SPOT:
        if instrument.base is None:
            raise ValidationError({"base": "A spot instrument needs a base asset."})
        try:
            instrument.lot_minor = lot_minor_of(instrument.lot_size, instrument.base.scale)
        except UnitsError as error:
            raise ValidationError(
                {"lot_size": f"The quantity increment must be whole in {instrument.base.code}: {error}"}
            ) from error
    else:
        instrument.lot_minor = 1
        if not 0 < instrument.margin_ppm <= 1_000_000:
            raise ValidationError({"margin_ppm": "A margin instrument needs a margin rate from 1 to 1,000,000 ppm."})
    instrument.price_decimals = decimals_of(instrument.tick_size.normalize())
    instrument.qty_decimals = decimals_of(instrument.lot_size.normalize())


def instrument_save(instrument: Instrument) -> Instrument:
    """Check, derive, save and record who did it; emits ``instrument.changed`` so that the engine hears of it."""
    instrument_derive(instrument)
    # Constraints are checked by the database in the same transaction, and by the form before; asking it here is a query for each.
    instrument.full_clean(validate_constraints=False)
    with transaction.atomic():
        known = Instrument.objects.select_for_update().filter(pk=instrument.pk).first() if instrument.pk else None
        before = _terms(known) if known else None
        instrument.save()
        after = _terms(instrument)
        if before != after:
            record(
                "instrument.changed" if known else "instrument.listed",
                object_type="instrument",
                object_id=instrument.symbol,
                before=before and {name: value for name, value in before.items() if after.get(name) != value},
                after={name: value for name, value in after.items() if before is None or before.get(name) != value},
            )
        emit("instrument.changed", instrument.symbol, {"core_instrument": instrument.core_instrument})
    return instrument


def _terms(instrument: Instrument) -> dict[str, str]:
    """Every column as text: a listing's fees, increments, limits and state."""
    return {
        field.attname: format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)
        for field in Instrument._meta.concrete_fields
        if (value := getattr(instrument, field.attname)) is not None
    }
