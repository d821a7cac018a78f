"""Admin of market data: reference data can be listed and changed through the listing service; candles and prints are shown elsewhere."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from brokerage.platform.admin_base import ReadOnlyAdmin
from marketdata.models import Asset, Instrument, Venue
from marketdata.services.instruments import instrument_derive, instrument_save

#: Fixed at listing: the engine refuses to change them (3010), so the form does not offer it.
FROZEN = ("symbol", "kind", "base", "quote", "tick_size", "lot_size", "core_instrument", "reference_price")
DERIVED = ("tick_value", "lot_minor", "price_decimals", "qty_decimals")


class InstrumentForm(forms.ModelForm):
    """Checks a listing before it is saved: increments must give whole minor units."""

    class Meta:
        model = Instrument
        exclude = DERIVED

    def clean(self) -> dict[str, Any]:
        """Derive, so that what cannot be listed is said beside its field."""
        data = super().clean() or {}
        if self.errors:
            return data
        for name, value in data.items():
            setattr(self.instance, name, value)
        try:
            instrument_derive(self.instance)
        except ValidationError as error:
            for field, messages in error.message_dict.items():
                self.add_error(field if field in self.fields else None, messages)
        return data


@admin.register(Asset)
class AssetAdmin(ReadOnlyAdmin):
    """Assets; their scale is fixed for ever, so they come by migration or seed."""

    list_display = ("code", "name", "kind", "scale", "display_decimals", "core_asset")
    list_filter = ("kind",)
    search_fields = ("code", "name")


@admin.register(Venue)
class VenueAdmin(ReadOnlyAdmin):
    """Venues and their calendars."""

    list_display = ("mic", "name", "calendar", "time_zone")


@admin.register(Instrument)
class InstrumentAdmin(ModelAdmin):
    """Listings. Saving sends the change to the engine."""

    form = InstrumentForm
    list_display = (
        "symbol",
        "name",
        "asset_class",
        "kind",
        "state",
        "venue",
        "tick_size",
        "lot_size",
        "maker_ppm",
        "taker_ppm",
        "margin_ppm",
    )
    list_filter = ("asset_class", "kind", "state", "venue")
    search_fields = ("symbol", "name", "isin")
    list_select_related = ("venue",)
    readonly_fields = DERIVED

    def get_readonly_fields(self, request: HttpRequest, obj: Instrument | None = None) -> tuple[str, ...]:
        """Frozen fields can be set once, at listing; the state belongs to halts and the session clock."""
        return (*DERIVED, "state", *FROZEN) if obj else DERIVED

    def has_delete_permission(self, request: HttpRequest, obj: Instrument | None = None) -> bool:
        """A listing stays: orders and trades refer to it."""
        return False

    def save_model(self, request: HttpRequest, obj: Instrument, form: forms.ModelForm, change: bool) -> None:
        """Save through the service: derived again, checked, told to the engine."""
        instrument_save(obj)
