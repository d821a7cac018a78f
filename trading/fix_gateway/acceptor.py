"""The FIX process: one port, many sessions, each an asyncio task that wakes a thread when there is something to do.

    FixTransport ─frames─> Connection ─thread: receive, tick, feed, commit─> bytes ─> FixTransport
                                ^ bus: "your account has news", "your key has ended"; every POLL_S without being told

One step of a session is one piece of work in one thread: messages in, reports of the feed, one commit, and only then bytes out. So a process killed
at any point has told nobody what it did not keep, and what it kept is sent again when asked for.
Owns connections, their limits and their end (cancel on disconnect with it). Leaves the protocol to ``brokerage/fix``, rights to ``logon.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import Error as DatabaseError
from django.db import close_old_connections

from accounts.models import FixKey
from accounts.selectors.access import account_for_user
from brokerage.config import Config
from brokerage.fix.session import Session
from brokerage.fix.transport import FixTransport
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.kernel.errors import RejectedError
from brokerage.platform.health import heartbeat
from brokerage.platform.realtime import PRIVATE_GAP, REVOKE_ALL, Bus, private_channel, revoke_channel
from brokerage.platform.throttling import throttle_hit
from trading.fix_gateway.application import OrderEntry, Peer, orders_withdraw
from trading.fix_gateway.feed import feed_read
from trading.fix_gateway.logon import identify, session_noted, still_may
from trading.fix_gateway.store import DbStore, FencedError, store_close, store_open
from trading.models import FixSession

log = logging.getLogger(__name__)
T = TypeVar("T")

THREADS = 8
SESSIONS_MAX = 500
#: Connections of one address that have not logged on yet.
STRANGERS_MAX = 20
#: A connection has this long for its Logon.
LOGON_S = 10.0
#: Frames of one step; the rest waits for the next.
STEP_FRAMES = 50
#: Without news from the bus the feed is read this often, and rights are looked at.
POLL_S = 2
RECHECK_S = 5
#: A peer that leaves this much unread is cut, and asks again by sequence numbers.
BACKLOG_MAX = 8 * 1024 * 1024
TICK_S = 0.25
BUS_S = 2.0
GOODBYE_S = 4.0


class Connection:
    """One connection, from its first frame to its end."""

    def __init__(self, gateway: Gateway, transport: FixTransport) -> None:
        self._gateway, self.transport = gateway, transport
        self.peer: Peer | None = None
        self.ended = ""  # why we say goodbye
        self._told = False
        self.news = True
        self._store: DbStore | None = None
        self._session: Session | None = None
        self._poll_ns = self._check_ns = SYSTEM_CLOCK.monotonic_ns()

    async def run(self) -> None:
        """Serve it."""
        try:
            await self._serve()
        except FencedError as error:
            log.warning("%s", error)
        except DatabaseError:
            log.exception("a fix session ends: the database cannot be used")
        finally:
            await self._finish()

    async def _serve(self) -> None:
        gateway, transport = self._gateway, self.transport
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(transport.wake.wait(), LOGON_S)
        first = transport.take(1)
        gateway.known(self)
        if not first or not await gateway.thread(_counted, transport.address):
            return
        found = await gateway.thread(identify, first[0], transport.address, gateway.config.fix_comp_id)
        if found is None:
            return
        peer, key = found
        if peer.comp_id in gateway.live or len(gateway.live) >= SESSIONS_MAX:
            log.warning("fix session %s is logged on already, or there is no room: refused", peer.comp_id)
            return
        gateway.live[peer.comp_id] = self
        self.peer = peer
        await gateway.listen(peer)
        await gateway.thread(self._open, peer, key)
        await self._steps(first)

    def _open(self, peer: Peer, key: FixKey) -> None:
        self._store = store_open(key)
        self._session = Session(
            ours=self._gateway.config.fix_comp_id,
            theirs=peer.comp_id,
            store=self._store,
            application=OrderEntry(peer, self._store),
        )
        session_noted(peer, "fix_session.opened")

    async def _steps(self, frames: list[bytes]) -> None:
        transport, session = self.transport, self._session
        assert session is not None  # noqa: S101 - made just before
        while not transport.lost:
            data = await self._gateway.thread(self._step, frames)
            transport.write(data)
            if session.closing or transport.backlog > BACKLOG_MAX:
                return
            frames = []
            while not (frames or transport.lost or self._due(session)):
                transport.wake.clear()
                if not transport.waiting:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(transport.wake.wait(), TICK_S)
                frames = transport.take(STEP_FRAMES)

    def _due(self, session: Session) -> bool:
        late = SYSTEM_CLOCK.monotonic_ns() - self._poll_ns >= POLL_S * NS_PER_S
        return bool(self.news or (self.ended and not self._told) or late or session.due())

    def _step(self, frames: list[bytes]) -> bytes:
        """In a thread: everything there is to do, kept; the bytes that may leave now."""
        session, store, peer = self._session, self._store, self.peer
        assert session is not None and store is not None and peer is not None  # noqa: S101, PT018 - set before the first step
        self._poll_ns = now_ns = SYSTEM_CLOCK.monotonic_ns()
        self.news = False
        # Before the messages: who may not speak any more is not heard.
        if not self.ended and now_ns - self._check_ns >= RECHECK_S * NS_PER_S:
            self._check_ns = now_ns
            if not still_may(peer):
                self.ended = "The session's credential has ended"
        if self.ended:
            self._told = True
            session.logout(self.ended)
            session.closing = session.closing or not session.logged_on
        for frame in frames:
            session.receive(frame)
        session.tick()
        if session.logged_on and not self.ended and not session.closing:
            self._feed(session, store, peer)
        store.commit()
        return session.take()

    def _feed(self, session: Session, store: DbStore, peer: Peer) -> None:
        fed = feed_read(peer.account.core_account, store.feed_seq)
        for report in fed.reports:
            session.send("8", report)
        # A place without reports is kept with the next ones: it costs nothing to look at the same events again.
        if fed.reports:
            store.feed_seq = fed.seq
        self.news = self.news or fed.more

    async def _finish(self) -> None:
        gateway, peer, store = self._gateway, self.peer, self._store
        gateway.known(self)
        self.transport.close()
        if peer is None:
            return
        try:
            if store is not None:
                await gateway.thread(self._closed, peer, store)
        except DatabaseError:
            log.exception("the end of fix session %s could not be stored", peer.comp_id)
        finally:
            gateway.live.pop(peer.comp_id, None)
            gateway.leave(peer)

    @staticmethod
    def _closed(peer: Peer, store: DbStore) -> None:
        # Withdrawn first: a gateway killed in between finds the session open and does it at its start.
        gone = orders_withdraw(peer.account, store.number) if peer.cancel_on_disconnect else 0
        if store_close(store):
            session_noted(peer, "fix_session.closed", cancelled=gone)


class Gateway:
    """All sessions of this process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.live: dict[str, Connection] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fix")
        self._bus = Bus(self._on_message, self._on_gap)
        self._strangers: Counter[str] = Counter()
        self._unknown: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._users: Counter[str] = Counter()

    async def run(self, stopped: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Serve until ``stopped``."""
        await self.thread(withdraw_left_over)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: FixTransport(self._opened), self.config.fix_host, self.config.fix_port, ssl=tls_context(self.config)
        )
        on_ready()
        try:
            while not stopped.is_set():
                await self.thread(heartbeat, "fix", "serving", sessions=len(self.live))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), 5.0)
        finally:
            server.close()
            for connection in self.live.values():
                connection.ended = "The gateway stops"
                connection.transport.wake.set()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=GOODBYE_S)
            await self._bus.close()
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def thread(self, work: Callable[..., T], *given: Any, **named: Any) -> T:
        """Run database work in the pool."""

        def done() -> T:
            close_old_connections()
            return work(*given, **named)

        return await asyncio.get_running_loop().run_in_executor(self._pool, done)

    def _opened(self, transport: FixTransport) -> None:
        address = transport.address
        if self._strangers[address] >= STRANGERS_MAX:
            transport.abort()
            return
        self._strangers[address] += 1
        connection = Connection(self, transport)
        self._unknown.add(connection)
        task = asyncio.get_running_loop().create_task(connection.run(), name="fix-connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def known(self, connection: Connection) -> None:
        """It is no stranger any more: it has spoken, or is gone."""
        if connection in self._unknown:
            self._unknown.discard(connection)
            address = connection.transport.address
            self._strangers[address] -= 1
            if self._strangers[address] <= 0:
                del self._strangers[address]

    async def listen(self, peer: Peer) -> None:
        """Hear of the peer's account and key; without the bus the session polls."""
        channels = (private_channel(peer.account.core_account), revoke_channel(peer.user_id))
        self._users.update(channels)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._bus.subscribe(PRIVATE_GAP, *channels), BUS_S)

    def leave(self, peer: Peer) -> None:
        """Hear no more of what nobody else here listens to."""
        for channel in (private_channel(peer.account.core_account), revoke_channel(peer.user_id)):
            self._users[channel] -= 1
            if self._users[channel] <= 0:
                del self._users[channel]
                self._bus.unsubscribe(channel)

    def _on_message(self, channel: str, payload: bytes) -> None:
        if channel == PRIVATE_GAP:
            self._on_gap()
            return
        for connection in self.live.values():
            peer = connection.peer
            if peer is None:
                continue
            if channel == private_channel(peer.account.core_account):
                connection.news = True
                connection.transport.wake.set()
            elif channel == revoke_channel(peer.user_id) and payload.decode() in (REVOKE_ALL, peer.credential):
                connection.ended = "The session's credential has ended"
                connection.transport.wake.set()

    def _on_gap(self) -> None:
        for connection in self.live.values():
            connection.news = True
            connection.transport.wake.set()


def _counted(address: str) -> bool:
    """True while this address may open connections."""
    try:
        return throttle_hit("fix_connect", address).allowed
    except RejectedError:
        return False


def withdraw_left_over() -> None:
    """Sessions that a killed gateway left open are not logged on: withdraw the orders of those that want it, and close them."""
    for row in FixSession.objects.exclude(connected_at=None).select_related("key", "key__account"):
        key = row.key
        if key.cancel_on_disconnect:
            try:
                account = account_for_user(key.user_id, key.account.number)
            except RejectedError:
                log.error(
                    "fix session %s was cut and its user may not see the account any more: its orders stay", row.pk
                )
                continue
            orders_withdraw(account, row.pk)
        FixSession.objects.filter(pk=row.pk, holder=row.holder).update(connected_at=None, holder="")


def tls_context(config: Config) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with the configured certificate; None without one (loopback only: ``brokerage/config.py``)."""
    if config.fix_tls_cert is None or config.fix_tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.fix_tls_cert, config.fix_tls_key)
    return context
