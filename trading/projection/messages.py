"""A committed batch as private stream messages: the same JSON as REST, each with its event id. Only accounts somebody listens to are shaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import redis

from brokerage.platform.realtime import private_channel
from brokerage.platform.valkey import get_valkey
from trading.projection.apply import Batch
from trading.selectors.shapes import balance_json, execution_json, order_json, position_json

EXECUTION_FIELDS = (
    "exec_id", "order_id", "contra_order_id", "core_account", "core_instrument", "side", "last_px", "last_qty", "fee", "fee_core_asset",
    "liquidity", "realised_pnl", "leaves_qty", "cum_qty", "cmd_seq", "time_ns",
)  # fmt: skip


def _listened(accounts: set[int]) -> set[int]:
    """Of these accounts, the ones with a subscriber; all of them when Valkey cannot say (publishing to nobody is harmless)."""
    if not accounts:
        return set()
    ordered = sorted(accounts)
    try:
        counts = get_valkey().pubsub_numsub(*(private_channel(account) for account in ordered))
    except redis.RedisError:
        return set()
    return {account for account, (_, count) in zip(ordered, counts, strict=True) if count}


def private_messages(batch: Batch) -> Mapping[int, list[dict[str, Any]]]:
    """Messages by account, in event order."""
    accounts = {row.core_account for row in batch.orders.values()} | {account for account, _ in batch.balances}
    wanted = _listened({account for account in accounts if account > 0})
    result: dict[int, list[tuple[int, dict[str, Any]]]] = {account: [] for account in wanted}
    if not wanted:
        return {}
    for order in batch.orders.values():
        if order.core_account in wanted:
            message = {"type": "order", "eid": str(order.seq), "order": order_json(asdict(order))}
            result[order.core_account].append((order.seq, message))
    for values in batch.executions:
        row = dict(zip(EXECUTION_FIELDS, values, strict=True))
        if row["core_account"] in wanted:
            message = {"type": "execution", "eid": str(row["exec_id"]), "execution": execution_json(row)}
            result[row["core_account"]].append((row["exec_id"], message))
    for (account, asset), (available, held, seq) in batch.balances.items():
        if account in wanted:
            row = {"core_account": account, "core_asset": asset, "available": available, "held": held, "seq": seq}
            result[account].append((seq, {"type": "balance", "eid": str(seq), "balance": balance_json(row)}))
    for (account, instrument), position in batch.positions.items():
        if account in wanted:
            row = {"core_account": account, "core_instrument": instrument, **asdict(position)}
            result[account].append(
                (position.seq, {"type": "position", "eid": str(position.seq), "position": position_json(row)})
            )
    return {
        account: [message for _, message in sorted(pairs, key=lambda pair: pair[0])]
        for account, pairs in result.items()
    }
