"""The OpenAPI document is valid and complete. That the running API keeps to it: ``tests/fuzz``."""

from __future__ import annotations

import json
from pathlib import Path

from django.core.management import call_command


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
        "accounts", "accounts/{number}", "accounts/{number}/overview", "accounts/{number}/statement",
        "accounts/{number}/statement.csv", "accounts/{number}/statement.pdf", "accounts/{number}/tax-documents",
        "accounts/{number}/tax-documents/{code}/{year}.csv", "accounts/{number}/tax-documents/{code}/{year}.pdf", "compliance/register",
        "compliance/reports/{report}", "compliance/reports/{report}/file", "compliance/reports/{report}/rejects.csv",
        "compliance/reports/{report}/summary.pdf",
        "api-keys", "api-keys/{id}", "fix-keys", "fix-keys/{id}", "auth/sign-ins", "auth/sign-ins/{family_id}",
        "audit/checkpoint", "audit/consistency", "audit/entries", "audit/entries/{seq}", "audit/entries/{seq}/proof",
        "audit/export", "auth/logout", "auth/register", "auth/token", "auth/token/refresh", "balances", "beneficiaries",
        "beneficiaries/{beneficiary_id}",
        "desk/approvals", "desk/approvals/{approval_id}", "desk/approvals/{approval_id}/decision", "disclosures", "embed-tokens", "errors", "limits",
        "onboarding", "onboarding/appeal", "onboarding/documents", "onboarding/entities", "onboarding/entities/{number}",
        "onboarding/entities/{number}/appeal", "onboarding/entities/{number}/documents", "onboarding/entities/{number}/owners",
        "onboarding/entities/{number}/steps/{step}", "onboarding/entities/{number}/submit", "onboarding/steps/{step}", "onboarding/submit",
        "executions", "executions.csv", "instruments", "instruments/{symbol}", "instruments/{symbol}/book",
        "instruments/{symbol}/candles", "instruments/{symbol}/trades", "ledger", "ledger.csv", "orders", "orders.csv",
        "orders/by-client-id/{client_order_id}", "orders/cancel-all", "orders/preview", "orders/{order_id}",
        "orders/{order_id}/events", "positions", "profile", "push-devices", "push-devices/{device_id}", "quotes", "quotes/{symbol}", "status", "time",
        "withdrawals", "withdrawals.csv", "withdrawals/{withdrawal_id}", "ws-ticket",
    }  # fmt: skip
    found = {path.removeprefix("/api/v1/") for path in schema(tmp_path)["paths"] if path.startswith("/api/v1/")}
    assert found == wanted
