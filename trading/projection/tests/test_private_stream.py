"""The private stream over the real engine and projector: identity, order of messages, resuming without a gap."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import pytest

from brokerage.platform.auth import ticket_issue
from brokerage.platform.realtime import publish_private, publish_private_gap, revoke_user
from brokerage.platform.sockets import (
    CLOSE_ABUSE,
    CLOSE_FORBIDDEN,
    CLOSE_SLOW,
    CLOSE_TOO_MANY,
    CLOSE_UNAUTHENTICATED,
    heart,
)
from brokerage.platform.tokens import token_check, token_make
from marketdata.selectors.instruments import instrument_by_symbol
from native.layout import OrdType, Tif
from tests.ws import LIMITS, WsClient
from trading import consumers
from trading.consumers import PrivateConsumer
from trading.engine import commands
from trading.models import Execution

pytestmark = pytest.mark.usefixtures("_database")

BUY, SELL = 1, 2
NS = 1_000_000_000


@pytest.fixture(scope="module")
def traders(live_platform, django_db_blocker):
    with django_db_blocker.unblock():
        return [live_platform.trader(funds={"USD": "10000000", "BTC": "100"}) for _ in range(2)]


async def _open(hub, limits=LIMITS, **options):
    client = WsClient(PrivateConsumer.as_asgi(limits=limits, hub=hub), **options)
    assert await client.connect()
    return client


async def _signed_in(hub, trader, limits=LIMITS, resume=None, **options):
    client = await _open(hub, limits, **options)
    message = {"op": "auth", "token": trader.token}
    if resume is not None:
        message["resume"] = resume
    await client.send(message)
    return client, await client.get("ready")


def _order(trader, side, price, lots, tif=Tif.GTC):
    core = instrument_by_symbol("BTC-USD").core_instrument
    command = commands.order_new(trader.account.core_account, core, side, OrdType.LIMIT, tif, price, lots)
    return trader.platform.engine.client.submit(command)


async def _in_thread(work, *args):
    return await consumers.in_thread(work)(*args)  # gives its database connection back


async def _settle(platform):
    await consumers.in_thread(platform.settle)()


def _held(frame):
    return (frame["balance"]["asset"], frame["balance"]["held"]) if frame["type"] == "balance" else None


@pytest.mark.parametrize(
    ("_case", "message"),
    [
        ("no token", {"op": "auth"}),
        ("a number", {"op": "auth", "token": 5}),
        ("another first message", {"op": "subscribe", "topics": []}),
        ("resume is no number", {"op": "auth", "token": "x", "resume": "-1"}),
        ("resume is a number, not text", {"op": "auth", "token": "x", "resume": 5}),
    ],
)
async def test_a_first_message_that_is_no_auth_is_an_error(hub, traders, _case, message):
    client = await _open(hub)
    await client.send(message)
    assert (await client.get("error"))["code"] in {"malformed", "not_authenticated"}


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\x00", "é"])
async def test_a_bad_token_closes(hub, traders, token):
    client = await _open(hub)
    await client.send({"op": "auth", "token": token})
    assert await client.closed() == CLOSE_UNAUTHENTICATED


def _token(trader, lifetime_s):
    family = token_check(trader.token, "access").family
    return token_make(trader.user, kind="access", family=family, lifetime_s=lifetime_s)


async def test_an_expired_token_closes(hub, traders):
    token = _token(traders[0], -1)
    client = await _open(hub)
    await client.send({"op": "auth", "token": token})
    assert (await client.get("error"))["code"] == "token_expired"
    assert await client.closed() == CLOSE_UNAUTHENTICATED


async def test_a_ticket_is_good_once(hub, traders):
    ticket = ticket_issue(traders[0].user, traders[0].account.number)
    client = await _open(hub)
    await client.send({"op": "auth", "ticket": ticket})
    assert (await client.get("ready"))["account"] == traders[0].account.number
    second = await _open(hub)
    await second.send({"op": "auth", "ticket": ticket})
    assert await second.closed() == CLOSE_UNAUTHENTICATED


async def test_a_strangers_account_does_not_exist(hub, traders):
    client = await _open(hub)
    await client.send({"op": "auth", "token": traders[0].token, "account": traders[1].account.number})
    assert (await client.get("error"))["code"] == "not_found"
    assert await client.closed() == CLOSE_FORBIDDEN


async def test_who_says_nothing_is_cut_after_five_seconds(hub, traders):
    client = await _open(hub)
    (socket,) = heart().sockets
    socket.tick(socket._opened_ns + 5 * NS)
    assert client.code is None
    socket.tick(socket._opened_ns + 6 * NS)
    assert await client.closed() == CLOSE_UNAUTHENTICATED


async def test_sockets_of_a_user_are_capped(hub, traders):
    limits = replace(LIMITS, per_user=2)
    for _ in range(2):
        await _signed_in(hub, traders[0], limits)
    third = await _open(hub, limits)
    await third.send({"op": "auth", "token": traders[0].token})
    assert await third.closed() == CLOSE_TOO_MANY
    await _signed_in(hub, traders[1], limits)


async def test_a_token_ends_and_can_be_extended_on_the_same_socket(hub, traders):
    token = _token(traders[0], 2)
    client = await _open(hub)
    await client.send({"op": "auth", "token": token})
    await client.get("ready")
    await client.send({"op": "auth", "token": traders[0].token})
    await client.get("ready")
    await asyncio.sleep(3.2)
    assert client.code is None
    await client.send({"op": "auth", "token": traders[1].token})
    assert await client.closed() == CLOSE_ABUSE


async def test_without_extension_the_socket_ends_with_its_token(hub, traders):
    token = _token(traders[0], 1)
    client = await _open(hub)
    await client.send({"op": "auth", "token": token})
    await client.get("ready")
    assert await client.closed(6) == CLOSE_UNAUTHENTICATED


async def test_an_order_and_its_fill_arrive_with_balances_and_position(hub, traders, live_platform):
    seller, buyer = traders
    watching, _ = await _signed_in(hub, seller)
    stranger, _ = await _signed_in(hub, buyer)
    await _in_thread(_order, seller, SELL, 6_400_000, 20)
    order = (await watching.get("order"))["order"]
    assert (order["symbol"], order["side"], order["status"], order["leaves_qty"]) == (
        "BTC-USD",
        "sell",
        "new",
        "0.0020",
    )
    await watching.until(lambda: any(_held(frame) == ("BTC", "0.00200000") for frame in watching.frames))
    assert stranger.frames == []
    await _in_thread(_order, buyer, BUY, 6_400_000, 20, Tif.IOC)
    fill = await watching.get("execution")
    assert (fill["execution"]["price"], fill["execution"]["qty"], fill["execution"]["liquidity"]) == (
        "64000.00",
        "0.0020",
        "maker",
    )
    assert (await watching.get("order"))["order"]["status"] == "filled"
    assert (await watching.get("position"))["position"]["qty"] == "-0.0020"
    assert (await stranger.get("execution"))["execution"]["side"] == "buy"
    assert fill["eid"].isdigit()


async def test_what_was_missed_comes_first_then_live_without_gap_or_repeat(hub, traders, live_platform):
    seller, buyer = traders
    await _settle(live_platform)
    client, ready = await _signed_in(hub, seller)
    start = int(ready["eid"])
    rng = random.Random(11)
    stop = asyncio.Event()
    fills = 0

    async def trade():
        nonlocal fills
        while not stop.is_set():
            price = 6_400_000 + rng.randint(-50, 50)
            await _in_thread(_order, seller, SELL, price, 1)
            await _in_thread(_order, buyer, BUY, price, 1, Tif.IOC)
            fills += 1

    trading = asyncio.create_task(trade())
    held: dict[str, int] = {}
    order = []
    last = start
    for _ in range(12):
        await asyncio.sleep(rng.random() * 0.3)
        await client.leave()
        _collect(client, held, order)
        last = max([last, *order])
        await asyncio.sleep(rng.random() * 0.2)
        client, _ = await _signed_in(hub, seller, resume=str(last))
        await client.get("resumed")
    stop.set()
    await trading
    await _settle(live_platform)
    wanted = await consumers.in_thread(_executions_after)(seller, start)
    # The last fills may have come to an earlier one of the connections.
    await client.until(lambda: {str(eid) for eid in wanted} <= set(held) | _fills(client), 10)
    _collect(client, held, order)
    # Every fill arrived, none twice.
    assert sorted(int(key) for key in held) == sorted(wanted)
    assert set(held.values()) == {1}
    assert fills > 10


def _fills(client):
    return {frame["eid"] for frame in client.frames if frame["type"] == "execution"}


def _collect(client, held, order):
    before = 0
    for frame in client.frames:
        if "eid" not in frame or frame["type"] == "ready":
            continue
        assert int(frame["eid"]) >= before
        before = int(frame["eid"])
        order.append(before)
        if frame["type"] == "execution":
            held[frame["eid"]] = held.get(frame["eid"], 0) + 1


def _executions_after(trader, eid):
    return list(
        Execution.objects.filter(core_account=trader.account.core_account, exec_id__gt=eid).values_list(
            "exec_id", flat=True
        )
    )


async def test_too_much_missed_or_an_unknown_place_asks_for_a_reload(hub, traders, live_platform, monkeypatch):
    from trading.selectors import stream

    monkeypatch.setattr(stream, "MISSED_MAX", 3)
    client, _ready = await _signed_in(hub, traders[0], resume="0")
    await client.get("resync")
    ahead, _ = await _signed_in(hub, traders[0], resume="9" * 18)
    await ahead.get("resync")


async def test_a_gap_on_the_bus_is_filled_from_the_database(hub, traders, live_platform):
    seller, buyer = traders
    await _settle(live_platform)
    client, _ = await _signed_in(hub, seller)
    # The socket hears nothing while two trades happen: as if the messages had been lost.
    hub._bus._on_message = lambda channel, payload: None
    for _ in range(2):
        await _in_thread(_order, seller, SELL, 6_400_000, 1)
        await _in_thread(_order, buyer, BUY, 6_400_000, 1, Tif.IOC)
    await _settle(live_platform)
    await asyncio.sleep(0.2)
    assert not any(frame["type"] == "execution" for frame in client.frames)
    hub._bus._on_message = hub._on_message
    await _in_thread(publish_private_gap)
    await client.until(lambda: sum(frame["type"] == "execution" for frame in client.frames) == 2)
    await _in_thread(publish_private_gap)
    await asyncio.sleep(0.2)
    assert sum(frame["type"] == "execution" for frame in client.frames) == 2


async def test_the_bus_connection_cut_loses_nothing(hub, traders, live_platform):
    seller, buyer = traders
    await _settle(live_platform)
    client, _ = await _signed_in(hub, seller)
    hub._bus._wire.abort()
    for _ in range(5):
        await _in_thread(_order, seller, SELL, 6_400_000, 1)
        await _in_thread(_order, buyer, BUY, 6_400_000, 1, Tif.IOC)
    await client.until(lambda: len({frame["eid"] for frame in client.frames if frame["type"] == "execution"}) == 5)
    assert len([frame for frame in client.frames if frame["type"] == "execution"]) == 5


async def test_the_projector_killed_between_commits_loses_nothing(hub, traders, live_platform):
    seller, buyer = traders
    await _settle(live_platform)
    client, _ = await _signed_in(hub, seller)
    live_platform.projector.kill()
    for _ in range(5):
        await _in_thread(_order, seller, SELL, 6_400_000, 1)
        await _in_thread(_order, buyer, BUY, 6_400_000, 1, Tif.IOC)
    await _in_thread(live_platform.projector.start)
    await client.until(lambda: len([frame for frame in client.frames if frame["type"] == "execution"]) == 5, 15)


async def test_a_client_that_does_not_keep_up_is_closed_with_bounded_memory(hub, traders, monkeypatch):
    monkeypatch.setattr(consumers, "QUEUE_MAX", 50)
    limits = replace(LIMITS, window_bytes=4_000, probe_bytes=1_000)
    client, ready = await _signed_in(hub, traders[0], limits, answer=False)
    account = traders[0].account.core_account
    number = int(ready["eid"]) + 1_000_000
    for batch in range(40):
        messages = [
            {"type": "order", "eid": str(number + batch * 10 + n), "order": {"x": "y" * 100}} for n in range(10)
        ]
        await _in_thread(publish_private, account, messages)
    assert await client.closed() == CLOSE_SLOW
    assert client.bytes < 10_000


async def test_a_user_shut_out_is_cut_at_once(hub, traders):
    client, _ = await _signed_in(hub, traders[0])
    other, _ = await _signed_in(hub, traders[1])
    await _in_thread(revoke_user, traders[0].user.pk)
    assert await client.closed() == CLOSE_UNAUTHENTICATED
    assert other.code is None


async def test_who_loses_the_right_is_cut_within_a_minute(hub, traders, live_platform):
    trader = await consumers.in_thread(live_platform.trader)()
    client, _ = await _signed_in(hub, trader)
    (socket,) = [
        socket for socket in heart().sockets if socket.identity and socket.identity.user_id == str(trader.user.pk)
    ]

    def disable():
        from brokerage.platform.auth import users_forget

        type(trader.user).objects.filter(pk=trader.user.pk).update(is_active=False)
        users_forget()

    await consumers.in_thread(disable)()
    socket.on_tick(time.monotonic_ns() + 61 * NS)
    assert await client.closed() == CLOSE_FORBIDDEN


async def test_leaving_gives_everything_back(hub, traders):
    client, _ = await _signed_in(hub, traders[0])
    await client.leave()
    assert hub._sockets == {}
    assert not heart().per_user
