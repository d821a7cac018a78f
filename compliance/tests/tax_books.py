"""Accounts with a history of one's own choosing: fills, ledger, balances and positions as the projector writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounts.models import Balance, LedgerEntry, TradingAccount, User
from accounts.selectors.access import AccountRef, account_for_user, accounts_forget
from accounts.services.trading_accounts import account_open
from brokerage.kernel.clock import ns_from_datetime
from marketdata.models import Asset, Instrument
from marketdata.services.seed import reference_seed
from risk.models import Position
from trading.models import Execution, ProjectionState
from trading.projection.apply import position_fill
from trading.projection.rows import PositionRow

USD = 10**6


def ns(text: str) -> int:
    """A time in UTC, nanoseconds."""
    return ns_from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@dataclass
class Book:
    """What is written down for one account; ``keep`` puts it into the tables."""

    account: TradingAccount
    seq: int = 0
    entries: list[LedgerEntry] = field(default_factory=list)
    fills: list[Execution] = field(default_factory=list)
    totals: dict[int, int] = field(default_factory=dict)
    positions: dict[int, PositionRow] = field(default_factory=dict)

    @property
    def ref(self) -> AccountRef:
        """The account as its owner sees it now."""
        accounts_forget()
        return account_for_user(self.account.owner_id, self.account.number)  # type: ignore[arg-type]

    def entry(self, when: str, asset: str, amount: int, kind: int, leg: int = 0, ref: int = 0) -> None:
        """One leg in smallest units."""
        core = Asset.objects.get(code=asset).core_asset
        self.totals[core] = self.totals.get(core, 0) + amount
        self.entries.append(
            LedgerEntry(
                id=self.seq * 16 + leg, entry_seq=self.seq, cmd_seq=self.seq, leg=leg, book=1, core_account=self.account.core_account,
                core_asset=core, amount=amount, kind=kind, ref_id=ref, time_ns=ns(when),
            )
        )  # fmt: skip

    def moved(self, when: str, asset: str, amount: str, kind: int = LedgerEntry.Kind.DEPOSIT) -> None:
        """Money or units in (above zero) or out."""
        self.seq += 1
        scale = Asset.objects.get(code=asset).scale
        self.entry(when, asset, int(Decimal(amount).scaleb(scale)), kind)

    def fill(
        self, when: str, side: str, symbol: str, qty: str, price: str, fee: str = "0", *, order: int = 0, fee_asset: str = "USD", pnl: str = "0",
    ) -> None:  # fmt: skip
        """A fill with its entries."""
        self.seq += 1
        item = Instrument.objects.select_related("base", "quote").get(symbol=symbol)
        lots, ticks = int(Decimal(qty) / item.lot_size), int(Decimal(price) / item.tick_size)
        number, sign = (1, 1) if side == "buy" else (2, -1)
        charged = Asset.objects.get(code=fee_asset)
        fee_minor, pnl_minor = int(Decimal(fee).scaleb(charged.scale)), int(Decimal(pnl) * USD)
        value = lots * ticks * item.tick_value
        if item.base is not None and item.kind == "spot":
            self.entry(when, item.quote.code, -sign * value, LedgerEntry.Kind.TRADE, 0, self.seq)
            self.entry(when, item.base.code, sign * lots * item.lot_minor, LedgerEntry.Kind.TRADE, 1, self.seq)
        elif pnl_minor:
            self.entry(when, item.quote.code, pnl_minor, LedgerEntry.Kind.PNL, 0, self.seq)
        if fee_minor:
            self.entry(when, fee_asset, -fee_minor, LedgerEntry.Kind.FEE, 2, self.seq)
        position_fill(self.positions.setdefault(item.core_instrument, PositionRow()), number, lots, value)
        self.fills.append(
            Execution(
                exec_id=self.seq, order_id=order or self.seq, contra_order_id=0, core_account=self.account.core_account,
                core_instrument=item.core_instrument, side=number, last_px=ticks, last_qty=lots, fee=fee_minor,
                fee_core_asset=charged.core_asset, liquidity="t", realised_pnl=pnl_minor, leaves_qty=0, cum_qty=lots, cmd_seq=self.seq,
                time_ns=ns(when),
            )
        )  # fmt: skip

    def keep(self) -> Book:
        """Write everything."""
        core = self.account.core_account
        LedgerEntry.objects.bulk_create(self.entries)
        Execution.objects.bulk_create(self.fills)
        for asset, total in self.totals.items():
            Balance.objects.create(core_account=core, core_asset=asset, available=total, held=0, seq=1)
        for instrument, row in self.positions.items():
            Position.objects.create(
                core_account=core,
                core_instrument=instrument,
                net=row.net,
                cost=row.cost,
                realised_pnl=row.realised_pnl,
                seq=1,
            )
        ProjectionState.objects.update_or_create(pk=1, defaults={"event_seq": self.seq})
        return self


def book_make(country: str, opened: str = "2024-01-02", **user: Any) -> Book:
    """An empty account of a client who lives there."""
    reference_seed(demo=True)
    person = User.objects.create_user(
        f"tax-{country.lower()}@example.test", "Correct-Horse-2026", display_name="Tess Tax", country=country, kyc_tier=2, **user
    )  # fmt: skip
    account = account_open(user=person)
    TradingAccount.objects.filter(pk=account.pk).update(created_at=datetime.fromisoformat(opened).replace(tzinfo=UTC))
    return Book(TradingAccount.objects.get(pk=account.pk), seq=account.core_account * 1_000)
