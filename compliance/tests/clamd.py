"""A clamd for tests: speaks INSTREAM on a loopback port, knows one signature, and can be told to misbehave."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator

from compliance.scanning import EICAR


@contextlib.contextmanager
def clamd(answer: bytes | None = None) -> Iterator[str]:
    """Serve; yields ``host:port``. ``answer`` replaces the honest reply."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            line = self.request.makefile("rb")
            if line.read(10) != b"zINSTREAM\0":
                self.request.sendall(b"UNKNOWN COMMAND\0")
                return
            data = b""
            while size := int.from_bytes(line.read(4), "big"):
                data += line.read(size)
            honest = b"stream: Eicar-Test-Signature FOUND\0" if EICAR in data else b"stream: OK\0"
            self.request.sendall(honest if answer is None else answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
