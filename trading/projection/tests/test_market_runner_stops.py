"""When market data must stop by itself, and an answer that never came from the database."""

from __future__ import annotations

import pytest
import redis.asyncio
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.db import OperationalError, connection

from marketdata.models import MarketDataState, TradePrint
from marketdata.services.candles import Offset, OffsetMovedError, changes_store, offset_get
from marketdata.ticks import BUY, Trade
from trading.projection import market_runner
from trading.projection.market_runner import HaltedError, MarketDataRunner

pytestmark = pytest.mark.django_db(transaction=True)
BAR = (1, 60, 0, 5, 5, 5, 5, 1, 1)


@pytest.fixture
async def runner():
    valkey = redis.asyncio.Redis.from_url(django_settings.REDIS_URL)
    made = MarketDataRunner(None, valkey)

    async def here(work, *args):
        # The test's own database connection, so that what it sees is what the thread would see.
        return await sync_to_async(work)(*args)

    made._in_thread = here
    yield made
    await sync_to_async(lambda: connection.close())()
    made._thread.shutdown()
    await valkey.aclose()


def test_the_offset_moves_only_from_where_the_writer_left_it():
    before = offset_get()
    assert before == Offset("", 0, 0)
    after = Offset("j", 5, 9)
    changes_store(before, after, [BAR], [Trade(1, 9, 5, 1, BUY, 7)])
    assert offset_get() == after
    with pytest.raises(OffsetMovedError) as moved:
        changes_store(before, Offset("j", 6, 10), [], [])
    assert moved.value.found == 5
    assert TradePrint.objects.count() == 1


def test_a_failed_write_leaves_the_offset():
    before = offset_get()
    twice = [Trade(1, 9, 5, 1, BUY, 7), Trade(1, 9, 5, 1, BUY, 7)]
    with pytest.raises(Exception, match="duplicate"):
        changes_store(before, Offset("j", 5, 9), [BAR], twice)
    assert offset_get() == before


async def test_a_foreign_or_shortened_journal_halts(runner):
    runner.fed = Offset("journal-a", 50, 90)
    runner._check_journal("journal-a", 50)
    with pytest.raises(HaltedError, match="journal-b"):
        runner._check_journal("journal-b", 500)
    with pytest.raises(HaltedError, match="lost its end"):
        runner._check_journal("journal-a", 49)


async def _begin(runner):
    runner.stored = await sync_to_async(offset_get)()
    runner.fed = Offset("j", 3, 4)
    runner._bars = {(1, 60, 0): BAR}
    runner._prints = [Trade(1, 4, 5, 1, BUY, 7)]


async def test_a_commit_whose_answer_never_came_is_not_made_twice(runner, monkeypatch):
    await _begin(runner)

    def committed_then_lost(*args):
        changes_store(*args)
        raise OperationalError("the connection was lost")

    monkeypatch.setattr(market_runner, "changes_store", committed_then_lost)
    with pytest.raises(OperationalError):
        await runner._store()
    monkeypatch.setattr(market_runner, "changes_store", changes_store)
    runner._prints.append(Trade(1, 6, 5, 1, BUY, 8))
    runner.fed = Offset("j", 5, 6)
    await runner._store()
    await runner._store()
    assert runner.stored == Offset("j", 5, 6)
    assert runner._prints == []
    assert await TradePrint.objects.acount() == 2


async def test_a_write_that_failed_is_made_again(runner, monkeypatch):
    await _begin(runner)

    def lost(*_args):
        raise OperationalError("away")

    monkeypatch.setattr(market_runner, "changes_store", lost)
    with pytest.raises(OperationalError):
        await runner._store()
    monkeypatch.setattr(market_runner, "changes_store", changes_store)
    await runner._store()
    assert (await MarketDataState.objects.aget()).cmd_seq == 3
    assert await TradePrint.objects.acount() == 1


async def test_another_writer_halts_this_one(runner):
    await _begin(runner)
    await MarketDataState.objects.filter(pk=1).aupdate(cmd_seq=77, journal_id="j")
    with pytest.raises(HaltedError, match="77"):
        await runner._store()
