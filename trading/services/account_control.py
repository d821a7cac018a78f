"""What staff decided about an account, told to the engine: its trading state, its limits, a debit by hand. Safe to send again."""

from __future__ import annotations

from native.layout import HaltScope, TradingState
from trading.engine import commands
from trading.engine.gateway import EngineClient, EngineUnavailable, Rejected, Unknown

STATES = {"active": TradingState.ACTIVE, "reduce_only": TradingState.REDUCE_ONLY, "halted": TradingState.HALTED}
OPEN_ORDERS_MAX = 5_000


def _submit(client: EngineClient, command: bytes) -> int:
    """The engine's refusal code, 0 when it was done; EngineUnavailable when that is not known (the command may be sent again)."""
    outcome = client.submit(command)
    if isinstance(outcome, Unknown):
        raise EngineUnavailable(f"the engine's answer is not known: {outcome.why}")
    return outcome.reason if isinstance(outcome, Rejected) else 0


def account_state_send(client: EngineClient, *, core_account: int, state: str) -> int:
    """Halt an account, let it only reduce, or open it again."""
    return _submit(client, commands.halt_set(HaltScope.ACCOUNT, STATES[state], account=core_account))


def account_limits_send(
    client: EngineClient, *, core_account: int, max_open_orders: int, max_order_notional: int
) -> int:
    """Set how many orders may be open and what one may be worth (minor units of its quote asset; 0: no limit)."""
    return _submit(
        client,
        commands.limits_set(core_account, max_open_orders=max_open_orders, max_order_notional=max_order_notional),
    )


def account_debit_send(client: EngineClient, *, core_account: int, core_asset: int, minor: int, entry_id: str) -> int:
    """Take available money from an account, once per entry id."""
    return _submit(client, commands.withdraw(core_account, core_asset, minor, entry_id))
