"""Refusals as problem+json: one document for everything that is not a success, whatever refused it.

Owns ``ApiProblem``, the document and the exception handler of the REST API. Texts, numbers and HTTP statuses come from
``brokerage/kernel/rejects.py``. Leaves to others: HTML error pages (``web.py``) and what is refused (the services).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions

from brokerage.kernel.errors import EngineUnavailableError, OutcomeUnknownError, RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row, retry_after_s
from brokerage.platform.middleware import current_request_id

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
#: DRF's own words for what is wrong with a field, as our numbers.
FIELD_CODES = {
    "required": RejectCode.MISSING_FIELD,
    "null": RejectCode.MISSING_FIELD,
    "blank": RejectCode.MISSING_FIELD,
    "max_length": RejectCode.VALUE_OUT_OF_RANGE,
    "min_length": RejectCode.VALUE_OUT_OF_RANGE,
    "max_value": RejectCode.VALUE_OUT_OF_RANGE,
    "min_value": RejectCode.VALUE_OUT_OF_RANGE,
}


class ApiProblem(RejectedError):
    """A refusal with what the sender may need beyond the table's row."""

    def __init__(
        self,
        code: int,
        detail: str = "",
        *,
        needed: str | None = None,
        available: str | None = None,
        field: str | None = None,
        next_step: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, detail, needed=needed, available=available, field=field)
        self.next_step = next_step
        self.errors = list(errors)
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def problem_document(problem: RejectedError, request_id: str) -> dict[str, Any]:
    """The members of the document."""
    row = reject_row(problem.code)
    next_step = getattr(problem, "next_step", None)
    document: dict[str, Any] = {
        "type": f"/api/v1/errors#{row.slug}",
        "title": row.title,
        "status": row.http,
        "code": int(row.code),
        "slug": row.slug,
        "rule": row.rule,
        "detail": problem.detail or row.detail(problem.needed, problem.available),
        "needed": problem.needed,
        "available": problem.available,
        "next_step": next_step or row.next_step,
        "request_id": request_id,
    }
    if problem.field:
        document["field"] = problem.field
    errors = getattr(problem, "errors", None)
    if errors:
        document["errors"] = errors
    document.update(getattr(problem, "extra", None) or {})
    return document


def refusal_text(error: RejectedError) -> str:
    """What was refused and what to do next, as a page or a form says it."""
    document = problem_document(error, "-")
    return f"{document['detail']} {document['next_step']}"


def problem_response(problem: RejectedError) -> HttpResponse:
    """The document as an answer, with Retry-After and WWW-Authenticate where they belong."""
    document = problem_document(problem, current_request_id())
    response = HttpResponse(json.dumps(document), status=document["status"], content_type=PROBLEM_TYPE)
    response.refusal_code = document["code"]  # type: ignore[attr-defined]
    wait = getattr(problem, "retry_after", None) or retry_after_s(problem.code)
    if wait is not None:
        response["Retry-After"] = str(wait)
    if document["status"] == 401:
        response["WWW-Authenticate"] = 'Bearer realm="api"'
    for name, value in (getattr(problem, "headers", None) or {}).items():
        response[name] = value
    return response


def field_error(
    name: str, code: int, detail: str = "", needed: str | None = None, available: str | None = None
) -> dict[str, Any]:
    """One entry of ``errors``."""
    row = reject_row(code)
    return {
        "field": name,
        "code": int(row.code),
        "slug": row.slug,
        "detail": detail or row.detail(needed, available),
        "needed": needed,
        "available": available,
    }


def problem_from_errors(errors: Sequence[Mapping[str, Any]]) -> ApiProblem:
    """The refusal of a request with bad fields: the first one is told at the top, all are listed."""
    first = errors[0]
    return ApiProblem(
        first["code"],
        first["detail"],
        needed=first["needed"],
        available=first["available"],
        field=first["field"],
        errors=errors,
    )


def validation_errors(detail: Any, path: str = "") -> list[dict[str, Any]]:
    """Flatten DRF's nested validation detail into entries of ``errors``."""
    if isinstance(detail, Mapping):
        return [
            error
            for name, part in detail.items()
            for error in validation_errors(part, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(detail, list | tuple):
        return [error for part in detail for error in validation_errors(part, path)]
    text, code = str(detail), getattr(detail, "code", "invalid")
    number = FIELD_CODES.get(code, RejectCode.MALFORMED)
    if number is RejectCode.MISSING_FIELD:
        return [field_error(path, number, f"The field {path} is missing or empty.", needed=path)]
    return [field_error(path, number, text)]


def as_problem(error: Exception) -> RejectedError:
    """The refusal that an exception means; unknown ones are 9000 and logged by the caller."""
    if isinstance(error, RejectedError):
        return error
    if isinstance(error, exceptions.ValidationError):
        return problem_from_errors(validation_errors(error.detail) or [field_error("", RejectCode.MALFORMED)])
    if isinstance(error, exceptions.ParseError):
        return ApiProblem(RejectCode.MALFORMED_JSON)
    if isinstance(error, exceptions.UnsupportedMediaType):
        return ApiProblem(RejectCode.UNSUPPORTED_MEDIA_TYPE, needed="application/json")
    if isinstance(error, exceptions.MethodNotAllowed):
        return ApiProblem(RejectCode.METHOD_NOT_ALLOWED)
    if isinstance(error, exceptions.NotAcceptable):
        return ApiProblem(RejectCode.NOT_ACCEPTABLE)
    if isinstance(error, exceptions.AuthenticationFailed | exceptions.NotAuthenticated):
        return ApiProblem(RejectCode.NOT_AUTHENTICATED)
    if isinstance(error, exceptions.PermissionDenied | PermissionDenied):
        return ApiProblem(RejectCode.PERMISSION_DENIED)
    if isinstance(error, exceptions.NotFound | Http404):
        return ApiProblem(RejectCode.NOT_FOUND)
    if isinstance(error, exceptions.Throttled):
        wait = max(1, int(error.wait or 1))
        return ApiProblem(RejectCode.THROTTLED, needed=str(wait), retry_after=wait)
    if isinstance(error, RequestDataTooBig):
        return ApiProblem(RejectCode.PAYLOAD_TOO_LARGE)
    if isinstance(error, MultiPartParserError | BadRequest | SuspiciousOperation):
        # Django reads a form when it looks for the protection token, before any parser of ours.
        return ApiProblem(RejectCode.MALFORMED)
    if isinstance(error, EngineUnavailableError):
        return ApiProblem(RejectCode.ENGINE_UNAVAILABLE)
    if isinstance(error, OutcomeUnknownError):
        return ApiProblem(RejectCode.OUTCOME_UNKNOWN)
    if isinstance(error, OperationalError | InterfaceError):
        return ApiProblem(RejectCode.OVERLOADED, "The database cannot be reached at the moment.")
    return ApiProblem(RejectCode.INTERNAL_ERROR)


def problem_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's EXCEPTION_HANDLER: every exception becomes a problem document; faults are logged with their trace."""
    problem = as_problem(error)
    view = context.get("view")
    if problem.code == RejectCode.INTERNAL_ERROR or isinstance(error, DatabaseError):
        log.exception("%s failed", type(view).__name__)
    # Late: rest_framework.views reads the settings which name this handler's neighbours.

    response = problem_response(problem)
    if isinstance(error, exceptions.MethodNotAllowed) and view is not None:
        response["Allow"] = ", ".join(view.allowed_methods)
    return response
