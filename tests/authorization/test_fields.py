"""Fields by role: the table is what the application goes by, real answers hold no other field, and no other is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.template.base import Template
from django.test.utils import _TestState

from backoffice.fields import (
    RestFields,
    as_markdown,
    declared,
    document,
    names_in,
    names_of,
    rest_fields,
    table_fields,
)
from brokerage.platform.policy import REST
from brokerage.platform.policy_rules import ANYBODY, STAFF
from tests.architecture.test_tidy import ROOT
from tests.authorization.samples import request_for
from tests.authorization.test_matrix import PARAMETERS
from tests.authorization.world import World, world_make

#: Never in an answer, whoever asks: how a secret or a proof is kept.
NEVER = (
    "password",
    "sealed",
    "digest",
    "secret_sealed",
    "wrapped",
    "prev_hash_key",
    "session_key",
    "totp",
    "last_step",
)
#: Answers that are files.
FILES = {"api-orders-csv", "api-executions-csv", "api-ledger-csv", "api-withdrawals-csv", "api-audit-export", "api-account-statement-csv",
         "api-account-statement-pdf", "api-authority-report-file", "api-authority-report-rejects", "api-authority-report-pdf",
         "api-account-tax-csv", "api-account-tax-pdf"}  # fmt: skip
#: Answered with nothing, or by an address that is none.
EMPTY = {
    ("api-sign-in", "DELETE"), ("api-key", "DELETE"), ("api-fix-key", "DELETE"),
    ("api-push-device", "DELETE"), ("api-logout", "POST"), ("api-unknown", "GET"),
    ("api-onboarding-webhook", "POST"), ("api-beneficiary", "DELETE"),
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], RestFields]:
    return {(row.route, row.method): row for row in rest_fields()}


@pytest.fixture
def world(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(Template, "_render", _TestState.saved_data.template_render)
    settings.API_RATE_SCALE = 10_000
    settings.STAFF_SECOND_FACTOR = True
    return world_make()


def test_the_file_is_the_table() -> None:
    written = (ROOT / "docs" / "fields.md").read_text()
    assert written == as_markdown(), "fields came or went: look at them, then `manage.py field_table > docs/fields.md`"


def test_every_call_has_its_fields(rows: dict[tuple[str, str], RestFields]) -> None:
    assert set(rows) == {(route, method) for route, row in REST.items() for method in row}
    without = {key for key, row in rows.items() if not row.reads and row.route not in FILES}
    assert without == EMPTY
    assert all(row.roles for row in table_fields())


def test_no_table_shows_how_a_secret_is_kept(rows: dict[tuple[str, str], RestFields]) -> None:
    read = {name for row in rows.values() for name in row.reads} | {
        name for table in table_fields() for name in table.reads
    }
    last = {name.rpartition(".")[2] for name in read}
    assert last & set(NEVER) == set()


def answers(world: World, rows: dict[tuple[str, str], RestFields]) -> Iterator[tuple[str, RestFields, Any]]:
    """Every caller's good answers: all reads, and the writes whose sample is complete."""
    for (route, method), row in rows.items():
        if route in FILES:
            continue
        asked = request_for(route, method, world, "theirs", world.theirs.number, PARAMETERS[route])
        for actor in world.actors.values():
            with transaction.atomic():
                answer = actor.call(method, asked.path, asked.body, query=asked.query)
                transaction.set_rollback(True)
            world.undo_caches()
            if 200 <= answer.status_code < 300 and "json" in answer.get("Content-Type", ""):
                yield actor.name, row, json.loads(answer.content)


def test_real_answers_hold_only_declared_fields(world: World, rows: dict[tuple[str, str], RestFields]) -> None:
    wrong, seen, checked = set(), set(), 0
    for who, row, data in answers(world, rows):
        for name in names_in(data):
            checked += 1
            if not declared(name, row.reads):
                wrong.add((row.route, row.method, name, who))
        seen.add((row.route, row.method))
    print(f"{checked} fields in answers of {len(seen)} calls")
    assert wrong == set()
    assert len(seen) >= 25, sorted(seen)
    assert checked >= 5_000


def test_a_field_that_is_not_declared_is_refused_by_name(world: World, rows: dict[tuple[str, str], RestFields]) -> None:
    tried = []
    for (route, method), row in rows.items():
        if method == "GET" or not row.writes or "file" in row.writes:
            continue
        # Whoever may most; visitors' calls are the owner's as well.
        actor = world.actors["superuser" if row.rule.who == STAFF else "owner"]
        asked = request_for(route, method, world, "theirs", world.theirs.number, PARAMETERS[route])
        with transaction.atomic():
            answer = actor.call(method, asked.path, {**(asked.body or {}), "is_staff": True}, query=asked.query)
            transaction.set_rollback(True)
        world.undo_caches()
        body = json.loads(answer.content)
        fields = {body.get("field")} | {error["field"] for error in body.get("errors", ())}
        assert answer.status_code == 400, (route, method, body)
        assert "is_staff" in fields, (route, method, body)
        tried.append(route)
        assert row.rule.who != ANYBODY or actor.user is not None
    assert len(tried) >= 15, tried


def test_the_comparison_sees_a_field_too_many() -> None:
    schema = document()
    shape = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"properties": {"c": {"type": "string"}}}},
             "any": {}, "map": {"type": "object", "additionalProperties": {"type": "string"}}}}  # fmt: skip
    names = tuple(names_of(schema, shape))
    assert names == ("a", "any.*", "b.c", "map.*")
    for value, good in (
        ({"a": "1", "b": [{"c": "2"}], "any": {"x": {"y": 1}}, "map": {"k": "v"}}, True),
        ({"a": None, "b": [], "any": None, "map": {}}, True),
        ({"a": "1", "b": None}, True),
        ({"a": "1", "password": "x"}, False),
        ({"a": "1", "password": None}, False),
        ({"b": [{"c": "2"}, {"c": "2", "d": "3"}]}, False),
        ({"a": {"deeper": 1}}, False),
    ):
        assert all(declared(name, names) for name in names_in(value)) is good, value
