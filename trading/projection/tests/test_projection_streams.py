"""Long seeded streams, garbage included: whatever the engine may send can be stored, and the tables then say what the engine says."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.models import Sum

from accounts.models import Balance, LedgerEntry
from native import layout
from native.tests.streams import PROFILES, Stream
from risk.models import Position
from trading.engine.events import FeedBatch
from trading.models import Execution, Order, OrderEvent, ProjectionState
from trading.projection.projector import Projector

JOURNAL = "5" * 32
COMMANDS = 1_500
pytestmark = pytest.mark.django_db(transaction=True)


class Feed:
    """A stream cut into batches of random size."""

    def __init__(self, stream: Stream, commands: int) -> None:
        rng = random.Random(commands)
        self.batches: list[FeedBatch] = []
        done = 0
        while done < commands:
            pairs = [stream.next() for _ in range(min(rng.choice((1, 2, 7, 64)), commands - done))]
            raw, events = (b"".join(parts) for parts in zip(*pairs, strict=True))
            self.batches.append(FeedBatch(1, JOURNAL, done + 1, len(pairs), raw, events))
            done += len(pairs)

    def feed(self, from_cmd_seq: int) -> Iterator[FeedBatch]:
        yield from (batch for batch in self.batches if batch.last_seq >= from_cmd_seq)


@pytest.mark.parametrize(
    ("profile", "seed"), [("everyday", 11), ("messy", 12), ("messy", 13), ("huge", 14), ("tiny", 15), ("crowded", 16)]
)
def test_the_tables_equal_the_engine_after_any_stream(profile: str, seed: int) -> None:
    stream = Stream(seed, PROFILES[profile])
    feed = Feed(stream, COMMANDS)
    rounds = iter(range(400))
    Projector(feed, stopping=lambda: next(rounds, None) is None, up_to=COMMANDS).run()  # type: ignore[arg-type]

    state = ProjectionState.objects.get(pk=1)
    assert (state.halted_reason, state.cmd_seq, state.event_seq) == ("", COMMANDS, stream.reference.state.event_seq)
    engine = stream.reference.state

    shown = {
        (row.core_account, row.core_asset): (row.available, row.held)
        for row in Balance.objects.all()
        if row.available or row.held
    }
    real = {
        (account, asset): engine.balance(account, asset)
        for account in engine.accounts
        for asset in engine.assets
        if engine.balance(account, asset) != (0, 0)
    }
    assert shown == real

    live = {
        row.order_id: (
            row.core_account,
            row.core_instrument,
            row.side,
            row.price,
            row.order_qty,
            row.leaves_qty,
            row.cum_qty,
            row.version,
        )
        for row in Order.objects.filter(ord_status__in=(0, 1))
    }
    assert live == {
        order.order_id: (
            order.account,
            order.instrument,
            order.side,
            order.price,
            order.order_qty,
            order.leaves,
            order.cum_qty,
            order.version,
        )
        for order in engine.orders.values()
    }

    for (account, instrument), row in _margin_rows(engine).items():
        stored = Position.objects.filter(core_account=account, core_instrument=instrument).first()
        assert ((stored.net, stored.cost) if stored else (0, 0)) == (row.net, row.cost)

    _ledger_agrees(real)
    fills = {"n": 0, "lots": 0}
    for batch in feed.batches:
        for event in layout.iter_events(batch.raw_events):
            if event.type == layout.EventType.ORDER_FILLED:
                fills["n"] += 1
                fills["lots"] += event.qty
    assert Execution.objects.count() == fills["n"] > 0
    assert (Execution.objects.aggregate(lots=Sum("last_qty"))["lots"] or 0) == fills["lots"]
    # Every order begins its time line by being accepted or refused.
    firsts = OrderEvent.objects.filter(exec_type=layout.EventType.ORDER_ACCEPTED).count()
    assert firsts == Order.objects.exclude(ord_status=Order.Status.REJECTED).count()


def _margin_rows(engine: object) -> dict[tuple[int, int], object]:
    return {
        (number, instrument): row
        for number, account in engine.accounts.items()  # type: ignore[attr-defined]
        for instrument, row in account.rows.items()
    }


def _ledger_agrees(balances: dict[tuple[int, int], tuple[int, int]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT cmd_seq, core_asset, sum(amount) FROM accounts_ledgerentry GROUP BY 1, 2 HAVING sum(amount) <> 0"
        )
        assert cursor.fetchall() == []
    owned: dict[tuple[int, int], int] = defaultdict(int)
    legs = LedgerEntry.objects.filter(book__in=(LedgerEntry.Book.CLIENT, LedgerEntry.Book.HOUSE))
    for account, asset, amount in legs.values_list("core_account", "core_asset", "amount"):
        owned[account, asset] += amount
    totals = {key: available + held for key, (available, held) in balances.items() if available + held}
    assert {key: amount for key, amount in owned.items() if amount} == totals


def test_batches_of_any_size_make_the_same_rows() -> None:
    def rows(batch: int) -> list[list[tuple[object, ...]]]:
        feed = Feed(Stream(21, PROFILES["everyday"]), 600)
        whole = FeedBatch(
            1,
            JOURNAL,
            1,
            600,
            b"".join(b.raw_commands for b in feed.batches),
            b"".join(b.raw_events for b in feed.batches),
        )
        items = list(whole)
        feed.batches = []
        for start in range(0, 600, batch):
            part = items[start : start + batch]
            feed.batches.append(
                FeedBatch(
                    1,
                    JOURNAL,
                    start + 1,
                    len(part),
                    b"".join(layout.command_to_bytes(item.command) for item in part),
                    b"".join(layout.pack_event(event) for item in part for event in item.events),
                )
            )
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE trading_order, trading_execution, trading_orderevent, accounts_ledgerentry, accounts_balance, risk_position, "
                "trading_projectionstate, trading_projectedlisting"
            )
        rounds = iter(range(2_000))
        Projector(feed, stopping=lambda: next(rounds, None) is None, up_to=600).run()  # type: ignore[arg-type]
        return [
            list(Order.objects.order_by("pk").values_list()),
            list(Execution.objects.order_by("pk").values_list()),
            list(OrderEvent.objects.order_by("pk").values_list()),
            list(LedgerEntry.objects.order_by("pk").values_list()),
            list(
                Balance.objects.order_by("core_account", "core_asset").values_list(
                    "core_account", "core_asset", "available", "held", "seq"
                )
            ),
            list(
                Position.objects.order_by("core_account", "core_instrument").values_list(
                    "core_account", "core_instrument", "net", "cost", "realised_pnl"
                )
            ),
        ]

    straight = rows(600)
    assert len(straight[0]) > 100
    assert rows(7) == straight
