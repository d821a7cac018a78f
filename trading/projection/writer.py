"""Rows to tables: binary COPY for what is only ever added, staged merge for what changes, the offset in the same transaction."""

from __future__ import annotations

from typing import Any

import psycopg

from trading.projection.apply import Batch
from trading.projection.rows import ORDER_COLUMNS

_INT8, _INT4, _INT2, _TEXT, _NUMERIC = "int8", "int4", "int2", "text", "numeric"
_ORDER_TYPES = {
    "core_account": _INT4, "core_instrument": _INT4, "cl_ord_id": "varchar", "side": _INT2, "ord_type": _INT2, "time_in_force": _INT2,
    "flags": _INT4, "stp": _INT2, "notional_sum": _NUMERIC, "ord_status": _INT2, "reject_reason": _INT4, "cancel_reason": _INT2,
    "version": _INT2, "source": _INT4,
}  # fmt: skip
_COPIES = {
    "executions": (
        "trading_execution",
        "exec_id order_id contra_order_id core_account core_instrument side last_px last_qty fee fee_core_asset liquidity realised_pnl "
        "leaves_qty cum_qty cmd_seq time_ns",
        (
            _INT8,
            _INT8,
            _INT8,
            _INT4,
            _INT4,
            _INT2,
            _INT8,
            _INT8,
            _INT8,
            _INT2,
            "varchar",
            _INT8,
            _INT8,
            _INT8,
            _INT8,
            _INT8,
        ),
    ),
    "order_events": (
        "trading_orderevent",
        "seq order_id core_account cmd_seq exec_type reason price qty leaves cum time_ns",
        (_INT8, _INT8, _INT4, _INT8, _INT2, _INT4, _INT8, _INT8, _INT8, _INT8, _INT8),
    ),
    "ledger": (
        "accounts_ledgerentry",
        "id entry_seq cmd_seq leg book core_account core_asset amount kind ref_id time_ns",
        (_INT8, _INT8, _INT8, _INT2, _INT2, _INT4, _INT2, _INT8, _INT2, _INT8, _INT8),
    ),
}
#: stage, target, columns, types, key, guarded by seq
_MERGES = (
    (
        "stage_order",
        "trading_order",
        ORDER_COLUMNS,
        tuple(_ORDER_TYPES.get(name, _INT8) for name in ORDER_COLUMNS),
        ("order_id",),
    ),
    (
        "stage_balance",
        "accounts_balance",
        ("core_account", "core_asset", "available", "held", "seq"),
        (_INT4, _INT2, _INT8, _INT8, _INT8),
        ("core_account", "core_asset"),
    ),
    (
        "stage_position",
        "risk_position",
        ("core_account", "core_instrument", "net", "cost", "realised_pnl", "seq"),
        (_INT4, _INT4, _INT8, _INT8, _INT8, _INT8),
        ("core_account", "core_instrument"),
    ),
)


class FencedError(Exception):
    """The offset is not where this projector left it: another one is at work, or the database was restored. Nothing was written."""


class Writer:
    """Write batches over one connection, which it sets up with its staging tables."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        with connection.transaction(), connection.cursor() as cursor:
            for stage, target, columns, _, _ in _MERGES:
                names = ", ".join(columns)
                cursor.execute(
                    f"CREATE TEMP TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS SELECT {names} FROM {target} WITH NO DATA"  # noqa: S608
                )

    def write(self, batch: Batch, *, journal_id: str, epoch: int, from_cmd_seq: int) -> None:
        """Store one batch and move the offset from ``from_cmd_seq`` to its last command, or do nothing and raise FencedError."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute(
                "UPDATE trading_projectionstate SET cmd_seq = %s, event_seq = GREATEST(event_seq, %s), epoch = %s, journal_id = %s,"
                " halted_reason = '', updated_at = now() WHERE id = 1 AND cmd_seq = %s AND epoch <= %s AND journal_id IN ('', %s)",
                (batch.last_cmd_seq, batch.last_event_seq, epoch, journal_id, from_cmd_seq, epoch, journal_id),
            )
            if cursor.rowcount != 1:
                raise FencedError(f"the projection is not at command {from_cmd_seq} of journal {journal_id} any more")
            for name, (table, columns, types) in _COPIES.items():
                self._copy(cursor, table, columns.split(), types, getattr(batch, name))
            if batch.listings:
                cursor.executemany(
                    "INSERT INTO trading_projectedlisting (core_instrument, kind, base_asset, quote_asset, tick_value, lot_minor) "
                    "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (core_instrument) DO UPDATE SET kind = EXCLUDED.kind, "
                    "base_asset = EXCLUDED.base_asset, quote_asset = EXCLUDED.quote_asset, tick_value = EXCLUDED.tick_value, "
                    "lot_minor = EXCLUDED.lot_minor",
                    [
                        (number, row.kind, row.base, row.quote, row.tick_value, row.lot_minor)
                        for number, row in sorted(batch.listings.items())
                    ],
                )
            staged = (
                [tuple(getattr(row, name) for name in ORDER_COLUMNS) for _, row in sorted(batch.orders.items())],
                [(*key, *values) for key, values in sorted(batch.balances.items())],
                [(*key, row.net, row.cost, row.realised_pnl, row.seq) for key, row in sorted(batch.positions.items())],
            )
            for (stage, target, columns, types, key), rows in zip(_MERGES, staged, strict=True):
                if not rows:
                    continue
                self._copy(cursor, stage, columns, types, rows)
                updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns if name not in key)
                names = ", ".join(columns)
                cursor.execute(
                    f"INSERT INTO {target} ({names}) SELECT {names} FROM {stage} ON CONFLICT ({', '.join(key)}) "  # noqa: S608
                    f"DO UPDATE SET {updates} WHERE {target}.seq < EXCLUDED.seq"
                )

    @staticmethod
    def _copy(cursor: psycopg.Cursor[Any], table: str, columns: Any, types: Any, rows: list[Any]) -> None:
        if not rows:
            return
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
