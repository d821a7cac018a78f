"""Who may do what: the one table. Route name -> method -> rule; topics of the WebSockets; tables and actions of the administration.

A name is as Django resolves it (``resolver_match.view_name``). What has no row is closed. The doors that read the table: ``PolicyMiddleware``
(``accounts/middleware.py``) for pages, ``api_demand`` (``policy_doors.py``) for REST, the consumers for topics; the staff gate
(``backoffice/middleware.py``) stands before all staff routes. Rows name permissions; which role has which is in ``accounts/roles.py``.
That an object is the caller's (``of``) is asked where it is looked up (``accounts/selectors/access.py``,
``backoffice/selectors/clients.py``): a stranger's does not exist. ``tests/authorization`` makes the matrix of caller x route x method x
ownership from the rows and holds the application to it.
"""

from __future__ import annotations

from brokerage.platform.policy_rules import (
    ANYONE,
    APPROVAL,
    CLIENT,
    DEAL,
    LINK,
    LOOK,
    MINE,
    NOBODY,
    OWN,
    READ,
    SHARED,
    SIGNED,
    TRADE,
    WITHDRAW,
    Rule,
    key,
    staff,
    user,
)

Row = dict[str, Rule]
_FORM: Row = {"GET": ANYONE, "POST": ANYONE}
_LINK: Row = {"GET": Rule(ANYONE.who, ANYONE.key, LINK), "POST": Rule(ANYONE.who, ANYONE.key, LINK)}
_SEE: Row = {"GET": ANYONE}
_PERSON: Row = {"GET": user(), "POST": user()}
_PROVED: Row = {"GET": user(step_up="security"), "POST": user(step_up="security")}
_SET_UP: Row = {"GET": user(step_up="security", bare=True), "POST": user(step_up="security", bare=True)}
_PROVED_POST: Row = {"POST": user(step_up="security")}
_AUDITOR = staff("compliance.view_auditentry")
_OFFICER = staff("compliance.decide_kyc", SHARED)
_REPORTER = staff("compliance.decide_kyc")

REST: dict[str, Row] = {
    "api-register": {"POST": ANYONE},
    "api-token": {"POST": ANYONE},
    "api-token-refresh": {"POST": ANYONE},
    "api-logout": {"POST": ANYONE},
    "api-time": _SEE,
    "api-errors": _SEE,
    "api-sign-ins": {"GET": user()},
    "api-sign-in": {"DELETE": user(MINE)},
    "api-keys": {"GET": user(), "POST": user()},
    "api-key": {"DELETE": user(MINE)},
    "api-fix-keys": {"GET": user(), "POST": user()},
    "api-fix-key": {"DELETE": user(MINE)},
    "api-push-devices": {"GET": user(), "POST": user()},
    "api-push-device": {"DELETE": user(MINE)},
    "api-profile": {"GET": key(READ), "PATCH": user()},
    "api-accounts": {"GET": key(READ)},
    "api-account": {"GET": key(READ, LOOK)},
    "api-account-overview": {"GET": key(READ, LOOK)},
    "api-account-statement": {"GET": key(READ, LOOK)},
    "api-account-statement-csv": {"GET": key(READ, LOOK)},
    "api-account-statement-pdf": {"GET": key(READ, LOOK)},
    "api-account-tax": {"GET": key(READ, LOOK)},
    "api-account-tax-csv": {"GET": key(READ, LOOK)},
    "api-account-tax-pdf": {"GET": key(READ, LOOK)},
    "api-ws-ticket": {"POST": key(READ, LOOK)},
    # What the frame shows is what this key could read.
    "api-embed-tokens": {"POST": key(READ, LOOK)},
    "api-limits": {"GET": key(READ, LOOK)},
    "api-disclosures": {"GET": key(READ), "POST": user()},
    "api-instruments": _SEE,
    "api-instrument": _SEE,
    "api-book": _SEE,
    "api-trades": _SEE,
    "api-candles": _SEE,
    "api-quotes": _SEE,
    "api-quote": _SEE,
    "api-status": _SEE,
    "api-orders": {"GET": key(READ, LOOK), "POST": key(TRADE, DEAL, verified=True)},
    "api-orders-csv": {"GET": key(READ, LOOK)},
    "api-orders-preview": {"POST": key(READ, DEAL, verified=True)},
    "api-orders-cancel-all": {"POST": key(TRADE, DEAL)},
    "api-order-by-client-id": {"GET": key(READ, LOOK)},
    "api-order": {"GET": key(READ, LOOK), "PATCH": key(TRADE, DEAL, verified=True), "DELETE": key(TRADE, DEAL)},
    "api-order-events": {"GET": key(READ, LOOK)},
    "api-executions": {"GET": key(READ, LOOK)},
    "api-executions-csv": {"GET": key(READ, LOOK)},
    "api-balances": {"GET": key(READ, LOOK)},
    "api-ledger": {"GET": key(READ, LOOK)},
    "api-ledger-csv": {"GET": key(READ, LOOK)},
    "api-positions": {"GET": key(READ, LOOK)},
    # A key that may withdraw pays to what a person has saved, never to what it names itself.
    "api-beneficiaries": {"GET": key(READ, LOOK), "POST": user(OWN, step_up="beneficiary")},
    "api-beneficiary": {"DELETE": user(OWN)},
    "api-withdrawals": {"GET": key(READ, LOOK), "POST": key(WITHDRAW, OWN, step_up="withdrawal")},
    "api-withdrawals-csv": {"GET": key(READ, LOOK)},
    "api-withdrawal": {"GET": key(READ, LOOK), "DELETE": key(WITHDRAW, OWN)},
    "api-audit-checkpoint": _SEE,
    "api-audit-consistency": _SEE,
    "api-audit-entries": {"GET": _AUDITOR},
    "api-audit-entry": {"GET": _AUDITOR},
    "api-audit-inclusion": {"GET": _AUDITOR},
    "api-audit-export": {"GET": _AUDITOR},
    "api-rules-register": {"GET": _AUDITOR},
    # With names and identifiers of clients in them.
    "api-authority-report": {"GET": _REPORTER},
    "api-authority-report-file": {"GET": _REPORTER},
    "api-authority-report-rejects": {"GET": _REPORTER},
    "api-authority-report-pdf": {"GET": _REPORTER},
    # Who a client is, and what staff decide, is for people.
    "api-onboarding": {"GET": user()},
    "api-onboarding-appeal": {"POST": user()},
    "api-onboarding-documents": {"GET": user(), "POST": user()},
    "api-onboarding-entities": {"GET": user()},
    "api-onboarding-entity": {"GET": user(MINE)},
    "api-onboarding-entity-appeal": {"POST": user(MINE)},
    "api-onboarding-entity-documents": {"GET": user(MINE), "POST": user(MINE)},
    "api-onboarding-entity-owners": {"PUT": user(MINE)},
    "api-onboarding-entity-step": {"PUT": user(MINE)},
    "api-onboarding-entity-submit": {"POST": user(MINE)},
    "api-onboarding-step": {"PUT": user()},
    "api-onboarding-submit": {"POST": user()},
    # The vendor's signature is the right; without one nothing happens.
    "api-onboarding-webhook": {"POST": Rule(ANYONE.who, ANYONE.key, LINK)},
    "api-desk-approvals": {
        "GET": staff("backoffice.view_approval"),
        "POST": staff("backoffice.view_approval", CLIENT),
    },
    "api-desk-approval": {"GET": staff("backoffice.view_approval", APPROVAL)},
    "api-desk-decision": {"POST": staff("backoffice.view_approval", APPROVAL)},
    "api-unknown": _SEE,
}

PAGES: dict[str, Row] = {
    "schema": _SEE,
    "api-docs": _SEE,
    "health-live": _SEE,
    "health-ready": _SEE,
    "version": _SEE,
    "jwks": _SEE,
    "home": {"GET": Rule(ANYONE.who, ANYONE.key, LOOK)},
    "markets": _SEE,
    "about": _SEE,
    "embed-markets": _SEE,
    # A frame of a partner's page: the token in the request is the right.
    "embed-portfolio": _SEE,
    "embed-session": {"POST": Rule(ANYONE.who, ANYONE.key, LINK)},
    "embed-data": {"GET": Rule(ANYONE.who, ANYONE.key, LINK)},
    "developers": _SEE,
    "candles": _SEE,
    "trade-default": _SEE,
    "trade": {"GET": Rule(ANYONE.who, ANYONE.key, LOOK)},
    "status": _SEE,
    "styleguide": _SEE,
    "proof": _SEE,
    "proof-verifier": _SEE,
    "demo-mail": _SEE,
    # Signing in and what mailed links open
    "signin": _FORM,
    "signup": _FORM,
    "signed-up": _SEE,
    "signout": {"POST": ANYONE},
    "second-step": _FORM,
    "passkey-use-options": {"POST": ANYONE},
    "passkey-use": {"POST": ANYONE},
    "recover": _FORM,
    "confirm": _LINK,
    "recover-set": _LINK,
    "email-old": _LINK,
    "email-new": _LINK,
    "freeze": _LINK,
    "openid_connect_login": _SEE,
    "openid_connect_callback": _SEE,
    # One's own security
    "confirm-send": {"POST": user()},
    "step-up": {"GET": user(bare=True), "POST": user(bare=True)},
    "security": {"GET": user()},
    "password": _PERSON,
    "email": _PROVED,
    "session-stop": {"POST": user(MINE)},
    "sessions-stop": {"POST": user()},
    "login-history": {"GET": user()},
    "settings-lock": {"POST": user()},
    "settings-unlock": _PROVED_POST,
    "mobile": _PROVED,
    "mobile-confirm": _PROVED,
    "mobile-notices": _PROVED_POST,
    "mobile-remove": _PROVED_POST,
    "push-device-remove": {"POST": user(MINE)},
    "freeze-own": {"GET": user(bare=True), "POST": user(bare=True)},
    "totp": _SET_UP,
    "totp-remove": _PROVED_POST,
    "recovery-codes": _PROVED_POST,
    "passkey-add": {"GET": _SET_UP["GET"]},
    "passkey-register-options": {"POST": _SET_UP["POST"]},
    "passkey-register": {"POST": _SET_UP["POST"]},
    "passkey-remove": {"POST": user(MINE, step_up="security")},
    "social-unlink": _PROVED_POST,
    # Profile, personal data, programs
    "profile": _PERSON,
    "profile-api": _PERSON,
    "profile-api-keys": _PERSON,
    "profile-fix-keys": _PERSON,
    "personal": _PROVED,
    "export": {"GET": user()},
    "export-new": _PROVED_POST,
    "export-file": {"GET": user(MINE, step_up="security")},
    "close": _PROVED,
    # Accounts of several people
    "account-new": _PROVED,
    "members": {"GET": user(OWN)},
    "member-invite": {"POST": user(OWN, step_up="security")},
    "member": {"POST": user(OWN, step_up="security")},
    "uninvite": {"POST": user(OWN)},
    "sub-account": {"POST": user(OWN, step_up="security")},
    "invitation": {"GET": user(LINK), "POST": user(LINK)},
    # Trading
    "orders": {"GET": user(LOOK)},
    "order": {"GET": user(LOOK)},
    "portfolio": {"GET": user(LOOK)},
    "ledger": {"GET": user(LOOK)},
    "statements": {"GET": user(LOOK)},
    "reports": {"GET": user(LOOK)},
    "limits": {"GET": user(LOOK), "POST": user(LOOK)},
    "withdrawals": {"GET": user(LOOK)},
    "withdraw": {"GET": user(OWN, step_up="withdrawal"), "POST": user(OWN, step_up="withdrawal")},
    "withdrawal-cancel": {"POST": user(OWN)},
    "beneficiary-add": {"GET": user(OWN, step_up="beneficiary"), "POST": user(OWN, step_up="beneficiary")},
    "beneficiary-remove": {"POST": user(OWN)},
    # Onboarding
    "onboarding": {"GET": user()},
    "onboarding-status": {"GET": user()},
    "onboarding-step": _PERSON,
    "onboarding-submit": {"POST": user()},
    "onboarding-appeal": {"POST": user()},
    "entity": {"GET": user(MINE)},
    "entity-status": {"GET": user(MINE)},
    "entity-step": {"GET": user(MINE), "POST": user(MINE)},
    "entity-submit": {"POST": user(MINE)},
    "entity-appeal": {"POST": user(MINE)},
    "kyc-document": {"GET": user(SIGNED)},
    # Compliance officers
    "kyc-queue": {"GET": _OFFICER},
    "kyc-case": {"GET": _OFFICER},
    "kyc-file": {"GET": _OFFICER},
    "kyc-decide": {"POST": _OFFICER},
    "kyc-hit": {"POST": _OFFICER},
    "kyc-proposal": {"POST": _OFFICER},
    "audit-search": {"GET": _AUDITOR},
    "audit-csv": {"GET": _AUDITOR},
    "audit-pdf": {"GET": _AUDITOR},
    "audit-proofs": {"GET": _AUDITOR},
    "audit-entry": {"GET": _AUDITOR},
    "audit-proof": {"GET": _AUDITOR},
    "audit-record-pdf": {"GET": _AUDITOR},
    "rules-register": {"GET": _AUDITOR},
    "authority-reports": {"GET": _REPORTER},
    "rules-register-csv": {"GET": _AUDITOR},
    # The desk
    "desk": {"GET": staff()},
    "desk-clients": {"GET": staff("backoffice.view_clients")},
    "desk-client": {"GET": staff("backoffice.view_clients", CLIENT)},
    # Besides the ledger it shows trades and positions: the page asks for those rights too.
    "desk-client-statement": {"GET": staff("accounts.view_ledgerentry", CLIENT)},
    "desk-password-link": {"POST": staff("backoffice.request_factor_reset", CLIENT)},
    "desk-client-tax": {"GET": staff("accounts.view_ledgerentry", CLIENT)},
    "desk-view-as": {"POST": staff("backoffice.view_as_client", CLIENT)},
    "desk-client-request": {"POST": staff("backoffice.view_clients", CLIENT)},
    "desk-view-as-end": {"POST": staff()},
    "desk-approvals": {"GET": staff("backoffice.view_approval")},
    "desk-approval": {
        "GET": staff("backoffice.view_approval", APPROVAL),
        "POST": staff("backoffice.view_approval", APPROVAL),
    },
    "desk-funding": {"GET": staff("accounts.view_withdrawal")},
    "desk-withdrawal": {"GET": staff("accounts.view_withdrawal", SHARED)},
    "desk-withdrawal-act": {"POST": staff("backoffice.approve_money", SHARED)},
    "desk-requests": {"GET": staff("trading.view_fallbackrequest")},
    "desk-request": {"GET": staff("trading.view_fallbackrequest", CLIENT)},
    "desk-request-act": {"POST": staff("trading.decide_fallbackrequest", CLIENT)},
    "desk-access": {"GET": staff()},
    "desk-access-review": {"GET": staff("backoffice.review_access")},
    "desk-role-request": {"POST": staff("backoffice.request_role")},
    "desk-emergency": {"POST": staff("backoffice.break_glass")},
    "admin-password": {"GET": staff()},
    "desk-role-end": {"POST": staff("backoffice.approve_role")},
}

#: Pages of the administration that belong to no table. Before its own change of passwords
#: stands ``admin-password``, which leads to Security (ends other sessions, freezes payouts). Pages that nothing here uses are closed.
_ADMIN_PAGES: dict[str, Row] = {
    "admin:index": {"GET": staff()},
    "admin:app_list": {"GET": staff()},
    "admin:search": {"GET": staff()},
    "admin:login": {"GET": staff()},
    "admin:logout": {"POST": staff()},
    "admin:jsi18n": {"GET": staff()},
    "admin:autocomplete": {},
    "admin:password_change": {"GET": staff()},
    "admin:password_change_done": {},
    "admin:view_on_site": {},
    "admin:auth_user_password_change": {},
    "admin:trading_engine_state": {"GET": staff("trading.view_projectionstate")},
    # The maker's nameless ones: an address without its end, and addresses that nobody serves.
    "admin:django.views.generic.base.RedirectView": {"GET": staff()},
    "admin:django.contrib.admin.sites.catch_all_view": {"GET": staff(), "POST": staff()},
}

_ONLY_LOOK = ("view",)
#: Table of the administration -> what can be done there at all, by those whose role has the permission of that name.
ADMIN_TABLES: dict[str, tuple[str, ...]] = {
    "accounts.balance": _ONLY_LOOK,
    "accounts.changerequest": _ONLY_LOOK,
    "accounts.deposit": _ONLY_LOOK,
    "accounts.ledgerentry": _ONLY_LOOK,
    "accounts.tradingaccount": _ONLY_LOOK,
    "accounts.tradingaccountmember": _ONLY_LOOK,
    "accounts.user": ("view", "add", "change"),
    "accounts.withdrawal": _ONLY_LOOK,
    "auth.group": _ONLY_LOOK,
    "backoffice.approval": _ONLY_LOOK,
    "backoffice.breakglass": _ONLY_LOOK,
    "backoffice.clientgroup": ("view", "add", "change"),
    "backoffice.desk": ("view", "add", "change"),
    "backoffice.rolegrant": _ONLY_LOOK,
    "backoffice.viewas": _ONLY_LOOK,
    "compliance.auditcheckpoint": _ONLY_LOOK,
    "compliance.auditentry": _ONLY_LOOK,
    "marketdata.asset": _ONLY_LOOK,
    "marketdata.instrument": ("view", "add", "change"),
    "marketdata.venue": _ONLY_LOOK,
    "platform.outboxevent": _ONLY_LOOK,
    "risk.position": _ONLY_LOOK,
    "trading.execution": _ONLY_LOOK,
    "trading.order": _ONLY_LOOK,
    "trading.projectionstate": _ONLY_LOOK,
}
#: Table -> action on chosen rows -> permission. Whoever may look at a table of evidence may take what they see as a file.
ADMIN_ACTIONS: dict[str, dict[str, str]] = {
    **{
        label: {"export_csv": f"{label.split('.')[0]}.view_{label.split('.')[1]}"}
        for label in ADMIN_TABLES
        if label
        not in {"accounts.user", "auth.group", "backoffice.clientgroup", "backoffice.desk", "marketdata.instrument"}
    },
    "accounts.changerequest": {
        "approve": "accounts.decide_changerequest",
        "refuse": "accounts.decide_changerequest",
    },
}


def _admin_rows() -> dict[str, Row]:
    rows = dict(_ADMIN_PAGES)
    for label, verbs in ADMIN_TABLES.items():
        app, model = label.split(".")

        def may(verb: str, app: str = app, model: str = model, verbs: tuple[str, ...] = verbs) -> Rule:
            return staff(f"{app}.{verb}_{model}", SHARED) if verb in verbs else NOBODY

        name = f"admin:{app}_{model}"
        rows |= {
            # A post to a list is an action; what each asks more is in ADMIN_ACTIONS.
            f"{name}_changelist": {"GET": may("view"), "POST": may("view")},
            f"{name}_add": {"GET": may("add"), "POST": may("add")},
            f"{name}_change": {"GET": may("view"), "POST": may("change")},
            f"{name}_delete": {"GET": may("delete"), "POST": may("delete")},
            f"{name}_history": {"GET": may("view")},
        }
    return rows


ADMIN: dict[str, Row] = _admin_rows()
ROUTES: dict[str, Row] = {**REST, **PAGES, **ADMIN}

#: WebSocket -> kind of topic -> rule.
TOPICS: dict[str, Row] = {
    "ws/v1/market": {"quotes": ANYONE, "quote": ANYONE, "book": ANYONE, "trades": ANYONE, "candles": ANYONE},
    "ws/v1/private": {"account": key(READ, LOOK)},
}
