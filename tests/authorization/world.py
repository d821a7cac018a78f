"""One client with something of every kind, and everybody who might come near it: the cast of the authorisation tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache as cache_once
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.cache import cache
from django.test import RequestFactory
from django.test.client import ClientHandler

from accounts.api.tests.signer import Signer, key_of
from accounts.models import (
    Balance,
    DataExport,
    Invitation,
    LedgerEntry,
    Passkey,
    TradingAccount,
    TradingAccountMember,
    User,
    Withdrawal,
)
from accounts.roles import ROLES
from accounts.selectors.sessions import SESSION_ID, sessions_forget
from accounts.services.exports import export_build
from accounts.services.fix_keys import fix_key_create
from accounts.services.members import invitation_secret_make
from accounts.services.push_devices import push_device_add
from accounts.services.rules import disclosures_accept
from accounts.services.sessions import session_begin
from accounts.services.step_up import PROOF
from accounts.services.token_families import family_begin
from accounts.services.trading_accounts import account_open
from accounts.trading_policy import trading_policy
from backoffice.models import ClientGroup, Desk
from backoffice.services.approvals import approval_request
from backoffice.services.desks import desk_assign, group_accounts_set
from backoffice.services.view_as import view_as_begin
from backoffice.tests.factories import REASON, browser, staff
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, utc_now
from brokerage.platform.policy_rules import SCOPES
from brokerage.platform.session_store import SessionStore, session_name
from compliance.models import KycDocument, KycProposal, ScreeningHit
from compliance.services.documents import document_add, link_make
from compliance.tests.factories import case_filled
from marketdata.services.seed import reference_seed
from risk.models import Position
from tests.conftest_engine import forget_caches
from tests.payouts import destination
from trading.models import Execution, FallbackRequest, Order
from trading.selectors.shapes import order_public_id

#: Marks everything that is the first client's own, so that one word finds it in a body.
SECRET = "Annabella-of-Ely"
CLIENT_ORDER_ID = "annas-first"


@dataclass
class Actor:
    """Somebody who sends requests. ``permissions`` is None for everybody who is no staff."""

    name: str
    user: User | None = None
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    signer: Signer | None = None
    account: TradingAccount | None = None
    role_in_theirs: str = ""
    permissions: frozenset[str] | None = None
    superuser: bool = False
    factor: bool = True
    proof: bool = True
    looking: bool = False

    def may(self, permission: str) -> bool:
        """True for staff with a permission."""
        return self.superuser or (self.permissions is not None and (not permission or permission in self.permissions))

    @property
    def is_staff(self) -> bool:
        return self.superuser or self.permissions is not None

    @property
    def scope(self) -> str:
        return self.signer.key.scopes[0] if self.signer else ""

    def call(self, method: str, path: str, body: Any = None, *, form: Any = None, query: str = "") -> Any:
        """Send a request: ``body`` as JSON, ``form`` as a page sends it."""
        url = f"{path}?{query}" if query else path
        factory = RequestFactory()
        factory.cookies = SimpleCookie(self.cookies)
        if form is not None:
            return _sent(getattr(factory, method.lower())(url, form, headers=self.headers))
        raw = b"" if body is None else json.dumps(body).encode()
        headers = dict(self.headers)
        if self.signer is not None:
            headers |= self.signer.headers(method, path, query, raw)
        return _sent(factory.generic(method, url, raw, content_type="application/json", headers=headers))


@cache_once
def _handler() -> ClientHandler:
    # One for all requests: a test client of its own would build every middleware anew each time.
    return ClientHandler(enforce_csrf_checks=False)


def _sent(request: Any) -> Any:
    return _handler()(request.environ)


@dataclass
class World:
    """The cast, and what there is."""

    actors: dict[str, Actor]
    theirs: TradingAccount
    things: dict[str, Any]

    def undo_caches(self) -> None:
        """After a rolled back write: nothing of it may be remembered by the process or by Valkey."""
        forget_caches()
        sessions_forget()
        keys = [actor.cookies.get(settings.SESSION_COOKIE_NAME, "") for actor in self.actors.values()]
        cache.delete_many([SessionStore.cache_key_prefix + session_name(key) for key in keys if key])


def _client(name: str, *, verified: bool = True) -> tuple[User, TradingAccount]:
    user = User.objects.create_user(
        f"{name}@example.test", "Correct-Horse-2026", display_name=name, country="GB",
        kyc_tier=2 if verified else 0, trading_allowed=verified,
    )  # fmt: skip
    disclosures_accept(user=user, codes=list(trading_policy().disclosures))
    return user, _active(account_open(user=user))


def _active(account: TradingAccount) -> TradingAccount:
    account.status = TradingAccount.Status.ACTIVE
    if account.kind == TradingAccount.Kind.ENTITY:
        account.entity_tier, account.entity_allowed = 2, True
    account.save(update_fields=["status", "entity_tier", "entity_allowed"])
    return account


def _signed_in(user: User, *, factor: bool = False, proof: bool = True) -> dict[str, str]:
    client = browser(user, factor=factor)
    session = client.session
    row = session_begin(user=user, method="password", ip="127.0.0.1", user_agent="")
    session[SESSION_ID] = str(row.pk)
    if proof:
        session[PROOF] = {"at": SYSTEM_CLOCK.now_ns() // NS_PER_S, "method": "password", "strong": factor}
    session.save()
    return {settings.SESSION_COOKIE_NAME: session.session_key}


def world_make() -> World:
    """Make everybody. Everything is in one transaction of the test."""
    reference_seed(demo=True)
    anna, _ = _client("anna")
    User.objects.filter(pk=anna.pk).update(display_name=SECRET)
    anna.refresh_from_db()
    theirs = _active(account_open(user=anna, kind="entity", name=f"{SECRET} Ltd"))
    actors = {"visitor": Actor("visitor")}

    # Clients have a second factor: money goes out with one only.
    def client(name: str, role: str = "", *, verified: bool = True) -> Actor:
        user, account = _client(name, verified=verified)
        if role:
            TradingAccountMember.objects.create(account=theirs, user=user, role=role)
        return Actor(name, user, _signed_in(user, factor=True), account=account, role_in_theirs=role)

    actors["owner"] = Actor("owner", anna, _signed_in(anna, factor=True), account=theirs, role_in_theirs="owner")
    actors["owner, proof too old"] = Actor(
        "owner, proof too old", anna, _signed_in(anna, proof=False), account=theirs, role_in_theirs="owner", proof=False
    )
    actors["stranger"] = client("stranger")
    actors["unverified"] = client("unverified", verified=False)
    actors["trader"] = client("trader", "trader")
    actors["viewer"] = client("viewer", "viewer")
    token = family_begin(user=anna)["access"]
    actors["owner by token"] = Actor(
        "owner by token", anna, headers={"Authorization": f"Bearer {token}"}, account=theirs, role_in_theirs="owner"
    )
    for scope in SCOPES:
        signer = key_of(anna, scope, networks=["127.0.0.1"], expires_in_days=1)
        actors[f"key: {scope}"] = Actor(f"key: {scope}", anna, signer=signer, account=theirs, role_in_theirs="owner")
    people = {role: staff(role) for role in ROLES}
    for role, person in people.items():
        actors[role] = Actor(role, person, _signed_in(person, factor=True), permissions=ROLES[role])
    root = staff(superuser=True)
    actors["superuser"] = Actor("superuser", root, _signed_in(root, factor=True), superuser=True)
    bare = staff("administrator", "compliance")
    both = ROLES["administrator"] | ROLES["compliance"]
    actors["staff without factor"] = Actor(
        "staff without factor", bare, _signed_in(bare), permissions=both, factor=False
    )
    things = _things(anna, theirs, people, actors)
    looker = staff("support")
    cookies = _signed_in(looker, factor=True)
    _look(looker, cookies, anna)
    actors["support, looking as the owner"] = Actor(
        "support, looking as the owner", looker, cookies, account=theirs, role_in_theirs="owner",
        permissions=ROLES["support"], looking=True,
    )  # fmt: skip
    world = World(actors, theirs, things)
    world.undo_caches()
    return world


def _look(looker: User, cookies: dict[str, str], client: User) -> None:
    request: Any = RequestFactory().post("/desk")
    request.user = looker
    request.session = SessionStore(cookies[settings.SESSION_COOKIE_NAME])
    view_as_begin(request=request, client_id=client.pk, reason=REASON, minutes=30)
    request.session.save()


def _things(anna: User, theirs: TradingAccount, people: dict[str, User], actors: dict[str, Actor]) -> dict[str, Any]:
    """What requests can name: the first client's and staff's, by the name of the thing."""
    core, now = theirs.core_account, utc_now()
    order = Order.objects.create(
        order_id=4711, entry_seq=4711, seq=4711, core_account=core, core_instrument=1, cl_ord_id=CLIENT_ORDER_ID, side=1,
        ord_type=2, time_in_force=1, price=6_400_000, order_qty=5, leaves_qty=4, cum_qty=1, ord_status=0,
        created_ns=10**18, updated_ns=10**18,
    )  # fmt: skip
    fill = Execution.objects.create(
        exec_id=4712, order_id=4711, contra_order_id=0, core_account=core, core_instrument=1, side=1, last_px=6_400_000,
        last_qty=1, fee=1, fee_core_asset=1, liquidity="t", leaves_qty=4, cum_qty=1, cmd_seq=1, time_ns=10**18,
    )  # fmt: skip
    # As the projector would have it after the fill: a statement of the account is refused otherwise.
    Position.objects.create(core_account=core, core_instrument=1, net=1, cost=6_400_000, seq=4712)
    # ... and in the ledger: dollars for bitcoin, and the fee. Tax documents compare over the whole life of an account.
    for leg, asset, amount, kind in ((0, 1, -6_400_000, 1), (1, 4, 10_000, 1), (2, 1, -1, 2)):
        LedgerEntry.objects.create(
            id=4712 * 16 + leg, entry_seq=4712, cmd_seq=1, leg=leg, book=1, core_account=core, core_asset=asset, amount=amount, kind=kind,
            ref_id=4712, time_ns=10**18,
        )  # fmt: skip
    Balance.objects.create(core_account=core, core_asset=4, available=10_000, held=0, seq=1)
    balance = Balance.objects.create(core_account=core, core_asset=1, available=987_654_321 - 6_400_001, held=0, seq=1)
    entry = LedgerEntry.objects.create(
        id=4713 * 16, entry_seq=4713, cmd_seq=1, leg=0, book=1, core_account=core, core_asset=1, amount=987_654_321,
        kind=4, time_ns=10**18,
    )  # fmt: skip
    case = case_filled(anna)
    document = document_add(user=anna, kind="passport", data=picture(), expires_on=(now + timedelta(days=400)).date())
    hit = ScreeningHit.objects.create(
        case=case, source="made-up", ent_num=1, listed_name="Anna Ely", score=91, party_digest="0" * 64
    )
    proposal = KycProposal.objects.create(
        case=case, decision="approved", reason_code="identity_proven", note="", maker=people["risk"]
    )
    invitation = Invitation.objects.create(
        account=theirs, email="guest@example.test", role="viewer", invited_by=anna, created_at=now,
        expires_at=now + timedelta(days=7),
    )  # fmt: skip
    group = ClientGroup.objects.create(name="Ely", desk=Desk.objects.create(name="Fens"))
    group_accounts_set(group=group, accounts=[theirs])
    desk_assign(user=people["dealer"], place=group)
    approval = approval_request(
        maker=people["senior dealer"], kind="account_state", subject=theirs.number, payload={"state": "halted"},
        reason=REASON,
    )  # fmt: skip
    saved = destination(anna, theirs.number, holder=theirs.name)
    payout = Withdrawal.objects.create(
        id="0" * 25 + "1", account=theirs, beneficiary=saved, requested_by=anna, asset="USD", amount=5_000_000, status="held", hold_id=1,
        created_at=now, created_ns=10**18,
    )  # fmt: skip
    asked = _asked(theirs, anna, "1")
    passkey = Passkey.objects.create(
        user=anna, name="key", confirmed=False, credential_id=b"c", public_key=b"k", rp_id="testserver", created_at=now
    )
    device = push_device_add(user=anna, token="token-of-annas-device", name=SECRET)
    export = DataExport.objects.create(user=anna, created_at=now, expires_at=now + timedelta(days=1))
    export_build(export_id=str(export.pk))
    family = family_begin(user=anna)
    return {
        "order_id": order_public_id(order.order_id),
        "client_order_id": CLIENT_ORDER_ID,
        "session_id": str(session_begin(user=anna, method="password", ip="127.0.0.1", user_agent="").pk),
        "family_id": str(_family_of(family)),
        "key_id": str(key_of(anna, "read").key.pk),
        "fix_key_id": str(fix_key_create(user=anna, account=theirs.number, name="desk", scopes=["read"])[0].pk),
        "export_id": str(export.pk),
        "passkey": str(passkey.uid),
        "device_id": str(device.pk),
        "member_id": str(actors["viewer"].user.pk),  # type: ignore[union-attr]
        "invitation_id": str(invitation.pk),
        "invitation": invitation_secret_make(invitation=invitation),
        "document": link_make(document, anna),
        "document_id": str(document.pk),
        "case_id": str(case.pk),
        "hit_id": str(hit.pk),
        "proposal_id": proposal.pk,
        "approval_id": approval.pk,
        "withdrawal_id": payout.pk,
        "beneficiary_id": saved.pk,
        "user_id": str(people["support"].pk),
        "request_id": asked.pk,
        "unassigned_request": _asked(actors["stranger"].account, actors["stranger"].user, "2").pk,
        "unassigned": actors["stranger"].account.number,  # type: ignore[union-attr]
        "rows": {
            "accounts.balance": balance.pk, "accounts.ledgerentry": entry.pk, "accounts.tradingaccount": theirs.pk,
            "accounts.withdrawal": payout.pk,
            "accounts.tradingaccountmember": TradingAccountMember.objects.get(role="viewer").pk, "accounts.user": anna.pk,
            "backoffice.approval": approval.pk, "backoffice.clientgroup": group.pk, "trading.order": order.pk,
            "trading.execution": fill.pk,
        },
    }  # fmt: skip


def _asked(account: Any, user: Any, number: str) -> FallbackRequest:
    """A request to the desk."""
    return FallbackRequest.objects.create(
        account=account, requested_by=user, key=number, uid=number * 26, kind="close", core_instrument=1, side=2, qty=1, created_at=utc_now(),
    )  # fmt: skip


def _family_of(pair: dict[str, Any]) -> Any:
    from brokerage.platform.tokens import token_check

    return token_check(pair["access"], "access").family


def picture() -> bytes:
    """A small photograph."""
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.effect_noise((640, 480), 60).convert("RGB").save(out, "JPEG")
    return out.getvalue()


def nobody() -> str:
    """An id of nothing."""
    return str(uuid4())


__all__ = ["CLIENT_ORDER_ID", "SECRET", "Actor", "KycDocument", "World", "nobody", "picture", "world_make"]
