"""A request for each route: how the object it names comes into path, query or body. What names none gets an empty request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from backoffice.tests.factories import REASON
from brokerage.kernel.clock import utc_now
from compliance.tax.years import KINDS
from tests.authorization.world import World, nobody

ORDER = {"symbol": "SOL-USD", "side": "buy", "type": "limit", "qty": "1", "price": "100"}
#: A bare form is refused by the form, after the door; these are filled in so that the act itself is reached.
FORMS: dict[str, dict[str, str]] = {
    "desk-client-request": {"account_state-state": "halted", "account_state-reason": REASON},
    "desk-view-as": {"view_as-minutes": "5", "view_as-reason": REASON},
    "desk-password-link": {"password-reason": REASON},
    "desk-role-end": {"reason": REASON},
    "member": {"role": "trader"},
    "kyc-hit": {"answer": "other", "reason": REASON},
    "kyc-proposal": {"answer": "confirm", "note": REASON},
}
#: What a request needs beyond its row, as the kind of what is asked for says (``backoffice/services/approval_kinds.py``).
ALSO = {
    ("desk-client-request", "POST"): "backoffice.request_account",
    ("desk-client-statement", "GET"): "trading.view_execution",
    ("desk-client-tax", "GET"): "trading.view_execution",
}
#: Routes that name an account by a query parameter.
BY_QUERY = {
    "home", "trade", "orders", "order", "portfolio", "ledger", "api-orders", "api-orders-csv", "api-executions", "api-executions-csv",
    "api-balances", "api-ledger", "api-ledger-csv", "api-positions", "api-limits", "limits", "statements", "reports",
    "api-order", "api-order-events", "api-order-by-client-id", "withdrawals", "withdraw", "beneficiary-add", "api-beneficiaries",
    "api-withdrawals", "api-withdrawals-csv",
}  # fmt: skip
#: Routes of a statement, which is of days.
STATEMENTS = {
    "api-account-statement",
    "api-account-statement-csv",
    "api-account-statement-pdf",
    "desk-client-statement",
}
#: ... and by the body.
BY_BODY: dict[str, dict[str, Any]] = {
    "api-ws-ticket": {},
    "api-embed-tokens": {"partner": "partner", "origin": "https://partner.example"},
    "api-orders": ORDER,
    "api-orders-preview": ORDER,
    "api-orders-cancel-all": {},
    "api-order": {"qty": "2"},
    # Of no money at all: refused for that (8002) once the caller may.
    "api-withdrawals": {"beneficiary_id": "0" * 26, "amount": "0"},
    "api-beneficiaries": {"holder": "Somebody", "iban": "GB29NWBK60161331926819"},
}
#: Words in addresses that are no object of anybody.
WORDS: dict[str, Any] = {
    "symbol": "BTC-USD", "step": "identity", "name": "identity", "vendor": "sandbox", "partner": "partner", "provider": "google",
    "provider_id": "google", "kind": "account_state", "role": "support", "seq": 1, "app_label": "marketdata", "url": "nothing", "id": "0",
    # The clients of the world live in the United Kingdom.
    "report": "rts22", "code": "uk_cgt", "year": KINDS["uk_cgt"].year_of(utc_now().date()).number, "form": "pdf",
    "content_type_id": "1",
}  # fmt: skip
#: name of the parameter -> name of the thing
THINGS = {
    "order_id": "order_id", "client_order_id": "client_order_id", "session_id": "session_id", "family_id": "family_id",
    "export_id": "export_id", "uid": "passkey", "member_id": "member_id", "invitation_id": "invitation_id", "case_id": "case_id",
    "hit_id": "hit_id", "proposal_id": "proposal_id", "approval_id": "approval_id", "user_id": "user_id",
    "withdrawal_id": "withdrawal_id", "beneficiary_id": "beneficiary_id", "device_id": "device_id", "request_id": "request_id",
}  # fmt: skip
#: Which thing a token in an address stands for.
TOKENS = {"invitation": "invitation", "kyc-document": "document"}
#: Ids of nothing that look like ids.
NOTHING_LIKE_IT: dict[str, Any] = {
    "order_id": "7ZZZZ", "client_order_id": "nothing", "approval_id": "0" * 26, "proposal_id": 2_000_000_000, "withdrawal_id": "0" * 26,
    "beneficiary_id": "0" * 26, "request_id": 987_654_321,
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is sent."""

    path: str
    query: str = ""
    body: Any = None
    form: Any = None
    #: A permission that is needed besides the row's.
    also: str = ""


def _value(name: str, route: str, world: World, target: str, account: str) -> Any:
    if (route, name) in {("entity-step", "name"), ("api-onboarding-entity-step", "step")}:
        return "company"
    if name == "number":
        return account
    if name == "token":
        thing = TOKENS.get(route)
        return world.things[thing] if thing and target == "theirs" else "no-such-token"
    if name == "object_id":
        label = route.removeprefix("admin:").rsplit("_", 1)[0].replace("_", ".", 1)
        return world.things["rows"].get(label, 0)
    if route == "api-key" and name == "id":
        return world.things["key_id"] if target == "theirs" else nobody()
    if name == "request_id" and target == "unassigned":
        return world.things["unassigned_request"]
    if route == "api-fix-key" and name == "id":
        return world.things["fix_key_id"] if target == "theirs" else nobody()
    if name in THINGS:
        if target == "theirs":
            return world.things[THINGS[name]]
        return NOTHING_LIKE_IT.get(name) or nobody()
    return WORDS[name]


def address(route: str, world: World, target: str, account: str, parameters: list[str]) -> str:
    """The path of a route with its parameters filled in."""
    values = {name: _value(name, route, world, target, account) for name in parameters}
    if route == "api-unknown":
        return "/api/v1/nothing-here"
    if route.startswith("admin:django."):
        # Nameless routes of the maker.
        end = "accounts/user/1/" if route.endswith("RedirectView") else "nothing-here"
        return f"/{settings.ADMIN_PATH}/{end}"
    try:
        return reverse(route, kwargs=values)
    except NoReverseMatch as error:
        raise AssertionError(f"{route} needs a sample in tests/authorization/samples.py: {error}") from error


def request_for(route: str, method: str, world: World, target: str, account: str, parameters: list[str]) -> Request:
    """The request about ``account`` and, with the target "theirs", the first client's things."""
    path = address(route, world, target, account, parameters)
    query, body, form = "", None, None
    named = BY_BODY.get(route) if method in {"POST", "PATCH", "PUT"} else None
    if named is not None:
        body = {**named, "account": account}
    elif route in BY_QUERY:
        query = f"account={account}"
    elif route in STATEMENTS:
        day = utc_now().date()
        query = f"first={day}&last={day}" if route.startswith("desk") else f"from={day}&to={day + timedelta(days=1)}"
    elif route.startswith("api-authority-report"):
        query = f"first={utc_now().date()}&last={utc_now().date()}"
    elif route == "api-desk-approvals" and method == "POST":
        body = {"kind": "account_state", "subject": account, "payload": {"state": "halted"}, "reason": REASON}
    elif route == "api-desk-decision":
        body = {"approve": False, "reason": REASON}
    elif route.startswith("api-") and method != "GET":
        body = {"nonsense": True}
    elif method == "POST":
        form = FORMS.get(route, {})
    also = ALSO.get((route, method), "")
    if route == "api-desk-approvals" and method == "POST":
        also = "backoffice.request_account"
    return Request(path, query, body, form, also)
