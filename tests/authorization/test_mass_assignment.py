"""Posting what was never offered: every column of every table of ours, sent to every route that writes; nothing but what is declared changes.

The columns come from the models themselves, so a new one is tried without a line here. Changes are looked for in the database: each row that was
there before, column by column.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.apps import apps
from django.db import models, transaction
from django.template.base import Template
from django.test.utils import _TestState

from brokerage.platform.policy import REST, ROUTES
from brokerage.platform.policy_rules import LINK, STAFF, USER, Rule
from tests.authorization.samples import request_for
from tests.authorization.test_matrix import PARAMETERS
from tests.authorization.world import Actor, World, world_make

OURS = ("accounts", "backoffice", "compliance", "marketdata", "risk", "trading", "platform")
#: Written by the machine itself when anybody comes: when a session, a key or a sign-in was used last, what waits to be recorded, steps of counters.
NOT_THE_CALLER = {
    "accounts.usersession", "accounts.knowndevice", "accounts.loginevent", "platform.auditpending", "platform.outboxevent", "accounts.tokenfamily",
    "accounts.apikey", "accounts.fixkey", "accounts.refreshtoken",
}  # fmt: skip


def tables() -> list[type[models.Model]]:
    """Our tables with rows of somebody."""
    return [
        model
        for model in apps.get_models()
        if model._meta.app_label in OURS and model._meta.managed and model._meta.label_lower not in NOT_THE_CALLER
    ]


def columns() -> list[models.Field[Any, Any]]:
    """Every column there is."""
    return [field for model in tables() for field in model._meta.concrete_fields]


def tried(field: models.Field[Any, Any], world: World) -> Any:
    """A value of the kind of the column that would do harm."""
    if isinstance(field, models.BooleanField):
        return True
    if isinstance(field, models.ForeignKey):
        stranger = world.actors["stranger"]
        return str(stranger.user.pk if field.related_model._meta.model_name == "user" else 1)  # type: ignore[union-attr]
    if isinstance(field, models.IntegerField | models.DecimalField):
        return 7
    if isinstance(field, models.DateTimeField):
        return "2031-01-01T00:00:00Z"
    if isinstance(field, models.DateField):
        return "2031-01-01"
    if isinstance(field, models.UUIDField):
        return "6f3f1f7e-0000-4000-8000-000000000001"
    if field.choices:
        return next(iter(dict(field.flatchoices)))
    return "intruder"


def picture_of_everything() -> dict[tuple[str, Any], dict[str, Any]]:
    """(table, key) -> columns of every row."""
    found: dict[tuple[str, Any], dict[str, Any]] = {}
    for model in tables():
        key = model._meta.pk.attname if not isinstance(model._meta.pk, models.CompositePrimaryKey) else None
        for row in model._base_manager.values():
            found[model._meta.label_lower, row[key] if key else tuple(row.values())[:2]] = {
                name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()
            }
    return found


def writes() -> list[tuple[str, str, Rule]]:
    """Every route and method that may write for somebody signed in."""
    return [
        (name, method, rule)
        for name, row in ROUTES.items()
        for method, rule in row.items()
        if method != "GET" and rule.who in {USER, STAFF} and rule.of != LINK
    ]


@pytest.fixture
def world(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    # Nobody looks at contexts here: templates render as in production, which is faster.
    monkeypatch.setattr(Template, "_render", _TestState.saved_data.template_render)
    settings.API_RATE_SCALE = 10_000
    settings.STAFF_SECOND_FACTOR = True
    return world_make()


def caller(world: World, rule: Rule) -> Actor:
    """Whoever may most."""
    return world.actors["superuser" if rule.who == STAFF else "owner"]


def test_an_empty_request_with_every_column_changes_nothing(world: World) -> None:
    """The columns alone, without anything that the route asks for: what changes all the same was taken from them."""
    extra = {field.name: tried(field, world) for field in columns()}
    extra |= {field.attname: tried(field, world) for field in columns()}
    before, cells, wrong = picture_of_everything(), 0, []
    for name, method, rule in writes():
        asked = request_for(name, method, world, "theirs", world.theirs.number, PARAMETERS[name])
        actor = caller(world, rule)
        with transaction.atomic():
            # What the same request does without them is the measure.
            _send(actor, name, method, asked.path, {}, asked.query)
            plain = _changes(before)
            transaction.set_rollback(True)
        world.undo_caches()
        with transaction.atomic():
            answer = _send(actor, name, method, asked.path, extra, asked.query)
            loaded = _changes(before)
            transaction.set_rollback(True)
        world.undo_caches()
        assert answer.status_code < 500 or answer.status_code == 503, (name, method, answer.content[:300])
        cells += len(extra)
        more = {place for place in loaded - plain if place[1] not in DECLARED.get(name, ())}
        if more:
            wrong.append((name, method, sorted(more)))
    print(f"{cells} columns tried on {len(writes())} writes")
    assert wrong == []
    assert cells >= 5_000


#: What a form or body of these declares; columns of the same name are what it is for, and change.
DECLARED: dict[str, tuple[str, ...]] = {
    "profile": ("display_name", "time_zone"),
    "admin:accounts_user_change": ("display_name", "country", "time_zone", "is_active"),
    "admin:marketdata_instrument_change": (
        "name", "asset_class", "venue_id", "isin", "min_qty", "max_qty", "max_notional", "maker_ppm", "taker_ppm", "margin_ppm", "collar_ppm",
    ),
    # These ask for nothing but columns of such names, so the act itself is done: a hit answered, a role ended, a desk and a group made.
    "kyc-hit": ("+", "risk_band", "risk_parts", "risk_score", "updated_at", "decided_by_id", "reason", "state"),
    "desk-role-end": ("is_staff",),
    "admin:backoffice_clientgroup_add": ("+",),
    "admin:backoffice_desk_add": ("+",),
    "admin:backoffice_desk_change": ("name",),
    "admin:backoffice_clientgroup_change": ("name", "desk_id"),
}  # fmt: skip


def _send(actor: Actor, name: str, method: str, path: str, values: dict[str, Any], query: str) -> Any:
    if name in REST:
        return actor.call(method, path, values, query=query)
    flat = {key: "on" if value is True else str(value) for key, value in values.items()}
    return actor.call("POST", path, form=flat, query=query)


def _changes(before: dict[tuple[str, Any], dict[str, Any]]) -> set[tuple[str, str]]:
    """(table, column) of rows that were there and differ or are gone; new rows of a table as (table, "+")."""
    after = picture_of_everything()
    changed = {(place[0], "-") for place in before if place not in after} | {
        (place[0], "+") for place in after if place not in before
    }
    for place, row in before.items():
        now = after.get(place, row)
        changed |= {(place[0], column) for column, value in row.items() if now[column] != value}
    return changed


def test_json_bodies_refuse_each_column_by_name(world: World) -> None:
    """A valid body with one more field is refused for that field (1010), whichever column it is; so nothing of it was taken."""
    owner, cells = world.actors["owner"], 0
    bodies: dict[tuple[str, str], dict[str, Any]] = {
        ("PATCH", "/api/v1/profile"): {"display_name": "Anna"},
        ("POST", "/api/v1/ws-ticket"): {"account": world.theirs.number},
        ("POST", "/api/v1/orders/cancel-all"): {"account": world.theirs.number},
        ("POST", "/api/v1/orders/preview"): {
            "symbol": "SOL-USD",
            "side": "buy",
            "type": "limit",
            "qty": "1",
            "price": "100",
        },
        ("POST", "/api/v1/orders"): {"symbol": "SOL-USD", "side": "buy", "type": "limit", "qty": "1", "price": "100"},
        ("PATCH", f"/api/v1/orders/{world.things['order_id']}"): {"account": world.theirs.number, "qty": "2"},
        ("POST", "/api/v1/api-keys"): {"name": "more", "scopes": ["read"]},
        ("POST", "/api/v1/fix-keys"): {"name": "more", "scopes": ["read"]},
        ("POST", "/api/v1/onboarding/appeal"): {"text": "Please look at it again, thank you."},
        ("POST", "/api/v1/withdrawals"): {"beneficiary_id": world.things["beneficiary_id"], "amount": "1"},
        ("POST", "/api/v1/beneficiaries"): {"holder": "Anna", "iban": "GB29NWBK60161331926819"},
        ("PUT", "/api/v1/onboarding/steps/bank"): {"holder": "Anna", "iban": "GB29NWBK60161331926819"},
    }
    known = {
        "account", "symbol", "side", "type", "qty", "price", "client_order_id", "name", "scopes", "networks", "display_name", "country", "time_zone",
        "text", "holder", "iban", "expected_version", "time_in_force", "post_only", "reduce_only", "stp", "expire_at", "expires_in_days",
    }  # fmt: skip
    names = sorted({field.name for field in columns()} | {field.attname for field in columns()})
    for (method, path), body in bodies.items():
        for name in names:
            if name in known or (path.endswith("/withdrawals") and name in {"asset", "amount", "beneficiary_id"}):
                continue
            with transaction.atomic():
                answer = owner.call(method, path, {**body, name: True})
                transaction.set_rollback(True)
            cells += 1
            document = json.loads(answer.content)
            assert (answer.status_code, document["code"]) == (400, 1010), (method, path, name, document)
            fields = {document.get("field")} | {error["field"] for error in document.get("errors", ())}
            assert name in fields, (method, path, name, document)
    print(f"{cells} fields refused by name")
    assert cells >= 1_000
