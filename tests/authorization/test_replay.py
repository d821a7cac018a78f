"""What one client did, done again by another: their session or token with the first one's ids in path, query, body, filter, export and topic.

The first client's session is recorded on the real engine and database; it covers every route whose row names somebody's object. Each call is
then sent again as the second client: refused, or an answer with nothing of the first one's in it; and nothing of theirs has changed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import (
    ApiKey,
    Beneficiary,
    DataExport,
    FixKey,
    Invitation,
    Passkey,
    PushDevice,
    TokenFamily,
    TradingAccount,
    TradingAccountMember,
    User,
    UserSession,
    Withdrawal,
)
from accounts.services.api_keys import api_key_create
from accounts.services.fix_keys import fix_key_create
from accounts.services.members import invitation_secret_make
from accounts.services.sessions import session_begin
from accounts.services.token_families import family_begin
from brokerage.config import get_config
from brokerage.kernel.clock import utc_now
from brokerage.platform import embed, web
from brokerage.platform.auth import ticket_issue
from brokerage.platform.policy import ROUTES
from brokerage.platform.policy_rules import NOTHING, USER
from compliance.models import KycAnswer, KycCase, KycDocument
from compliance.services.documents import link_make
from compliance.tests.factories import case_filled
from compliance.tests.test_entities import COMPANY
from compliance.tests.test_ownership import person as owner_of_all
from marketdata.consumers import parse_topic
from tests.authorization.recording import Call, Recording, _fresh, money_out, statement, told_elsewhere
from tests.authorization.world import SECRET, Actor, _signed_in, picture
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from tests.ws import WsClient
from trading.consumers import PrivateConsumer
from trading.models import Order
from trading.selectors.shapes import order_public_id

ENTITY_STEP = "company"


def person(platform: LivePlatform, name: str) -> tuple[Trader, Actor, Actor]:
    """(trader with money, their browser, their program)."""
    trader = platform.trader(name, {"USD": "100000", "SOL": "500"})
    bearer = {"Authorization": f"Bearer {trader.token}"}
    return trader, Actor(name, trader.user, _signed_in(trader.user)), Actor(name, trader.user, headers=bearer)


@pytest.fixture(scope="module")
def recorded(live_platform: LivePlatform) -> Iterator[Recording]:
    partners = replace(get_config(), embed_partners=(("partner", ("https://partner.example",)),))
    with pytest.MonkeyPatch.context() as patch:
        for module in (web, embed):
            patch.setattr(module, "get_config", lambda: partners)
        yield _recorded(live_platform)


def _recorded(live_platform: LivePlatform) -> Recording:
    trader, page, program = person(live_platform, "anna")
    User.objects.filter(pk=trader.user.pk).update(display_name=SECRET)
    recording = Recording(trader, page, program)
    record(recording, live_platform)
    return recording


def record(recording: Recording, platform: LivePlatform) -> None:
    """Everything a client does."""
    do, anna, number = recording.do, recording.trader.user, recording.trader.account.number
    here = f"account={number}"
    order = {"account": number, "symbol": "SOL-USD", "side": "buy", "type": "limit", "qty": "3", "price": "100"}
    placed = json.loads(do("POST", "/api/v1/orders", body={**order, "client_order_id": "annas"}).content)["order_id"]
    other = json.loads(do("POST", "/api/v1/orders", body=order).content)["order_id"]
    platform.settle()
    do("POST", "/api/v1/orders/preview", body=order)
    lists = ("orders", "executions", "ledger")
    for name in [*lists, *(f"{name}.csv" for name in lists), "balances", "positions"]:
        do("GET", f"/api/v1/{name}", query=here)
        do("GET", f"/api/v1/{name}")
    do("GET", "/api/v1/executions", query=f"{here}&order_id={placed}")
    do("GET", "/api/v1/executions", query=f"order_id={placed}")
    for path in (f"orders/{placed}", f"orders/{placed}/events", "orders/by-client-id/annas"):
        do("GET", f"/api/v1/{path}", query=here)
        do("GET", f"/api/v1/{path}")
    do("GET", "/api/v1/accounts")
    do("GET", f"/api/v1/accounts/{number}")
    do("GET", f"/api/v1/accounts/{number}/overview")
    statement(recording, number)
    do("GET", "/api/v1/profile")
    do("PATCH", "/api/v1/profile", body={"display_name": "Anna"})
    User.objects.filter(pk=anna.pk).update(display_name=SECRET)
    do("POST", "/api/v1/ws-ticket", body={"account": number})
    for path in ("/", "/orders", "/portfolio", "/account/ledger", "/trade/SOL-USD"):
        do("GET", path, query=here)
        do("GET", path)
    do("GET", "/orders", query=f"{here}&view=fills")
    do("GET", f"/orders/{placed}", query=here)
    do("GET", f"/orders/{placed}")
    # Programs: sign-ins and keys
    do("GET", "/api/v1/auth/sign-ins")
    do("GET", "/api/v1/api-keys")
    do("GET", "/profile/api")
    do("GET", "/profile/api-keys")
    do("GET", "/api/v1/fix-keys")
    do("GET", "/profile/fix-keys")
    desks = [fix_key_create(user=anna, account=number, name=SECRET, scopes=["read"])[0] for _ in range(3)]
    do("POST", "/profile/fix-keys", form={"revoke": str(desks[0].pk)})
    spare = [api_key_create(user=anna, name=f"{SECRET}{turn}", scopes=["read"])[0] for turn in range(3)]
    do("POST", "/profile/api-keys", form={"revoke": str(spare[0].pk)})
    families = []
    for _ in range(3):
        known = set(TokenFamily.objects.values_list("pk", flat=True))
        family_begin(user=anna)
        families.append(TokenFamily.objects.exclude(pk__in=known).get().pk)
    do("POST", "/profile/api", form={"sign_in": str(families[0])})
    # Security
    for path in ("", "/history", "/email"):
        do("GET", f"/security{path}")
    for path in ("", "/personal", "/export"):
        do("GET", f"/profile{path}")
    passkey = _passkey(anna, b"a")
    # Accounts of several people
    do("POST", "/accounts/new", form={"kind": "entity", "name": "Ely Holdings", "lei": ""})
    firm = TradingAccount.objects.get(name="Ely Holdings")
    do("GET", f"/accounts/{firm.number}/members")
    do("POST", f"/accounts/{firm.number}/invite", form={"email": "guest@example.test", "role": "viewer"})
    do("POST", f"/accounts/{firm.number}/sub-accounts", form={"name": "Ely Sub"})
    offers = [
        Invitation.objects.create(
            account=firm, email=email, role="viewer", invited_by=anna, created_at=utc_now(),
            expires_at=utc_now() + timedelta(days=7),
        )
        for email in (anna.email, "second@example.test")
    ]  # fmt: skip
    do("GET", f"/invitations/{invitation_secret_make(invitation=offers[0])}")
    do("POST", f"/invitations/{invitation_secret_make(invitation=offers[0])}", form={})
    friend = platform.trader("friend", {})
    TradingAccountMember.objects.create(account=firm, user=friend.user, role="viewer")
    do("POST", f"/accounts/{firm.number}/members/{friend.user.pk}", form={"role": "trader"})
    do("POST", f"/accounts/{firm.number}/invitations/{offers[1].pk}", form={})
    # Onboarding
    case_filled(anna)
    for path in (
        "/onboarding",
        "/onboarding/status",
        "/onboarding/steps/identity",
        "/api/v1/onboarding",
        "/api/v1/onboarding/documents",
    ):
        do("GET", path)
    paper = {"kind": "passport", "file": picture(), "expires_on": (utc_now() + timedelta(days=400)).date().isoformat()}
    do("POST", "/onboarding/steps/id_document", form=paper)
    document = KycDocument.objects.get(case__user=anna)
    do("GET", f"/onboarding/documents/{link_make(document, anna)}")
    do("PUT", "/api/v1/onboarding/steps/bank", body={"holder": "Anna Ely", "iban": "GB29NWBK60161331926819"})
    # What it may trade; a firm's own onboarding; a frame in a partner's page
    for query in ("", here):
        do("GET", "/api/v1/limits", query=query)
        do("GET", "/account/limits", query=query)
    do(
        "POST",
        "/api/v1/embed-tokens",
        body={"account": number, "partner": "partner", "origin": "https://partner.example"},
    )
    do("POST", "/account/limits", query=here, form={"code": "nothing-like-it"})
    entity = f"/onboarding/entity/{firm.number}"
    for path in (entity, f"{entity}/status", f"{entity}/steps/{ENTITY_STEP}"):
        do("GET", path)
    over_rest = f"/api/v1/onboarding/entities/{firm.number}"
    tree = {"owners": [{"id": "a", **owner_of_all("Anna Ely", "100", controls=True)}]}
    do("GET", "/api/v1/onboarding/entities")
    for path in (over_rest, f"{over_rest}/documents"):
        do("GET", path)
    do("PUT", f"{over_rest}/steps/{ENTITY_STEP}", body=COMPANY)
    do("PUT", f"{over_rest}/owners", body=tree)
    recording.calls += [
        Call("PUT", f"{over_rest}/owners", body={"owners": []}),
        Call("POST", f"{over_rest}/documents", form={"kind": "registry_extract", "file": picture()}),
        Call("POST", f"{over_rest}/submit"),
        Call("POST", f"{over_rest}/appeal", body={"text": "Please look again at what was sent."}),
        Call("POST", f"{entity}/steps/{ENTITY_STEP}", form={}),
        Call("POST", f"{entity}/submit", form={}),
        Call("POST", f"{entity}/appeal", form={"text": "Please look again at what was sent."}),
    ]
    money_out(recording, number)
    told_elsewhere(recording)
    # The export of everything
    do("POST", "/profile/export/new", form={})
    export = DataExport.objects.get(user=anna)
    _export_made(export)
    do("GET", f"/profile/export/{export.pk}")
    # What changes or ends something, on things that are there for the second client as well
    do("PATCH", f"/api/v1/orders/{placed}", body={"account": number, "qty": "2"})
    do("DELETE", f"/api/v1/orders/{other}", query=here)
    do("POST", "/api/v1/orders/cancel-all", body={"account": number, "symbol": "BTC-USD"})
    do("DELETE", f"/api/v1/api-keys/{spare[1].pk}")
    do("DELETE", f"/api/v1/fix-keys/{desks[1].pk}")
    do("DELETE", f"/api/v1/auth/sign-ins/{families[1]}")
    ended = session_begin(user=anna, method="password", ip="127.0.0.1", user_agent="")
    do("POST", f"/security/sessions/{ended.pk}/end", form={})
    do("POST", f"/security/passkeys/{passkey.uid}/remove", form={})
    # The same with ids of things that live on, for the replay to try to end.
    living = session_begin(user=anna, method="password", ip="127.0.0.1", user_agent="")
    again = _passkey(anna, b"b")
    recording.calls += [
        Call("DELETE", f"/api/v1/orders/{placed}", here),
        Call("DELETE", f"/api/v1/orders/{placed}"),
        Call("PATCH", f"/api/v1/orders/{placed}", body={"qty": "1"}),
        Call("POST", "/api/v1/orders/cancel-all", body={"account": number}),
        Call("DELETE", f"/api/v1/api-keys/{spare[2].pk}"),
        Call("DELETE", f"/api/v1/fix-keys/{desks[2].pk}"),
        Call("POST", "/profile/fix-keys", form={"revoke": str(desks[2].pk)}),
        Call("POST", "/api/v1/fix-keys", body={"name": "theirs", "scopes": ["read"], "account": number}),
        Call("DELETE", f"/api/v1/auth/sign-ins/{families[2]}"),
        Call("POST", "/profile/api-keys", form={"revoke": str(spare[2].pk)}),
        Call("POST", "/profile/api", form={"sign_in": str(families[2])}),
        Call("POST", f"/security/sessions/{living.pk}/end", form={}),
        Call("POST", f"/security/passkeys/{again.uid}/remove", form={}),
    ]
    platform.settle()


def _passkey(user: User, credential: bytes) -> Passkey:
    fixed = {"confirmed": False, "public_key": b"k", "rp_id": "testserver", "created_at": utc_now()}
    return Passkey.objects.create(user=user, name=SECRET, credential_id=credential, **fixed)


def _export_made(export: DataExport) -> None:
    from accounts.services.exports import export_build

    if not export.sealed:
        export_build(export_id=str(export.pk))
    assert DataExport.objects.get(pk=export.pk).sealed


def belongings(user: User) -> dict[str, Any]:
    """Everything of a client's that a request could change."""
    accounts = TradingAccount.objects.filter(owner=user)
    cores = [row.core_account for row in accounts]
    return {
        "orders": sorted(Order.objects.filter(core_account__in=cores).values_list("order_id", "ord_status", "order_qty", "version")),
        "accounts": sorted(accounts.values_list("number", "status", "name")),
        "members": sorted(TradingAccountMember.objects.filter(account__in=accounts).values_list("user_id", "role")),
        "invitations": sorted(Invitation.objects.filter(account__in=accounts).values_list("pk", "revoked_at", "accepted_at")),
        "FIX sessions": sorted(FixKey.objects.filter(user=user).values_list("pk", "revoked_at", "name")),
        "keys": sorted(ApiKey.objects.filter(user=user).values_list("pk", "revoked_at", "name")),
        "sign-ins": sorted(TokenFamily.objects.filter(user=user).values_list("pk", "revoked_at")),
        "sessions": sorted(UserSession.objects.filter(user=user).values_list("pk", "ended_at")),
        "passkeys": sorted(Passkey.objects.filter(user=user).values_list("uid")),
        "devices": sorted(PushDevice.objects.filter(user=user).values_list("pk", "name")),
        "documents": sorted(KycDocument.objects.filter(case__user=user).values_list("pk", "state")),
        "answers": sorted(KycCase.objects.get(user=user).answers.values_list("step", "digest")),
        "entities": sorted(KycAnswer.objects.filter(case__account__in=accounts).values_list("step", "digest")),
        "exports": sorted(DataExport.objects.filter(user=user).values_list("pk", "status")),
        "withdrawals": sorted(Withdrawal.objects.filter(account__in=accounts).values_list("pk", "status")),
        "destinations": sorted(Beneficiary.objects.filter(account__in=accounts).values_list("pk", "removed_at")),
        "user": User.objects.filter(pk=user.pk).values("email", "display_name", "country", "is_active", "frozen_at").get(),
    }  # fmt: skip


def marks(user: User) -> Iterator[str]:
    """Texts that are nobody's but this client's."""
    yield from (SECRET, user.email, str(user.pk))
    accounts = TradingAccount.objects.filter(owner=user)
    cores = accounts.values_list("core_account", flat=True)
    yield from (order_public_id(pk) for pk in Order.objects.filter(core_account__in=cores).values_list("pk", flat=True))
    yield from accounts.values_list("number", flat=True)
    yield from (str(pk) for pk in ApiKey.objects.filter(user=user).values_list("pk", flat=True))
    yield from ApiKey.objects.filter(user=user).values_list("key_id", flat=True)
    yield from (str(pk) for pk in FixKey.objects.filter(user=user).values_list("pk", flat=True))
    yield from FixKey.objects.filter(user=user).values_list("comp_id", flat=True)
    yield from (str(pk) for pk in TokenFamily.objects.filter(user=user).values_list("pk", flat=True))
    yield from (str(pk) for pk in UserSession.objects.filter(user=user).values_list("pk", flat=True))
    yield from (str(pk) for pk in KycDocument.objects.filter(case__user=user).values_list("pk", flat=True))


def body_of(answer: Any) -> str:
    raw = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return raw.decode("utf-8", "replace")


def test_the_recording_covers_every_route_with_an_object(recorded: Recording) -> None:
    covered = {call.route for call in recorded.calls}
    wanted = {
        (name, method)
        for name, row in ROUTES.items()
        for method, rule in row.items()
        if rule.who == USER and rule.of != NOTHING
    }
    assert wanted <= covered, sorted(wanted - covered)
    assert len(recorded.calls) >= 80


def test_another_client_gets_nothing_by_it(recorded: Recording, live_platform: LivePlatform) -> None:
    anna = recorded.trader.user
    forget_caches()
    before, secrets = belongings(anna), sorted(set(marks(anna)))
    bert, page, program = person(live_platform, "bert")
    # With a second factor, so that it is not the lack of one that keeps him from her money.
    page.cookies = _signed_in(bert.user, factor=True)
    refused = filtered = 0
    for call in recorded.calls:
        doors = [program, page] if call.path.startswith("/api/") else [page]
        for door in doors:
            answer = door.call(call.method, call.path, call.body, form=_fresh(call.form), query=call.query)
            said = body_of(answer)
            # What the request itself says may come back in the answer: in a form, a link of a pager, the address to sign in at.
            sent = f"{call.path}?{call.query} {call.body} {call.form}"
            found = [mark for mark in secrets if mark in said and mark not in sent]
            assert not found, (call, answer.status_code, found, said[:500])
            assert answer.status_code < 500, (call, said[:500])
            if answer.status_code in {403, 404}:
                refused += 1
            else:
                filtered += 1
                named = [mark for mark in secrets if mark in f"{call.path} {call.query} {json.dumps(call.body)}"]
                # A list of one's own, filtered by what is not in it, is empty.
                empty = call.method == "GET" and ('"results":[]' in said.replace(" ", "") or said.count("\n") <= 1)
                assert not named or empty, (call, answer.status_code, said[:500])
    live_platform.settle()
    forget_caches()
    assert belongings(anna) == before
    print(
        f"{refused + filtered} calls sent again: {refused} refused with 403 or 404, {filtered} about the second client's own"
    )
    assert refused >= 50


def test_streams_of_another_account_are_not_given(recorded: Recording, live_platform: LivePlatform) -> None:
    bert, _, _ = person(live_platform, "bert2")
    number = recorded.trader.account.number

    async def tries() -> list[tuple[str, int]]:
        ended = []
        for said in (
            {"op": "auth", "token": bert.token, "account": number},
            {"op": "auth", "ticket": ticket_issue(bert.user, number)},
            {"op": "auth", "ticket": ticket_issue(bert.user, bert.account.number), "account": number},
        ):
            client = WsClient(PrivateConsumer.as_asgi())
            await client.connect()
            await client.send(said)
            error = await client.get("error")
            ended.append((error["code"], await client.closed()))
            assert not any(frame["type"] == "ready" for frame in client.frames)
        return ended

    assert set(asyncio.run(tries())) == {("not_found", 4003)}
    for topic in (f"account:{number}", f"orders:{number}", f"quote:{number}"):
        assert isinstance(parse_topic(topic, frozenset({"SOL-USD"})), dict), topic
