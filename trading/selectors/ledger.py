"""Reading an account's own ledger entries. The house's, clearing and external legs are not the account's and not
shown.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from accounts.models import LedgerEntry
from brokerage.kernel.clock import rfc3339
from brokerage.kernel.identifiers import encode_id
from marketdata.selectors.instruments import asset_by_core

Row = dict[str, Any]

KINDS = {kind.value: kind.name.lower() for kind in LedgerEntry.Kind}
KIND_NUMBERS = {name: number for number, name in KINDS.items()}
#: Kinds whose reference is an execution.
_OF_EXECUTION = {LedgerEntry.Kind.TRADE, LedgerEntry.Kind.FEE, LedgerEntry.Kind.PNL}


def ledger_list_for(
    core_account: int,
    *,
    core_asset: int | None = None,
    kind: int | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> QuerySet[LedgerEntry, Row]:
    """Entries of an account as dicts; the caller pages them by (entry_seq, leg)."""
    rows = LedgerEntry.objects.filter(core_account=core_account, book=LedgerEntry.Book.CLIENT)
    if core_asset is not None:
        rows = rows.filter(core_asset=core_asset)
    if kind is not None:
        rows = rows.filter(kind=kind)
    if from_ns is not None:
        rows = rows.filter(time_ns__gte=from_ns)
    if to_ns is not None:
        rows = rows.filter(time_ns__lt=to_ns)
    return rows.values()


def ledger_json(row: Row) -> dict[str, Any]:
    """An entry as the API shows it."""
    asset = asset_by_core(row["core_asset"])
    if asset is None:
        raise LookupError(f"asset {row['core_asset']} is not known")
    return {
        "entry_id": f"{encode_id(row['entry_seq'])}-{row['leg']}",
        "time": rfc3339(row["time_ns"]),
        "kind": KINDS.get(row["kind"], "adjustment"),
        "asset": asset.code,
        "amount": asset.money(row["amount"]),
        "exec_id": encode_id(row["ref_id"]) if row["kind"] in _OF_EXECUTION and row["ref_id"] else None,
        "display_decimals": asset.display_decimals,
    }
