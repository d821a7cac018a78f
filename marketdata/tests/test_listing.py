"""Listing refuses what would make a notional inexact; the seed lists at least twelve instruments of every class; hours follow the calendar."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from brokerage.kernel.clock import ns_from_datetime
from marketdata.models import Asset, Instrument, Venue
from marketdata.services.instruments import instrument_save
from marketdata.services.seed import reference_seed
from marketdata.services.sessions import venue_is_open, venue_next_open

pytestmark = pytest.mark.django_db


def _instrument(**changes: object) -> Instrument:
    usd = Asset.objects.create(code="USD", name="US dollar", kind="fiat", scale=2, display_decimals=2, core_asset=1)
    btc = Asset.objects.create(code="BTC", name="Bitcoin", kind="crypto", scale=8, display_decimals=8, core_asset=2)
    venue = Venue.objects.create(mic="DEMO", name="House")
    fields = {
        "symbol": "BTC-USD", "name": "Bitcoin", "kind": "spot", "asset_class": "crypto", "base": btc, "quote": usd, "venue": venue,
        "tick_size": Decimal("0.5"), "lot_size": Decimal("0.02"), "reference_price": 128_000, "core_instrument": 1,
    }  # fmt: skip
    return Instrument(**{**fields, **changes})


def test_whole_minor_units_are_listed_with_their_derived_numbers() -> None:
    saved = instrument_save(_instrument())
    assert (saved.tick_value, saved.lot_minor, saved.price_decimals, saved.qty_decimals) == (1, 2_000_000, 1, 2)


@pytest.mark.parametrize(
    ("_case", "changes", "field"),
    [
        ("tick times lot is half a cent", {"lot_size": Decimal("0.01")}, "tick_size"),
        (
            "lot finer than the base asset",
            {"tick_size": Decimal(10_000_000), "lot_size": Decimal("0.000000001")},
            "lot_size",
        ),
        ("spot without a base", {"base": None}, "base"),
        ("margin without a rate", {"kind": "margin", "base": None, "margin_ppm": 0}, "margin_ppm"),
    ],
)
def test_listing_is_refused(_case: str, changes: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        instrument_save(_instrument(**changes))
    assert field in caught.value.message_dict
    assert not Instrument.objects.exists()


def test_the_seed_covers_every_class_and_is_idempotent() -> None:
    assert reference_seed(demo=True) >= 12
    assert reference_seed(demo=True) == 0
    assert set(Instrument.objects.values_list("asset_class", flat=True)) == {
        "crypto",
        "stock",
        "fx",
        "index",
        "commodity",
    }
    assert Instrument.objects.filter(kind="margin").exists()
    assert Instrument.objects.get(symbol="AAPL").reference_price == 43_047  # the last recorded close
    assert Instrument.objects.get(symbol="IBM").venue.calendar == "XNYS"


@pytest.mark.parametrize(
    ("_case", "moment", "is_open"),
    [
        ("Saturday", (2026, 11, 21, 15, 0), False),
        ("Monday before the bell", (2026, 11, 23, 14, 29), False),
        ("Monday at the bell", (2026, 11, 23, 14, 30), True),
        ("Thanksgiving", (2026, 11, 26, 15, 0), False),
        ("half day before its close", (2026, 11, 27, 17, 59), True),
        ("half day after its close", (2026, 11, 27, 18, 1), False),
        ("summer time opens an hour earlier in UTC", (2026, 7, 1, 13, 30), True),
    ],
)
def test_new_york_hours(_case: str, moment: tuple[int, int, int, int, int], is_open: bool) -> None:
    now_ns = ns_from_datetime(datetime(*moment, tzinfo=UTC))
    assert venue_is_open("XNYS", now_ns) is is_open
    assert venue_is_open("24/7", now_ns) is True


def test_the_next_opening_is_named() -> None:
    saturday = ns_from_datetime(datetime(2026, 11, 21, 15, 0, tzinfo=UTC))
    assert venue_next_open("XNYS", saturday) == "2026-11-23T14:30Z"
    assert venue_next_open("24/7", saturday) is None
