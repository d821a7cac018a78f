"""Events of the real core become rows: ledger sums to zero, positions follow the average-cost rule, offsets fence, poison halts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from accounts.models import Balance, LedgerEntry
from native.core import Core, CoreConfig
from native.layout import InstrumentKind, OrdType, Side, Tif, iter_commands, iter_events, stamp_command
from risk.models import Position
from trading.engine import commands
from trading.engine.events import FeedBatch, FeedItem
from trading.models import Execution, Order, ProjectionState
from trading.projection.apply import position_fill
from trading.projection.projector import Projector
from trading.projection.rows import PositionRow

JOURNAL = "0" * 32
USD, BTC = 1, 2
SPOT, MARGIN = 1, 2
pytestmark = pytest.mark.django_db(transaction=True)


class Recorded:
    """A core in this process whose commands and events are a feed; ``cut`` ends the feed as a lost connection would."""

    def __init__(self) -> None:
        self.core = Core(
            CoreConfig(
                max_accounts=64, max_orders=4096, max_levels=4096, max_cl_ord_ids=4096, max_instruments=8, max_assets=8
            )
        )
        self.batches: list[FeedBatch] = []
        self.seq = 0
        for command in (
            commands.asset_upsert(USD, 6),
            commands.asset_upsert(BTC, 8),
            commands.instrument_upsert(
                SPOT,
                InstrumentKind.SPOT,
                base_asset=BTC,
                quote_asset=USD,
                tick_value=10,
                lot_minor=10_000,
                maker_ppm=500,
                taker_ppm=1_000,
                reference_price=100,
            ),
            commands.instrument_upsert(
                MARGIN,
                InstrumentKind.MARGIN,
                base_asset=0,
                quote_asset=USD,
                tick_value=1_000,
                lot_minor=1,
                taker_ppm=100,
                margin_ppm=100_000,
                reference_price=100,
            ),
        ):
            self.send(command)
        for account in (1, 2):
            self.send(commands.account_upsert(account))
            self.send(commands.deposit(account, USD, 10**12, f"usd{account}"))
            self.send(commands.deposit(account, BTC, 10**12, f"btc{account}"))

    def send(self, command: bytes) -> FeedItem:
        raw = bytearray(command)
        self.seq += 1
        stamp_command(raw, 0, self.seq, self.seq * 1_000)
        events = bytes(self.core.apply(raw))
        self.batches.append(FeedBatch(1, JOURNAL, self.seq, 1, bytes(raw), events))
        return FeedItem(next(iter_commands(bytes(raw))), list(iter_events(events)))

    def order(
        self, account: int, side: int, price: int, qty: int, *, instrument: int = SPOT, tif: int = Tif.GTC
    ) -> FeedItem:
        kind = OrdType.LIMIT if price else OrdType.MARKET
        return self.send(commands.order_new(account, instrument, side, kind, tif, price, qty, cl_ord_id=f"c{self.seq}"))

    def feed(self, from_seq: int, **_: Any) -> Iterator[FeedBatch]:
        yield from [batch for batch in self.batches if batch.first_seq >= from_seq]
        from trading.engine.gateway import EngineUnavailable

        raise EngineUnavailable("recorded feed ended")

    def project(self) -> Projector:
        projector = Projector(self, stopping=lambda: False, name="test", up_to=self.seq)  # type: ignore[arg-type]
        projector.run()
        return projector


@pytest.fixture
def recorded(db: None) -> Iterator[Recorded]:
    feed = Recorded()
    yield feed
    feed.core.close()


def _sums() -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cmd_seq, core_asset FROM accounts_ledgerentry GROUP BY 1, 2 HAVING sum(amount) <> 0")
        return cursor.fetchall()


def _agrees(recorded: Recorded) -> None:
    """Balances equal the core's and the ledger's sums."""
    assert _sums() == []
    for row in Balance.objects.all():
        core = recorded.core.balance(row.core_account, row.core_asset)
        assert (row.available, row.held) == (core.available, core.held)
        total = sum(
            LedgerEntry.objects.filter(
                core_account=row.core_account, core_asset=row.core_asset, book__in=(1, 2)
            ).values_list("amount", flat=True)
        )
        assert total == row.available + row.held


def test_a_spot_trade_moves_both_assets_and_pays_the_house(recorded: Recorded) -> None:
    recorded.order(1, Side.SELL, 100, 50)
    recorded.order(2, Side.BUY, 100, 20)
    recorded.project()
    fills = list(Execution.objects.order_by("exec_id"))
    assert [(fill.core_account, fill.liquidity, fill.last_px, fill.last_qty, fill.fee) for fill in fills] == [
        (1, "m", 100, 20, 10),
        (2, "t", 100, 20, 20),
    ]
    legs = list(
        LedgerEntry.objects.filter(kind__in=(1, 2))
        .order_by("id")
        .values_list("book", "core_account", "core_asset", "amount", "kind")
    )
    assert legs == [
        (1, 1, USD, 20_000, 1), (1, 1, BTC, -200_000, 1), (1, 1, USD, -10, 2), (2, 0, USD, 10, 2),
        (1, 2, USD, -20_000, 1), (1, 2, BTC, 200_000, 1), (1, 2, USD, -20, 2), (2, 0, USD, 20, 2),
    ]  # fmt: skip
    maker, taker = Order.objects.order_by("entry_seq")
    assert (maker.ord_status, maker.cum_qty, maker.leaves_qty) == (Order.Status.PARTIALLY_FILLED, 20, 30)
    assert (taker.ord_status, taker.cum_qty, taker.leaves_qty, int(taker.notional_sum)) == (
        Order.Status.FILLED,
        20,
        0,
        2_000,
    )
    assert Balance.objects.get(core_account=0, core_asset=USD).available == 30
    _agrees(recorded)


def test_a_margin_round_trip_posts_profit_against_clearing(recorded: Recorded) -> None:
    recorded.order(1, Side.SELL, 100, 10, instrument=MARGIN)
    recorded.order(2, Side.BUY, 100, 10, instrument=MARGIN)
    recorded.order(1, Side.BUY, 110, 4, instrument=MARGIN)
    recorded.order(2, Side.SELL, 110, 4, instrument=MARGIN)
    recorded.project()
    assert _sums() == []
    long = Position.objects.get(core_account=2, core_instrument=MARGIN)
    short = Position.objects.get(core_account=1, core_instrument=MARGIN)
    assert (long.net, long.cost, long.realised_pnl) == (6, 600_000, 40_000)
    assert (short.net, short.cost, short.realised_pnl) == (-6, -600_000, -40_000)
    assert (recorded.core.position(2, MARGIN).net, recorded.core.position(2, MARGIN).cost) == (6, 600_000)
    _agrees(recorded)


def test_refused_canceled_and_expired_orders_are_listed_as_such(recorded: Recorded) -> None:
    recorded.order(1, Side.BUY, 0, 1, tif=Tif.IOC)  # nobody sells
    rested = recorded.order(1, Side.BUY, 90, 5)
    order_id = rested.events[0].order_id
    recorded.send(commands.order_cancel(1, order_id))
    recorded.order(2, Side.BUY, 80, 7, tif=Tif.IOC)
    recorded.project()
    refused, canceled, remainder = Order.objects.order_by("entry_seq")
    assert (refused.order_id, refused.ord_status, refused.reject_reason) == (
        -refused.entry_seq,
        Order.Status.REJECTED,
        5008,
    )
    assert (canceled.ord_status, canceled.leaves_qty, canceled.cancel_reason) == (Order.Status.CANCELED, 0, 1)
    assert (remainder.ord_status, remainder.cancel_reason) == (Order.Status.CANCELED, 2)
    _agrees(recorded)


def test_projecting_again_changes_nothing_and_goes_on_where_it_stopped(recorded: Recorded) -> None:
    recorded.order(1, Side.SELL, 100, 5)
    recorded.project()
    rows = LedgerEntry.objects.count(), Order.objects.count()
    recorded.project()
    assert (LedgerEntry.objects.count(), Order.objects.count()) == rows
    recorded.order(2, Side.BUY, 100, 5)
    recorded.project()
    assert Execution.objects.count() == 2
    assert ProjectionState.objects.get().cmd_seq == recorded.seq
    _agrees(recorded)


def test_a_moved_offset_fences_and_writes_nothing(recorded: Recorded) -> None:
    recorded.project()
    recorded.order(1, Side.SELL, 100, 5)
    from trading.projection.writer import FencedError

    projector = Projector(recorded, stopping=lambda: False, name="test", up_to=recorded.seq)  # type: ignore[arg-type]
    projector._open()
    ProjectionState.objects.update(epoch=7)  # a newer engine's projector was here
    with pytest.raises(FencedError):
        projector._project(list(recorded.batches[-1]), 1)
    assert Order.objects.count() == 0
    projector._close()


def test_a_poisoned_event_halts_at_its_command_and_keeps_what_came_before(recorded: Recorded) -> None:
    recorded.order(1, Side.SELL, 100, 5)
    good = recorded.seq
    recorded.order(2, Side.BUY, 100, 5)
    batch = recorded.batches[-1]
    raw = bytearray(batch.raw_events)
    raw[40:48] = (12345).to_bytes(8, "little")  # an order nobody placed
    recorded.batches[-1] = FeedBatch(1, JOURNAL, batch.first_seq, 1, batch.raw_commands, bytes(raw))
    rounds = iter([False] * 4 + [True] * 10_000)
    Projector(recorded, stopping=lambda: next(rounds), name="test").run()  # type: ignore[arg-type]
    state = ProjectionState.objects.get()
    assert state.cmd_seq == good
    assert str(good + 1) in state.halted_reason
    assert Execution.objects.count() == 0


@pytest.mark.parametrize(
    ("_case", "fills", "expected"),
    [
        ("opens long", [(1, 10, 1_000)], (10, 1_000, 0)),
        ("adds", [(1, 10, 1_000), (1, 10, 3_000)], (20, 4_000, 0)),
        ("reduces at a profit", [(1, 10, 1_000), (2, 4, 600)], (6, 600, 200)),
        ("removed cost is truncated", [(1, 3, 1_000), (2, 1, 333)], (2, 667, 0)),
        ("closes: every unit of cost goes", [(1, 3, 1_000), (2, 1, 333), (2, 2, 667)], (0, 0, 0)),
        ("turns over", [(1, 10, 1_000), (2, 15, 3_000)], (-5, -1_000, 1_000)),
        ("short reduces at a loss", [(2, 10, 1_000), (1, 10, 1_200)], (0, 0, -200)),
    ],
)
def test_average_cost(_case: str, fills: list[tuple[int, int, int]], expected: tuple[int, int, int]) -> None:
    row = PositionRow()
    for side, qty, notional in fills:
        position_fill(row, side, qty, notional)
    assert (row.net, row.cost, row.realised_pnl) == expected
