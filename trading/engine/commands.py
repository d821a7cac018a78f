"""Builders of commands: domain arguments in core units → the 128 bytes the core, the socket and the journal share.

Owns: which field of the struct each argument goes to. Leaves to others: units (brokerage/kernel/units.py), whether the command
is allowed (the core), sequence and time (stamped by the sequencer). A number that does not fit its field raises CommandError.
"""

from __future__ import annotations

import struct
from typing import Any

from brokerage.kernel.errors import RejectedError
from native import layout
from native.layout import ANY, CommandFlag, CommandType, HaltScope, Stp

__all__ = [
    "ANY", "CommandError", "account_upsert", "asset_upsert", "deposit", "halt_set", "hold", "hold_release", "hold_settle",
    "instrument_upsert", "limits_set", "mass_cancel", "order_cancel", "order_cancel_by_cl_ord_id", "order_new",
    "order_replace", "session_close", "transfer", "withdraw",
]  # fmt: skip


class CommandError(RejectedError):
    """An argument does not fit the command's field: too large, negative where it may not be, or an id that is not ASCII."""

    def __init__(self, detail: str) -> None:
        super().__init__(1001, detail)


def _pack(command: CommandType, **fields: Any) -> bytes:
    try:
        return layout.pack_command(command, **fields)
    except (struct.error, ValueError, TypeError) as error:
        raise CommandError(f"{command.name}: {error}") from error


def order_new(
    account: int,
    instrument: int,
    side: int,
    ord_type: int,
    tif: int,
    price: int,
    qty: int,
    *,
    flags: int = 0,
    stp: int = Stp.CANCEL_NEWEST,
    expire_ns: int = 0,
    cl_ord_id: str = "",
    source: int = 0,
    correlation: int = 0,
) -> bytes:
    """Build a new order; price in ticks (0 for market), quantity in lots."""
    return _pack(
        CommandType.ORDER_NEW, account=account, instrument=instrument, side=side, ord_type=ord_type, tif=tif, stp=stp,
        flags=flags, price=price, qty=qty, amount=expire_ns, cl_ord_id=cl_ord_id, source=source, correlation=correlation,
    )  # fmt: skip


def order_cancel(account: int, order_id: int, *, cl_ord_id: str = "", source: int = 0) -> bytes:
    """Build a cancel of an order by its id."""
    return _pack(CommandType.ORDER_CANCEL, account=account, order_id=order_id, cl_ord_id=cl_ord_id, source=source)


def order_cancel_by_cl_ord_id(account: int, cl_ord_id: str, *, source: int = 0) -> bytes:
    """Build a cancel of the order that was entered, or last replaced, under this id."""
    return _pack(
        CommandType.ORDER_CANCEL,
        account=account,
        flags=CommandFlag.CANCEL_BY_CL_ORD_ID,
        cl_ord_id=cl_ord_id,
        source=source,
    )


def order_replace(
    account: int,
    order_id: int,
    price: int,
    qty: int,
    *,
    expected_version: int = 0,
    cl_ord_id: str = "",
    source: int = 0,
    correlation: int = 0,
) -> bytes:
    """Build a replace; ``qty`` is the new total order quantity, ``expected_version`` 0 accepts any."""
    return _pack(
        CommandType.ORDER_REPLACE, account=account, order_id=order_id, price=price, qty=qty, aux=expected_version,
        cl_ord_id=cl_ord_id, source=source, correlation=correlation,
    )  # fmt: skip


def mass_cancel(account: int = ANY, instrument: int = ANY, side: int = 0, *, source: int = 0) -> bytes:
    """Build a mass cancel; bounded per command: repeat while the last event carries EventFlag.MORE."""
    return _pack(CommandType.MASS_CANCEL, account=account, instrument=instrument, side=side, source=source)


def _money(command: CommandType, account: int, asset: int, amount: int, entry_id: str, other: int = 0) -> bytes:
    return _pack(command, account=account, instrument=asset, amount=amount, cl_ord_id=entry_id, order_id=other)


def deposit(account: int, asset: int, amount: int, entry_id: str) -> bytes:
    """Build a credit of minor units; applied once per entry id."""
    return _money(CommandType.DEPOSIT, account, asset, amount, entry_id)


def withdraw(account: int, asset: int, amount: int, entry_id: str) -> bytes:
    """Build a debit of available minor units; applied once per entry id."""
    return _money(CommandType.WITHDRAW, account, asset, amount, entry_id)


def hold(account: int, asset: int, amount: int, entry_id: str) -> bytes:
    """Build a hold: available → held. The event's order_id is the hold id."""
    return _money(CommandType.HOLD, account, asset, amount, entry_id)


def hold_release(account: int, hold_id: int) -> bytes:
    """Build the return of a hold to available."""
    return _pack(CommandType.HOLD_RELEASE, account=account, order_id=hold_id)


def hold_settle(account: int, hold_id: int) -> bytes:
    """Build the payout of a hold: the amount leaves the house."""
    return _pack(CommandType.HOLD_SETTLE, account=account, order_id=hold_id)


def transfer(account: int, other_account: int, asset: int, amount: int, entry_id: str) -> bytes:
    """Build a transfer from ``account`` to ``other_account``; applied once per entry id of the payer."""
    return _money(CommandType.TRANSFER, account, asset, amount, entry_id, other_account)


def asset_upsert(asset: int, scale: int) -> bytes:
    """Build the registration of an asset."""
    return _pack(CommandType.ASSET_UPSERT, instrument=asset, side=scale)


def instrument_upsert(
    instrument: int,
    kind: int,
    *,
    base_asset: int,
    quote_asset: int,
    tick_value: int,
    lot_minor: int,
    min_qty: int = 1,
    max_qty: int = 0,
    max_notional: int = 0,
    maker_ppm: int = 0,
    taker_ppm: int = 0,
    margin_ppm: int = 0,
    collar_ppm: int = 0,
    reference_price: int = 0,
    state: int = 0,
) -> bytes:
    """Build the listing, or a change, of an instrument. ``state`` counts at the first listing only."""
    try:
        data = layout.pack_instrument_data(
            maker_ppm=maker_ppm, taker_ppm=taker_ppm, margin_ppm=margin_ppm, collar_ppm=collar_ppm, min_qty=min_qty,
            max_notional=max_notional,
        )  # fmt: skip
    except struct.error as error:
        raise CommandError(f"INSTRUMENT_UPSERT: {error}") from error
    if not (0 <= base_asset < 1 << 32 and 0 <= quote_asset < 1 << 32):
        raise CommandError("INSTRUMENT_UPSERT: an asset index has 32 bits")
    return _pack(
        CommandType.INSTRUMENT_UPSERT, instrument=instrument, ord_type=kind, tif=state,
        order_id=base_asset << 32 | quote_asset, amount=tick_value, aux=lot_minor, qty=max_qty, price=reference_price,
        cl_ord_id=data,
    )  # fmt: skip


def account_upsert(account: int, *, stp_group: int = 0) -> bytes:
    """Build the registration of an account; ``stp_group`` 0 = its own."""
    return _pack(CommandType.ACCOUNT_UPSERT, account=account, aux=stp_group)


def limits_set(account: int, *, max_open_orders: int = 0, max_order_notional: int = 0) -> bytes:
    """Build an account's limits; 0 = none."""
    return _pack(CommandType.LIMITS_SET, account=account, qty=max_open_orders, amount=max_order_notional)


def halt_set(scope: int, state: int, *, account: int = 0, instrument: int = 0) -> bytes:
    """Build a change of trading state: HaltScope, TradingState, and whom it is about."""
    return _pack(CommandType.HALT_SET, ord_type=HaltScope(scope), side=state, account=account, instrument=instrument)


def session_close(instrument: int) -> bytes:
    """Build the end of an instrument's session: closed, DAY orders expire. Repeat while EventFlag.MORE."""
    return _pack(CommandType.SESSION_CLOSE, instrument=instrument)
