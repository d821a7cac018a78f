"""The OpenAPI document is valid and complete, and the running API keeps to it: generated requests find no fault (schemathesis)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.conftest_engine import Child, LivePlatform, LiveWeb

#: Faults, broken shapes, answers without identity where one is needed: none is allowed.
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance,status_code_conformance,ignored_auth,unsupported_method"
SEED = "20261121"


def schema(tmp_path: Path) -> dict:
    target = tmp_path / "schema.json"
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", file=str(target))
    return json.loads(target.read_text())


def test_the_document_is_valid_without_a_warning(tmp_path: Path) -> None:
    assert schema(tmp_path)["openapi"].startswith("3.")


def test_every_operation_names_its_problems(tmp_path: Path) -> None:
    for path, operations in schema(tmp_path)["paths"].items():
        if not path.startswith("/api/v1/"):
            continue
        for method, operation in operations.items():
            answers = operation["responses"]
            where = f"{method} {path}"
            assert {"400", "429", "500", "503"} <= set(answers), where
            public = operation.get("security") in (None, [], [{}])
            assert public or {"401", "403"} <= set(answers), where
            assert operation["summary"], where
            for status, answer in answers.items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (where, status)
            if "requestBody" in operation:
                assert {"413", "415"} <= set(answers), where


def test_the_addresses_are_those_promised(tmp_path: Path) -> None:
    wanted = {
        "accounts", "accounts/{number}", "api-keys", "api-keys/{id}", "auth/sign-ins", "auth/sign-ins/{family_id}",
        "audit/checkpoint", "audit/consistency", "audit/entries", "audit/entries/{seq}", "audit/entries/{seq}/proof",
        "audit/export", "auth/logout", "auth/register", "auth/token", "auth/token/refresh", "balances",
        "desk/approvals", "desk/approvals/{approval_id}", "desk/approvals/{approval_id}/decision", "disclosures", "errors", "limits",
        "onboarding", "onboarding/appeal", "onboarding/documents", "onboarding/steps/{step}", "onboarding/submit",
        "executions", "executions.csv", "instruments", "instruments/{symbol}", "instruments/{symbol}/book",
        "instruments/{symbol}/candles", "instruments/{symbol}/trades", "ledger", "ledger.csv", "orders", "orders.csv",
        "orders/by-client-id/{client_order_id}", "orders/cancel-all", "orders/preview", "orders/{order_id}",
        "orders/{order_id}/events", "positions", "profile", "quotes", "quotes/{symbol}", "status", "time", "ws-ticket",
    }  # fmt: skip
    found = {path.removeprefix("/api/v1/") for path in schema(tmp_path)["paths"] if path.startswith("/api/v1/")}
    assert found == wanted


@pytest.mark.slow
def test_generated_requests_find_no_fault(
    live_platform: LivePlatform, live_market: Child, live_web: LiveWeb, tmp_path: Path
) -> None:
    trader = live_platform.trader("fuzz", {"USD": "1000000", "SOL": "1000"})
    # Something to find under the generated ids.
    body = {"symbol": "SOL-USD", "side": "buy", "type": "limit", "qty": "1", "price": "150", "client_order_id": "known"}
    assert trader.api("POST", "orders", body).status_code == 201
    live_platform.settle()
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{live_web.url}/api/schema?format=json",
        "--url", live_web.url, "--checks", CHECKS, "--header", f"Authorization: Bearer {trader.token}",
        "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--max-time", "30", "--seed", SEED,
        "--generation-deterministic",
        "--continue-on-failure", "--include-path-regex", "^/api/v1/", "--exclude-path-regex", "auth/", "--request-timeout", "20", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    log = live_web.child.tail()
    assert "Traceback" not in log, log
