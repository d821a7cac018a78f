"""The rows that are no HTTP routes: topics of the WebSockets, tables and actions of the administration, for every caller."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import RequestFactory

from brokerage.kernel.errors import RejectedError
from brokerage.platform.auth import ticket_issue
from brokerage.platform.policy import ADMIN_ACTIONS, ADMIN_TABLES, TOPICS
from brokerage.platform.policy_rules import ANYBODY, LOOK
from brokerage.routing import websocket_urlpatterns
from marketdata.candles import FRAME_SECONDS
from marketdata.consumers import parse_topic
from tests.authorization.test_matrix import world  # noqa: F401 - the fixture
from tests.authorization.world import World
from trading.consumers import _identify

SYMBOLS = frozenset({"BTC-USD"})


def test_every_websocket_has_a_row_and_every_row_a_websocket() -> None:
    assert {str(route.pattern) for route in websocket_urlpatterns} == set(TOPICS)


def test_only_kinds_with_a_row_can_be_subscribed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    market = TOPICS["ws/v1/market"]
    names = {
        kind: "quotes"
        if kind == "quotes"
        else f"{kind}:BTC-USD" + (f":{next(iter(FRAME_SECONDS))}" if kind == "candles" else "")
        for kind in market
    }
    for kind, name in names.items():
        assert market[kind].who == ANYBODY
        found = parse_topic(name, SYMBOLS)
        assert isinstance(found, tuple), name
        assert found[0] == kind
    for name in ("account:A1", "orders:BTC-USD", "priv:1", "rev:1", "balances", ""):
        assert isinstance(parse_topic(name, SYMBOLS), dict), name
    monkeypatch.setattr("marketdata.consumers.KINDS", frozenset({"quotes"}))
    assert isinstance(parse_topic("book:BTC-USD", SYMBOLS), dict)


def test_private_streams_by_caller_and_account(world: World) -> None:  # noqa: F811
    assert TOPICS["ws/v1/private"]["account"].of == LOOK
    cells, wrong = 0, []
    for actor in world.actors.values():
        if actor.user is None:
            continue
        for target, number in (
            ("theirs", world.theirs.number),
            ("unassigned", world.things["unassigned"]),
            ("none", "ZZZZZZ"),
        ):
            own = actor.account is not None and actor.account.number == number
            role = actor.role_in_theirs if target == "theirs" else "owner" if own else ""
            # The ticket route has cells of its own; here a ticket for any account is tried, as if it had been given.
            for said in (
                {"op": "auth", "ticket": ticket_issue(actor.user, number)},
                {"op": "auth", "ticket": ticket_issue(actor.user), "account": number},
            ):
                try:
                    given = _identify(said, "127.0.0.1").account.number == number
                except RejectedError:
                    given = False
                cells += 1
                # Who looks as a client gets no ticket of theirs: it is they themselves who would be asked about.
                wanted = bool(role) and not actor.looking
                if given != wanted:
                    wrong.append((actor.name, target, given))
    print(f"{cells} cells of private streams")
    assert wrong == []
    assert cells >= 120


def test_the_administration_has_a_row_for_every_table_and_action() -> None:
    tables = {model._meta.label_lower: site for model, site in admin.site._registry.items()}
    assert set(tables) == set(ADMIN_TABLES)
    for label, site in tables.items():
        declared = {
            name
            for name, *_ in (
                (action, None) if isinstance(action, str) else (action.__name__, None) for action in site.actions
            )
        }
        assert declared == set(ADMIN_ACTIONS.get(label, {})), label


def test_tables_and_actions_by_member_of_staff(world: World) -> None:  # noqa: F811
    cells, wrong = 0, []
    for model, site in admin.site._registry.items():
        label = model._meta.label_lower
        app, name = label.split(".")
        for actor in world.actors.values():
            if not actor.is_staff or actor.looking:
                continue
            request: Any = RequestFactory().get("/")
            request.user = type(actor.user).objects.get(pk=actor.user.pk)  # type: ignore[union-attr]
            for verb in ("view", "add", "change", "delete"):
                wanted = verb in ADMIN_TABLES[label] and actor.may(f"{app}.{verb}_{name}")
                cells += 1
                if bool(getattr(site, f"has_{verb}_permission")(request)) != wanted:
                    wrong.append((label, actor.name, verb))
            offered = set(site.get_actions(request))
            allowed = {action for action, permission in ADMIN_ACTIONS.get(label, {}).items() if actor.may(permission)}
            cells += len(ADMIN_ACTIONS.get(label, {})) + 1
            if offered != allowed:
                wrong.append((label, actor.name, f"{sorted(offered)} not {sorted(allowed)}"))
    print(f"{cells} cells of the administration")
    assert wrong == []
    assert cells >= 1_000
