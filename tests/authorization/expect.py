"""What the table says must happen to a caller: the other half of the matrix, which knows nothing of how the application does it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from accounts.services.step_up import STRONG
from brokerage.platform.policy_rules import (
    ANYBODY,
    APPROVAL,
    CLIENT,
    DEAL,
    LOOK,
    MINE,
    NONE,
    OWN,
    PERSON,
    SIGNED,
    STAFF,
    Rule,
)
from tests.authorization.world import Actor

ALLOWED, SIGN_IN, FORBIDDEN, NOT_THERE = "allowed", "sign in", "forbidden", "not there"
SCOPE, PROVE, FACTOR, LOOKING, UNVERIFIED, METHOD = "scope", "prove", "factor", "looking only", "unverified", "method"
#: 7050 is no decision about who may: nobody decides what they asked for themselves.
CODES = {
    7050: ALLOWED,
    2012: FORBIDDEN,
    2066: SCOPE,
    2091: FACTOR,
    2090: LOOKING,
    7010: UNVERIFIED,
    2034: PROVE,
    7019: FORBIDDEN,
}
#: Which member may do what with an account.
MEMBERS = {LOOK: {"owner", "trader", "viewer"}, DEAL: {"owner", "trader"}, OWN: {"owner"}}


def happened(answer: Any) -> str:
    """What an answer means; anything that is no decision about the caller is "allowed": the request came through the doors."""
    status = answer.status_code
    if status in {301, 302}:
        path = urlsplit(answer["Location"]).path
        if path == settings.LOGIN_URL:
            return SIGN_IN
        if path == reverse("step-up"):
            return PROVE if "next=" in answer["Location"] else ALLOWED
        return FACTOR if path == reverse("totp") and "next=" in answer["Location"] else ALLOWED
    if status == 401 and answer["Content-Type"].startswith("application/problem+json"):
        return FACTOR if json.loads(answer.content)["code"] == 2035 else SIGN_IN
    if status in {401, 404, 405}:
        return {401: SIGN_IN, 404: NOT_THERE, 405: METHOD}[status]
    if status == 403:
        if answer["Content-Type"].startswith("application/problem+json"):
            return CODES.get(json.loads(answer.content)["code"], FORBIDDEN)
        text = answer.content.decode()
        if "nothing can be changed" in text:
            return LOOKING
        return FACTOR if "second factor in this session" in text else FORBIDDEN
    # 503: the engine and the market's process do not run here, and were to be asked.
    if status >= 500 and status != 503:
        return f"fault {status}"
    return ALLOWED


def wanted(actor: Actor, rule: Rule, method: str, target: str, *, rest: bool, staff_path: bool, also: str = "") -> str:
    """What must happen."""
    if actor.looking and not staff_path:
        if method != "GET":
            return LOOKING
        if rule.step_up:
            return LOOKING
        # As the owner sees it; what is for staff is not for them.
        actor = Actor("looked at", actor.user, cookies=actor.cookies, account=actor.account, role_in_theirs="owner")
    if rule.who == ANYBODY:
        if rule.of == LOOK and actor.cookies:
            return _whose(actor, rule, target)
        return ALLOWED
    if actor.user is None or (not rest and not actor.cookies):
        return SIGN_IN
    if rule.who == NONE:
        if staff_path and not actor.is_staff:
            return FORBIDDEN
        return FACTOR if staff_path and not actor.factor else FORBIDDEN
    if staff_path and not actor.cookies:
        return SIGN_IN
    if actor.signer and rule.key != actor.scope:
        assert rule.key == PERSON or rule.key in {"read", "trade", "withdraw"}
        return SCOPE
    if rule.who == STAFF:
        if not actor.is_staff:
            return FORBIDDEN
        if not actor.factor:
            return FACTOR
        if not actor.may(rule.permission):
            return FORBIDDEN
    if rule.step_up in STRONG and not actor.factor:
        return FACTOR
    # A program proves itself with each request, and sends no code here.
    if rule.step_up and (not actor.proof or (rest and not actor.cookies)):
        return PROVE
    found = _whose(actor, rule, target)
    # The page looks the client up first, the API asks for the right first.
    return FORBIDDEN if also and not actor.may(also) and (rest or found == ALLOWED) else found


def _whose(actor: Actor, rule: Rule, target: str) -> str:
    if rule.of in MEMBERS:
        role = "owner" if target == "own" else actor.role_in_theirs if target == "theirs" else ""
        if not role:
            return NOT_THERE
        if role not in MEMBERS[rule.of]:
            return FORBIDDEN
        return UNVERIFIED if rule.verified and actor.name == "unverified" else ALLOWED
    if rule.of == MINE:
        return ALLOWED if target == "theirs" and actor.role_in_theirs == "owner" else NOT_THERE
    if rule.of == CLIENT:
        if target == "none":
            return NOT_THERE
        reach = actor.may("backoffice.view_all_clients") or (target == "theirs" and actor.name == "dealer")
        return ALLOWED if reach else NOT_THERE
    if rule.of == APPROVAL:
        sees = actor.may("backoffice.view_all_clients") and (
            actor.may("backoffice.request_account") or actor.may("backoffice.approve_account")
        )
        return ALLOWED if target == "theirs" and sees else NOT_THERE
    if rule.of == SIGNED:
        return ALLOWED if target == "theirs" and actor.role_in_theirs == "owner" else FORBIDDEN
    return ALLOWED
