"""What becomes of each thing a report is about: a row, a refusal with its reasons, or nothing to report. Pure.

Every reason is a row of one table: what is missing and who can mend it. A report never fills a gap with a guess.
"""

# ruff: noqa: E501 - one row of the table is one line

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is no row. ``about`` is where it is mended: firm, instrument, client or report."""

    code: str
    text: str
    about: str
    mend: str


_ROWS = (
    Reason("FIRM_LEI", "The firm's own LEI is missing, or its check digits do not fit.", "firm", "The operator sets REPORT_LEI."),
    Reason("FIRM_COUNTRY", "The firm's country is missing.", "firm", "The operator sets REPORT_COUNTRY."),
    Reason("FIRM_MIC", "The market code (MIC) of the firm's book is missing.", "firm", "The operator sets REPORT_MIC."),
    Reason("FIRM_IMID", "The firm's CAT reporter id (IMID) is missing.", "firm", "The operator sets REPORT_IMID."),
    Reason("FIRM_MARKET_CENTER", "The facility that trades are published through is missing.", "firm", "The operator sets REPORT_MARKET_CENTER."),
    Reason("INSTRUMENT_ISIN", "The share has no ISIN, or one whose check digit does not fit.", "instrument", "An administrator adds it to the instrument."),
    Reason("INSTRUMENT_CFI", "The instrument has no classification (CFI).", "instrument", "An administrator adds it to the instrument."),
    Reason("INSTRUMENT_CURRENCY", "The instrument is not priced in a currency of ISO 4217.", "instrument", "Such a price cannot be reported: list the instrument in a currency."),
    Reason("INSTRUMENT_UNDERLYING", "What the contract is about is not in the reference data.", "instrument", "The instrument is listed anew with its underlying as base asset."),
    Reason("INSTRUMENT_NAME", "The instrument's name cannot be written in the report.", "instrument", "An administrator corrects the name."),
    Reason("CLIENT_UNKNOWN", "The client has not said who they are.", "client", "The client completes the step Who you are; an officer asks for it in the case."),
    Reason("CLIENT_ERASED", "The client's data was erased.", "client", "Nobody can: the day should have been reported before."),
    Reason("CLIENT_NAME", "A name has letters that the report has no form for.", "client", "The client gives the name as in the machine-readable zone."),
    Reason("CLIENT_ID", "The identifier that comes first for this nationality is not known.", "client", "The client gives it in the step Who you are or Tax form; an officer asks for it in the case."),
    Reason("CLIENT_LEI", "The company has no LEI, or one whose check digits do not fit.", "client", "The company adds its LEI in the step The company."),
    Reason("CLIENT_SEVERAL", "The account has several holders; a row for all of them is not made yet.", "client", "Report it by hand."),
    Reason("CLIENT_TYPE", "What the report must say of a company (institutional customer, reduction of a commercial risk) is not known.", "client", "Not asked by onboarding yet: report it by hand."),
    Reason("DECISION_MAKER", "Others than the holder may trade this account; who decided is not kept with the order.", "client", "Report it by hand, with the person who decided."),
    Reason("EXECUTOR", "The order did not come from the client by the portal, the API or FIX; who in the firm decided is not kept with it.", "report", "Report it by hand, with the person who decided."),
    Reason("CANCEL_INITIATOR", "The order was cancelled with others at once; whether the client or the firm asked is not kept with it.", "report", "The audit trail says who did: report it by hand."),
    Reason("NUMBER_FORM", "A price or quantity has more digits than its field.", "report", "Report it by hand."),
)  # fmt: skip
REASONS = MappingProxyType({row.code: row for row in _ROWS})
#: Why something need not be reported.
NOT_REPORTABLE = MappingProxyType(
    {
        "house": "Of the house or the demo market, no client's",
        "jurisdiction": "The client's jurisdiction does not ask for this report",
        "instrument": "The instrument is none that this report is about",
        "refused": "The order was refused, or a change of it: nothing came into force",
        "step": "A step that is no event of the report",
    }
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """What should have been reported and cannot be. ``key`` is the execution or event it is about."""

    key: int
    account: int
    instrument: int
    time_ns: int
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Outcome:
    """What became of everything in a period. ``produced`` counts what is accounted for by ``lines``, which may be fewer."""

    lines: list[str] = field(default_factory=list)
    produced: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    not_reportable: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Everything that was looked at; each thing is in one place."""
        return self.produced + len(self.rejected) + sum(self.not_reportable.values())

    def by_reason(self) -> list[tuple[Reason, int]]:
        """How often each reason is met, in the order of the table; one row can have several."""
        found = Counter(code for row in self.rejected for code in row.reasons)
        return [(reason, found[code]) for code, reason in REASONS.items() if found[code]]


def in_order(codes: Sequence[str]) -> tuple[str, ...]:
    """Reasons once each, in the order of the table."""
    return tuple(code for code in REASONS if code in codes)
