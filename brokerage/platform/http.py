"""HTTP under ASGI with one step into a thread per request.

Django's own ASGI handler crosses between the event loop and a thread once or twice per middleware, and starts a new
thread, and so a new database connection, for every request. Everything here is synchronous code, so the whole chain
runs in one of a few lasting threads instead: measured, that is most of the time of a short request
(docs/performance.md). Streaming answers are produced piece by piece in those threads.

Owns ``ThreadedHandler``: the pool, the bound on waiting requests and on bodies. Leaves WebSockets to the consumers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.core import signals
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import HttpResponseBase
from django.urls import get_resolver, set_script_prefix

from brokerage.kernel.rejects import RejectCode, reject_row, retry_after_s
from brokerage.platform.problems import PROBLEM_TYPE, ApiProblem, problem_document

THREADS = 12
#: Requests being served or waiting for a thread; one more is told to come back.
WAITING_MAX = 512
#: Larger bodies are cut off while they arrive. Views have tighter bounds of their own.
BODY_MAX = 4 * 1024 * 1024

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
_END = object()
#: What an answer carries that never came to the middleware.
BARE_HEADERS = (
    (b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"same-origin"),
    (b"Cache-Control", b"no-store"),
)


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    pass


class ThreadedHandler(ASGIHandler):
    """An ASGI application that serves each HTTP request in one thread of a pool."""

    def __init__(self) -> None:
        BaseHandler.__init__(self)
        self.load_middleware(is_async=False)
        # Load every view now rather than in the first request, and keep what is loaded out of the collector's rounds.
        _ = get_resolver().url_patterns
        gc.collect()
        gc.freeze()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="http")
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise ValueError(f"only HTTP comes here, not {scope['type']}")
        if self._waiting >= WAITING_MAX:
            await _refuse(RejectCode.OVERLOADED, send)
            return
        self._waiting += 1
        try:
            await self._serve(scope, receive, send)
        finally:
            self._waiting -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _read(receive)
        except _Gone:
            return
        except _TooLarge:
            await _refuse(RejectCode.PAYLOAD_TOO_LARGE, send)
            return
        loop = asyncio.get_running_loop()
        status, headers, content, pieces, response = await loop.run_in_executor(self._pool, self._answer, scope, body)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if pieces is None:
            await send({"type": "http.response.body", "body": content})
            return
        try:
            if response.is_async:
                async for piece in response:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            else:
                while (piece := await loop.run_in_executor(self._pool, next, pieces, _END)) is not _END:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await loop.run_in_executor(self._pool, response.close)

    def _answer(
        self, scope: Scope, body: Any
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes, Iterator[bytes] | None, Any]:
        """Run the whole chain; in a thread."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, error = self.create_request(scope, body)
        response: HttpResponseBase = error if request is None else self.get_response(request)
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        headers = _headers(response)
        if response.streaming:
            pieces = iter(()) if response.is_async else iter(response)  # type: ignore[attr-defined]
            return response.status_code, headers, b"", pieces, response
        content = response.content  # type: ignore[attr-defined]
        body.close()
        # Closing fires request_finished in this thread, which gives back or checks this thread's database connection.
        response.close()
        return response.status_code, headers, content, None, None


def _headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    headers += [
        (b"Set-Cookie", cookie.output(header="").encode("ascii").strip()) for cookie in response.cookies.values()
    ]
    return headers


async def _read(receive: Receive) -> Any:
    # Closed here when refused, else by whoever answers.
    body = tempfile.SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE, mode="w+b")  # noqa: SIM115
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            body.close()
            raise _Gone
        piece = message.get("body", b"")
        size += len(piece)
        if size > BODY_MAX:
            body.close()
            raise _TooLarge
        body.write(piece)
        if not message.get("more_body", False):
            body.seek(0)
            return body


async def _refuse(code: RejectCode, send: Send) -> None:
    row = reject_row(code)
    document = problem_document(ApiProblem(code), "-")
    headers = [(b"Content-Type", PROBLEM_TYPE.encode()), *BARE_HEADERS]
    wait = retry_after_s(code)
    if wait is not None:
        headers.append((b"Retry-After", str(wait).encode()))
    await send({"type": "http.response.start", "status": row.http, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})
