"""Reference data to the engine: assets, instruments and accounts become commands. All of them may be sent again at any time."""

from __future__ import annotations

from accounts.models import TradingAccount
from accounts.services.rules import account_limits_begin
from accounts.services.trading_accounts import account_activate
from marketdata.models import Asset, Instrument
from native.layout import InstrumentKind, TradingState
from trading.engine import commands
from trading.engine.gateway import EngineClient, Rejected, Unknown
from trading.services.account_control import account_limits_send

_KIND = {Instrument.Kind.SPOT: InstrumentKind.SPOT, Instrument.Kind.MARGIN: InstrumentKind.MARGIN}
_STATE = {
    Instrument.State.ACTIVE: TradingState.ACTIVE,
    Instrument.State.REDUCE_ONLY: TradingState.REDUCE_ONLY,
    Instrument.State.HALTED: TradingState.HALTED,
    Instrument.State.CLOSED: TradingState.CLOSED,
}


class ListingError(Exception):
    """The engine refused reference data, or its answer is not known; the text names it."""


def _send(client: EngineClient, command: bytes, what: str) -> None:
    outcome = client.submit(command)
    if isinstance(outcome, Unknown):
        raise ListingError(f"{what}: the engine's answer is not known ({outcome.why})")
    if isinstance(outcome, Rejected):
        raise ListingError(f"{what}: refused by the engine with code {outcome.reason}")


def instrument_send(client: EngineClient, instrument: Instrument, *, first: bool) -> None:
    """Send one instrument. Only the first listing carries the reference price: later it is the last trade's."""
    _send(
        client,
        commands.instrument_upsert(
            instrument.core_instrument,
            _KIND[Instrument.Kind(instrument.kind)],
            base_asset=instrument.base.core_asset if instrument.base and instrument.kind == Instrument.Kind.SPOT else 0,
            quote_asset=instrument.quote.core_asset,
            tick_value=instrument.tick_value,
            lot_minor=instrument.lot_minor,
            min_qty=instrument.min_qty,
            max_qty=instrument.max_qty,
            max_notional=instrument.max_notional,
            maker_ppm=instrument.maker_ppm,
            taker_ppm=instrument.taker_ppm,
            margin_ppm=instrument.margin_ppm,
            collar_ppm=instrument.collar_ppm,
            reference_price=instrument.reference_price if first else 0,
            state=_STATE[Instrument.State(instrument.state)],
        ),
        f"instrument {instrument.symbol}",
    )


def account_send(client: EngineClient, account: TradingAccount) -> None:
    """Register an account and its limits with the engine, then let it trade."""
    _send(client, commands.account_upsert(account.core_account), f"account {account.number}")
    if account.owner_id is not None:
        account_limits_begin(account)
        code = account_limits_send(client, account)
        if code:
            raise ListingError(f"limits of {account.number}: refused by the engine with code {code}")
    account_activate(account)


def instruments_listed(client: EngineClient) -> int:
    """How many instruments the engine has. Core numbers are dense, so the count says which."""
    for _ in range(1000):
        listed = client.status().details.get("instruments")
        if listed is not None:  # None while a batch is being written
            return int(listed)
    raise ListingError("the engine is too busy to say what it lists")


def listing_sync(client: EngineClient) -> None:
    """Send all assets and instruments, and the accounts the engine does not know yet."""
    listed = instruments_listed(client)
    for asset in Asset.objects.order_by("core_asset"):
        _send(client, commands.asset_upsert(asset.core_asset, asset.scale), f"asset {asset.code}")
    for instrument in Instrument.objects.select_related("base", "quote").order_by("core_instrument"):
        instrument_send(client, instrument, first=instrument.core_instrument > listed)
    for account in TradingAccount.objects.filter(status=TradingAccount.Status.PENDING).order_by("core_account"):
        account_send(client, account)
