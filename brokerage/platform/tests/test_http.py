"""The ASGI handler: one thread step a request, streams in pieces, refuses what is too much."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from brokerage.platform import http
from brokerage.platform.http import ThreadedHandler

gate = threading.Event()
produced: list[int] = []
threads: set[str] = set()


def hello(request: HttpRequest) -> HttpResponse:
    threads.add(threading.current_thread().name)
    answer = HttpResponse(f"{request.method} {request.body.decode()}", content_type="text/plain")
    answer.set_cookie("a", "1")
    answer["X-Thread"] = threading.current_thread().name
    return answer


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        for number in range(3):
            produced.append(number)
            yield b"%d," % number

    return StreamingHttpResponse(pieces())


def wait(request: HttpRequest) -> HttpResponse:
    gate.wait(20)
    return HttpResponse("done")


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("a bug")


urlpatterns = [path("hello", hello), path("stream", stream), path("wait", wait), path("broken", broken)]
PLAIN = override_settings(
    ROOT_URLCONF=__name__, MIDDLEWARE=["brokerage.platform.middleware.RequestIdMiddleware"], DEBUG=False
)


@pytest.fixture
def handler() -> Iterator[ThreadedHandler]:
    with PLAIN:
        yield ThreadedHandler()


class Peer:
    """The server's side of one request."""

    def __init__(self, target: str, body: bytes = b"", method: str = "GET", pieces: int = 1) -> None:
        self.scope = {
            "type": "http", "method": method, "path": target, "raw_path": target.encode(), "query_string": b"", "scheme": "http",
            "headers": [(b"host", b"testserver")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "root_path": "",
        }  # fmt: skip
        self.inbox: list[dict[str, Any]] = [
            {"type": "http.request", "body": body, "more_body": number < pieces - 1} for number in range(pieces)
        ]
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return self.inbox.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


async def test_a_request_is_answered_in_one_message(handler: ThreadedHandler) -> None:
    peer = Peer("/hello", b"x", "POST", pieces=2)
    await handler(peer.scope, peer.receive, peer.send)
    assert (peer.status, peer.body) == (200, b"POST xx")
    headers = dict(peer.sent[0]["headers"])
    assert headers[b"Set-Cookie"].startswith(b"a=1")
    assert headers[b"X-Thread"].startswith(b"http")
    assert headers[b"X-Request-ID"]
    assert len(peer.sent) == 2


async def test_threads_are_kept_and_few(handler: ThreadedHandler) -> None:
    threads.clear()
    peers = [Peer("/hello") for _ in range(60)]
    await asyncio.gather(*(handler(peer.scope, peer.receive, peer.send) for peer in peers))
    assert {peer.status for peer in peers} == {200}
    assert 1 <= len(threads) <= http.THREADS


async def test_a_stream_is_sent_as_it_is_made(handler: ThreadedHandler) -> None:
    produced.clear()
    peer = Peer("/stream")
    seen = []

    async def send(message: dict[str, Any]) -> None:
        await Peer.send(peer, message)
        seen.append(len(produced))

    await handler(peer.scope, peer.receive, send)
    assert peer.body == b"0,1,2,"
    # The second piece is not made before the first is sent.
    assert seen[:4] == [0, 1, 2, 3]


async def test_a_bug_is_a_500_and_the_next_request_is_served(handler: ThreadedHandler) -> None:
    peer = Peer("/broken")
    await handler(peer.scope, peer.receive, peer.send)
    assert peer.status == 500
    assert b"a bug" not in peer.body
    peer = Peer("/hello")
    await handler(peer.scope, peer.receive, peer.send)
    assert peer.status == 200


async def test_beyond_the_bound_one_is_told_to_come_back(
    handler: ThreadedHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WAITING_MAX", 3)
    gate.clear()
    waiting = [Peer("/wait") for _ in range(3)]
    tasks = [asyncio.create_task(handler(peer.scope, peer.receive, peer.send)) for peer in waiting]
    await asyncio.sleep(0.05)
    refused = Peer("/hello")
    await handler(refused.scope, refused.receive, refused.send)
    assert refused.status == 503
    assert (b"Retry-After", b"2") in refused.sent[0]["headers"]
    assert b'"code": 9013' in refused.body
    gate.set()
    await asyncio.gather(*tasks)
    assert [peer.body for peer in waiting] == [b"done"] * 3
    after = Peer("/hello")
    await handler(after.scope, after.receive, after.send)
    assert after.status == 200


async def test_a_body_too_large_is_cut_off(handler: ThreadedHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_MAX", 10)
    for size, status in ((10, 200), (11, 413)):
        peer = Peer("/hello", b"x" * size, "POST")
        await handler(peer.scope, peer.receive, peer.send)
        assert peer.status == status


async def test_a_caller_who_leaves_while_sending_is_forgotten(handler: ThreadedHandler) -> None:
    peer = Peer("/hello", b"x", "POST", pieces=2)
    peer.inbox[1] = {"type": "http.disconnect"}
    await handler(peer.scope, peer.receive, peer.send)
    assert peer.sent == []
    assert handler._waiting == 0
