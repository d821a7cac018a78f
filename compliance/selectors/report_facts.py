"""What a report to an authority needs to know of accounts and instruments: whose rules hold, what is reportable, reference data.

Leaves who holds an account to ``report_holders.py`` and what traded to ``trading/selectors/reporting.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from accounts.models import TradingAccount
from accounts.selectors.access import account_jurisdiction
from accounts.trading_policy import trading_policy
from brokerage.kernel.identifiers import encode_id
from brokerage.platform.crypto import blind_index
from compliance.reporting.mifid_rts22 import Security
from marketdata.models import Instrument


class ReportFacts:
    """Accounts and instruments of a report, each read once. ``why``: account -> why nothing of it is reported."""

    def __init__(self, code: str, accounts: set[int], reportable: Callable[[str, str], bool]) -> None:
        rows = TradingAccount.objects.filter(core_account__in=accounts).select_related("owner", "parent")
        self.accounts = {row.core_account: row for row in rows}
        self.instruments = {
            row.core_instrument: row for row in Instrument.objects.select_related("base", "quote", "venue")
        }
        kinds = TradingAccount.Kind
        self.why: dict[int, str] = {}
        for core in accounts:
            row = self.accounts.get(core)
            if row is None or row.owner is None or row.kind in {kinds.HOUSE, kinds.DEMO}:
                self.why[core] = "house"
            elif code not in trading_policy().jurisdictions[account_jurisdiction(row)].reports:
                self.why[core] = "jurisdiction"
        self.reportable = {
            core for core, row in self.instruments.items() if reportable(row.kind, row.asset_class)
        }  # fmt: skip
        self._isins = {
            row.base_id: row.isin for row in self.instruments.values() if row.kind == Instrument.Kind.SPOT and row.isin
        }

    def why_not(self, account: int, instrument: int) -> str:
        """Why an execution or order need not be reported; empty: it must be."""
        return self.why.get(account) or ("" if instrument in self.reportable else "instrument")

    def security(self, core: int) -> Security:
        """An instrument as the makers want it."""
        row = self.instruments[core]
        base = row.base if row.kind == Instrument.Kind.MARGIN else None
        code = ""
        if base is not None:
            code = {"equity": self._isins.get(base.pk, ""), "index": base.name}.get(base.kind, base.code)
        return Security(
            row.symbol, row.name, row.kind, row.asset_class, row.isin, row.cfi, row.quote.code,
            (base.kind, code) if base is not None else None,
        )  # fmt: skip


def firm_designated_id(account: TradingAccount) -> str:
    """The account as CAT knows it: a keyed digest, the same for one account until the index key is changed, and nothing without the key."""
    return encode_id(int.from_bytes(blind_index(str(account.pk), "cat-fdid")[:8], "big"))
