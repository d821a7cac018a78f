"""Input fields of the REST API: strict, exact, each refusal with its number; and the serializer that knows no unknown
field.

Owns the conversion of JSON and query values to Python values. Leaves meaning (ticks, lots, symbols that exist) to the
services.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import SkipField

from brokerage.kernel.clock import parse_day, parse_rfc3339
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import is_cl_ord_id
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import Term
from brokerage.kernel.units import parse_decimal
from brokerage.platform.problems import ApiProblem, field_error, problem_from_errors, validation_errors

SYMBOL_MAX = 16
#: Latest and earliest time a filter may name (the core's range is wider; a database range is not).
TIME_MAX_NS = 2**62


class StrictSerializer(serializers.Serializer[Any]):
    """Collect every bad field, tell the first, refuse fields that are not known."""

    _shared: ClassVar[dict[type, StrictSerializer]] = {}

    @classmethod
    def check(cls, data: Any) -> dict[str, Any]:
        """Check a mapping with one shared instance: making a serializer copies all its fields, which costs more than checking."""
        shared = cls._shared.get(cls)
        if shared is None:
            shared = cls()
            _ = shared.fields  # bound before other threads see it
            cls._shared[cls] = shared
        return shared.run_validation(data)

    def get_fields(self) -> dict[str, Any]:
        """The declared fields; one called ``from_`` is ``from`` outside, which Python could not say."""
        return {name.rstrip("_"): field for name, field in super().get_fields().items()}

    def run_validation(self, data: Any = serializers.empty) -> dict[str, Any]:
        """Check a mapping; raises ApiProblem."""
        if not isinstance(data, dict):
            data = dict(data.items()) if hasattr(data, "items") else {}
        known = self.fields
        errors: list[dict[str, Any]] = []
        unknown = sorted(str(name)[:40] for name in data if name not in known)
        for name in unknown[:10]:
            errors.append(field_error(name, RejectCode.UNKNOWN_FIELD, available=name))
        result: dict[str, Any] = {}
        for name, field in known.items():
            try:
                result[name] = field.run_validation(data.get(name, serializers.empty))
            except SkipField:
                continue
            except RejectedError as error:
                # What is in a list has errors of its own, each with its place.
                parts = getattr(error, "errors", None)
                errors += (
                    [{**part, "field": f"{name}.{part['field']}"} for part in parts]
                    if parts
                    else [field_error(name, error.code, error.detail, error.needed, error.available)]
                )
            except serializers.ValidationError as error:
                errors.extend(validation_errors(error.detail, name))
        if errors:
            raise problem_from_errors(errors)
        return self.validate(result)


class StrictRows(serializers.ListSerializer[Any]):
    """A list of mappings, each checked by its StrictSerializer; a refusal's field begins with the place in the list, from 0."""

    def to_internal_value(self, data: Any) -> list[Any]:
        """The rows; every bad field of every row is collected."""
        if not isinstance(data, list):
            raise RejectedError(RejectCode.MALFORMED, f"{self.field_name} must be a list.", needed="a list")
        if self.max_length is not None and len(data) > self.max_length:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE, f"{self.field_name} has too many rows.", needed=str(self.max_length)
            )
        rows, errors = [], []
        for place, row in enumerate(data):
            try:
                rows.append(self.child.run_validation(row))
            except ApiProblem as error:
                errors += [{**part, "field": f"{place}.{part['field']}"} for part in error.errors]
        if errors:
            raise problem_from_errors(errors)
        return rows


@extend_schema_field({"type": "string", "pattern": r"^-?[0-9]{1,18}(\.[0-9]{1,12})?$", "example": "101.25"})
class DecimalText(serializers.Field[Any, Any, Any, Any]):
    """An exact decimal: a string, or a JSON number whose text is kept."""

    def to_internal_value(self, data: Any) -> Decimal:
        """Parse; RejectedError names what is wrong."""
        return parse_decimal(data, field=self.field_name)

    def to_representation(self, value: Any) -> str:
        """As text."""
        return str(value)


class TermField(serializers.ChoiceField):
    """One of the API names of a Term."""

    def __init__(self, term: type[Term], **kwargs: Any) -> None:
        self.term = term
        super().__init__(choices=[(name, name) for name in term.api_names()], **kwargs)

    def to_representation(self, value: Any) -> Any:
        """The name, as in the OpenAPI document's default."""
        return value.api if isinstance(value, Term) else value

    def to_internal_value(self, data: Any) -> Term:
        """The member."""
        if isinstance(data, Term):
            return data
        try:
            return self.term.from_api(data)
        except ValueError as error:
            names = ", ".join(self.term.api_names())
            raise RejectedError(
                RejectCode.MALFORMED, f"{self.field_name} {error}.", needed=names, field=self.field_name
            ) from error


class WordField(serializers.ChoiceField):
    """One of a few words."""

    def __init__(self, words: tuple[str, ...], **kwargs: Any) -> None:
        self.words = words
        super().__init__(choices=[(word, word) for word in words], **kwargs)

    def to_internal_value(self, data: Any) -> str:
        """The word."""
        if not isinstance(data, str) or data not in self.words:
            names = ", ".join(self.words)
            raise RejectedError(
                RejectCode.MALFORMED, f"{self.field_name} must be one of: {names}.", needed=names, field=self.field_name
            )
        return data


@extend_schema_field(OpenApiTypes.DATETIME)
class TimeField(serializers.Field[Any, Any, Any, Any]):
    """RFC 3339 time with a zone, as nanoseconds."""

    def to_internal_value(self, data: Any) -> int:
        """Parse."""
        try:
            moment_ns = parse_rfc3339(data)
        except ValueError as error:
            raise RejectedError(
                RejectCode.MALFORMED,
                f"{self.field_name} must be a time such as 2026-01-31T12:00:00Z.",
                needed="RFC 3339",
                field=self.field_name,
            ) from error
        if not 0 <= moment_ns <= TIME_MAX_NS:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE,
                f"{self.field_name} is outside 1970 to 2116.",
                needed="1970 to 2116",
                field=self.field_name,
            )
        return moment_ns

    def to_representation(self, value: Any) -> str:
        """As text."""
        return str(value)


@extend_schema_field(OpenApiTypes.DATE)
class DayField(serializers.Field[Any, Any, Any, Any]):
    """A calendar day in UTC, as YYYY-MM-DD and no other spelling."""

    def to_internal_value(self, data: Any) -> date:
        """Parse."""
        day = parse_day(data) if isinstance(data, str) else None
        if day is None:
            raise RejectedError(
                RejectCode.MALFORMED,
                f"{self.field_name} must be a day such as 2026-01-31.",
                needed="YYYY-MM-DD",
                field=self.field_name,
            )
        return day

    def to_representation(self, value: Any) -> str:
        """As text."""
        return str(value)


class StrictText(serializers.CharField):
    """Text that is a string in JSON; numbers are not turned into text."""

    def to_internal_value(self, data: Any) -> str:
        """The text."""
        if not isinstance(data, str):
            raise RejectedError(
                RejectCode.MALFORMED, f"{self.field_name} must be text.", needed="text", field=self.field_name
            )
        return super().to_internal_value(data)


class StrictBoolean(serializers.BooleanField):
    """true or false, in queries also as words."""

    def to_internal_value(self, data: Any) -> bool:
        """The switch."""
        if isinstance(data, bool):
            return data
        raise RejectedError(
            RejectCode.MALFORMED,
            f"{self.field_name} must be true or false.",
            needed="true, false",
            field=self.field_name,
        )


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": 36, "pattern": r"^[\x21-\x7e]{1,36}$"})
class ClientOrderIdField(serializers.Field[Any, Any, Any, Any]):
    """1 to 36 printable ASCII characters without a space."""

    def to_internal_value(self, data: Any) -> str:
        """The id."""
        if not is_cl_ord_id(data):
            raise RejectedError(
                RejectCode.MALFORMED,
                f"{self.field_name} must be 1 to 36 printable ASCII characters without spaces.",
                needed="1 to 36 characters",
                field=self.field_name,
            )
        return data

    def to_representation(self, value: Any) -> str:
        """As it is."""
        return str(value)


class WholeNumber(serializers.IntegerField):
    """A whole number within bounds; text of digits is accepted (queries), booleans and fractions are not."""

    def __init__(self, *, low: int, high: int, **kwargs: Any) -> None:
        self.low, self.high = low, high
        super().__init__(min_value=low, max_value=high, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        """The number."""
        if isinstance(data, str) and len(data) <= 20 and data.isascii() and data.removeprefix("-").isdigit():
            data = int(data)
        if isinstance(data, bool) or not isinstance(data, int):
            raise RejectedError(
                RejectCode.NOT_A_NUMBER, f"{self.field_name} must be a whole number.", field=self.field_name
            )
        if not self.low <= data <= self.high:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE,
                f"{self.field_name} must be from {self.low} to {self.high}.",
                needed=f"{self.low} to {self.high}",
                field=self.field_name,
            )
        return data


class SymbolField(StrictText):
    """An instrument's symbol; whether it is listed is asked by the service."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", SYMBOL_MAX)
        super().__init__(**kwargs)


class PageQuery(StrictSerializer):
    """What every list takes."""

    cursor = StrictText(required=False, max_length=200, help_text="next_cursor of the page before.")
    limit = WholeNumber(required=False, default=50, low=1, high=200, help_text="Rows on the page.")
