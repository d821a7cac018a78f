"""Sessions on the live gateway: who may log on, what ends a session, and that nothing is lost whatever is cut."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest_engine import LivePlatform, Trader
from tests.fix.client import FixClient, framed, utc
from tests.fix.conftest import LiveFix
from tests.flows.steps import limit, placed

Make = Callable[..., Any]


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "wrong"},
        {"username": "SOMEBODY"},
        {"sender": "FXNOSUCHPEER22"},
        {"sender": "'; DROP TABLE--"},
        {"target": "ELSEWHERE"},
        {"begin": "FIX.4.2"},
    ],
)
def test_who_is_not_known_is_told_nothing(session: Make, taker: Trader, wrong: dict[str, str]) -> None:
    client = session(taker).client
    client.connect()
    client.logon_send(reset=True, **wrong)
    assert client.closed()
    assert client.seen == []


def test_a_key_is_for_its_addresses_its_time_and_its_account(
    session: Make, live_platform: LivePlatform, taker: Trader
) -> None:
    from accounts.models import FixKey
    from accounts.services.fix_keys import fix_key_create
    from brokerage.kernel.clock import utc_now
    from brokerage.kernel.errors import RejectedError

    elsewhere = session(taker, networks=["203.0.113.0/24"]).client
    elsewhere.connect()
    elsewhere.logon_send(reset=True)
    assert elsewhere.closed()
    here = session(taker, networks=["127.0.0.0/8"]).client
    here.logon(reset=True)
    here.logout()
    old = session(taker, expires_in_days=1)
    FixKey.objects.filter(pk=old.key.pk).update(expires_at=utc_now() - timedelta(seconds=1))
    old.client.connect()
    old.client.logon_send(reset=True)
    assert old.client.closed()
    stranger = live_platform.trader("stranger")
    with pytest.raises(RejectedError) as refused:
        fix_key_create(user=stranger.user, account=taker.account.number, name="theirs", scopes=["read"])
    assert refused.value.code == 2014


def test_a_member_who_leaves_is_logged_out_and_a_viewer_gets_no_key(
    live_platform: LivePlatform, live_fix: LiveFix
) -> None:
    from accounts.models import TradingAccountMember
    from accounts.services.fix_keys import fix_key_create
    from brokerage.kernel.errors import RejectedError

    owner, member = live_platform.trader("owner"), live_platform.trader("member", {})
    row = TradingAccountMember.objects.create(account=owner.account, user=member.user, role="viewer")
    with pytest.raises(RejectedError) as refused:
        fix_key_create(user=member.user, account=owner.account.number, name="desk", scopes=["read"])
    assert refused.value.code == 2012
    TradingAccountMember.objects.filter(pk=row.pk).update(role="trader")
    from accounts.selectors.access import accounts_forget

    accounts_forget(member.user.pk)
    key, password = fix_key_create(
        user=member.user, account=owner.account.number, name="desk", scopes=["read", "trade"]
    )
    client = FixClient(live_fix.port, key.comp_id, password)
    client.logon(reset=True)
    TradingAccountMember.objects.filter(pk=row.pk).delete()
    client.expect("5", 12)
    client.send("5")
    assert client.closed()
    client.connect()
    client.logon_send(reset=True)
    assert client.closed()


def test_a_session_is_open_once(session: Make, live_fix: LiveFix, taker: Trader) -> None:
    opened = session(taker)
    opened.client.logon(reset=True)
    second = FixClient(live_fix.port, opened.key.comp_id, opened.password)
    second.connect()
    second.logon_send(reset=True)
    assert second.closed()
    opened.client.send("1", {112: "still here"})
    assert opened.client.expect("0")["112"] == "still here"
    opened.client.logout()


def test_a_revoked_key_is_logged_out_at_once(session: Make, taker: Trader) -> None:
    from accounts.services.fix_keys import fix_key_revoke

    opened, other = session(taker), session(taker)
    opened.client.logon(reset=True)
    other.client.logon(reset=True)
    began = time.monotonic()
    fix_key_revoke(user=taker.user, id=opened.key.pk)
    assert "ended" in opened.client.expect("5", 3)["58"]
    assert time.monotonic() - began < 2
    # What comes after the goodbye is not taken.
    opened.client.order("after-the-end", "1", "1", "1")
    assert opened.client.closed()
    assert taker.api("GET", "orders/by-client-id/after-the-end").status_code == 404
    opened.client.connect()
    opened.client.logon_send()
    assert opened.client.closed()
    other.client.send("1", {112: "mine goes on"})
    other.client.expect("0")
    other.client.logout()


def test_heartbeats_and_the_end_of_a_silent_peer(session: Make, taker: Trader) -> None:
    client = session(taker).client
    client.logon(reset=True, heartbeat=1)
    assert client.expect("0", 3)["35"] == "0"
    assert client.expect("1", 3)["112"] == "TEST"
    began = time.monotonic()
    while (got := client.read(5)) is not None:
        assert got["35"] in ("0", "1")
    assert time.monotonic() - began < 5


def test_fills_while_away_come_with_the_next_logon(session: Make, maker: Trader, taker: Trader, price: Decimal) -> None:
    client = session(taker).client
    client.logon(reset=True)
    client.order("away", "1", "2", str(price))
    client.expect("8", _150="0", _11="away")
    client.logout()
    placed(maker, limit("sell", "1", price, time_in_force="ioc"))
    answer = client.logon()
    assert "141" not in answer
    client.expect("8", _150="F", _11="away", _14="1.00")
    # Cut without a word: what is told to nobody is told at the next logon, with the numbers going on.
    client.drop()
    placed(maker, limit("sell", "1", price, time_in_force="ioc"))
    wait_logged_off(client)
    client.logon()
    client.expect("8", _150="F", _11="away", _14="2.00", _39="2")
    client.logout()


def wait_logged_off(client: FixClient) -> None:
    """The gateway sees a cut connection at once, but in its own process."""
    from trading.models import FixSession

    until = time.monotonic() + 5
    while FixSession.objects.filter(key__comp_id=client.sender).exclude(connected_at=None).exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_was_sent_and_not_read_is_sent_again(session: Make, taker: Trader, price: Decimal) -> None:
    client = session(taker).client
    client.logon(reset=True)
    client.order("read", "1", "1", str(price - 3))
    first = client.expect("8", _150="0", _11="read")
    client.order("unread", "1", "1", str(price - 4))
    # It is on its way, and the line is cut: the client has seen up to first.
    until = time.monotonic() + 5
    while taker.api("GET", "orders/by-client-id/unread").status_code != 200 and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    client.drop()
    wait_logged_off(client)
    expected = client.next_in
    answer = client.logon()
    assert int(answer["34"]) > expected
    client.send("2", {7: expected, 16: 0})
    again = client.expect("8", _150="0", _11="unread", _43="Y")
    assert (again["34"], "122" in again) == (str(expected), True)
    fill = client.expect("4", _123="Y", _43="Y")
    assert int(fill["36"]) > int(fill["34"])
    client.next_in = int(fill["36"])
    assert again["17"] != first["17"]
    client.cancel("c-1", "read", "1")
    client.expect("8", _150="4", _11="c-1")
    client.cancel("c-2", "unread", "1")
    client.expect("8", _150="4", _11="c-2")
    client.logout()


def test_kill_minus_9_of_the_gateway_loses_and_doubles_nothing(
    session: Make, live_fix: LiveFix, live_platform: LivePlatform, maker: Trader, taker: Trader, price: Decimal
) -> None:
    """Orders, cancels and fills while the gateway is killed again and again; the client keeps to the rules of sequence numbers."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    client = session(taker).client
    client.logon(reset=True)
    reports: dict[str, dict[str, str]] = {}
    sent: dict[int, tuple[str, dict[Any, Any]]] = {}
    names: list[str] = []

    def note(got: Any) -> None:
        if got["35"] == "8" and got["17"] != "0":
            known = reports.setdefault(got["17"], dict(got))
            assert {tag: known[tag] for tag in ("11", "14", "150", "151")} == {
                tag: got[tag] for tag in ("11", "14", "150", "151")
            }

    def pump(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                got = client.read(0.05)
            except TimeoutError:
                continue
            if got is None:
                return
            answer(got)

    def answer(got: Any) -> None:
        seq = int(got["34"])
        if got["35"] == "2":
            resend(int(got["7"]))
        if got["35"] == "4":
            if seq <= client.next_in:
                client.next_in = max(client.next_in, int(got["36"]))
            return
        if got.get("43") == "Y" and seq == client.next_in:
            client.next_in += 1
        note(got)

    def resend(first: int) -> None:
        at = first
        for seq in range(first, client.next_out):
            if seq in sent:
                if at < seq:
                    fill(at, seq)
                kind, body = sent[seq]
                client.raw(
                    framed(
                        [("35", kind), ("34", str(seq)), ("43", "Y"), ("49", client.sender), ("52", utc()),
                         ("56", client.target), ("122", utc()), *((str(tag), str(value)) for tag, value in body.items())]
                    )
                )  # fmt: skip
                at = seq + 1
        if at < client.next_out:
            fill(at, client.next_out)

    def fill(seq: int, new: int) -> None:
        header = [("35", "4"), ("34", str(seq)), ("43", "Y"), ("49", client.sender), ("52", utc())]
        client.raw(framed([*header, ("56", client.target), ("122", utc()), ("36", str(new)), ("123", "Y")]))

    def send(kind: str, body: dict[Any, Any]) -> None:
        sent[client.next_out] = (kind, body)
        try:
            client.send(kind, body)
        except OSError:
            # The number is used, the message is not there: it is asked for at the next logon.
            client.next_out = max(client.next_out, max(sent) + 1)

    for turn in range(5):
        for number in range(6):
            name = f"k{turn}-{number}"
            names.append(name)
            send("D", {11: name, 55: "SOL-USD", 54: 1, 60: utc(), 38: 2, 40: 2, 44: price - number})
            if number % 3 == 2:
                send("F", {11: f"c-{name}", 41: name, 55: "SOL-USD", 54: 1, 60: utc()})
        pump(rng.random() * 0.3)
        placed(maker, limit("sell", "1", price, time_in_force="ioc"))
        live_fix.child.kill()
        placed(maker, limit("sell", "1", price, time_in_force="ioc"))
        live_fix.child.start()
        client.drop()
        client.connect()
        client.logon_send()
        while True:
            got = client.read(10)
            assert got is not None, "the gateway would not have us back"
            if got["35"] == "A":
                break
        seq = int(got["34"])
        if seq >= client.next_in:
            # Our own reader counts only what comes in its turn.
            client.send("2", {7: client.next_in, 16: 0})
        pump(1.0)
    until = time.monotonic() + 20
    live_platform.settle()
    wanted = {event["seq"] for event in _events(taker, names)}
    assert len(wanted) > len(names) == 30
    while time.monotonic() < until and not wanted <= set(reports):
        pump(0.3)
    told = {exec_id: got for exec_id, got in reports.items() if got["11"].removeprefix("c-") in names}
    assert wanted == set(told)
    for event in _events(taker, names):
        got = told[event["seq"]]
        assert (got["14"], got["151"]) == (event["cum"], event["leaves"])
    # One order for each name, whatever was sent twice.
    assert len({got["37"] for got in told.values() if got["150"] == "0"}) == len(names)
    cancelled = {got["11"] for got in told.values() if got["150"] == "4"}
    assert cancelled <= {f"c-{name}" for name in names}
    client.logout()


def _events(trader: Trader, names: list[str]) -> list[dict[str, str]]:
    """What the engine did with these orders, from the projection."""
    from brokerage.kernel.identifiers import encode_id
    from marketdata.selectors.instruments import instrument_by_symbol
    from trading.models import Order, OrderEvent

    core = trader.account.core_account
    orders = Order.objects.filter(core_account=core, cl_ord_id__in=names, order_id__gt=0).values("order_id")
    rows = OrderEvent.objects.filter(order_id__in=orders, exec_type__in=(1, 4, 5, 6, 7))
    instrument = instrument_by_symbol("SOL-USD")
    assert instrument is not None
    return [
        {"seq": encode_id(row.seq), "cum": instrument.qty(row.cum), "leaves": instrument.qty(row.leaves)}
        for row in rows
    ]


def test_cancel_on_disconnect_takes_this_sessions_orders_only(
    session: Make, live_fix: LiveFix, live_platform: LivePlatform, taker: Trader, price: Decimal
) -> None:
    careful, other = session(taker, cancel_on_disconnect=True).client, session(taker).client
    careful.logon(reset=True)
    other.logon(reset=True)
    careful.order("mine", "1", "1", str(price - 5))
    other.expect("8", _150="0", _11="mine")
    other.order("others", "1", "1", str(price - 6))
    other.expect("8", _150="0", _11="others")
    careful.drop()
    other.expect("8", _150="4", _11="mine")
    assert taker.api("GET", "orders/by-client-id/others").json()["status"] == "new"
    careful.logon()
    careful.order("mine-again", "1", "1", str(price - 5))
    other.expect("8", _150="0", _11="mine-again")
    # A gateway that is killed does it when it is back.
    live_fix.child.kill()
    assert taker.api("GET", "orders/by-client-id/mine-again").json()["status"] == "new"
    live_fix.child.start()
    until = time.monotonic() + 5
    while taker.api("GET", "orders/by-client-id/mine-again").json()["status"] != "canceled":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert taker.api("GET", "orders/by-client-id/others").json()["status"] == "new"


def test_random_frames_do_no_harm(session: Make, live_fix: LiveFix, taker: Trader, price: Decimal) -> None:
    """Mutated messages of a logged-on peer, and of strangers: no order comes of them that was not asked for, and the gateway goes on."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    watcher = session(taker).client
    watcher.logon(reset=True)
    peer = session(taker)
    for _ in range(40):
        client = peer.client
        client.connect()
        if rng.random() < 0.7:
            client.logon_send(reset=True)
        for seq in range(2, 8):
            body = [
                ("11", f"z{seq}"),
                ("40", "2"),
                ("54", "1"),
                ("55", "NO-SUCH"),
                ("60", utc()),
                ("38", "1"),
                ("44", "1"),
            ]
            fields = [("35", rng.choice("D0124F5GHq8*")), ("34", str(seq)), ("49", client.sender), ("52", utc())]
            fields += [("56", client.target), *rng.sample(body, rng.randint(0, 7))]
            if rng.random() < 0.5:
                at = rng.randrange(1, len(fields))
                value = rng.choice(["", "-1", "9" * 30, "é", "N", "\x00", "1e5", "NaN", "=" * 9, "x" * 3000])
                fields[at] = (fields[at][0] if rng.random() < 0.7 else str(rng.randint(1, 6000)), value)
            try:
                client.raw(framed(fields))
            except (OSError, UnicodeEncodeError):
                break
        client.drop()
    watcher.send("1", {112: "alive"})
    assert watcher.expect("0")["112"] == "alive"
    watcher.logout()
    assert "Traceback" not in live_fix.child.tail()
