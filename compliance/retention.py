"""How long everything is kept that is about a person, why, and what happens then: the one table.

Each class of data is a row: where it is, from when time counts, how long, the reason in law, what happens. ``services/retention.py`` does what
the rows say, ``manage.py retention`` shows and does it, beat runs it each night. The table in ``docs/inventories.md`` is made of this one
(``as_markdown``), and a table of the database that no row names fails the tests: whoever adds one says how long it is kept.
Pure: knows no models. Leaves erasing a person to ``services/erasure.py``.
"""

# ruff: noqa: E501 - one row of the table is one line

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Act(StrEnum):
    """What happens when the time is over."""

    DELETE = "deleted"
    ERASE = "key destroyed, rows and files deleted, name and address replaced"
    ITSELF = "goes by itself"
    KEEP = "kept"


@dataclass(frozen=True, slots=True)
class Kept:
    """One class of data. ``models`` are labels; for DELETE the first is the one whose rows go."""

    name: str
    what: str
    models: tuple[str, ...]
    act: Act
    #: How long after ``since``; None for what has no end.
    after: timedelta | None
    why: str
    #: Path of the moment from which time counts.
    since: str = ""
    #: Paths to the users whom the row is about: a legal hold on one of them keeps it.
    user: str = ""
    #: More conditions a row must meet.
    only: dict[str, object] = field(default_factory=dict)
    #: Where it is when it is no table.
    where: str = ""


def days(count: int) -> timedelta:
    """So many days."""
    return timedelta(days=count)


YEARS_5 = days(5 * 365 + 2)
SECURITY = "security of accounts: GDPR 6(1)(f)"
AML = "5 years after the relation ends: AMLD 40(1), MLR 2017 reg. 40"
BOOKS = "books of a broker: MiFID II 16(6), 5 to 7 years; here without end, the journal is a chain"
NO_PERSON = "says nothing about a person"
WITH_CLIENT = "part of the client's file; goes with the client"

TABLE: tuple[Kept, ...] = (
    Kept("sign-ins", "tries to sign in, with address and browser", ("accounts.LoginEvent",), Act.DELETE, days(365), SECURITY, "created_at", "user"),
    Kept("sessions", "ended sessions, with address and browser", ("accounts.UserSession",), Act.DELETE, days(90), SECURITY, "ended_at", "user"),
    Kept("devices", "browsers known, not seen since", ("accounts.KnownDevice",), Act.DELETE, days(395), SECURITY, "last_seen_at", "user"),
    Kept("numbers not confirmed", "mobile numbers whose code nobody typed, sealed", ("accounts.MobileNumber",), Act.DELETE, days(1), "purpose is over: GDPR 5(1)(e)", "code_expires_at", "user", {"confirmed_at": None}),
    Kept("push devices", "tokens of programs' devices, sealed, not registered again since", ("accounts.PushDevice",), Act.DELETE, days(395), "purpose is over: GDPR 5(1)(e)", "seen_at", "user"),
    Kept("session store", "what a browser's session holds, after its end", ("sessions.Session",), Act.DELETE, days(1), SECURITY, "expire_date"),
    Kept("mailed links", "digests of links, after their end", ("accounts.MailToken",), Act.DELETE, days(30), SECURITY, "expires_at", "user"),
    Kept("invitations", "addresses invited, after the link's end", ("accounts.Invitation",), Act.DELETE, days(90), "purpose is over: GDPR 5(1)(e)", "expires_at", "invited_by"),
    Kept("programs' sign-ins", "token families, after the last could be refreshed", ("accounts.TokenFamily",), Act.DELETE, days(90), SECURITY, "expires_at", "user"),
    Kept("keys revoked", "API keys, after they were revoked", ("accounts.ApiKey",), Act.DELETE, days(365), SECURITY, "revoked_at", "user"),
    Kept("keys expired", "API keys, after they ran out", ("accounts.ApiKey",), Act.DELETE, days(365), SECURITY, "expires_at", "user"),
    Kept("FIX keys revoked", "FIX keys, after they were revoked; their sessions with them", ("accounts.FixKey", "trading.FixSession"), Act.DELETE, days(365), SECURITY, "revoked_at", "user"),
    Kept("FIX keys expired", "FIX keys, after they ran out; their sessions with them", ("accounts.FixKey", "trading.FixSession"), Act.DELETE, days(365), SECURITY, "expires_at", "user"),
    Kept("FIX messages", "reports sent by FIX, to be sent again when asked for; what they say is in orders and fills", ("trading.FixMessage",), Act.DELETE, days(7), "purpose is over: GDPR 5(1)(e)", "sent_at", "session__key__user"),
    Kept("recovery codes", "digests of codes that were used", ("accounts.RecoveryCode",), Act.DELETE, days(90), SECURITY, "used_at", "user"),
    Kept("exports", "a client's own data as a file, sealed", ("accounts.DataExport",), Act.DELETE, days(0), "purpose is over: GDPR 5(1)(e)", "expires_at", "user"),
    Kept("events", "news between parts of the platform, once told", ("platform.OutboxEvent",), Act.DELETE, days(30), "purpose is over: GDPR 5(1)(e)", "published_at"),
    Kept("vendor's news", "ids and digests of webhooks; bodies are never kept", ("compliance.ProviderEvent",), Act.DELETE, days(90), "disputes with the vendor", "received_at"),
    Kept("administration's history", "who changed what on its pages", ("admin.LogEntry",), Act.DELETE, days(365), "the audit trail has it", "action_time", "user"),
    Kept("documents replaced", "identity documents another took the place of", ("compliance.KycDocument",), Act.DELETE, days(90), "not what the decision rests on: GDPR 5(1)(c)", "created_at", "case__user case__account__owner", {"state": "replaced"}),
    Kept("cases never finished", "answers, documents and checks of who never became a client", ("compliance.KycCase",), Act.DELETE, days(60), "no relation began: GDPR 5(1)(e)", "updated_at", "user account__owner", {"state__in": ("draft", "more_info"), "tier": 0}),
    Kept("cases refused", "the same, of who was refused", ("compliance.KycCase",), Act.DELETE, days(90), "time to appeal; a true match on a list is kept", "decided_at", "user account__owner", {"state": "rejected", "tier": 0}),
    Kept(
        "clients who left", "everything sealed for them, their file, factors and links; address and name",
        ("compliance.ClientEnd", "accounts.User", "accounts.PersonalData", "accounts.ChangeRequest", "accounts.MobileNumber", "accounts.TotpDevice", "accounts.Passkey",
         "accounts.SocialLink", "compliance.KycAnswer", "compliance.KycCheck", "compliance.LivenessCheck", "compliance.KycTransition",
         "compliance.KycProposal", "compliance.ScreeningHit", "compliance.GoodGuy", "accounts.Beneficiary"),
        Act.ERASE, YEARS_5, AML, "ended_at", "user", {"erased_at": None},
    ),
    Kept("uploads without a row", "sealed files that a crash left behind", (), Act.DELETE, days(1), NO_PERSON, where="`vault_dir`"),
    Kept("mails as files", "mails of an installation without a mail server", (), Act.DELETE, days(7), "purpose is over: GDPR 5(1)(e)", where="`EMAIL_FILE_PATH`"),
    Kept("old logs", "process logs that were put aside; in production the system's journal", (), Act.DELETE, days(90), SECURITY, where="`var/log/*.log.1`"),
    Kept("nonces, tickets, budgets", "used nonces and tickets, counts by address or digest", (), Act.ITSELF, None, "seconds to an hour: each key has an end", where="Valkey"),
    Kept("audit trail", "acts, sealed for whom they are about", ("compliance.AuditEntry", "compliance.AuditNode", "compliance.AuditCheckpoint", "platform.AuditPending", "platform.DataKey"), Act.KEEP, None, "proof; destroying a client's key takes the plain text"),
    Kept("money and orders", "orders, requests to the desk, fills, ledger, transfers", ("accounts.LedgerEntry", "accounts.Balance", "accounts.Deposit", "accounts.Withdrawal", "accounts.AccountLimits", "accounts.DisclosureAcceptance", "trading.Order", "trading.OrderEvent", "trading.Execution", "trading.FallbackRequest", "trading.FixRequest", "risk.Position"), Act.KEEP, None, BOOKS),
    Kept("accounts", "numbers, who owned and used them", ("accounts.TradingAccount", "accounts.TradingAccountMember", "backoffice.ClientGroup_accounts"), Act.KEEP, None, BOOKS),
    Kept("acts of staff", "approvals, roles, emergencies, looks as a client", ("backoffice.Approval", "backoffice.RoleGrant", "backoffice.BreakGlass", "backoffice.ViewAs"), Act.KEEP, None, "proof of four eyes and of access: MiFID II 16(6)"),
    Kept("rights", "roles and permissions of people", ("accounts.User_groups", "accounts.User_user_permissions", "guardian.UserObjectPermission"), Act.KEEP, None, "while the sign-in is; RoleGrant says when"),
    Kept("unused tables", "tables of libraries that nothing writes", ("account.EmailAddress", "account.EmailConfirmation", "socialaccount.SocialApp", "socialaccount.SocialAccount", "socialaccount.SocialToken"), Act.KEEP, None, "empty"),
    Kept("sanctions lists", "published lists, version by version", ("compliance.SanctionsList", "compliance.ListedParty", "compliance.ListedName"), Act.KEEP, None, "what a screening was made against: AMLD 40(1)"),
    Kept(
        "reference and prices", "instruments, candles, places in streams, names of rights",
        ("marketdata.Asset", "marketdata.Venue", "marketdata.Instrument", "marketdata.Candle", "marketdata.TradePrint", "marketdata.MarketDataState",
         "trading.ProjectionState", "trading.ProjectedListing", "backoffice.Desk", "backoffice.ClientGroup", "auth.Permission", "auth.Group",
         "auth.Group_permissions", "contenttypes.ContentType", "guardian.GroupObjectPermission"),
        Act.KEEP, None, NO_PERSON,
    ),
)  # fmt: skip


def row_of(name: str) -> Kept:
    """The row of that name; KeyError when there is none."""
    return {row.name: row for row in TABLE}[name]


def _time(row: Kept) -> str:
    if row.after is None:
        return "–"
    if row.after == YEARS_5:
        return "5 years"
    return f"{row.after.days} days" if row.after else "at its end"


def as_markdown() -> str:
    """The table of ``docs/inventories.md``."""
    lines = ["| class | what | where | kept | from | then | why |", "|---|---|---|---|---|---|---|"]
    for row in TABLE:
        places = row.where or ", ".join(f"`{label}`" for label in row.models)
        since = f"`{row.since}`" if row.since else "–"
        lines.append(f"| {row.name} | {row.what} | {places} | {_time(row)} | {since} | {row.act} | {row.why} |")
    return "\n".join(lines) + "\n"
