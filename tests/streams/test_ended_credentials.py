"""Over a real daphne: whatever a private stream was opened with, ending it closes the stream at once, and only that one."""

from __future__ import annotations

import json
import secrets
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from accounts.models import ApiKey, TokenFamily
from accounts.services.api_keys import api_key_create, api_key_revoke
from accounts.services.sessions import session_begin, session_end
from accounts.services.token_families import family_begin, family_refresh
from brokerage.kernel.clock import utc_now
from brokerage.platform.auth import ticket_issue
from brokerage.platform.problems import ApiProblem
from brokerage.platform.signing import canonical_string, signature_of
from brokerage.platform.sockets import CLOSE_UNAUTHENTICATED
from tests.conftest_engine import LiveWeb, Trader

#: "At once": told over the bus, not found by the look each minute.
AT_ONCE_S = 2.0


@pytest.fixture(autouse=True)
def _database(django_db_blocker: Any) -> Any:
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def trader(live_platform: Any, django_db_blocker: Any) -> Trader:
    with django_db_blocker.unblock():
        return live_platform.trader()


def signed(web: LiveWeb, key: ApiKey, secret: str, method: str, path: str, body: bytes = b"") -> httpx.Response:
    """A request as a program with a key sends it."""
    stamp, nonce = str(time.time_ns() // 1_000_000), secrets.token_urlsafe(18)
    text = canonical_string(method, f"/api/v1/{path}", "", stamp, nonce, body)
    headers = {
        "Content-Type": "application/json",
        "X-Api-Key": key.key_id,
        "X-Api-Timestamp": stamp,
        "X-Api-Nonce": nonce,
        "X-Api-Signature": signature_of(secret.encode(), text),
    }
    return httpx.request(method, f"{web.url}/api/v1/{path}", content=body, headers=headers, timeout=10)


def bearer(web: LiveWeb, method: str, path: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return httpx.request(method, f"{web.url}/api/v1/{path}", content=b"{}", headers=headers, timeout=10)


def opened(web: LiveWeb, **proof: str) -> ClientConnection:
    """A private stream that was told ready."""
    client = connect(f"{web.url.replace('http', 'ws')}/ws/v1/private", compression=None)
    client.send(json.dumps({"op": "auth", **proof}))
    assert json.loads(client.recv(10))["type"] == "ready"
    return client


def refused(web: LiveWeb, **proof: str) -> int:
    """The code a stream is closed with that is not let in."""
    client = connect(f"{web.url.replace('http', 'ws')}/ws/v1/private", compression=None)
    client.send(json.dumps({"op": "auth", **proof}))
    return closed(client)[0]


def closed(client: ClientConnection, seconds: float = 10.0) -> tuple[int, float]:
    """Wait for the close: its code, and how long it took."""
    begun = time.monotonic()
    while True:
        try:
            client.recv(seconds)
        except ConnectionClosed as error:
            return (error.rcvd.code if error.rcvd else 1006), time.monotonic() - begun


def alive(client: ClientConnection) -> bool:
    """True when the server still answers."""
    client.send('{"op":"ping","n":7}')
    while (frame := json.loads(client.recv(5)))["type"] != "pong":
        pass
    return bool(frame["n"] == 7)


def test_a_revoked_key_closes_its_streams_and_no_others(live_web: LiveWeb, trader: Trader) -> None:
    (key, secret), (other, other_secret) = (
        api_key_create(user=trader.user, name=name, scopes=["read"]) for name in ("one", "two")
    )
    ticket = signed(live_web, key, secret, "POST", "ws-ticket", b"{}").json()["ticket"]
    unused = signed(live_web, key, secret, "POST", "ws-ticket", b"{}").json()["ticket"]
    mine = opened(live_web, ticket=ticket)
    theirs = opened(live_web, ticket=signed(live_web, other, other_secret, "POST", "ws-ticket", b"{}").json()["ticket"])
    by_token = opened(live_web, token=trader.token)
    assert bearer(live_web, "DELETE", f"api-keys/{key.pk}", trader.token).status_code in {200, 204}
    code, seconds = closed(mine)
    assert (code, seconds < AT_ONCE_S) == (CLOSE_UNAUTHENTICATED, True), seconds
    assert refused(live_web, ticket=unused) == CLOSE_UNAUTHENTICATED
    assert alive(theirs)
    assert alive(by_token)
    # From another process, as a command or a task would.
    api_key_revoke(user=trader.user, id=other.pk)
    assert closed(theirs)[0] == CLOSE_UNAUTHENTICATED
    assert alive(by_token)
    by_token.close()


def test_a_key_that_runs_out_closes_its_streams_in_that_second(live_web: LiveWeb, trader: Trader) -> None:
    key, secret = api_key_create(user=trader.user, name="short", scopes=["read"], expires_in_days=1)
    ends = utc_now() + timedelta(seconds=4)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=ends)
    ticket = signed(live_web, key, secret, "POST", "ws-ticket", b"{}").json()["ticket"]
    client = opened(live_web, ticket=ticket)
    assert closed(client)[0] == CLOSE_UNAUTHENTICATED
    late_s = (utc_now() - ends).total_seconds()
    assert 0 <= late_s < AT_ONCE_S, late_s


def test_a_ticket_of_a_key_is_only_for_the_addresses_of_the_key(live_web: LiveWeb, trader: Trader) -> None:
    key, _ = api_key_create(user=trader.user, name="elsewhere", scopes=["read"], networks=["203.0.113.7"])
    here, _ = api_key_create(user=trader.user, name="here", scopes=["read"], networks=["127.0.0.0/8"])
    number = trader.account.number
    assert refused(live_web, ticket=ticket_issue(trader.user, number, f"key:{key.key_id}")) == CLOSE_UNAUTHENTICATED
    opened(live_web, ticket=ticket_issue(trader.user, number, f"key:{here.key_id}")).close()


@pytest.mark.parametrize("by", ["token", "ticket"])
def test_an_ended_sign_in_of_a_program_closes_its_streams_and_no_others(
    live_web: LiveWeb, trader: Trader, by: str
) -> None:
    pair, other = family_begin(user=trader.user), family_begin(user=trader.user)
    if by == "ticket":
        mine = opened(live_web, ticket=bearer(live_web, "POST", "ws-ticket", pair["access"]).json()["ticket"])
    else:
        mine = opened(live_web, token=pair["access"])
    theirs = opened(live_web, token=other["access"])
    family = TokenFamily.objects.filter(user=trader.user).order_by("created_at").reverse()[1]
    assert bearer(live_web, "DELETE", f"auth/sign-ins/{family.pk}", trader.token).status_code in {200, 204}
    code, seconds = closed(mine)
    assert (code, seconds < AT_ONCE_S) == (CLOSE_UNAUTHENTICATED, True), seconds
    assert alive(theirs)
    theirs.close()


def test_a_refresh_token_used_twice_closes_the_streams_of_its_sign_in(live_web: LiveWeb, trader: Trader) -> None:
    pair = family_begin(user=trader.user)
    client = opened(live_web, token=pair["access"])
    family_refresh(refresh=pair["refresh"])
    with pytest.raises(ApiProblem):
        family_refresh(refresh=pair["refresh"])
    code, seconds = closed(client)
    assert (code, seconds < AT_ONCE_S) == (CLOSE_UNAUTHENTICATED, True), seconds


def test_an_ended_session_closes_its_stream(live_web: LiveWeb, trader: Trader) -> None:
    row = session_begin(user=trader.user, method="password", ip="", user_agent="")
    ticket = ticket_issue(trader.user, trader.account.number, f"session:{row.pk}")
    client = opened(live_web, ticket=ticket)
    session_end(user=trader.user, session_id=UUID(str(row.pk)))
    code, seconds = closed(client)
    assert (code, seconds < AT_ONCE_S) == (CLOSE_UNAUTHENTICATED, True), seconds
