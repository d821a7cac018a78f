"""One FIX connection as asyncio sees it: bytes become frames in a bounded queue, and somebody is woken.

Owns back pressure both ways: reading pauses while the queue is full, and ``backlog`` tells how much the peer has not read. Leaves what frames mean
to ``session.py``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from brokerage.fix.codec import FrameReader

#: Frames waiting to be handled; beyond it nothing more is read until half of them are.
QUEUE_MAX = 256


class FixTransport(asyncio.Protocol):
    """One connection. ``wake`` is set when there is something to do: frames, the end."""

    def __init__(self, on_open: Callable[[FixTransport], None]) -> None:
        self._on_open = on_open
        self._reader = FrameReader()
        self._frames: deque[bytes] = deque()
        self._wire: asyncio.Transport | None = None
        self._paused = False
        self.wake = asyncio.Event()
        self.lost = False
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the wire and hand ourselves out."""
        self._wire = cast(asyncio.Transport, transport)  # uvloop's are none by name
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else "local"
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """Queue the complete frames."""
        self._frames.extend(self._reader.feed(data))
        if len(self._frames) >= QUEUE_MAX and not self._paused and self._wire is not None:
            self._paused = True
            self._wire.pause_reading()
        if self._frames:
            self.wake.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side, or we, have ended it."""
        self.lost = True
        self.wake.set()

    def take(self, most: int) -> list[bytes]:
        """Up to ``most`` frames, in order."""
        taken = [self._frames.popleft() for _ in range(min(most, len(self._frames)))]
        if self._paused and len(self._frames) <= QUEUE_MAX // 2 and self._wire is not None and not self.lost:
            self._paused = False
            self._wire.resume_reading()
        return taken

    @property
    def waiting(self) -> int:
        """Frames not taken yet."""
        return len(self._frames)

    @property
    def backlog(self) -> int:
        """Bytes written that the peer has not taken."""
        return self._wire.get_write_buffer_size() if self._wire is not None and not self.lost else 0

    def write(self, data: bytes) -> None:
        """Send; nothing happens on a connection that is gone."""
        if data and self._wire is not None and not self.lost:
            self._wire.write(data)

    def close(self) -> None:
        """End after what was written has left."""
        if self._wire is not None:
            self._wire.close()

    def abort(self) -> None:
        """End now."""
        if self._wire is not None:
            self._wire.abort()
