"""Accounts, funds and instrument profiles of the demo market, made through the same services as anybody's.

Idempotent: a second start finds the accounts and only tops up what has run low.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from decimal import Decimal

from accounts.models import TradingAccount, User
from accounts.services.funding import deposit_confirm
from accounts.services.trading_accounts import account_open
from marketdata.models import Asset, Instrument
from trading.demo.model import InstrumentSpec
from trading.demo.runner import MAKERS, DemoInstrument
from trading.engine.gateway import EngineClient

TAKERS = 4
#: What one ordinary demo order is worth, in quote units.
TYPICAL_NOTIONAL = Decimal(9_000)
#: Practice stock of each demo account: enough that no side of a market ever runs dry.
CASH_UNITS = Decimal(2_000_000_000)
STOCK_NOTIONAL = Decimal(200_000_000)
#: (a year's volatility, loading on the common factor, half spread as a fraction, share of the messages)
PROFILES = {
    "crypto": (0.75, 1.0, 0.00012, 1.6),
    "fx": (0.09, 0.3, 0.00004, 1.0),
    "stock": (0.32, 0.8, 0.00015, 0.8),
    "index": (0.20, 0.9, 0.00008, 1.0),
    "commodity": (0.35, 0.4, 0.00018, 0.8),
}


def demo_instruments() -> list[DemoInstrument]:
    """Return every listed instrument with its profile; prices come from the listing's reference price."""
    result = []
    for instrument in Instrument.objects.select_related("quote").order_by("core_instrument"):
        volatility, beta, half_spread, activity = PROFILES[instrument.asset_class]
        lot_value = instrument.reference_price * instrument.tick_value  # quote minor units of one lot
        typical = int(TYPICAL_NOTIONAL.scaleb(instrument.quote.scale) // lot_value)
        result.append(
            DemoInstrument(
                instrument.core_instrument,
                InstrumentSpec(
                    symbol=instrument.symbol,
                    anchor_ticks=instrument.reference_price,
                    typical_lots=max(typical, instrument.min_qty, 1),
                    volatility=volatility,
                    beta=beta,
                    activity=activity,
                    half_spread=half_spread,
                    min_lots=max(1, instrument.min_qty),
                    max_lots=instrument.max_qty,
                ),
            )
        )
    return result


def demo_accounts(client: EngineClient, stopping: Callable[[], bool]) -> tuple[list[int], list[int]]:
    """Return (makers, takers) as core account numbers, opened and funded; waits until the engine has credited them."""
    accounts = [_account(f"maker{number}@market.demo", f"Demo maker {number}") for number in range(1, MAKERS + 1)]
    accounts += [_account(f"taker{number}@market.demo", f"Demo trader {number}") for number in range(1, TAKERS + 1)]
    wanted = _stock()
    for account in accounts:
        for asset, amount in wanted:
            # The reference makes it idempotent: one deposit for each account and asset, ever.
            deposit_confirm(
                account=account, asset=asset, amount=amount, reference=f"demo-stock-{account.number}-{asset.code}"
            )
    while not stopping():
        funded = all(
            len([1 for _, available, _ in client.query_balances(account.core_account) if available > 0]) >= len(wanted)
            for account in accounts
        )
        if funded:
            break
        time.sleep(0.5)
    numbers = [account.core_account for account in accounts]
    return numbers[:MAKERS], numbers[MAKERS:]


def _account(email: str, name: str) -> TradingAccount:
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(
            email=email, password=None, display_name=name, country="GB", kyc_tier=2, trading_allowed=True
        )
    account = TradingAccount.objects.filter(owner=user).first()
    return account or account_open(user=user, kind="demo")


def _stock() -> list[tuple[Asset, Decimal]]:
    """Return the assets and amounts a demo account starts with: cash in every quote currency, stock of every spot base."""
    quotes = {instrument.quote_id: instrument.quote for instrument in Instrument.objects.select_related("quote")}
    stock = [(asset, CASH_UNITS) for asset in quotes.values()]
    for instrument in Instrument.objects.filter(kind="spot").select_related("base"):
        price = instrument.tick_size * instrument.reference_price
        units = Decimal(10) ** math.ceil(math.log10(STOCK_NOTIONAL / price))
        stock.append((instrument.base, units))
    return stock
