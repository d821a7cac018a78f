"""The figures of a statement, each computed from the rows and checked against what others say of the same: an account's period in numbers.

Everything here runs inside one snapshot of the projection (``projection_snapshot``) and raises ``DisagreementError`` where figures do not agree; the
reason is for the log. All amounts are whole minor units, quantities lots. Owns sums, checks and valuation. Leaves periods that make no sense,
rows and what is done about a disagreement to ``statement.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, DecimalField, F, Q, Sum
from django.db.models.functions import Cast

from accounts.models import Balance, LedgerEntry
from accounts.selectors.access import AccountRef
from brokerage.kernel.clock import midnight_ns
from brokerage.kernel.units import RoundingMode, divide
from marketdata.selectors.candles import PriceView, prices_before
from marketdata.selectors.instruments import AssetRef, InstrumentRef, asset_by_core, instrument_by_core
from risk.models import Position
from trading.models import Execution
from trading.projection.apply import position_fill
from trading.projection.rows import PositionRow
from trading.selectors.ledger import KINDS
from trading.selectors.portfolio import holding_instruments, margin_hold

#: Fills that are gone through again for costs and results; above it those are said to be not computed.
FILLS_MAX = 200_000
BUY = 1
Row = dict[str, Any]
TRADE, FEE, PNL = LedgerEntry.Kind.TRADE, LedgerEntry.Kind.FEE, LedgerEntry.Kind.PNL


class DisagreementError(Exception):
    """Figures that must be equal are not; the text says which and by how much."""


@dataclass(frozen=True, slots=True)
class Period:
    """Whole UTC days from ``first`` up to, not including, ``end``; ``as_of_ns`` is its end, or now while it is not over."""

    first: date
    end: date
    as_of_ns: int
    so_far: bool

    @property
    def from_ns(self) -> int:
        """Its beginning, UTC nanoseconds."""
        return midnight_ns(self.first)

    @property
    def to_ns(self) -> int:
        """Its end (not in it), UTC nanoseconds."""
        return midnight_ns(self.end)

    @property
    def last(self) -> date:
        """Its last day."""
        return self.end - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Flow:
    """One asset: ``opening`` + all ``lines`` (kind of the ledger -> sum) = ``closing``, in its minor units."""

    asset: AssetRef
    opening: int
    lines: dict[str, int]
    closing: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A closing balance and what it was worth, minor units of the base currency; None where no price was recorded."""

    asset: AssetRef
    amount: int
    instrument: InstrumentRef | None
    price: PriceView | None
    value: int | None


@dataclass(frozen=True, slots=True)
class PositionThen:
    """An instrument at the end of the period: net lots; cost, value and results in quote minor units. ``realised`` is of the period, fees not
    included. None where it has no price or was not computed (FILLS_MAX).
    """

    instrument: InstrumentRef
    net: int
    cost: int | None
    realised: int | None
    price: PriceView | None
    value: int | None
    unrealised: int | None
    margin: int | None


def demand(found: list[str]) -> None:
    """DisagreementError when anything was found."""
    if found:
        raise DisagreementError("; ".join(found))


# ---- money ------------------------------------------------------------------------------------------------------------


def _asset(core_asset: int) -> AssetRef:
    asset = asset_by_core(core_asset)
    if asset is None:
        raise LookupError(f"asset {core_asset} is not known")
    return asset


def flows_of(account: AccountRef, period: Period) -> tuple[list[Flow], int]:
    """Every asset that moved or was there, and how many entries moved it."""
    before, after = Q(time_ns__lt=period.from_ns), Q(time_ns__gte=period.to_ns)
    sums = (
        LedgerEntry.objects.filter(core_account=account.core_account, book=LedgerEntry.Book.CLIENT)
        .order_by()
        .values("core_asset", "kind")
        .annotate(
            before=Sum("amount", filter=before), during=Sum("amount", filter=~before & ~after),
            after=Sum("amount", filter=after), count=Count("pk", filter=~before & ~after),
        )
    )  # fmt: skip
    opening: dict[int, int] = {}
    later: dict[int, int] = {}
    lines: dict[int, dict[str, int]] = {}
    count = 0
    for row in sums:
        core = row["core_asset"]
        opening[core] = opening.get(core, 0) + int(row["before"] or 0)
        later[core] = later.get(core, 0) + int(row["after"] or 0)
        if row["count"]:
            lines.setdefault(core, {})[KINDS[row["kind"]]] = int(row["during"])
            count += row["count"]
    balances = {
        row.core_asset: row.available + row.held for row in Balance.objects.filter(core_account=account.core_account)
    }
    flows, found = [], []
    for core in sorted(opening.keys() | balances.keys()):
        moved = lines.get(core, {})
        flow = Flow(_asset(core), opening.get(core, 0), moved, balances.get(core, 0) - later.get(core, 0))
        if flow.opening + sum(moved.values()) != flow.closing:
            found.append(f"{flow.asset.code}: {flow.opening} and {moved} do not make {flow.closing}")
        if moved or flow.opening or flow.closing:
            flows.append(flow)
    demand(found)
    return flows, count


def fills_by_side(account: AccountRef, period: Period) -> list[Row]:
    """Sums of the period's fills by instrument and side; the product is made wide, so that no sum is too large."""
    wide: Any = DecimalField(max_digits=40, decimal_places=0)
    return list(
        Execution.objects.filter(
            core_account=account.core_account, time_ns__gte=period.from_ns, time_ns__lt=period.to_ns
        )
        .order_by()
        .values("core_instrument", "side", "fee_core_asset")
        .annotate(
            count=Count("pk"), qty=Sum("last_qty"), ticks=Sum(Cast(F("last_px"), wide) * Cast(F("last_qty"), wide), output_field=wide),
            fees=Sum("fee"), pnl=Sum("realised_pnl"),
        )
    )  # fmt: skip


def fills_against_ledger(flows: list[Flow], books: list[Row]) -> list[str]:
    """Where what trades brought, cost and were charged differs between fills and ledger."""
    wanted: dict[tuple[int, str], int] = {}

    def add(core_asset: int, kind: LedgerEntry.Kind, amount: int) -> None:
        key = (core_asset, KINDS[kind.value])
        wanted[key] = wanted.get(key, 0) + amount

    for row in books:
        instrument = _instrument(row["core_instrument"])
        sign = 1 if row["side"] == BUY else -1
        if instrument.spot and instrument.base is not None:
            add(instrument.quote.core_asset, TRADE, -sign * int(row["ticks"]) * instrument.tick_value)
            add(instrument.base.core_asset, TRADE, sign * int(row["qty"]) * instrument.lot_minor)
        else:
            add(instrument.quote.core_asset, PNL, int(row["pnl"]))
        add(row["fee_core_asset"], FEE, -int(row["fees"]))
    traded = {KINDS[kind.value] for kind in (TRADE, FEE, PNL)}
    shown = {
        (flow.asset.core_asset, kind): amount for flow in flows for kind, amount in flow.lines.items() if kind in traded
    }
    return [
        f"{kind} of asset {asset}: ledger {shown.get((asset, kind), 0)}, fills {wanted.get((asset, kind), 0)}"
        for asset, kind in sorted(shown.keys() | wanted.keys())
        if shown.get((asset, kind), 0) != wanted.get((asset, kind), 0)
    ]


# ---- positions --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Fold:
    """An instrument's fills gone through again: at the end of the period, what was realised before it, whether any came later."""

    row: PositionRow = field(default_factory=PositionRow)
    realised_before: int = 0
    later: bool = False
    known: bool = True


def _instrument(core_instrument: int) -> InstrumentRef:
    instrument = instrument_by_core(core_instrument)
    if instrument is None:
        raise LookupError(f"instrument {core_instrument} is not known")
    return instrument


def folded(account: AccountRef, period: Period) -> dict[int, _Fold]:
    """Core number of an instrument -> its position at the period's end, by the projector's own rule."""
    fills = Execution.objects.filter(core_account=account.core_account)
    later = fills.filter(time_ns__gte=period.to_ns).order_by().values_list("core_instrument", flat=True).distinct()
    fills = fills.filter(time_ns__lt=period.to_ns)
    found: dict[int, _Fold] = {}
    if len(fills.order_by("exec_id").values_list("pk")[FILLS_MAX : FILLS_MAX + 1]):
        net = Sum("last_qty", filter=Q(side=BUY), default=0) - Sum("last_qty", filter=~Q(side=BUY), default=0)
        for core, lots in fills.order_by().values_list("core_instrument").annotate(net=net):
            found[core] = _Fold(PositionRow(net=int(lots)), known=False)
    else:
        columns = ("core_instrument", "side", "last_qty", "last_px", "time_ns")
        values = {}
        for core, side, qty, price, time_ns in (
            fills.order_by("exec_id").values_list(*columns).iterator(chunk_size=5_000)
        ):
            fold = found.get(core)
            if fold is None:
                fold, values[core] = found.setdefault(core, _Fold()), _instrument(core).tick_value
            position_fill(fold.row, side, qty, price * qty * values[core])
            if time_ns < period.from_ns:
                fold.realised_before = fold.row.realised_pnl
    for core in later:
        found.setdefault(core, _Fold()).later = True
    return found


def fold_against_stored(folded: dict[int, _Fold], account: AccountRef) -> list[str]:
    """Where positions recomputed from all fills are not those stored; those with later fills cannot be compared."""
    stored = {row.core_instrument: row for row in Position.objects.filter(core_account=account.core_account)}
    found = []
    for core in sorted(folded.keys() | stored.keys()):
        fold, row = folded.get(core, _Fold()), stored.get(core)
        ours: tuple[int, ...] = (fold.row.net, fold.row.cost, fold.row.realised_pnl)
        theirs: tuple[int, ...] = (row.net, row.cost, row.realised_pnl) if row else (0, 0, 0)
        if not fold.known:
            ours, theirs = ours[:1], theirs[:1]
        if not fold.later and ours != theirs:
            found.append(f"position in instrument {core}: fills {ours}, stored {theirs}")
    return found


def positions_of(folded: dict[int, _Fold], books: list[Row], period: Period) -> list[PositionThen]:
    """What was open at the end, and what made or lost something in the period."""
    traded = {row["core_instrument"] for row in books}
    prices = prices_before((core for core, fold in folded.items() if fold.row.net), period.as_of_ns)
    found = []
    for core, fold in sorted(folded.items()):
        if not fold.row.net and core not in traded:
            continue
        instrument, price, known = _instrument(core), prices.get(core), fold.known
        cost = fold.row.cost if known else None
        value = fold.row.net * price.ticks * instrument.tick_value if price else None
        held = None if instrument.spot or cost is None else margin_hold(instrument, cost, [])
        found.append(
            PositionThen(
                instrument=instrument, net=fold.row.net, cost=cost,
                realised=fold.row.realised_pnl - fold.realised_before if known else None,
                price=price, value=value, unrealised=value - cost if value is not None and cost is not None else None, margin=held,
            )
        )  # fmt: skip
    return found


# ---- value ------------------------------------------------------------------------------------------------------------


def holdings_of(account: AccountRef, flows: list[Flow], period: Period) -> tuple[list[Holding], AssetRef | None]:
    """Every closing balance with its worth in the base currency."""
    pricing = holding_instruments(account.base_currency)
    held = [flow for flow in flows if flow.closing]
    wanted = {item.core_instrument for flow in held if (item := pricing.get(flow.asset.code))}
    prices = prices_before(wanted, period.as_of_ns)
    currency = next((item.quote for item in pricing.values()), None)
    found = []
    for flow in held:
        asset, instrument = flow.asset, pricing.get(flow.asset.code)
        if asset.code == account.base_currency:
            found.append(Holding(asset, flow.closing, None, None, flow.closing))
            currency = asset
            continue
        price = prices.get(instrument.core_instrument) if instrument else None
        value = None
        if instrument is not None and price is not None:
            value = divide(
                flow.closing * price.ticks * instrument.tick_value, instrument.lot_minor, RoundingMode.HALF_EVEN
            )
        found.append(Holding(asset, flow.closing, instrument, price, value))
    return found, currency


def total_of(account: AccountRef, holdings: list[Holding], positions: list[PositionThen]) -> tuple[int, list[str]]:
    """What everything was worth: holdings, and the open result of margin positions, which is in no balance."""
    total, missing = 0, []
    for holding in holdings:
        if holding.value is None:
            missing.append(holding.asset.code)
        else:
            total += holding.value
    for position in positions:
        if position.instrument.spot or not position.net:
            continue
        if position.unrealised is None or position.instrument.quote.code != account.base_currency:
            missing.append(position.instrument.symbol)
        else:
            total += position.unrealised
    return total, missing
