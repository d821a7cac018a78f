"""The roles of staff and exactly what each may do: the one table, as data.

Groups of the same name carry the permissions (``accounts/services/roles.py`` makes them so, a test compares). Codes are texts
``app.codename``, so that naming what a higher app guards imports nothing of it. Leaves to others: which clients a role reaches
(``backoffice/selectors/clients.py``) and giving a role to somebody (``backoffice/services/access.py``, by two people).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SUPPORT = "support"
DEALER = "dealer"
SENIOR_DEALER = "senior dealer"
RISK = "risk"
COMPLIANCE = "compliance"
FINANCE = "finance"
STRATEGY_ADMIN = "strategy admin"
ADMINISTRATOR = "administrator"

_MARKETS = ("marketdata.view_asset", "marketdata.view_instrument", "marketdata.view_venue")
_TRADES = ("trading.view_order", "trading.view_execution", "trading.view_fallbackrequest", "risk.view_position")
_ACCOUNTS = ("accounts.view_tradingaccount", "accounts.view_tradingaccountmember", "accounts.view_balance")
#: Requests of clients who cannot trade: seen by whoever sees trades, worked on by dealers.
_REQUESTS = ("trading.view_fallbackrequest", "trading.decide_fallbackrequest")
_MONEY = ("accounts.view_deposit", "accounts.view_withdrawal", "accounts.view_ledgerentry")
_CLIENTS = ("backoffice.view_clients", "backoffice.view_approval")
_EVERY_CLIENT = ("backoffice.view_all_clients",)

ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        SUPPORT: frozenset(
            (*_MARKETS, *_ACCOUNTS, *_CLIENTS, *_EVERY_CLIENT, "accounts.view_user", "trading.view_order",
             "trading.view_execution", "accounts.view_deposit", "accounts.view_withdrawal", "backoffice.view_as_client",
             "backoffice.request_factor_reset")
        ),
        DEALER: frozenset((*_MARKETS, *_TRADES, *_REQUESTS, *_ACCOUNTS, *_CLIENTS, "backoffice.request_account")),
        SENIOR_DEALER: frozenset(
            (*_MARKETS, *_TRADES, *_REQUESTS, *_ACCOUNTS, *_CLIENTS, *_EVERY_CLIENT, "backoffice.request_account",
             "backoffice.approve_account", "backoffice.break_glass")
        ),
        RISK: frozenset(
            (*_MARKETS, *_TRADES, *_ACCOUNTS, *_MONEY, *_CLIENTS, *_EVERY_CLIENT, "trading.view_projectionstate",
             "backoffice.request_account", "backoffice.approve_account", "backoffice.break_glass")
        ),
        COMPLIANCE: frozenset(
            (*_MARKETS, *_TRADES, *_ACCOUNTS, *_MONEY, *_CLIENTS, *_EVERY_CLIENT, "accounts.view_user",
             "backoffice.request_account", "backoffice.approve_account", "backoffice.approve_role",
             "backoffice.approve_factor_reset", "backoffice.review_access", "backoffice.view_breakglass", "backoffice.view_rolegrant",
             "backoffice.view_viewas", "backoffice.view_as_client", "backoffice.break_glass", "compliance.decide_kyc",
             "compliance.view_kyccase", "compliance.view_auditentry", "accounts.view_changerequest",
             "accounts.decide_changerequest")
        ),
        FINANCE: frozenset(
            (*_MARKETS, *_ACCOUNTS, *_MONEY, *_CLIENTS, *_EVERY_CLIENT, "backoffice.request_money",
             "backoffice.approve_money")
        ),
        STRATEGY_ADMIN: frozenset((*_MARKETS, "trading.view_order", "trading.view_execution")),
        ADMINISTRATOR: frozenset(
            (*_MARKETS, *_TRADES, *_ACCOUNTS, *_MONEY, *_CLIENTS, *_EVERY_CLIENT, "accounts.view_user",
             "accounts.add_user", "accounts.change_user", "auth.view_group", "marketdata.add_instrument",
             "marketdata.change_instrument", "platform.view_outboxevent", "trading.view_projectionstate",
             "backoffice.view_desk", "backoffice.add_desk", "backoffice.change_desk", "backoffice.view_clientgroup",
             "backoffice.add_clientgroup", "backoffice.change_clientgroup", "backoffice.request_role",
             "backoffice.approve_role", "backoffice.review_access", "backoffice.view_breakglass",
             "backoffice.view_rolegrant", "backoffice.view_viewas", "backoffice.break_glass")
        ),
    }
)  # fmt: skip
#: What taking a role in an emergency may never give: the power over roles itself.
NEVER_IN_EMERGENCY = frozenset({ADMINISTRATOR})
#: Names of groups of older installations, and what became of them.
RENAMED = MappingProxyType({"Dealing desk": DEALER, "Compliance": COMPLIANCE})
