"""Who may do what in the fallback app: the rows of ``brokerage/urls_fallback.py``, apart from those of the portal.

A route that is served there and has no row here is closed (``FallbackPolicyMiddleware``), whatever the portal's table says about its name.
"""

from __future__ import annotations

from brokerage.platform.policy import Row
from brokerage.platform.policy_rules import ANYONE, DEAL, LOOK, user

FALLBACK: dict[str, Row] = {
    "health-live": {"GET": ANYONE},
    "health-ready": {"GET": ANYONE},
    "fallback-signin": {"GET": ANYONE, "POST": ANYONE},
    "fallback-second": {"GET": ANYONE, "POST": ANYONE},
    "fallback-signout": {"POST": ANYONE},
    "fallback-home": {"GET": user(LOOK)},
    "fallback-cancel": {"GET": user(DEAL), "POST": user(DEAL)},
    "fallback-close": {"GET": user(DEAL), "POST": user(DEAL)},
    "fallback-requests": {"GET": user(LOOK)},
    "fallback-withdraw": {"POST": user(DEAL)},
}
