"""``python -m brokerage.serve -b HOST -p PORT [APPLICATION]``: the web process, daphne on uvloop.

Daphne takes the event loop that asyncio makes when daphne is imported; with uvloop's an order over REST costs a quarter less processor time
(docs/performance.md).
Owns also the guard against floods on sockets: daphne reads as fast as a client sends and queues what it has read, so a client that sends
thousands of messages a second would hold up everybody served by this process before the application can close it.
The application is ``brokerage/asgi.py`` unless a bench or a test names its own.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import uvloop

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK

#: Messages a client may send in one second before its connection is dropped; the rules of docs/streams.md close it far earlier, politely.
MESSAGES_PER_S = 100
#: For so long the address gets no socket afterwards.
PENALTY_NS = 5 * NS_PER_S
ADDRESSES_MAX = 10_000


def guard_install() -> None:
    """Give daphne a WebSocket protocol that drops who floods. Call after the event loop policy is set."""
    from autobahn.websocket.types import ConnectionDeny
    from daphne.utils import parse_x_forwarded_for
    from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

    shut_out: dict[str, int] = {}

    class GuardedProtocol(WebSocketProtocol):  # type: ignore[misc, unused-ignore]
        """Counts messages as they are parsed: the first thing that happens to them."""

        _second_ns = 0
        _count = 0
        _address = ""

        def onConnect(self, request: Any) -> Any:
            self.server = server = self.factory.server_class
            address = [self.transport.getPeer().host, 0]
            if server.proxy_forwarded_address_header:
                headers = {name.lower().encode(): value.encode("latin1") for name, value in request.headers.items()}
                address, _ = parse_x_forwarded_for(
                    headers,
                    server.proxy_forwarded_address_header,
                    server.proxy_forwarded_port_header,
                    server.proxy_forwarded_proto_header,
                    address,
                )
            self._address = str(address[0])
            if shut_out.get(self._address, 0) > SYSTEM_CLOCK.monotonic_ns():
                raise ConnectionDeny(code=429, reason="Too many messages")
            return super().onConnect(request)

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            now_ns = SYSTEM_CLOCK.monotonic_ns()
            if now_ns - self._second_ns >= NS_PER_S:
                self._second_ns, self._count = now_ns, 0
            self._count += 1
            if self._count <= MESSAGES_PER_S:
                super().onMessage(payload, isBinary)
                return
            if len(shut_out) >= ADDRESSES_MAX:
                shut_out.clear()
            shut_out[self._address] = now_ns + PENALTY_NS
            # No goodbye: who does not read would keep it waiting while we read on.
            self.dropConnection(abort=True)

    WebSocketFactory.protocol = GuardedProtocol


def work_spare() -> None:
    """Leave out what daphne's HTTP layer does for every request and nobody uses: an access log without a file, and reading forms and uploads,
    which Django reads itself. Together a fifth of that layer's processor time.
    """
    from daphne.http_protocol import HTTPFactory, WebRequest

    WebRequest._parsePOSTFormSubmission = False
    HTTPFactory.log = lambda self, request: None


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m brokerage.serve")
    parser.add_argument("-b", dest="host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("-p", dest="port", type=int, default=8000, help="port to listen on")
    parser.add_argument("application", nargs="?", default="brokerage.asgi:application")
    options = parser.parse_args()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    from daphne.cli import CommandLineInterface

    guard_install()
    work_spare()
    # No access log: requests are counted and logged with their ids by the application.
    CommandLineInterface().run(["-v", "0", "-b", options.host, "-p", str(options.port), options.application])


if __name__ == "__main__":
    main()
