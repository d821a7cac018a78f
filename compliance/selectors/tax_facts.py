"""What an account bought, sold, got and sent, as tax documents need it: fills and movements in kind, checked against the ledger.

Read at one point of the projection, with the checks of statements: the ledger adds up to the engine's balances, and what it says of trades is what
the fills come to; else DisagreementError. Fees belong to what was bought or sold: in the currency they are part of cost and proceeds; in the asset
itself a purchase brings that much less, a sale takes that much more. Owns these rules. Leaves matching to ``compliance/tax``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from accounts.models import LedgerEntry
from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import NS_PER_DAY, datetime_from_ns
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import Side
from brokerage.platform.problems import ApiProblem
from compliance.tax.lots import BUY, IN, NO_COST, OUT, SELL, Move
from compliance.tax.rates import Rates
from compliance.tax.years import Kind
from marketdata.selectors.instruments import AssetRef, InstrumentRef, asset_by_core, instrument_by_core
from trading.models import Execution
from trading.selectors.ledger import KINDS
from trading.selectors.statement_figures import (
    FILLS_MAX,
    DisagreementError,
    Period,
    demand,
    fills_against_ledger,
    fills_by_side,
    flows_of,
)

FIAT = "fiat"
_IN_KIND = (
    LedgerEntry.Kind.DEPOSIT,
    LedgerEntry.Kind.WITHDRAWAL,
    LedgerEntry.Kind.TRANSFER,
    LedgerEntry.Kind.ADJUSTMENT,
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Units of an asset that came or went. ``value`` is price times quantity and ``fee`` what was charged, in ``currency``; None where they are not
    in a currency. ``how`` is the ledger's kind for what moved in kind.
    """

    time_ns: int
    seq: int
    kind: str
    qty: int
    currency: str = ""
    value: Fraction | None = None
    fee: Fraction | None = None
    order: int = 0
    how: str = "trade"
    why: str = ""

    @property
    def money(self) -> Fraction | None:
        """What it cost or brought, fees included."""
        if self.value is None or self.fee is None:
            return None
        return self.value + self.fee if self.kind == BUY else self.value - self.fee


@dataclass(frozen=True, slots=True)
class Result:
    """A fill of a margin instrument: what it realised and was charged."""

    time_ns: int
    instrument: InstrumentRef
    realised: Fraction
    fee: Fraction


@dataclass(slots=True)
class Facts:
    """Everything of an account up to a time, by asset."""

    assets: dict[str, AssetRef] = field(default_factory=dict)
    instruments: dict[str, InstrumentRef] = field(default_factory=dict)
    moves: dict[str, list[Fact]] = field(default_factory=dict)
    margin: list[Result] = field(default_factory=list)

    def add(self, asset: AssetRef, fact: Fact) -> None:
        """Keep a movement."""
        self.assets[asset.code] = asset
        self.moves.setdefault(asset.code, []).append(fact)

    def of(self, kind: Kind) -> list[AssetRef]:
        """The assets a document is about, by code."""
        return [self.assets[code] for code in sorted(self.moves) if self.assets[code].kind in kind.assets]


def _major(minor: int, asset: AssetRef) -> Fraction:
    return Fraction(minor, 10**asset.scale)


def _instrument(core: int) -> InstrumentRef:
    found = instrument_by_core(core)
    if found is None:
        raise DisagreementError(f"instrument {core} is not known")
    return found


def _asset(core: int) -> AssetRef:
    found = asset_by_core(core)
    if found is None:
        raise DisagreementError(f"asset {core} is not known")
    return found


def facts_of(account: AccountRef, until_ns: int, now_ns: int) -> Facts:
    """Everything before ``until_ns``; ApiProblem 1014 for more than FILLS_MAX fills. To be called inside a snapshot of the projection."""
    whole = Period(date(1970, 1, 1), datetime_from_ns(now_ns + NS_PER_DAY).date() + timedelta(days=1), now_ns, True)
    flows, _ = flows_of(account, whole)
    demand(fills_against_ledger(flows, fills_by_side(account, whole)))
    facts = Facts()
    for asset_core, kind, amount, seq, time_ns in (
        LedgerEntry.objects.filter(
            core_account=account.core_account, book=LedgerEntry.Book.CLIENT, kind__in=_IN_KIND, time_ns__lt=until_ns
        )
        .exclude(core_asset__in=[row.asset.core_asset for row in flows if row.asset.kind == FIAT])
        .order_by("id")
        .values_list("core_asset", "kind", "amount", "entry_seq", "time_ns")
    ):  # fmt: skip
        came = amount > 0
        facts.add(
            _asset(asset_core),
            Fact(time_ns, seq, IN if came else OUT, abs(amount), how=KINDS[kind], why=NO_COST if came else ""),
        )
    fills = Execution.objects.filter(core_account=account.core_account, time_ns__lt=until_ns).order_by("exec_id")
    if len(fills.values_list("pk")[FILLS_MAX : FILLS_MAX + 1]):
        raise ApiProblem(
            RejectCode.VALUE_OUT_OF_RANGE, f"The account has more than {FILLS_MAX} fills: its tax documents are not made here.",
            needed=str(FILLS_MAX), field="year", next_step="Take the fills as CSV files, or ask support.",
        )  # fmt: skip
    columns = (
        "exec_id",
        "order_id",
        "core_instrument",
        "side",
        "last_px",
        "last_qty",
        "fee",
        "fee_core_asset",
        "realised_pnl",
        "time_ns",
    )
    for row in fills.values_list(*columns).iterator(chunk_size=5_000):
        _fill(facts, *row)
    return facts


def _fill(
    facts: Facts, seq: int, order: int, core: int, side: int, price: int, lots: int, fee: int, fee_core: int, realised: int, time_ns: int
) -> None:  # fmt: skip
    instrument, fee_asset = _instrument(core), _asset(fee_core)
    quote, base = instrument.quote, instrument.base
    if not instrument.spot or base is None:
        facts.margin.append(Result(time_ns, instrument, _major(realised, quote), _major(fee, fee_asset)))
        return
    facts.instruments.setdefault(base.code, instrument)
    kind, qty = (BUY if side == Side.BUY else SELL), lots * instrument.lot_minor
    minor = price * lots * instrument.tick_value
    value, charged, why = _major(minor, quote), Fraction(0), ""
    if fee_asset.code == base.code:
        qty = qty - fee if kind == BUY else qty + fee
    elif fee_asset.code == quote.code:
        charged = _major(fee, quote)
    elif fee:
        why = f"not converted: the fee is in {fee_asset.code}"
    if quote.kind != FIAT:
        # One asset against another: both move, and neither has a value in money.
        why = f"not converted: exchanged for {quote.code}" if kind == SELL else f"not converted: paid in {quote.code}"
        gone = minor + (fee if kind == BUY else -fee) if fee_asset.code == quote.code else minor
        other = f"not converted: exchanged for {base.code}" if kind == BUY else f"not converted: paid in {base.code}"
        facts.add(
            quote, Fact(time_ns, seq, SELL if kind == BUY else BUY, gone, order=order, how="exchange", why=other)
        )  # fmt: skip
        facts.add(base, Fact(time_ns, seq, kind, qty, order=order, how="exchange", why=why))
        return
    facts.add(
        base,
        Fact(time_ns, seq, kind, qty, quote.code, value, None if why else charged, order, "trade", why),
    )  # fmt: skip


def moves_of(facts: list[Fact], kind: Kind, currency: str, rates: Rates) -> Iterator[Move]:
    """The movements of an asset with days and money of a document; what has no rate is not converted and says so."""
    for fact in facts:
        day = kind.day(fact.time_ns)
        money, why = fact.money, fact.why
        if money is not None and fact.currency != currency:
            money = rates.convert(money, fact.currency, currency, day)
            why = "" if money is not None else f"not converted: no rate of {fact.currency} for {currency} on record"
        yield Move(fact.time_ns, fact.seq, day, fact.kind, fact.qty, money, fact.order, why)
