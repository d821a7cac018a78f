"""Every caller x every route x every method x whose object it is, against the real application and database, as the one table says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction
from django.template.base import Template
from django.test.utils import _TestState
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.services.step_up import FRESH_S
from backoffice.middleware import is_staff_path
from brokerage.config import get_config
from brokerage.platform import embed, web
from brokerage.platform.policy import ADMIN, PAGES, REST, ROUTES, Row
from brokerage.platform.policy_rules import ANYBODY, CLIENT, DEAL, LOOK, NOBODY, OWN, SHARED
from tests.authorization import expect
from tests.authorization.samples import request_for
from tests.authorization.world import Actor, World, world_make

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Pages that are not served here whatever the caller: the demo's mails, the page of parts (debugging only), providers not set up.
NOT_HERE = {
    "demo-mail",
    "styleguide",
    "openid_connect_login",
    "openid_connect_callback",
    "api-unknown",
}
#: What a page says 404 to by itself: no checkpoint was signed yet, an address nobody serves, a link that does not work.
MAY_BE_AWAY = {
    "audit-entry", "audit-proof", "audit-proofs", "audit-pdf", "audit-record-pdf",
    "api-audit-checkpoint", "api-audit-consistency", "api-audit-entry", "api-audit-inclusion", "api-audit-export",
    "admin:django.contrib.admin.sites.catch_all_view", "social-unlink",
    "confirm", "recover-set", "email-old", "email-new", "freeze", "api-onboarding-step", "second-step", "desk-role-end", "invitation",
}  # fmt: skip
#: What ends in being signed out, or sends whoever has not begun to the beginning.
TO_SIGN_IN = {"admin:logout", "signout", "freeze-own", "close", "second-step", "recover-set"}
#: What refuses by itself whoever came through the door: an invitation is for its address (2043), an empty answer is no passkey's (2038),
#: recovery codes need an authenticator (2035), frames ask for their own token and origin.
BY_ITSELF = {
    ("invitation", "POST"), ("passkey-use", "POST"), ("passkey-register", "POST"), ("recovery-codes", "POST"), ("embed-portfolio", "GET"),
    ("embed-session", "POST"), ("embed-data", "GET"),
}  # fmt: skip
#: Where a page itself asks those who have a second factor for a fresh one; without a factor it opens.
PROVES_BY_ITSELF = {("profile-api-keys", "GET"), ("profile-fix-keys", "GET")}
REFUSED = {expect.FORBIDDEN, expect.SIGN_IN, expect.NOT_THERE}
#: Callers that differ nowhere in the administration from one that is asked.
NOT_IN_ADMIN = {
    "owner, proof too old", "stranger", "unverified", "trader", "viewer", "key: read", "key: trade", "key: withdraw", "owner by token",
    "support, looking as the owner",
}  # fmt: skip


def routes() -> Iterator[tuple[str, str, list[str]]]:
    """(name, pattern, parameters) of every HTTP route."""

    def walk(patterns: Any, prefix: str, spaces: list[str]) -> Iterator[tuple[str, str, list[str]]]:
        for entry in patterns:
            pattern = prefix + str(entry.pattern)
            if isinstance(entry, URLResolver):
                inner = [*spaces, entry.namespace] if entry.namespace else spaces
                yield from walk(entry.url_patterns, pattern, inner)
            elif isinstance(entry, URLPattern):
                # As ResolverMatch names what has no name.
                view = getattr(entry.callback, "view_class", entry.callback)
                name = entry.name or f"{view.__module__}.{view.__name__}"
                yield ":".join([*spaces, name]), pattern, list(entry.pattern.regex.groupindex)

    yield from walk(get_resolver().url_patterns, "", [])


PARAMETERS = {name: parameters for name, _, parameters in routes()}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert set(PARAMETERS) == set(ROUTES)


def test_every_rest_route_says_which_methods_it_has() -> None:
    for name, pattern, _ in routes():
        if not pattern.startswith("api/v1/") or name in {"api-unknown", "api-onboarding-webhook"}:
            continue
        assert name in REST, name
    views = {name: entry for name, entry in _views() if hasattr(entry, "view_class")}
    for name, view in views.items():
        if name in REST and name != "api-unknown":
            has = {method for method in METHODS if hasattr(view.view_class, method.lower())}
            assert has == set(REST[name]), name
            open_to_all = not view.view_class.authentication_classes
            assert not open_to_all or {rule.who for rule in REST[name].values()} == {ANYBODY}, name


def _views() -> Iterator[tuple[str, Any]]:
    def walk(patterns: Any) -> Iterator[tuple[str, Any]]:
        for entry in patterns:
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns)
            else:
                yield str(entry.name), entry.callback

    yield from walk(get_resolver().url_patterns)


@pytest.fixture
def world(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    # Nobody looks at contexts here: templates render as in production, which is faster.
    monkeypatch.setattr(Template, "_render", _TestState.saved_data.template_render)
    partners = replace(get_config(), embed_partners=(("partner", ("https://partner.example",)),))
    for module in (web, embed):
        monkeypatch.setattr(module, "get_config", lambda: partners)
    settings.API_RATE_SCALE = 10_000
    settings.STAFF_SECOND_FACTOR = True
    # The proofs given when the cast was made last for the whole run; callers with "proof too old" have none at all.
    monkeypatch.setitem(FRESH_S, "withdrawal", 3_600)
    monkeypatch.setitem(FRESH_S, "beneficiary", 3_600)
    return world_make()


def targets(route: str, rule: Any, actor: Actor, world: World) -> Iterator[tuple[str, str]]:
    """(whose, account number) that a request can be about."""
    if rule.of in {LOOK, DEAL, OWN}:
        yield "theirs", world.theirs.number
        yield "none", "ZZZZZZ"
        # Of their own account a caller has no order, member or invitation to name.
        only_account = set(PARAMETERS[route]) <= {"number", "symbol"}
        if actor.account is not None and actor.account != world.theirs and only_account:
            yield "own", actor.account.number
    elif rule.of == CLIENT:
        yield "theirs", world.theirs.number
        yield "unassigned", world.things["unassigned"]
        yield "none", "ZZZZZZ"
    elif rule.of and rule.of != SHARED:
        yield "theirs", world.theirs.number
        yield "none", "ZZZZZZ"
    else:
        yield "theirs", world.theirs.number


def one(actor: Actor, route: str, method: str, rule: Any, target: str, number: str, world: World) -> tuple[str, str]:
    """(what must happen, what did)."""
    asked = request_for(route, method, world, target, number, PARAMETERS[route])
    want = expect.wanted(
        actor, rule, method, target, rest=route in REST, staff_path=is_staff_path(asked.path), also=asked.also
    )
    answer = actor.call(method, asked.path, asked.body, form=asked.form, query=asked.query)
    if method != "GET" and getattr(answer, "streaming", False):
        b"".join(answer.streaming_content)
    return want, expect.happened(answer)


def matrix(rows: dict[str, Row], world: World, leave_out: set[str]) -> tuple[Counter[str], list[str]]:
    """Run the cells of these rows; (how many had each outcome, what was wrong)."""
    counted: Counter[str] = Counter()
    wrong: list[str] = []
    for route, row in rows.items():
        for method, rule in (row or {"GET": NOBODY}).items():
            for actor in world.actors.values():
                if actor.name in leave_out:
                    continue
                for target, number in targets(route, rule, actor, world):
                    with transaction.atomic():
                        want, got = one(actor, route, method, rule, target, number, world)
                        transaction.set_rollback(True)
                    if method != "GET":
                        world.undo_caches()
                    if route in NOT_HERE:
                        want = expect.NOT_THERE if want == expect.ALLOWED or route == "api-unknown" else want
                    elif route in MAY_BE_AWAY and want == expect.ALLOWED and got == expect.NOT_THERE:
                        got = expect.ALLOWED
                    if route == "api-onboarding-webhook" and want == expect.ALLOWED:
                        want = expect.SIGN_IN  # no genuine signature
                    if route == "signout" and actor.looking:
                        want = expect.ALLOWED
                    if want == expect.ALLOWED and (
                        (route in TO_SIGN_IN and got == expect.SIGN_IN)
                        or ((route, method) in BY_ITSELF and got in REFUSED)
                        or ((route, method) in PROVES_BY_ITSELF and got == expect.PROVE)
                    ):
                        got = expect.ALLOWED
                    counted[got] += 1
                    if want != got:
                        wrong.append(f"{method} {route} by {actor.name}, object {target}: {got}, the table says {want}")
    return counted, wrong


def judged(counted: Counter[str], wrong: list[str], at_least: int) -> None:
    print(f"{sum(counted.values())} cells: {dict(counted)}")
    assert not wrong, f"{len(wrong)} of {sum(counted.values())} cells:\n" + "\n".join(wrong[:200])
    assert sum(counted.values()) >= at_least


def test_rest(world: World) -> None:
    judged(*matrix(REST, world, set()), at_least=1_800)


def test_pages(world: World) -> None:
    judged(*matrix(PAGES, world, {"key: trade", "key: withdraw"}), at_least=2_000)


def test_administration(world: World) -> None:
    judged(*matrix(ADMIN, world, NOT_IN_ADMIN), at_least=2_000)


def test_what_a_route_does_not_have_is_open_to_nobody(world: World) -> None:
    """Methods without a cell: the strongest and the weakest caller, everywhere."""
    wrong, cells = [], 0
    for route, row in ROUTES.items():
        for method in set(METHODS) - set(row):
            for name in ("visitor", "owner", "superuser"):
                asked = request_for(route, method, world, "theirs", world.theirs.number, PARAMETERS[route])
                with transaction.atomic():
                    answer = world.actors[name].call(method, asked.path, {}, query=asked.query)
                    transaction.set_rollback(True)
                got = expect.happened(answer)
                cells += 1
                if (
                    got not in {expect.METHOD, expect.NOT_THERE, expect.FORBIDDEN, expect.SIGN_IN}
                    and answer.status_code != 400
                ):
                    wrong.append(f"{method} {route} by {name}: {got} {answer.status_code}")
    print(f"{cells} cells of methods that are not there")
    assert wrong == []


def test_a_route_without_a_row_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ROUTES, "portfolio")
    monkeypatch.delitem(ROUTES, "api-balances")
    owner = world.actors["owner"]
    assert owner.call("GET", "/portfolio").status_code == 403
    assert owner.call("GET", "/api/v1/balances").status_code == 403
