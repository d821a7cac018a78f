"""The base of every REST view: exact JSON in, problem+json out, bounded pages, idempotency keys, rate headers.

Owns ``ExactJSONParser``, ``ApiView``, cursor pages and reading of query parameters and Idempotency-Key. Fields are in
``api_fields.py``, refusals in ``problems.py``, budgets in ``throttling.py``. Leaves what is served to the apps.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from django.db import models
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from brokerage.kernel.identifiers import is_cl_ord_id
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.api_fields import StrictSerializer
from brokerage.platform.parsers import ExactJSONParser, text_is_clean
from brokerage.platform.policy_doors import api_demand
from brokerage.platform.problems import ApiProblem, problem_handler
from brokerage.platform.throttling import client_address, rate_headers, throttle_demand

__all__ = ["ApiView", "ExactJSONParser", "Page", "idempotency_key", "page_of", "problem_handler", "query_of"]

#: Refusals that a guesser meets; an expired token or a wrong clock is no guess.
GUESSES = frozenset({RejectCode.NOT_AUTHENTICATED, RejectCode.API_KEY_INVALID, RejectCode.NONCE_USED})
PAGE_MAX = 200
S = TypeVar("S", bound=StrictSerializer)


class ApiView(APIView):
    """Base of the REST views. ``throttle_scopes`` maps a method to a budget of ``throttling.py``."""

    #: method -> scope; what is not named falls to "read" or "write".
    throttle_scopes: dict[str, str] = {}
    # OPTIONS would describe forms this API does not have.
    metadata_class = None

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Add what every answer has."""
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in rate_headers(request).items():
            response[name] = value
        if not response.has_header("Cache-Control"):
            response["Cache-Control"] = "no-store"
        return response

    def perform_authentication(self, request: Request) -> None:
        """Find out who calls; credentials that are no good count against the address."""
        try:
            super().perform_authentication(request)
        except ApiProblem as problem:
            if problem.code in GUESSES:
                throttle_demand("auth_failed", client_address(request._request))
            raise

    def check_permissions(self, request: Request) -> None:
        """Besides being signed in: what the route's row asks."""
        super().check_permissions(request)
        api_demand(request, client_address(request._request))

    def body(self, serializer: type[S]) -> dict[str, Any]:
        """The checked body."""
        return serializer.check(self.request.data)


def query_of(request: Request, serializer: type[S]) -> dict[str, Any]:
    """The checked query parameters; unknown and repeated ones are refused."""
    values: dict[str, str] = {}
    for name, items in request.query_params.lists():
        if len(items) != 1:
            raise ApiProblem(
                RejectCode.MALFORMED, f"The parameter {name[:40]!r} is given more than once.", field=name[:40]
            )
        if not text_is_clean(items[0]):
            raise ApiProblem(
                RejectCode.MALFORMED,
                f"The parameter {name[:40]!r} has a character that cannot be used.",
                field=name[:40],
            )
        values[name] = items[0]
    return serializer.check(values)


def idempotency_key(request: Request | HttpRequest, client_order_id: str | None = None) -> str | None:
    """The id that makes a write repeatable: the body's client id or the Idempotency-Key header; both must agree."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not is_cl_ord_id(key):
        raise ApiProblem(
            RejectCode.MALFORMED,
            "Idempotency-Key must be 1 to 36 printable ASCII characters without spaces.",
            field="Idempotency-Key",
            needed="1 to 36 characters",
        )
    if key is not None and client_order_id is not None and key != client_order_id:
        raise ApiProblem(
            RejectCode.MALFORMED,
            "Idempotency-Key and client_order_id are different.",
            field="Idempotency-Key",
            next_step="Send one of them, or the same value in both.",
        )
    return client_order_id or key


class Page:
    """A keyset cursor: a list's tag and the key of the last row of the page before, opaque to clients."""

    def __init__(self, tag: str, width: int) -> None:
        self.tag = tag
        self.width = width

    def encode(self, key: Sequence[int]) -> str:
        """The cursor after the row with that key."""
        text = ".".join([self.tag, *(str(part) for part in key)])
        return base64.urlsafe_b64encode(text.encode("ascii")).decode("ascii").rstrip("=")

    def decode(self, cursor: str) -> tuple[int, ...]:
        """The key inside a cursor of this list; ApiProblem 1017 for anything else."""
        try:
            raw = base64.b64decode(
                cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            ).decode("ascii")
            tag, *parts = raw.split(".")
            key = tuple(int(part) for part in parts)
        except (ValueError, binascii.Error) as error:
            raise ApiProblem(RejectCode.BAD_CURSOR, field="cursor") from error
        if tag != self.tag or len(key) != self.width or any(not -(2**63) <= part < 2**63 for part in key):
            raise ApiProblem(RejectCode.BAD_CURSOR, field="cursor")
        # One spelling each, so that a cursor is only ever what this list gave out.
        if self.encode(key) != cursor:
            raise ApiProblem(RejectCode.BAD_CURSOR, field="cursor")
        return key


def page_of(
    queryset: models.QuerySet[Any],
    page: Page,
    *,
    cursor: str | None,
    limit: int,
    keys: Sequence[str],
) -> tuple[list[Any], str | None]:
    """One page of a queryset of dicts in descending order of ``keys`` (unique together), and the cursor of the next."""
    if cursor:
        key = page.decode(cursor)
        if len(keys) == 1:
            queryset = queryset.filter(**{f"{keys[0]}__lt": key[0]})
        else:
            first, second = keys
            queryset = queryset.filter(
                models.Q(**{f"{first}__lt": key[0]}) | models.Q(**{first: key[0], f"{second}__lt": key[1]})
            )
    rows = list(queryset.order_by(*(f"-{name}" for name in keys))[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, page.encode([rows[-1][name] for name in keys]) if more else None


def listing(results: list[Any], next_cursor: str | None = None) -> dict[str, Any]:
    """The envelope of every list."""
    return {"results": results, "next_cursor": next_cursor}
