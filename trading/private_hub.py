"""What a web process hears of all its private streams: one connection to the bus, one look at the projector, shared by every socket.

    bus ──PrivateHub──> sockets of the account (messages), of the user (what has ended), all (a gap; stored data is behind)

Owns which socket listens to what. Leaves what a socket makes of it to ``consumers.py``, the connection to ``brokerage/platform/realtime.py``.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

import msgspec

from brokerage.kernel.clock import SYSTEM_CLOCK, rfc3339
from brokerage.platform.realtime import PRIVATE_GAP, REVOKE_ALL, Bus
from brokerage.platform.sockets import CLOSE_UNAUTHENTICATED
from trading.selectors.projection import projector_late

if TYPE_CHECKING:
    from trading.consumers import PrivateConsumer

#: How often a web process looks whether the projector keeps up: its sockets are told within two seconds when it does not.
WATCH_S = 1.0


class _Head(msgspec.Struct):
    eid: str


_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_head = msgspec.json.Decoder(_Head).decode


class PrivateHub:
    """Which sockets listen to which account and user, over one bus connection per web process."""

    def __init__(self) -> None:
        self._bus = Bus(self._on_message, self.on_gap)
        self._sockets: dict[str, set[PrivateConsumer]] = {}
        self._watch: asyncio.Task[None] | None = None
        #: Since when what is stored is behind, as this process saw it; None while it keeps up.
        self.delayed: str | None = None

    async def join(self, socket: PrivateConsumer, *channels: str) -> None:
        """From the return on, every message of these channels reaches the socket."""
        for channel in channels:
            self._sockets.setdefault(channel, set()).add(socket)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._watch_projector(), name="projector-watch")
        await self._bus.subscribe(PRIVATE_GAP, *channels)

    def leave(self, socket: PrivateConsumer, *channels: str) -> None:
        """No longer."""
        for channel in channels:
            sockets = self._sockets.get(channel)
            if sockets is None:
                continue
            sockets.discard(socket)
            if not sockets:
                del self._sockets[channel]
                self._bus.unsubscribe(channel)

    def _on_message(self, channel: str, payload: bytes) -> None:
        if channel == PRIVATE_GAP:
            self.on_gap()
            return
        sockets = self._sockets.get(channel)
        if not sockets:
            return
        if channel.startswith("rev:"):
            ended = payload.decode()
            for socket in list(sockets):
                if ended == REVOKE_ALL or (socket.identity is not None and ended == socket.identity.credential):
                    socket.close(CLOSE_UNAUTHENTICATED)
            return
        # Decoded once for all of the account's sockets; the text of each message is shared.
        batch = [(int(_decode_head(raw).eid), bytes(raw).decode()) for raw in _decode_batch(payload)]
        for socket in list(sockets):
            socket.on_batch(batch)

    def on_gap(self) -> None:
        """Something may have been lost."""
        for channel, sockets in list(self._sockets.items()):
            if channel.startswith("priv:"):
                for socket in list(sockets):
                    socket.on_gap()

    async def _watch_projector(self) -> None:
        """Tell every socket when the projector stops storing, and when it goes on: what a page shows is old in between."""
        while self._sockets:
            late = await asyncio.to_thread(projector_late)
            if late != (self.delayed is not None):
                self.delayed = rfc3339(SYSTEM_CLOCK.now_ns()) if late else None
                for socket in {socket for sockets in self._sockets.values() for socket in sockets}:
                    socket.on_delay(self.delayed)
            await asyncio.sleep(WATCH_S)
        self.delayed = None

    async def close(self) -> None:
        """Stop; for tests."""
        if self._watch is not None:
            self._watch.cancel()
        await self._bus.close()


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, PrivateHub] = weakref.WeakKeyDictionary()


def get_private_hub() -> PrivateHub:
    """The hub of the running loop."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = PrivateHub()
    return hub
