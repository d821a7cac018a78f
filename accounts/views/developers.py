"""The page for developers: first steps, limits in force, and a playground over the real OpenAPI document.

What is sent is sent by the browser to the API itself. An API key's secret stays in the page's memory: the signature is computed there
(``static/js/apisign.js``), and no form here has a field for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, URLResolver, get_resolver
from django.views.decorators.http import require_safe

from accounts.services.api_keys import DAYS_MAX, KEYS_MAX, NETWORKS_MAX
from accounts.services.token_families import FAMILY_DAYS
from brokerage.platform import signing, tokens
from brokerage.platform import sockets as streams
from brokerage.platform.auth import TICKET_S
from brokerage.platform.policy import REST
from brokerage.platform.policy_rules import PERSON, PUBLIC
from brokerage.platform.throttling import budgets_in_force

API = "api/v1/"
#: What each budget counts, in the reader's words; one without a row is not for programs (pages' forms and mails).
BUDGET_WORDS = {
    "anonymous": "Reading without credentials",
    "read": "Reading",
    "write": "Writing, but for the rows below",
    "preview": "Previews of orders",
    "orders": "Placing and replacing orders",
    "cancel": "Cancels",
    "upload": "Uploads of documents",
    "download": "CSV and other files",
    "login_address": "Signing in for tokens",
    "refresh": "Refreshing and ending tokens",
    "auth_failed": "Requests whose credentials are no good",
    "register": "Registrations",
}
#: What the close codes of the streams say to a client (docs/streams.md).
CLOSE_WORDS = {
    streams.CLOSE_RESTART: "the server stops; come back",
    streams.CLOSE_UNAUTHENTICATED: "not authenticated, or what it was opened with has ended; come back with a new ticket",
    streams.CLOSE_FORBIDDEN: "no such account, or no longer yours",
    streams.CLOSE_SLOW: "heartbeats were not answered; come back",
    streams.CLOSE_ABUSE: "five errors within a minute; mend the client",
    streams.CLOSE_TOO_MANY: "too many sockets of one user",
    streams.CLOSE_OLD: "a day old; come back",
    streams.CLOSE_UNAVAILABLE: "database or bus away; come back",
}
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


def url_routes(rows: Any, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every (address, route) below these rows of a resolver."""
    for row in rows:
        path = before + str(row.pattern)
        if isinstance(row, URLResolver):
            yield from url_routes(row.url_patterns, path)
        elif isinstance(row, URLPattern):
            yield path, row


#: What the schema does not show: addresses that are nowhere, and the vendor's signed messages.
NOT_FOR_CLIENTS = {"api-unknown", "api-onboarding-webhook"}


@lru_cache(maxsize=1)
def operations() -> dict[str, dict[str, str]]:
    """``"GET /api/v1/orders"`` → what a key needs for it (``scope``) and the budget it counts in, as the policy and the views have them."""
    found = {}
    for path, row in url_routes(get_resolver().url_patterns):
        rules = REST.get(row.name or "")
        if not path.startswith(API) or rules is None or row.name in NOT_FOR_CLIENTS:
            continue
        shown = _CONVERTER.sub(r"{\1}", path)
        scopes = getattr(getattr(row.callback, "view_class", None), "throttle_scopes", {})
        for method, rule in rules.items():
            scope = rule.key
            budget = scopes.get(method) or ("read" if method == "GET" else "write")
            if budget == "read" and scope == PUBLIC:
                budget = "anonymous"
            found[f"{method} /{shown}"] = {"scope": scope, "budget": budget}
    return found


def _per(name: str) -> str:
    if name in {"anonymous", "login_address", "auth_failed", "register"}:
        return "address"
    return "key, else user, else address"


@require_safe
def developers(request: HttpRequest) -> HttpResponse:
    """Show the page; the playground's script reads ``/api/schema`` and ``/api/v1/errors``."""
    budgets = budgets_in_force()
    sockets = streams.limits_from_settings()
    data = {
        "operations": operations(),
        "budgets": {name: {"limit": row.limit, "window": row.window_s} for name, row in budgets.items()},
        "person": PERSON,
        "public": PUBLIC,
        "version": signing.VERSION,
        "closes": {str(code): words for code, words in CLOSE_WORDS.items()},
        "frame_max": sockets.inbound_bytes,
        "signed_in": request.user.is_authenticated,
    }
    context = {
        "page": "developers",
        "data": data,
        "limits": [
            {"words": words, "per": _per(name), "limit": budgets[name].limit, "window": budgets[name].window_s, "name": name}
            for name, words in BUDGET_WORDS.items()
        ],
        "sockets": sockets,
        "closes": CLOSE_WORDS,
        "access_min": tokens.ACCESS_S // 60,
        "refresh_days": tokens.REFRESH_S // 86_400,
        "family_days": FAMILY_DAYS,
        "ticket_s": TICKET_S,
        "window_s": signing.WINDOW_S,
        "keys_max": KEYS_MAX,
        "networks_max": NETWORKS_MAX,
        "days_max": DAYS_MAX,
        "base": request.build_absolute_uri("/").rstrip("/"),
        "scopes": _by_scope(),
    }  # fmt: skip
    return render(request, "accounts/developers.html", context)


def _by_scope() -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for row in operations().values():
        counts[row["scope"]] = counts.get(row["scope"], 0) + 1
    return sorted(counts.items())
