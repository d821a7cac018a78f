"""What an API key needs for each REST route and method: the one table. A route without a row takes no key, and fails the tests.

``READ``, ``TRADE`` and ``WITHDRAW`` are scopes of a key, ``PUBLIC`` needs none, ``PERSON`` is for people (a session or the tokens of a
sign-in): no key may do it, whatever its scopes. Scopes do not include one another. Sessions and tokens are not narrowed by this table: what
they may do is decided by ownership (``accounts/selectors/access.py``) and the services.
"""

from __future__ import annotations

from typing import Any

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from brokerage.platform.signing import KeyGrant

READ, TRADE, WITHDRAW = "read", "trade", "withdraw"
SCOPES = (READ, TRADE, WITHDRAW)
PUBLIC, PERSON = "public", "person"

#: route name -> method -> what a key needs
ROUTES: dict[str, dict[str, str]] = {
    "api-register": {"POST": PUBLIC},
    "api-token": {"POST": PUBLIC},
    "api-token-refresh": {"POST": PUBLIC},
    "api-logout": {"POST": PUBLIC},
    "api-time": {"GET": PUBLIC},
    "api-errors": {"GET": PUBLIC},
    "api-unknown": {},
    "api-sign-ins": {"GET": PERSON},
    "api-sign-in": {"DELETE": PERSON},
    "api-keys": {"GET": PERSON, "POST": PERSON},
    "api-key": {"DELETE": PERSON},
    "api-profile": {"GET": READ, "PATCH": PERSON},
    "api-accounts": {"GET": READ},
    "api-account": {"GET": READ},
    "api-disclosures": {"GET": READ, "POST": PERSON},
    "api-limits": {"GET": READ},
    "api-ws-ticket": {"POST": READ},
    "api-instruments": {"GET": PUBLIC},
    "api-instrument": {"GET": PUBLIC},
    "api-book": {"GET": PUBLIC},
    "api-trades": {"GET": PUBLIC},
    "api-candles": {"GET": PUBLIC},
    "api-quotes": {"GET": PUBLIC},
    "api-quote": {"GET": PUBLIC},
    "api-status": {"GET": PUBLIC},
    "api-orders": {"GET": READ, "POST": TRADE},
    "api-orders-csv": {"GET": READ},
    "api-orders-preview": {"POST": READ},
    "api-orders-cancel-all": {"POST": TRADE},
    "api-order-by-client-id": {"GET": READ},
    "api-order": {"GET": READ, "PATCH": TRADE, "DELETE": TRADE},
    "api-order-events": {"GET": READ},
    "api-executions": {"GET": READ},
    "api-executions-csv": {"GET": READ},
    "api-balances": {"GET": READ},
    "api-ledger": {"GET": READ},
    "api-ledger-csv": {"GET": READ},
    "api-positions": {"GET": READ},
    "api-audit-checkpoint": {"GET": PUBLIC},
    "api-audit-consistency": {"GET": PUBLIC},
    "api-audit-entries": {"GET": PERSON},
    "api-audit-entry": {"GET": PERSON},
    "api-audit-inclusion": {"GET": PERSON},
    "api-audit-export": {"GET": PERSON},
    # Who a client is, and what staff decide, is for people.
    "api-onboarding": {"GET": PERSON},
    "api-onboarding-appeal": {"POST": PERSON},
    "api-onboarding-documents": {"GET": PERSON, "POST": PERSON},
    "api-onboarding-step": {"PUT": PERSON},
    "api-onboarding-submit": {"POST": PERSON},
    "api-desk-approvals": {"GET": PERSON, "POST": PERSON},
    "api-desk-approval": {"GET": PERSON},
    "api-desk-decision": {"POST": PERSON},
}


def scope_demand(request: Any) -> None:
    """Refuse a call with an API key whose scopes do not cover route and method; 2066."""
    grant = request.auth
    if not isinstance(grant, KeyGrant):
        return
    match = request._request.resolver_match
    method = "GET" if request.method == "HEAD" else request.method
    # A method the view does not have is refused as such, after this.
    row = ROUTES.get(match.url_name if match else "", {})
    needed = row.get(method, PERSON)
    if needed == PUBLIC or needed in grant.scopes or (row and method not in row):
        return
    if needed == PERSON:
        raise ApiProblem(
            RejectCode.SCOPE_MISSING,
            "API keys cannot do this.",
            next_step="Do it signed in, in the portal or with a token.",
        )
    raise ApiProblem(RejectCode.SCOPE_MISSING, needed=needed, available=" ".join(sorted(grant.scopes)))
