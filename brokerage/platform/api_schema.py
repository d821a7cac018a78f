"""What every operation of the OpenAPI document has in common: the problem answers, list envelopes, paging parameters.

Owns ``documented``, the one decorator the views use. Leaves the shapes of answers to each app's ``api/schemas.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from brokerage.platform.problems import PROBLEM_TYPE


class FieldProblem(serializers.Serializer[Any]):
    """One bad field."""

    field = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    code = serializers.IntegerField()
    slug = serializers.CharField()
    detail = serializers.CharField()
    needed = serializers.CharField(allow_null=True)
    available = serializers.CharField(allow_null=True)


class Problem(serializers.Serializer[Any]):
    """Why a request was refused, and what to do next (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.IntegerField(help_text="A number of docs/rejects.md.")
    slug = serializers.CharField()
    rule = serializers.CharField()
    detail = serializers.CharField()
    needed = serializers.CharField(allow_null=True, help_text="The number the rule needs.")
    available = serializers.CharField(allow_null=True, help_text="What there is.")
    next_step = serializers.CharField()
    request_id = serializers.CharField()
    field = serializers.CharField(required=False)  # type: ignore[assignment]
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]


def decimal_out(**kwargs: Any) -> serializers.CharField:
    """A decimal in an answer: text."""
    kwargs.setdefault("help_text", "Exact decimal.")
    return serializers.CharField(**kwargs)


def list_of(name: str, item: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """The envelope of a list."""
    return inline_serializer(
        name=f"{name}List", fields={"results": item(many=True), "next_cursor": serializers.CharField(allow_null=True)}
    )


#: Everything may meet these, whatever it does.
_ALWAYS = (400, 405, 406, 429, 500, 503)
_TEXT = {
    400: "Malformed",
    401: "Not signed in, or the token ran out",
    403: "Not permitted, or the account is not active",
    404: "Not found, or not yours",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "In conflict with what is there",
    413: "Body too large",
    415: "Not JSON",
    422: "Refused by a rule of trading",
    429: "Too many requests",
    451: "Not offered for legal reasons",
    500: "A fault",
    503: "Away or overloaded; see Retry-After",
    504: "Outcome unknown",
}
IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    required=False,
    description="Repeat a request with the same key and body and it is done once; the answer is the first one.",
)
ACCOUNT = OpenApiParameter(
    "account", OpenApiTypes.STR, required=False, description="Account number; the first account when left out."
)


def documented(
    *,
    answer: Any = None,
    body: Any = None,
    status: int = 200,
    query: type[serializers.Serializer[Any]] | None = None,
    problems: Sequence[int] = (),
    public: bool = False,
    parameters: Sequence[OpenApiParameter] = (),
    summary: str = "",
    tag: str,
    operation: str,
    media: str = "application/json",
    more: dict[int, Any] | None = None,
) -> Callable[[Any], Any]:
    """Describe an operation with every answer it can give."""
    codes = {*_ALWAYS, *problems}
    if not public:
        codes |= {401, 403}
    if body is not None:
        codes |= {413, 415}
    answers: dict[Any, Any] = {(status, media) if answer is not None else status: answer}
    for code, shape in (more or {}).items():
        answers[(code, media)] = shape
    for code in sorted(codes):
        answers[(code, PROBLEM_TYPE)] = OpenApiResponse(Problem, description=_TEXT[code])
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[tag],
        request=body,
        responses=answers,
        parameters=[*([query] if query is not None else []), *parameters],
        auth=[] if public else None,
    )
