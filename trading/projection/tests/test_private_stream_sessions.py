"""The private stream of a browser ends with its session: at once when it is ended, and its unused tickets with it."""

from __future__ import annotations

import time

import pytest

from accounts.models import UserSession
from accounts.services.sessions import session_begin, session_end
from brokerage.platform.auth import ticket_issue
from brokerage.platform.sockets import CLOSE_UNAUTHENTICATED, heart
from tests.ws import LIMITS, WsClient
from trading import consumers
from trading.consumers import PrivateConsumer

pytestmark = pytest.mark.usefixtures("_database")

NS = 1_000_000_000


@pytest.fixture(scope="module")
def trader(live_platform, django_db_blocker):
    with django_db_blocker.unblock():
        return live_platform.trader()


async def _in_thread(work, *args, **more):
    return await consumers.in_thread(lambda: work(*args, **more))()


async def _session(trader):
    row = await _in_thread(session_begin, user=trader.user, method="password", ip="", user_agent="")
    return str(row.pk), ticket_issue(trader.user, trader.account.number, f"session:{row.pk}")


async def _signed_in(hub, ticket):
    client = WsClient(PrivateConsumer.as_asgi(limits=LIMITS, hub=hub))
    assert await client.connect()
    await client.send({"op": "auth", "ticket": ticket})
    return client


async def test_ending_a_session_closes_its_socket_within_five_seconds(hub, trader):
    session, ticket = await _session(trader)
    client = await _signed_in(hub, ticket)
    await client.get("ready")
    begun = time.monotonic()
    await _in_thread(session_end, user=trader.user, session_id=session)
    assert await client.closed() == CLOSE_UNAUTHENTICATED
    assert time.monotonic() - begun < 5


async def test_a_ticket_of_an_ended_session_opens_nothing(hub, trader):
    session, ticket = await _session(trader)
    await _in_thread(session_end, user=trader.user, session_id=session)
    client = await _signed_in(hub, ticket)
    assert await client.closed() == CLOSE_UNAUTHENTICATED
    _, good = await _session(trader)
    other = await _signed_in(hub, good)
    await other.get("ready")


async def test_a_session_that_timed_out_is_cut_within_a_minute(hub, trader):
    session, ticket = await _session(trader)
    client = await _signed_in(hub, ticket)
    await client.get("ready")
    (socket,) = [
        socket for socket in heart().sockets if socket.identity and socket.identity.credential == f"session:{session}"
    ]
    await _in_thread(lambda: UserSession.objects.filter(pk=session).update(last_seen_at="2026-01-01T00:00Z"))
    socket.on_tick(time.monotonic_ns() + 61 * NS)
    assert await client.closed() == CLOSE_UNAUTHENTICATED


async def test_what_ended_while_the_bus_was_away_is_found_when_it_is_back(hub, trader):
    session, ticket = await _session(trader)
    client = await _signed_in(hub, ticket)
    await client.get("ready")
    # Nobody is told: as when the message is lost with the bus.
    await _in_thread(lambda: UserSession.objects.filter(pk=session).update(ended_at="2026-01-01T00:00Z"))
    hub.on_gap()
    assert await client.closed() == CLOSE_UNAUTHENTICATED


async def test_what_ends_while_a_socket_begins_is_found(hub, trader, monkeypatch):
    session, ticket = await _session(trader)
    join = hub.join

    async def late(*args):
        # Ended and told after the ticket was looked at and before anybody listens.
        await _in_thread(session_end, user=trader.user, session_id=session)
        await join(*args)

    monkeypatch.setattr(hub, "join", late)
    client = await _signed_in(hub, ticket)
    assert await client.closed() == CLOSE_UNAUTHENTICATED
    assert not any(frame["type"] == "ready" for frame in client.frames)
