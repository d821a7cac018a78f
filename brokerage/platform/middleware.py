"""Request ids: one per request, taken from the caller or made here, in every answer and every log line; and the form of those lines.

Owns the context variable. Leaves the error documents that show the id to ``brokerage/platform/api.py`` and the pages.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

_request_id: ContextVar[str] = ContextVar("request_id", default="-")
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{8,64}")


def current_request_id() -> str:
    """Return the id of the request being served, or ``-`` outside one."""
    return _request_id.get()


class RequestIdMiddleware:
    """Set ``request.request_id`` and the ``X-Request-ID`` header; sync and async capable."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def _begin(self, request: HttpRequest) -> str:
        given = request.headers.get("X-Request-ID", "")
        # A caller's id is kept only when it cannot break a log line or a header.
        request_id = given if _ACCEPTED.fullmatch(given) else secrets.token_hex(10)
        request.request_id = request_id  # type: ignore[attr-defined]
        return request_id

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if iscoroutinefunction(self):
            return self._call_async(request)
        token = _request_id.set(self._begin(request))
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined, index]
            return response
        finally:
            _request_id.reset(token)

    async def _call_async(self, request: HttpRequest) -> HttpResponse:
        token = _request_id.set(self._begin(request))
        try:
            response = await self.get_response(request)  # type: ignore[misc]
            response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
            return response
        finally:
            _request_id.reset(token)


class RequestIdFilter(logging.Filter):
    """Put the id of the current request on each log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


#: Words that look like tokens: long, of capital and small letters and digits. Links sent by mail carry one in their path.
_TOKEN = re.compile(r"(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{27,}")


class LineFormatter(logging.Formatter):
    """One record is one line: what a caller put into it cannot begin another, nor hide. Tracebacks follow indented.

    What looks like a token is cut to its first four characters: a log is read by more people than may use it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Line and traceback."""
        return _TOKEN.sub(lambda found: f"{found[0][:4]}…", super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The traceback, each line set in so that none looks like a record."""
        return "\n".join("    " + _CONTROL.sub("?", line) for line in super().formatException(ei).split("\n"))
