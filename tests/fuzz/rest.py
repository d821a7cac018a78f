"""Generated requests against the running API, as every kind of caller there is: schemathesis with the identities of ``identity.py``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accounts.roles import ROLES
from tests.conftest_engine import LivePlatform, LiveWeb

#: Faults, undocumented statuses, broken shapes, answers without identity where one is needed: none is allowed.
CHECKS = (
    "not_a_server_error,response_schema_conformance,content_type_conformance,status_code_conformance,ignored_auth,"
    "unsupported_method"
)
#: What ends the identity itself; registering, tokens and their refusals have tests of their own.
LEFT_OUT = "/auth/(register|token|logout)"
CSRF = "f" * 32


def session_headers(user: Any) -> dict[str, str]:
    """What a browser of this user sends: session with a second factor given, and the token of its forms."""
    from backoffice.tests.factories import browser

    client = browser(user)
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}; csrftoken={CSRF}", "X-CSRFToken": CSRF}


@dataclass(frozen=True)
class World:
    """Who calls, and what there is to ask for."""

    people: list[dict[str, Any]]
    known: dict[str, list[str]]


def world(platform: LivePlatform) -> World:
    """Visitor, clients by token and by session, viewer, keys of each scope, staff of each role; with something of everybody's to find."""
    from accounts.models import TradingAccountMember
    from accounts.services.api_keys import api_key_create
    from accounts.services.trading_accounts import account_open
    from backoffice.tests.factories import staff
    from brokerage.platform.policy_rules import SCOPES

    owner = platform.trader("fuzzed", {"USD": "1000000", "SOL": "1000"})
    body = {"symbol": "SOL-USD", "side": "buy", "type": "limit", "qty": "1", "price": "150", "client_order_id": "known"}
    placed = owner.api("POST", "orders", body)
    assert placed.status_code == 201
    unverified = platform.trader("unverified", {}, verified=False)
    viewer = platform.trader("viewer", {})
    TradingAccountMember.objects.create(account=owner.account, user=viewer.user, role="viewer")
    firm = account_open(user=owner.user, kind="entity", name="Fuzzed Ltd")
    platform.settle()
    people: list[dict[str, Any]] = [{"name": "visitor"}]
    for name, one in (("client", owner), ("unverified", unverified), ("viewer", viewer)):
        people.append({"name": name, "user": one.user})
    people.append({"name": "client's browser", "headers": session_headers(owner.user)})
    for scope in SCOPES:
        key, secret = api_key_create(
            user=owner.user, name=scope, scopes=[scope], networks=["127.0.0.1"], expires_in_days=1
        )
        people.append({"name": f"key: {scope}", "key_id": key.key_id, "secret": secret})
    for role in ROLES:
        people.append({"name": role, "headers": session_headers(staff(role))})
    people.append({"name": "compliance by token", "user": staff("compliance")})
    numbers = [owner.account.number, unverified.account.number]
    known = {
        "account": numbers,
        "number": [*numbers, firm.number],
        "symbol": ["SOL-USD", "BTC-USD"],
        "order_id": [placed.json()["order_id"]],
        "client_order_id": ["known"],
        "subject": numbers,
        "step": ["identity", "suitability", "tax", "company"],
        "asset": ["USD", "SOL"],
    }
    return World(people, known)


@dataclass(frozen=True)
class Figures:
    """What one run did."""

    cases: int
    failed: bool
    said: str


def _entering(one: dict[str, Any]) -> dict[str, Any]:
    """An identity as its turn begins: who comes by token gets a new one, since a long run outlives those it began with."""
    from accounts.services.token_families import family_begin

    if "user" not in one:
        return one
    return {"name": one["name"], "headers": {"Authorization": f"Bearer {family_begin(user=one['user'])['access']}"}}


def run(web: LiveWeb, world: World, folder: Path, *, options: tuple[str, ...]) -> Figures:
    """One run of schemathesis as these identities in turn."""
    given = folder / "identities.json"
    given.write_text(json.dumps({"people": [_entering(one) for one in world.people], "known": world.known}))
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{web.url}/api/schema?format=json", "--url", web.url,
        "--checks", CHECKS, "--continue-on-failure", "--suppress-health-check", "all",
        "--include-path-regex", "^/api/v1/", "--exclude-path-regex", LEFT_OUT, "--request-timeout", "20", "--no-color",
        *options,
    ]  # fmt: skip
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.fuzz.identity", "FUZZ_IDENTITIES": str(given)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    said = done.stdout + done.stderr
    counted = re.search(r"([\d,]+) generated", said)
    return Figures(int(counted[1].replace(",", "")) if counted else 0, done.returncode != 0, said)
